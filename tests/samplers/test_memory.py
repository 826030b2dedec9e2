"""What a picture takes on its way through a solver, and that saving memory changes nothing."""

from typing import Any

import pytest
import torch
from torch import Tensor

from irsde_cli import randomness
from irsde_cli.networks.facts import Facts
from irsde_cli.networks.network import Predictor
from irsde_cli.networks.tiling import Tiles
from irsde_cli.observation import Observation
from irsde_cli.processes.mean_reverting import MeanRevertingSDE
from irsde_cli.processes.parameterisation import Prediction
from irsde_cli.processes.process import Process
from irsde_cli.randomness import ImageNoise, Prefetched, add_noise, generator_for
from irsde_cli.restorer import last
from irsde_cli.samplers import SAMPLERS, sampler
from irsde_cli.samplers.fit import MORE_HELD
from irsde_cli.samplers.nodes import even_nodes, times_from
from irsde_cli.samplers.settings import Sampling
from irsde_cli.systems.mean_reverting import MeanReverting, MeanRevertingConfig
from irsde_cli.systems.parts import NetworkConfig, ProcessConfig, PublishedSampling, build_process
from tests.accounting import peak_bytes


def source(count: int = 1) -> ImageNoise:
    return ImageNoise([generator_for(3, str(index).encode()) for index in range(count)])


@pytest.fixture
def small_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures of a few pixels are treated as those of many megapixels are."""
    monkeypatch.setattr(randomness, "LARGE", 40)
    monkeypatch.setattr(randomness, "PIECE", 64)
    monkeypatch.setattr(sampler, "BAND_ELEMENTS", 100)


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (4, 8), (8, 8), (7, 11), (20, 33)])
@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.usefixtures("small_is_large")
def test_noise_in_pieces_is_the_noise(size: tuple[int, int], count: int) -> None:
    """Drawn piece by piece or ahead, each image gets the numbers that it gets at once, draw after draw."""
    x = torch.rand(count, 3, *size)
    whole, pieces = source(count), source(count)
    with torch.no_grad(), Prefetched(source(count)) as ahead:
        for _ in range(3):
            expected = x + 0.3 * whole(x)
            assert torch.equal(add_noise(x.clone(), 0.3, pieces), expected)
            assert torch.equal(add_noise(x.clone(), 0.3, ahead), expected)


# The samplers that are not for every process.
OWN = {
    "fod-mc": "fod",
    "fod-nmc": "fod",
    "fod-euler": "fod",
    "fod-variance": "fod",
    "noiseless": "goub",
    "rddm": "rddm",
    "driftrec": "driftrec",
}
PREDICTIONS: dict[str, Prediction] = {"fod-variance": "clean-and-variance", "rddm": "residual-and-noise"}


def predict(x: Tensor, t: int) -> Tensor:
    """Something that depends on the state and on time."""
    return (0.3 + 0.5 * x.sin() + 0.001 * t).clamp(0, 1)


def process_of(name: str) -> ProcessConfig:
    """A process that a sampler can run on."""
    return ProcessConfig(OWN.get(name, "mean-reverting"), prediction=PREDICTIONS.get(name, "clean"))


@pytest.mark.parametrize("name", SAMPLERS)
def test_bands_change_no_bit(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every state of a picture that goes through a solver in bands is the state of one that goes through whole."""
    mu = torch.rand(2, 3, 24, 17)
    process = build_process(process_of(name), Process)
    path = process.path(mu)
    times = times_from(even_nodes(path.num_timesteps, 6))

    def asked(x: Tensor, t: int) -> Any:
        return (predict(x, t), predict(x, t + 1)) if name in PREDICTIONS else predict(x, t)

    def states() -> list[Tensor]:
        noise = source(2)
        with torch.inference_mode():
            start = process.start(mu, path.num_timesteps, noise)
            return [x.clone() for x in SAMPLERS.load(name)(asked, start, path, times, noise)]

    whole = states()
    monkeypatch.setattr(randomness, "LARGE", 40)
    monkeypatch.setattr(randomness, "PIECE", 64)
    monkeypatch.setattr(sampler, "BAND_ELEMENTS", 100)
    for banded, expected in zip(states(), whole, strict=True):
        assert torch.equal(banded, expected)


@pytest.mark.usefixtures("small_is_large")
def test_bands_leave_gradients_alone() -> None:
    """Some strategies differentiate through sampling."""
    mu = torch.rand(1, 3, 16, 16)
    start = torch.rand(1, 3, 16, 16, requires_grad=True)
    path = MeanRevertingSDE(10 / 255).path(mu)
    end = last(SAMPLERS.load("sde-2")(predict, start, path, times_from(even_nodes(100, 4)), source()))
    (gradient,) = torch.autograd.grad(end.sum(), start)
    assert float(gradient.abs().sum()) > 0


class Shallow(Predictor):
    """A network that takes next to no memory of its own."""

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.facts = Facts(multiple=8, channels=(3, 3 * heads))
        self.heads = heads

    def forward(self, x: Tensor, mu: Tensor, t: Tensor) -> Tensor:
        return torch.cat([x - mu] * self.heads, dim=1)


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("steps", [1, 3])
def test_a_picture_is_held_three_times(name: str, steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Besides the degraded one: a state, its successor and a clean estimate, and what the sampler is known to add."""
    monkeypatch.setattr(randomness, "LARGE", 1 << 16)
    monkeypatch.setattr(randomness, "PIECE", 1 << 16)
    monkeypatch.setattr(sampler, "BAND_ELEMENTS", 1 << 16)
    heads = 2 if name in PREDICTIONS else 1
    pocket = NetworkConfig("pocket-unet", {"widths": (8,), "blocks": (1,), "time_dim": 8, "heads": heads})
    config = MeanRevertingConfig(pocket, process_of(name), sampling=PublishedSampling(name, steps))
    restorer = MeanReverting(config)
    monkeypatch.setattr(restorer, "network", Shallow(heads))
    degraded = torch.rand(1, 3, 512, 768)

    def restore() -> Any:
        with torch.inference_mode(), Prefetched(source()) as noise:
            return last(restorer.steps(Observation(degraded), noise, restorer.resolve(Sampling()), Tiles(128, 32)))

    assert peak_bytes(restore) < (3.5 + MORE_HELD.get(name, 0)) * 4 * degraded.numel()
