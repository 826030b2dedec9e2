"""Posterior-mean rectified flow: the released steps, what the flow may see, and what its objective teaches."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from irsde_cli.errors import UsageError
from irsde_cli.networks.network import Mapper, Predictor
from irsde_cli.observation import Observation
from irsde_cli.processes.straight import StraightFlow
from irsde_cli.randomness import RandnLike
from irsde_cli.samplers import SAMPLERS
from irsde_cli.samplers.settings import Sampling
from irsde_cli.systems.pmrf import Pmrf
from irsde_cli.training.mean_and_flow import mean_and_flow
from tests.golden import load_golden
from tests.processes.stubs import Pool
from tests.processes.test_gaussian import Forms
from tests.systems.test_restorers import build, noise, run


class Mean(Mapper):
    def forward(self, image: Tensor, randn_like: RandnLike | None = None) -> Tensor:
        return 1.3 * image - 0.1


class Flow(Predictor):
    """The recorded stub: it sees the state, and the degraded image through a door of its own."""

    def __init__(self, degraded: Tensor, steps: int) -> None:
        super().__init__()
        self.degraded, self.steps = degraded, steps
        self.times: list[int] = []

    def forward(self, x: Tensor, mu: Tensor, t: Tensor) -> Tensor:
        assert torch.equal(x, mu), "nothing but the state is shown"
        self.times.append(int(t[0]))
        return 0.4 * x - 0.3 * self.degraded + 0.05 * math.sin(7 * (1 - self.times[-1] / self.steps))


def pmrf(steps: int = 100, **settings: object) -> Pmrf:
    built = build("pmrf", num_timesteps=steps, **settings)
    assert isinstance(built, Pmrf)
    return built


@pytest.mark.parametrize("steps", [5, 25])
def test_steps_are_those_of_the_release(shared: object, steps: int) -> None:
    """The clipped mean, its noise once, and Euler's method: each recorded state."""
    golden = load_golden(shared, "systems1_golden")
    degraded = golden["common/lq16"]
    system = pmrf(steps)
    system.mean.network, system.network = Mean(), Flow(degraded, steps)
    sampling = replace(system.resolve(Sampling("ddim", steps)), clip=False)
    states = list(system.steps(Observation(degraded), Pool(golden["common/noise_pool"]), sampling))
    assert system.network.times == list(range(steps, 0, -1))
    torch.testing.assert_close(states[-1].clamp(0, 1), golden[f"pmrf/s{steps}/restored"], atol=1e-5, rtol=0)
    for index, state in enumerate(states, start=1):
        recorded = golden.get(f"pmrf/s{steps}/x{index}")
        if recorded is not None:
            torch.testing.assert_close(state, recorded, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("steps", "std"), [(1, 0.83075), (2, 0.91470), (4, 0.95681), (8, 0.97822), (25, 0.99298)])
def test_the_spread_of_pictures_is_restored_as_derived(steps: int, std: float) -> None:
    """Pictures of variance 1 whose mean estimates have 0.7 of it, in float64, with the exact velocity and sigma 0.1."""
    known, sigma = 0.7, 0.1
    forms = Forms()
    mean = math.sqrt(known) * forms(forms.constant(0))
    process = StraightFlow(sigma, steps)

    def predict_clean(x: Tensor, index: int) -> Tensor:
        left = index / steps
        t, start = 1 - left, known + sigma**2
        gain = (t + (1 - 2 * t) * known - left * start) / (t**2 + 2 * t * left * known + left**2 * start)
        return x + left * gain * x

    start = mean + sigma * forms(mean)
    times = torch.arange(steps, -1, -1)
    *_, x = SAMPLERS.load("ddim")(predict_clean, start, process.path(mean), times, forms)
    assert float(x[..., 1:].square().sum().sqrt()) == pytest.approx(std, abs=1e-5)


def test_a_perfect_flow_in_one_step_returns_the_clean_image() -> None:
    """x + v is where the line from the noised mean ends."""
    system, clean = pmrf(), torch.rand(1, 3, 8, 8)

    class Perfect(Predictor):
        def forward(self, x: Tensor, mu: Tensor, t: Tensor) -> Tensor:
            return (clean - x) / (t / 100)[:, None, None, None]

    system.network = Perfect()
    for steps in (1, 4):
        torch.testing.assert_close(run(system, torch.rand(1, 3, 8, 8), noise(), steps=steps), clean)


def test_realism_goes_from_the_first_estimate() -> None:
    """No realism is one step of the flow; no SDE has its marginals, and none is offered."""
    system, degraded = pmrf(), torch.rand(1, 3, 8, 8)
    assert torch.equal(
        run(system, degraded, noise(), sampler="ode-2", steps=4, realism=0.0),
        run(system, degraded, noise(), sampler="ddim", steps=1),
    )
    for sampler in ("posterior", "sde-2", "ancestral"):
        with pytest.raises(UsageError, match="does not see what it starts from"):
            system.resolve(Sampling(sampler))


def test_the_mean_learns_nothing_from_the_flow() -> None:
    """Its gradient is that of its own squared error, and the objective is for this system alone."""
    system = pmrf().train().requires_grad_()
    clean, degraded = torch.rand(2, 3, 8, 8), torch.rand(2, 3, 8, 8)
    t, drawn = torch.tensor([30, 100]), torch.randn(2, 3, 8, 8)
    torch.autograd.backward(mean_and_flow(system, clean, degraded, t, drawn).mean())
    found = [parameter.grad for parameter in system.mean.parameters()]
    assert all(parameter.grad is not None for parameter in system.network.parameters())
    for parameter in system.mean.parameters():
        parameter.grad = None
    torch.autograd.backward((system.mean.predict(degraded) - clean).square().mean())
    for parameter, gradient in zip(system.mean.parameters(), found, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)
    with pytest.raises(UsageError, match="for the system 'pmrf'"):
        mean_and_flow(build("mean-reverting"), clean, degraded, t, drawn)  # type: ignore[arg-type]
