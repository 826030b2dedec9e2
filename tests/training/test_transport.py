"""Optimal transport between degraded and clean pictures, after DA-RCOT."""

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from irsde_cli.config import to_mapping
from irsde_cli.errors import UsageError
from irsde_cli.observation import Observation
from irsde_cli.systems.one_pass import OnePass, OnePassConfig
from irsde_cli.systems.parts import NetworkConfig
from irsde_cli.training.config import TrainConfig
from irsde_cli.training.data import Batch
from irsde_cli.training.ranks import Ranks
from irsde_cli.training.strategy import Samples
from irsde_cli.training.trainer import Trainer
from irsde_cli.training.transport import (
    Potential,
    Transport,
    TransportConfig,
    contrast,
    root_mean_square,
    spectral_cost,
)
from tests import fingerprints


def one_pass() -> OnePass:
    torch.manual_seed(0)
    return OnePass(OnePassConfig(NetworkConfig("pocket-unet", {"widths": [8, 8], "blocks": [1, 1], "time_dim": 8})))


def samples(x0: Tensor, mu: Tensor, tasks: Tensor | None = None) -> Samples:
    ones = torch.ones(len(x0))
    tasks = torch.zeros(len(x0), dtype=torch.long) if tasks is None else tasks
    return Samples(x0, mu, ones, torch.randn_like(x0), ones, ones, tasks)


def test_the_critic_is_the_published_one(shared: Path) -> None:
    """Equal numbers at equal weights, in size and answer; other crops are brought to its last features' size."""
    recorded = fingerprints.fingerprint(shared, "systems2_fingerprints", "da_rcot_fnet128")
    critic = Potential().eval()
    assert sum(parameter.numel() for parameter in critic.parameters()) == recorded["params"]
    assert {name: list(tensor.shape) for name, tensor in critic.state_dict().items()} == recorded["keys"]
    fingerprints.fill(critic, "A")
    rows, columns = torch.meshgrid(torch.arange(128.0), torch.arange(128.0), indexing="ij")
    image = torch.stack([0.5 + 0.5 * torch.sin(0.1 * rows * (c + 1) + 0.07 * columns) for c in range(3)])[None]
    with torch.no_grad():
        fingerprints.check(critic(image), recorded["outputs"]["potential"])
        assert critic(image[..., :80, :100]).shape == critic(image[..., :8, :8]).shape == (1,)


def test_the_spectrum_of_a_dense_residual_says_nothing_new() -> None:
    """Parseval: its root mean square is the pixels' times the square root of their number; the mean is sqrt(pi) / 2 of
    that for white noise, and less for what is sparse."""
    white = torch.randn(1, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    stripes = torch.sin(torch.arange(128) * math.pi / 8).expand(1, 3, 128, 128)
    both, dense = torch.cat((white, stripes)), torch.tensor([True, True])
    whole = torch.fft.fft2(both).abs().square().flatten(1).mean(1).sqrt()
    torch.testing.assert_close(spectral_cost(both, dense), whole, rtol=1e-5, atol=0)
    roots = torch.stack([root_mean_square(one) for one in both])
    torch.testing.assert_close(whole, 128 * roots, rtol=1e-5, atol=0)
    ratio = spectral_cost(both, ~dense) / roots
    assert float(ratio[0]) == pytest.approx(math.sqrt(math.pi) / 2 * 128, rel=0.01)
    assert float(ratio[1]) < 0.05 * float(ratio[0])


def test_the_published_contrast_is_inert() -> None:
    """Whether embeddings agree or not it says the same, to some ten thousandths; by their cosine it does not."""
    one = torch.randn(1, 98_304, generator=torch.Generator().manual_seed(0))
    tasks = torch.tensor([0, 0])
    alike, apart = torch.cat((one, one)), torch.cat((one, -one))
    published = [float(contrast(pair, tasks, published=True)) for pair in (alike, apart)]
    assert published[0] < published[1] < published[0] + 4e-4
    assert float(contrast(apart, tasks)) > 1e6 * float(contrast(alike, tasks))
    assert float(contrast(alike, torch.tensor([0, 1]))) > 1e6 * float(contrast(apart, torch.tensor([0, 1])))


def test_the_losses_are_the_published_sums() -> None:
    """The critic's score, the residual's cost by its damage, and with pairs ten thousand times the absolute error."""
    system, dense = one_pass(), torch.tensor([0, 1])
    x0, mu = torch.rand(2, 2, 3, 32, 32)
    strategy = Transport(system, TransportConfig(width=4))
    strategy.check(["gaussian-noise", "rain"])
    batch = samples(x0, mu, dense)
    with torch.no_grad():
        restored = system.predict(mu)
        looks = strategy.helpers["critic"]
        residual = mu - restored
        price = residual.square().mean().sqrt() + spectral_cost(residual, dense == 0).mean()
        free = price - looks(restored).mean()
        expected = free + 1e4 * (restored - x0).abs().mean()
        torch.testing.assert_close(strategy(system, batch, 1)[0], expected)
        unpaired = Transport(system, TransportConfig(width=4, paired=False))
        unpaired.check(["gaussian-noise", "rain"])
        unpaired.helpers.load_state_dict(strategy.helpers.state_dict())
        torch.testing.assert_close(unpaired(system, batch, 1)[0], free)
    apart = Transport(system, TransportConfig(width=4, penalty=0.0))
    apart.helpers.load_state_dict(strategy.helpers.state_dict())
    torch.testing.assert_close(apart(system, batch, 0)[0], (looks(restored) - looks(x0)).mean())


def test_without_pairs_no_picture_is_told_its_truth() -> None:
    """The critic's clean pictures are others, so there must be two."""
    strategy = Transport(one_pass(), TransportConfig(width=4, paired=False))
    with pytest.raises(UsageError, match="two pictures"):
        strategy(one_pass(), samples(torch.rand(1, 3, 16, 16), torch.rand(1, 3, 16, 16)), 0)


def test_only_what_is_too_steep_is_held_back() -> None:
    """As published a flat critic costs as much as one of twice the slope; with `one_sided` it costs nothing."""
    x0, mu = torch.rand(2, 2, 3, 16, 16)
    for slope, published, one_sided in ((0.0, 1.0, 0.0), (0.5, 0.25, 0.0), (1.0, 0.0, 0.0), (3.0, 4.0, 4.0)):
        for expected, option in ((published, False), (one_sided, True)):
            strategy = Transport(one_pass(), TransportConfig(width=4, penalty=1.0, one_sided=option))
            strategy.helpers["critic"] = Sloping(slope)
            assert float(strategy._steepness(x0, mu, torch.randn_like(x0))) == pytest.approx(expected, abs=1e-4)


class Sloping(torch.nn.Module):
    """A critic of one slope everywhere."""

    def __init__(self, slope: float) -> None:
        super().__init__()
        self.slope = slope

    def forward(self, images: Tensor) -> Tensor:
        flat = images.flatten(1)
        return self.slope * flat.sum(1) / math.sqrt(flat.shape[1])


class Darkened:
    """Pictures of one colour each, and what is left of them when 0.3 of the light is lost."""

    tasks: tuple[str, ...] = ()

    def sample(self, crop: int, generator: torch.Generator) -> Batch:
        colour = 0.45 + 0.5 * torch.rand(1, 3, 1, 1, generator=generator)
        clean = colour + 0.05 * torch.randn(1, 3, crop, crop, generator=generator)
        return Batch(clean, Observation(clean - 0.3))


def test_transport_without_pairs_finds_what_was_lost() -> None:
    """Although no picture is ever seen beside its truth, each comes back as it was."""
    config = TrainConfig(
        task="lowlight", system="one-pass", model=to_mapping(one_pass().config), steps=80, crop=8, batch_size=8,
        objective="transport", learning_rate=4e-3, betas=(0.0, 0.9), warm_up=1,
        objective_options={"paired": False, "one_sided": True, "width": 4, "cost_weight": 0.1, "critic_rate": 1.0},
    )  # fmt: skip
    trainer = Trainer(config, Ranks(torch.device("cpu")))
    system = trainer.system
    assert isinstance(system, OnePass)
    generators = [torch.Generator().manual_seed(seed) for seed in range(16)]
    fresh = Batch.of([Darkened().sample(8, generator) for generator in generators])

    def missed() -> float:
        with torch.no_grad():
            return float((system.predict(fresh.observation.image) - fresh.clean).abs().mean())

    assert missed() == pytest.approx(0.3, abs=0.01)
    for step in trainer.train(Darkened()):  # type: ignore[arg-type]
        assert step.finite
    assert missed() < 0.15
