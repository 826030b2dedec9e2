"""Objectives against the reference and against what they mean."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from irsde_cli.errors import UsageError
from irsde_cli.observation import Observation
from irsde_cli.restorer import Restorer
from irsde_cli.systems.autoencoder import Autoencoder, AutoencoderConfig
from irsde_cli.systems.codec import Codec
from irsde_cli.systems.denoising import Denoising, DenoisingConfig
from irsde_cli.systems.diffusion import Diffusion
from irsde_cli.systems.flux import FluxConfig, FluxRestorer
from irsde_cli.systems.latent import Latent, LatentConfig
from irsde_cli.systems.mean_reverting import MeanReverting, MeanRevertingConfig
from irsde_cli.systems.one_pass import UNTOLD, OnePass, OnePassConfig
from irsde_cli.systems.parts import NetworkConfig, ProcessConfig
from irsde_cli.training import OBJECTIVES
from irsde_cli.training.direct_decibels import direct_decibels
from irsde_cli.training.direct_regression import direct_regression
from irsde_cli.training.maximum_likelihood import maximum_likelihood, normalised_maximum_likelihood
from irsde_cli.training.noise_matching import noise_matching
from irsde_cli.training.rate_distortion import rate_distortion
from irsde_cli.training.reconstruction import reconstruction
from irsde_cli.training.told_noise import ERROR, POWER, told_noise
from tests.extras import needs_diffusers
from tests.golden import load_golden
from tests.systems.test_restorers import FLUX_NET, KL_AUTOENCODER, build


@pytest.fixture(scope="module")
def system(shared: object) -> MeanReverting:
    golden = load_golden(shared, "irsde_trajectories")
    network = json.loads(golden.metadata["network"])
    del network["kind"]
    config = MeanRevertingConfig(NetworkConfig("unet", network), ProcessConfig(options={"num_timesteps": 20}))
    system = MeanReverting(config)
    system.network.load_state_dict(golden.parameters(), strict=True)
    return system


def test_maximum_likelihood_equals_the_reference(shared: object, system: MeanReverting) -> None:
    """The recorded training step has the recorded loss and gradients."""
    golden = load_golden(shared, "irsde_loss")
    system.zero_grad()
    loss = maximum_likelihood(system, golden["x0"], golden["mu"], golden["t"], golden["noise"]).mean()
    loss.backward()  # type: ignore[no-untyped-call]
    torch.testing.assert_close(loss.detach()[None], golden["ml_l1.loss"], rtol=1e-5, atol=0)
    parameters = dict(system.network.named_parameters())
    for key, expected in golden.items():
        if key.startswith("ml_l1.grad."):
            gradient = parameters[key.removeprefix("ml_l1.grad.")].grad
            torch.testing.assert_close(gradient, expected, rtol=1e-3, atol=1e-7)


def test_states_of_the_recorded_step(shared: object, system: MeanReverting) -> None:
    """The noised image, the predicted mean and the optimum are the recorded ones."""
    golden = load_golden(shared, "irsde_loss")
    x0, mu, t = golden["x0"], golden["mu"], golden["t"]
    marginal = system.process.marginal(x0, mu, t)
    state = marginal.mean + marginal.std * golden["noise"]
    torch.testing.assert_close(state, golden["xt"], atol=1e-6, rtol=0)
    with torch.no_grad():
        noise = system.clean_and_noise(state, mu, t)[1]
    torch.testing.assert_close(F.l1_loss(noise, golden["noise"])[None], golden["noise_l1.loss"], rtol=1e-5, atol=0)
    torch.testing.assert_close(system.process.reverse_mean(state, noise, mu, t), golden["ml_l1.predicted_mean"])
    torch.testing.assert_close(system.process.posterior(state, x0, mu, t).mean, golden["ml_l1.optimum"])


def test_noise_matching_equals_the_reference(shared: object, system: MeanReverting) -> None:
    """The recorded L1 loss of the noise."""
    golden = load_golden(shared, "irsde_loss")
    with torch.no_grad():
        losses = noise_matching(system, golden["x0"], golden["mu"], golden["t"], golden["noise"])
    torch.testing.assert_close(losses.mean()[None], golden["noise_l1.loss"], rtol=1e-5, atol=0)


POCKET = NetworkConfig("pocket-unet", {"widths": (8, 8), "blocks": (1, 1), "time_dim": 8})
UNET = NetworkConfig("unet", {"nf": 8, "depth": 2, "conditional": False})
AUTOENCODER = NetworkConfig("latent-unet", {"ch": 8, "ch_mult": (1, 2), "embed_dim": 4})
LATENT_NET = NetworkConfig("nafnet", {"img_channel": 4, "width": 8, "enc_blk_nums": (1,), "dec_blk_nums": (1,)})
DRAWING = {
    "name": "quarter-unet",
    "options": {"widths": [8, 8], "blocks": [1, 1], "time_dim": 8, "state": False, "heads": 2, "drawing": 1},
}


def sde(max_sigma: float, prediction: Any) -> ProcessConfig:
    return ProcessConfig(options={"stationary_std": max_sigma / 255}, prediction=prediction)


SYSTEMS_BY_OBJECTIVE: dict[str, Callable[[Any], Restorer]] = {
    "mean-reverting": lambda p: MeanReverting(MeanRevertingConfig(POCKET, sde(30, p))),
    "denoising": lambda p: Denoising(DenoisingConfig(UNET, ProcessConfig("denoising", prediction=p))),
    "latent": lambda p: Latent(LatentConfig(AUTOENCODER, LATENT_NET, sde(50, p))),
    "flux-ir": lambda p: FluxRestorer(FluxConfig(FLUX_NET, KL_AUTOENCODER)),
    "one-pass": lambda p: OnePass(OnePassConfig(POCKET)),
    "told": lambda p: OnePass(OnePassConfig(POCKET, noise_level_max=255)),
    "two-heads": lambda p: build("two-heads").train().requires_grad_(),
    "drawing": lambda p: build("two-heads", network=DRAWING).train().requires_grad_(),
    "pmrf": lambda p: build("pmrf").train().requires_grad_(),
    "two-outputs": lambda p: MeanReverting(
        MeanRevertingConfig(
            NetworkConfig("pocket-unet", {**POCKET.options, "heads": 2}), ProcessConfig("rddm", prediction=p)
        )
    ),
    "autoencoder": lambda p: Autoencoder(AutoencoderConfig(AUTOENCODER)),
    "codec": lambda p: build("codec").train().requires_grad_(),
}
OWN = {
    "two-heads": ("two-heads", ""),
    "drawing": ("drawing", ""),
    "mean-and-flow": ("pmrf", ""),
    "two-outputs": ("two-outputs", "residual-and-noise"),
    "rate-distortion": ("codec", ""),
}
LESSONS = [
    pytest.param(objective, system, prediction, marks=[needs_diffusers] if system == "flux-ir" else [])
    for objective in OBJECTIVES
    if not isinstance(OBJECTIVES.load(objective), type)  # strategies have tests of their own
    for system, prediction in (
        [OWN[objective]]
        if objective in OWN
        else [("one-pass", "")]
        if objective.startswith("direct-")
        else [("told", "")]
        if objective == "told-noise"
        else [("autoencoder", "")]
        if objective == "reconstruction"
        else [
            (system, prediction)
            for system in ("mean-reverting", "denoising", "latent")
            for prediction in ("noise", "clean", "velocity")
            if (system, prediction) != ("denoising", "velocity")
        ]
        + [("flux-ir", "flow")] * (objective in ("maximum-likelihood", "clean-matching"))
    )
]


@pytest.mark.parametrize(("objective", "name", "prediction"), LESSONS)
@pytest.mark.parametrize("batch", [1, 3])
def test_every_objective_teaches_every_system_and_parameterisation(
    objective: str, name: str, prediction: str, batch: int
) -> None:
    """A few steps on one batch lower the loss; there is one for each image, and a batch of one works."""
    torch.manual_seed(0)
    system = SYSTEMS_BY_OBJECTIVE[name](prediction)
    clean = torch.rand(batch, 3, 16, 16)
    x0, mu = system.endpoints(clean, Observation(clean.mean(dim=1, keepdim=True).expand_as(clean).contiguous()))
    t, noise = torch.tensor([100, 20, 1])[:batch], torch.randn_like(x0)
    optimiser = torch.optim.Adam(system.learnt.parameters(), lr=1e-3)
    losses = []
    for _ in range(40):
        loss = OBJECTIVES.load(objective)(system, x0, mu, t, noise)
        assert loss.shape == (batch,)
        optimiser.zero_grad()
        loss.mean().backward()
        optimiser.step()
        losses.append(float(loss.detach().mean()))
    assert losses[-1] < losses[0]


def test_decibels_weigh_little_damage_as_heavy() -> None:
    """A tenth of the error is the same loss less log 10."""
    system = OnePass(OnePassConfig(POCKET))  # a fresh one returns its input
    clean = torch.rand(1, 3, 16, 16).expand(2, -1, -1, -1)
    error = torch.randn(1, 3, 16, 16) * torch.tensor([0.2, 0.02])[:, None, None, None]
    heavy, light = direct_decibels(system, clean, clean + error, torch.ones(2), error)
    assert float((heavy - light).detach()) == pytest.approx(math.log(10), abs=2e-2)
    assert torch.isfinite(direct_decibels(system, clean, clean, torch.ones(2), error)).all()


def test_half_of_the_samples_are_told_how_much_noise_there_is() -> None:
    """The level told is the root mean square of the difference, in 8-bit units; chance alone decides who is told."""
    system, asked = OnePass(OnePassConfig(POCKET, noise_level_max=50)), []
    system.network.register_forward_pre_hook(lambda _, given: asked.extend(given[2].tolist()))
    clean = torch.rand(64, 3, 8, 8)
    steps = torch.arange(64.0)[:, None, None, None] / 255
    direct_regression(system, clean, clean + steps, torch.ones(64), torch.randn_like(clean))
    told = [level for level in asked if level != UNTOLD]
    assert 16 < len(told) < 48
    for level, truth in zip(asked, torch.arange(64.0).clamp_max(50).tolist(), strict=True):
        assert level == UNTOLD or level == pytest.approx(truth, abs=1e-3)


def test_every_level_of_told_noise_is_taught() -> None:
    """The level told is that of the noise, from next to none to the strongest; half of them are below an eighth.

    Losses are squares where the error is less than is usual at the level, and no more than proportional beyond.
    """
    system = OnePass(OnePassConfig(POCKET, noise_level_max=255))  # a fresh one returns its input
    asked: list[float] = []
    system.network.register_forward_pre_hook(lambda _, given: asked.extend(given[2].tolist()))
    clean = torch.rand(400, 3, 8, 8)
    losses = told_noise(system, clean, clean, torch.ones(400), torch.randn_like(clean))
    assert 1 <= min(asked) < 2 and 230 < max(asked) <= 255
    assert 0.4 < sum(level < 255 / 8 for level in asked) / 400 < 0.6
    levels = torch.tensor(asked)
    relative = levels / (ERROR * levels**POWER) * torch.randn(10_000, 1, generator=torch.Generator().manual_seed(0))
    assert float((losses.detach() / ((1 + relative**2).sqrt() - 1).mean(0)).median()) == pytest.approx(1, abs=0.05)
    assert (losses.detach() < relative.square().mean(0) / 2 * 1.5).all()
    assert (losses.detach() < relative.abs().mean(0) * 1.5).all()
    with pytest.raises(UsageError, match="told of noise"):
        told_noise(OnePass(OnePassConfig(POCKET)), clean, clean, torch.ones(400), torch.randn_like(clean))


@pytest.mark.parametrize("name", ["mean-reverting", "denoising"])
def test_normalised_likelihood_weighs_noise_alike(name: str) -> None:
    """A wrong noise costs its own size at every t, but for the Euler step's own error; as published it does not."""
    system = SYSTEMS_BY_OBJECTIVE[name]("noise")
    assert isinstance(system, Diffusion)
    generator = torch.Generator().manual_seed(0)
    clean = torch.rand(1, 3, 32, 32, generator=generator)
    x0, mu = system.endpoints(clean, Observation(clean.flip(-1)))
    noise = torch.randn(x0.shape, generator=generator)
    published, normalised = [], []
    for t in (torch.tensor([5]), torch.tensor([50]), torch.tensor([95])):
        system.network.forward = lambda x, mu, t: noise + 3  # type: ignore[method-assign]
        published.append(float(maximum_likelihood(system, x0, mu, t, noise)))
        normalised.append(float(normalised_maximum_likelihood(system, x0, mu, t, noise)))
    assert normalised == pytest.approx([3, 3, 3], rel=0.02)
    assert max(published) / min(published) > 2.5


def test_the_denoising_process_is_the_published_one(shared: Path) -> None:
    """Its Euler mean in terms of the mean-reverting clock is that of the reference's Denoising-SDE."""
    system = Denoising(DenoisingConfig(UNET))
    t = torch.tensor([21])
    x, x0, noise = (torch.full((1, 1, 1, 1), value) for value in (0.6, 0.55, 0.7))
    assert system.reverse_mean(x, noise, x0, t).item() == pytest.approx(0.5915255, abs=1e-6)
    assert system.process.posterior(x, x0, x0, t).mean.item() == pytest.approx(0.59390581, abs=1e-6)


def test_reconstruction_is_the_published_sum() -> None:
    """Both images from the degraded one's skips, and the pull of the latent."""
    torch.manual_seed(0)
    system = Autoencoder(AutoencoderConfig(AUTOENCODER))
    clean, degraded = torch.rand(2, 1, 3, 16, 16)
    net = system.autoencoder
    (z_clean, _), (z, h) = net.encode(clean), net.encode(degraded)
    expected = F.l1_loss(net.decode(z, h, (16, 16)), degraded) + F.l1_loss(net.decode(z_clean, h, (16, 16)), clean)
    expected = expected + 1e-3 * ((z.mean() - degraded.mean()).abs() + (z.std() - degraded.std() / 2).abs())
    t = torch.ones(1, dtype=torch.long)
    torch.testing.assert_close(reconstruction(system, clean, degraded, t, clean)[0], expected)


def test_a_codec_learns_to_be_short_and_near() -> None:
    """Lambda times the squared error, added up over channels, plus bits a pixel, at the quality that chance chose."""
    system = build("codec")
    assert isinstance(system, Codec)
    clean, noise = torch.rand(2, 3, 32, 32), torch.randn(2, 3, 32, 32)
    noise[:, 0, 0, 0] = torch.tensor([-9.0, 9.0])  # the worst and the best quality
    losses = rate_distortion(system, clean, clean, torch.ones(2), noise)
    uniform = torch.special.ndtr(noise.flatten(1))[:, 1:] - 0.5
    shown, bits = system.network.taught(clean, torch.tensor([0.0, 63.0]), uniform)
    error = (shown - clean).square().sum((1, 2, 3)) / 32**2
    torch.testing.assert_close(losses, torch.tensor([128.0, 2048.0]) * error + bits / 32**2)
