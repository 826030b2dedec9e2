"""The rectified flow as a process around the degraded end, against the flow in its own coordinates."""

import math

import pytest
import torch
from torch import Tensor

from irsde_cli.processes.rectified_flow import RectifiedFlow
from irsde_cli.samplers.multistep import ddim, multistep
from irsde_cli.samplers.nodes import even_nodes, times_from

# As FLUX-IR's own comment lists them for 25 steps; the first, 1, is skipped.
PUBLISHED = [
    0.9745572805, 0.9483310580, 0.9212845563, 0.8933787941, 0.8645719885, 0.8348198533, 0.8040752410, 0.7722873091,
    0.7394022941, 0.7053623795, 0.6701054573, 0.6335652470, 0.5956704616, 0.5563441514, 0.5155037045, 0.4730600416,
    0.4289168119, 0.3829698562, 0.3351062536, 0.2852035760, 0.2331287562, 0.1787366718, 0.1218692213, 0.0623534657, 0.0,
]  # fmt: skip
SHIFT = math.exp(0.4675)


def ends() -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x0, mu, noise = (torch.randn(1, 4, 3, 5, dtype=torch.float64, generator=generator) for _ in range(3))
    return x0, mu, noise


def test_even_indices_are_the_published_times() -> None:
    """FLUX's shifted schedule, with the shift that the released program computes."""
    flow = RectifiedFlow(24, SHIFT, 24 / 25)
    torch.testing.assert_close(flow.time.flip(0), torch.tensor(PUBLISHED, dtype=torch.float64), rtol=0, atol=1e-7)
    finer = RectifiedFlow(96, SHIFT, 24 / 25)
    torch.testing.assert_close(finer.time[torch.tensor(even_nodes(96, 24))], flow.time.flip(0)[:-1])


def test_the_start_is_the_noised_degraded_latent() -> None:
    """In the flow's own coordinates, x - t mu, it is (1 - t) mu + t noise."""
    flow = RectifiedFlow(20, SHIFT)
    _, mu, noise = ends()
    t = float(flow.time[20])
    torch.testing.assert_close(flow.start(mu, 20, lambda x: noise) - t * mu, (1 - t) * mu + t * noise)


def test_ddim_is_euler_s_method_in_the_flow_s_time() -> None:
    """Step for step, with any estimate of the velocity; recentring starts from the first estimate's own latent."""
    flow, nodes = RectifiedFlow(20, SHIFT), even_nodes(20, 5)
    x0, mu, noise = ends()
    path = flow.path(mu)

    def velocity(own: Tensor, t: float) -> Tensor:
        return torch.sin(3 * own) - x0 * t

    def predict_clean(x: Tensor, index: int) -> Tensor:
        t = float(flow.time[index])
        own = x - t * mu
        return own - t * velocity(own, t)

    start = flow.start(mu, 20, lambda x: noise)
    own = start - float(flow.time[20]) * mu
    states = list(ddim(predict_clean, start, path, times_from(nodes), torch.randn_like))
    for now, then, state in zip(nodes, (*nodes[1:], 0), states, strict=True):
        t, s = float(flow.time[now]), float(flow.time[then])
        own = own + (s - t) * velocity(own, t)
        torch.testing.assert_close(state - s * mu, own)
    t, s = float(flow.time[20]), float(flow.time[nodes[1]])
    first = next(multistep(predict_clean, start, path, times_from(nodes), torch.randn_like, order=1))
    clean = predict_clean(start, 20)
    own = (1 - t) * clean + t * noise
    torch.testing.assert_close(first - s * mu, own + (s - t) * (own - clean) / t)


@pytest.mark.parametrize("overshoot", [1.0, 1.3, 2.0])
def test_overshooting_is_a_modulated_step(overshoot: float) -> None:
    """FLUX-IR explores by a step that goes too far and is noised again: it is the modulated step of some eta.

    eta^2 is how far it goes beyond, in half the log of the signal-to-noise ratio, in units of the step.
    """
    flow = RectifiedFlow(20, SHIFT)
    x0, mu, noise = ends()
    fresh = torch.randn(noise.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    t, s = float(flow.time[14]), float(flow.time[13])
    beyond = t - overshoot * (t - s)
    added = math.sqrt(max(s**2 * (1 - beyond) ** 2 / (1 - s) ** 2 - beyond**2, 0.0))
    own, velocity = (1 - t) * x0 + t * noise, noise - x0
    expected = (own - overshoot * (t - s) * velocity + added * fresh) / (1 - beyond + math.hypot(beyond, added))
    ell = [math.log((1 - time) / time) for time in (t, s, beyond)]
    eta = math.sqrt((ell[2] - ell[1]) / (ell[1] - ell[0]))
    step = multistep(
        lambda x, t: x0, own + t * mu, flow.path(mu), torch.tensor([14, 13, 0]), lambda x: fresh,
        order=1, eta=eta, recentre=False,
    )  # fmt: skip
    torch.testing.assert_close(next(step) - s * mu, expected, rtol=0, atol=1e-12)


def test_marginals_compose() -> None:
    """Going to s and on to t is going to t: the posterior and the marginal at t - 1 agree."""
    flow = RectifiedFlow(20, SHIFT)
    x0, mu, _ = ends()
    for t in (2, 10, 20):
        now, before = flow.marginal(x0, mu, torch.tensor([t])), flow.marginal(x0, mu, torch.tensor([t - 1]))
        posterior = flow.posterior(now.mean, x0, mu, torch.tensor([t]))
        torch.testing.assert_close(posterior.mean, before.mean)
        kept = float((flow.posterior(now.mean + now.std, x0, mu, torch.tensor([t])).mean - before.mean).mean())
        assert math.hypot(kept, float(posterior.std)) == pytest.approx(float(before.std))


def test_the_euler_step_approaches_the_posterior() -> None:
    """With the true noise its mean differs by the square of the step, a quarter at half of it."""
    x0, mu, noise = ends()
    missed = []
    for count in (100, 200):
        flow, t = RectifiedFlow(count, SHIFT), torch.tensor([count // 2])
        x = flow.marginal(x0, mu, t)
        state = x.mean + x.std * noise
        mean = flow.reverse_mean(state, noise, mu, t)
        torch.testing.assert_close(
            flow.reverse_mean(state, noise + 1, mu, t) - mean, -flow.reverse_gain(t, x0).expand_as(mean)
        )
        missed.append(float((mean - flow.posterior(state, x0, mu, t).mean).abs().mean()))
    assert 3.5 < missed[0] / missed[1] < 4.5


@pytest.mark.parametrize(
    ("settings", "words"),
    [({"num_timesteps": 0}, "num_timesteps"), ({"shift": 0.0}, "shift"), ({"start_at": 1.0}, "start")],
)
def test_impossible_settings_are_refused(settings: dict[str, float], words: str) -> None:
    """A flow that cannot be is refused with the setting's name."""
    with pytest.raises(ValueError, match=words):
        RectifiedFlow(**settings)  # type: ignore[arg-type]
