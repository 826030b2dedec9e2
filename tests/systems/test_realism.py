"""`realism` and `strength`: what they blend, what it costs, and where they are refused."""

import math
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from torch import Tensor

from irsde_cli import checkpoint
from irsde_cli.engine.restoration import Restoration
from irsde_cli.engine.settings import Settings
from irsde_cli.errors import UsageError
from irsde_cli.networks.network import Predictor
from irsde_cli.observation import Observation
from irsde_cli.restorer import strengthened
from irsde_cli.samplers.settings import Sampling
from irsde_cli.systems.mean_reverting import MeanReverting
from irsde_cli.systems.parts import ProcessConfig, PublishedSampling
from irsde_cli.workflows.evaluate.request import sampling_of
from tests.systems.test_restorers import build, noise, run

MEAN, SPREAD = 0.03, 0.06
DRIFTING = ProcessConfig("driftrec", prediction="clean")


class Exact(Predictor):
    """The clean estimate where every pixel's residual is normal, as the output that the system reads it from."""

    def __init__(self, system: MeanReverting) -> None:
        super().__init__()
        self.system = [system]
        self.asked = 0

    def forward(self, x: Tensor, mu: Tensor, t: Tensor) -> Tensor:
        self.asked += 1
        system = self.system[0]
        m, s = (float(table[int(t[0])]) for table in (system.process.m, system.process.s))
        residual = system.parameterisation.residual_std
        total = ((m * residual) ** 2 + s**2) ** 0.5
        y = (x - mu) * total
        estimate = MEAN + m * SPREAD**2 / ((m * SPREAD) ** 2 + s**2) * (y - m * MEAN)
        output: Tensor = (estimate - m * residual**2 / total**2 * y) / (s * residual / total)
        return output


@pytest.fixture
def system() -> MeanReverting:
    built = build("mean-reverting")
    assert isinstance(built, MeanReverting)
    built.network = Exact(built)
    return built


@pytest.mark.parametrize("realism", [0.0, 0.25, 0.5, 1.0])
@pytest.mark.parametrize("sampler", ["ode-2", "sde-2"])
def test_the_error_is_the_one_that_is_derived(system: MeanReverting, sampler: str, realism: float) -> None:
    """On a Gaussian: the spread is A S, and the mean squared error against the truth (1 + A^2) S^2."""
    generator = torch.Generator().manual_seed(1)
    mu = torch.full((1, 3, 96, 96), 0.4)
    clean = mu + MEAN + SPREAD * torch.randn(mu.shape, generator=generator)
    restored = run(system, mu, noise(), sampler=sampler, steps=20, realism=realism)
    spread = float((restored - mu).std())
    assert spread == pytest.approx(realism * SPREAD, abs=0.03 * SPREAD)
    assert float((restored - clean).square().mean()) == pytest.approx((1 + realism**2) * SPREAD**2, rel=0.04)


@pytest.mark.parametrize("sampler", ["ode-2", "sde-2"])
def test_the_error_under_a_map_is_the_one_that_is_derived(system: MeanReverting, sampler: str) -> None:
    """Place by place: (1 + A^2) S^2 where the map says A."""
    generator = torch.Generator().manual_seed(1)
    mu = torch.full((1, 3, 96, 128), 0.4)
    clean = mu + MEAN + SPREAD * torch.randn(mu.shape, generator=generator)
    amounts = torch.linspace(0, 1, 4).repeat_interleave(32)[None].expand(96, -1)
    restored = run(system, mu, noise(), sampler=sampler, steps=20, realism=amounts)
    for column, amount in zip(range(0, 128, 32), (0, 1 / 3, 2 / 3, 1), strict=True):
        part = slice(column, column + 32)
        error = (restored - clean)[..., part].square().mean()
        assert float(error) == pytest.approx((1 + amount**2) * SPREAD**2, rel=0.06)
        assert float((restored - mu)[..., part].std()) == pytest.approx(amount * SPREAD, abs=0.04 * SPREAD)


@pytest.mark.parametrize("name", ["mean-reverting", "latent"])
def test_a_map_of_one_value_is_that_number(name: str) -> None:
    """In pixels and in latents, for realism and for strength, from Python."""
    process = ProcessConfig(prediction="clean", options={"stationary_std": 0.2})
    restorer, image = build(name, process=process), torch.rand(2, 3, 16, 24)
    for amount in (0.25, 1.0):
        where = torch.full((16, 24), amount)
        for wanted in ("realism", "strength"):
            plain = restorer(image, sampling=Sampling("ode-2", 3, **{wanted: amount}))  # type: ignore[arg-type]
            mapped = restorer(image, sampling=Sampling("ode-2", 3, **{wanted: where}))  # type: ignore[arg-type]
            torch.testing.assert_close(mapped, plain, atol=1e-5, rtol=0)


def test_maps_of_a_batch_are_each_image_s_own() -> None:
    """(B, 1, H, W): the input where an image's map is black, and what is restored where it is white."""
    restorer, image = build("one-pass"), torch.rand(2, 3, 8, 8)
    where = torch.stack((torch.zeros(1, 8, 8), torch.ones(1, 8, 8)))
    mixed = restorer(image, sampling=Sampling(strength=where))
    assert torch.equal(mixed[0], image[0])
    torch.testing.assert_close(mixed[1], restorer(image)[1])


def test_no_realism_costs_one_evaluation(system: MeanReverting) -> None:
    """It is the first estimate, whatever the number of steps; between, nothing is asked besides."""
    network = system.network
    assert isinstance(network, Exact)
    mu = torch.rand(1, 3, 8, 8)
    mean = run(system, mu, noise(), sampler="sde-2", steps=9, realism=0.0)
    assert network.asked == 1 and system.resolve(Sampling(steps=9, realism=0.0)).steps == 1
    assert torch.equal(mean, run(system, mu, noise(), sampler="ode-1", steps=1))
    network.asked = 0
    run(system, mu, noise(), sampler="sde-2", steps=9, realism=0.4)
    assert network.asked == 9


def test_full_realism_changes_no_bit() -> None:
    """1 is what is done without it."""
    restorer, degraded = build("mean-reverting"), torch.rand(1, 3, 9, 11)
    plain = run(restorer, degraded, noise(), sampler="posterior", steps=3)
    assert torch.equal(run(restorer, degraded, noise(), sampler="posterior", steps=3, realism=1.0), plain)


@pytest.mark.parametrize(
    ("asked", "realism", "steps"),
    [
        (Sampling(), 0.0, 1),
        (Sampling(strength=0.5), 0.0, 1),
        (Sampling(realism=0.5), 0.5, 4),
        (Sampling(realism=1.0), 1.0, 4),
        (Sampling(steps=3), None, 3),
        (Sampling(sampler="ode-1"), None, 4),
        (Sampling(nodes=(90, 10)), None, 2),
    ],
)
def test_weights_may_have_a_realism_of_their_own(asked: Sampling, realism: float | None, steps: int) -> None:
    """It is taken where nobody says how to sample; who names a sampler, steps or nodes gets draws."""
    resolved = build("mean-reverting", sampling=PublishedSampling(steps=4, realism=0.0)).resolve(asked)
    assert (resolved.realism, resolved.steps) == (realism, steps)
    with pytest.raises(ValueError, match="realism"):
        PublishedSampling(realism=1.5)


@pytest.mark.parametrize(("samples", "estimate", "steps"), [(1, "sample", 1), (2, "sample", 4), (1, "mean", 4)])
def test_several_draws_differ_whatever_the_weights_say(
    samples: int, estimate: Literal["sample", "mean"], steps: int, tmp_path: Path
) -> None:
    """Draws are draws; one picture is what the weights say."""
    path = tmp_path / "a.safetensors"
    checkpoint.save(path, build("mean-reverting", sampling=PublishedSampling(steps=4, realism=0.0)), task="denoise")
    settings = Settings(Sampling(), 0, samples=samples, estimate=estimate)
    assert Restoration(checkpoint.load(path), settings, torch.device("cpu")).sampling.steps == steps


@pytest.mark.parametrize(
    ("name", "settings", "asked", "words"),
    [
        ("mean-reverting", {}, {"realism": 1.1}, "from 0"),
        ("mean-reverting", {}, {"realism": -0.1}, "from 0"),
        ("mean-reverting", {}, {"realism": float("nan")}, "from 0"),
        ("mean-reverting", {}, {"realism": 0.5, "steps": 1}, "one evaluation"),
        ("mean-reverting", {}, {"realism": 0.5, "sampler": "euler-mean"}, "ends near the mean"),
        ("mean-reverting", {"process": ProcessConfig()}, {"realism": 0.5}, "predict noise"),
        ("mean-reverting", {"process": ProcessConfig("goub")}, {"realism": 0.0}, "predict noise"),
        (
            "mean-reverting",
            {"process": DRIFTING},
            {"realism": 0.5},
            "holds a part",
        ),
        ("one-pass", {}, {"realism": 0.5}, "one pass"),
        ("one-pass", {}, {"strength": 1.6}, "--strength goes"),
        ("mean-reverting", {}, {"strength": -0.1}, "--strength goes"),
        ("mean-reverting", {}, {"realism": torch.full((8, 8), 1.5)}, "the map goes from 1.5"),
        ("mean-reverting", {}, {"realism": torch.full((8, 8), math.nan)}, "the map goes from nan"),
        ("mean-reverting", {}, {"realism": torch.rand(1, 3, 8, 8)}, "a map has the shape"),
        ("mean-reverting", {}, {"realism": torch.rand(8, 8), "steps": 1}, "one evaluation"),
        ("mean-reverting", {}, {"realism": Path("map.png"), "steps": 1}, "one evaluation"),
        ("mean-reverting", {"process": ProcessConfig()}, {"realism": Path("map.png")}, "predict noise"),
        ("one-pass", {}, {"realism": Path("map.png")}, "one pass"),
        ("one-pass", {}, {"strength": torch.full((8, 8), -0.5)}, "the map goes from -0.5"),
    ],
)
def test_where_it_means_nothing_it_is_refused(
    name: str, settings: dict[str, Any], asked: dict[str, Any], words: str
) -> None:
    """In a sentence that says why."""
    with pytest.raises(UsageError, match=words):
        build(name, **settings).resolve(Sampling(**asked))


@pytest.mark.parametrize("process", ["goub", "straight-flow", "brownian-bridge", "i2sb", "rddm", "fod"])
def test_processes_that_take_it(process: str) -> None:
    """Every process whose first estimate is the mean: bridges, flows, residual and forward-only diffusion."""
    restorer = build("mean-reverting", process=ProcessConfig(process, prediction="clean"))
    sampler = "fod-mc" if process == "fod" else "ode-2"
    restored = run(restorer, torch.rand(1, 3, 8, 8), noise(), sampler=sampler, steps=3, realism=0.5)
    assert torch.isfinite(restored).all()


def test_strength_goes_from_the_input_beyond_the_result() -> None:
    """Linear, at the size of the result, and holes keep what was put into them."""
    image, restored = torch.rand(1, 3, 6, 8), torch.rand(1, 3, 6, 8)
    seen = Observation(image)
    assert torch.equal(strengthened(restored, seen, 0.0), image)
    torch.testing.assert_close(strengthened(restored, seen, 1.0), restored)
    torch.testing.assert_close(strengthened(restored, seen, 1.5), restored + 0.5 * (restored - image))
    known = torch.ones(1, 1, 6, 8, dtype=torch.bool)
    known[..., 2:4, 2:4] = False
    blend = strengthened(restored, Observation(image, known), 0.0)
    assert torch.equal(blend[..., 2:4, 2:4], restored[..., 2:4, 2:4])
    assert torch.equal(blend[..., :2, :], image[..., :2, :])
    assert strengthened(torch.rand(1, 3, 24, 32), seen, 0.5).shape == (1, 3, 24, 32)


@pytest.mark.parametrize("name", ["mean-reverting", "one-pass", "denoising"])
def test_every_system_takes_a_strength(name: str) -> None:
    """From Python: nothing of it is the input, all of it the result."""
    restorer, image = build(name), torch.rand(3, 8, 8)
    whole = restorer(image)
    assert torch.equal(restorer(image, sampling=Sampling(strength=0.0)), image)
    torch.testing.assert_close(restorer(image, sampling=Sampling(strength=1.0)), whole)


def test_a_map_of_another_size_is_refused() -> None:
    """From Python: it would be laid over the wrong places."""
    with pytest.raises(UsageError, match=r"a map of \(8, 9\) for images of \(8, 8\)"):
        build("one-pass")(torch.rand(3, 8, 8), sampling=Sampling(strength=torch.rand(8, 9)))


def test_evaluate_compares_ways_with_both(tmp_path: Path) -> None:
    """A way names them behind its steps and draws; each is a number, or the place of maps."""
    where, _ = sampling_of(f"posterior:8,strength={tmp_path},realism=0.5")
    assert (where.strength, where.realism, where.maps) == (tmp_path, 0.5, {"strength": tmp_path})
    sampling, draws = sampling_of("posterior:8x2,realism=0.5,strength=0.8")
    assert (sampling, draws) == (Sampling("posterior", 8, realism=0.5, strength=0.8), 2)
    for wrong in ("posterior:8,realism=", "posterior:8,realism=1.2.3", "posterior:8,reality=1"):
        with pytest.raises(UsageError, match="--way"):
            sampling_of(wrong)
