"""FoD against recorded runs of the official code, and what is exact about it."""

import math
from collections.abc import Callable
from functools import partial
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from irsde_cli.processes.fod import ForwardOnly
from irsde_cli.samplers import SAMPLERS
from tests.golden import Golden, load_golden
from tests.processes.stubs import Pool, symmetric


@pytest.fixture(scope="module")
def golden(shared: object) -> Golden:
    return load_golden(shared, "processes_golden")


def close(ours: Tensor, recorded: Tensor, tolerance: float = 1e-5) -> None:
    torch.testing.assert_close(ours.float(), recorded, rtol=0, atol=tolerance * max(float(recorded.abs().max()), 1.0))


TABLES = {
    "default": ForwardOnly(),
    "ode": ForwardOnly(noise=False),
    "jsd": ForwardOnly(schedule="jsd"),
    "const": ForwardOnly(schedule="constant"),
    "T10": ForwardOnly(10),
}


@pytest.mark.parametrize("name", TABLES)
def test_tables(golden: Golden, name: str) -> None:
    """Mean and spread of the logarithm of what is left, counted from the degraded image."""
    process = TABLES[name]
    close(process.log_mean.flip(0), golden[f"fod_{name}/table/expo_mean_cumsum"])
    close(process.log_variance.flip(0).sqrt(), golden[f"fod_{name}/table/sqrt_expo_variance_cumsum"])


@pytest.mark.parametrize("t", [0, 1, 10, 50, 90, 99])
def test_states_and_their_lesson(golden: Golden, t: int) -> None:
    """The training states, and the published loss of a stub on them."""
    clean, degraded = golden["common/clean01"], golden["common/degraded01"]
    x = 2 * TABLES["default"].state(clean, degraded, torch.tensor([100 - t]), golden["common/noise"][:1]) - 1
    close(x, golden[f"fod_default/state/t{t:03d}"])
    output = 0.3 * x - 0.1 * (2 * degraded - 1) + 0.05 * math.sin(t)
    close((output - (2 * clean - 1 - x)).abs().mean()[None], golden[f"fod_default/loss/t{t:03d}"])


def estimate(name: str, degraded: Tensor) -> Callable[[Tensor, int], Tensor]:
    """The recorded stubs, read as estimates of the clean image in [-1, 1]."""
    d = 2 * degraded - 1

    def stub(x: Tensor, t: int) -> Tensor:
        wave = 0.05 * math.sin(100 - t)
        if name == "contracting":
            return x - 0.6 * x + 0.4 * d + wave
        output = 0.3 * x - 0.1 * d + wave
        return {"stub": x + output, "stub_final_x": output, "stub_flow": d + output}[name]

    return symmetric(stub)


RUNS = [
    *((stub, "fod-mc", n, f"mc{n}") for stub in ("stub", "contracting") for n in (1, 4, 10, 100)),
    *(("contracting", "fod-nmc", n, f"nmc{n}_repaired") for n in (1, 4, 10)),
    *((stub, "fod-euler", 100, "em100") for stub in ("stub", "contracting")),
    ("stub_final_x", "fod-mc", 10, "mc10"),
    ("stub_flow", "fod-mc", 10, "mc10"),
]


@pytest.mark.parametrize(("stub", "sampler", "steps", "run"), RUNS)
def test_samplers(golden: Golden, stub: str, sampler: str, steps: int, run: str) -> None:
    """The official samplers; the Euler method at all its indices alone, as with fewer it does not arrive."""
    degraded = golden["common/degraded01"]
    times = torch.tensor([100 - 100 * index // steps for index in range(steps + 1)])
    path = TABLES["default"].path(degraded)
    *_, x = SAMPLERS.load(sampler)(estimate(stub, degraded), degraded, path, times, Pool(golden["common/noise"]))
    close(2 * x - 1, golden[f"fod_default/{stub}/{run}/result"])


@pytest.mark.parametrize("sampler", ["fod-mc", "fod-euler"])
def test_samplers_without_noise(golden: Golden, sampler: str) -> None:
    """The same process without noise."""
    degraded, path = golden["common/degraded01"], TABLES["ode"].path(golden["common/degraded01"])
    steps, run = (10, "mc10") if sampler == "fod-mc" else (100, "em100")
    times = torch.tensor([100 - 100 * index // steps for index in range(steps + 1)])
    silence = partial(torch.zeros_like)
    *_, x = SAMPLERS.load(sampler)(estimate("stub", degraded), degraded, path, times, silence)
    close(2 * x - 1, golden[f"fod_ode/stub/{run}/result"])


@pytest.mark.parametrize("steps", [1, 3, 100])
def test_without_noise_the_first_estimate_is_the_result(steps: int) -> None:
    """Any number of steps of the chain leaves a thousandth of the difference to one and the same estimate."""
    degraded, clean = torch.rand(1, 3, 4, 4, dtype=torch.float64), torch.rand(1, 3, 4, 4, dtype=torch.float64)
    path = TABLES["ode"].path(degraded)
    times = torch.tensor([100 - 100 * index // steps for index in range(steps + 1)])
    *_, x = SAMPLERS.load("fod-mc")(lambda x, t: clean, degraded, path, times, torch.randn_like)
    torch.testing.assert_close(x, clean + 1e-3 * (degraded - clean), atol=1e-7, rtol=0)


def test_one_step_of_both_chains_is_the_same() -> None:
    """From the degraded image there is nothing else to start from."""
    degraded, noise = torch.rand(1, 3, 4, 4), torch.randn(1, 3, 4, 4)
    path, times = TABLES["default"].path(degraded), torch.tensor([100, 0])
    ends = [
        next(iter(SAMPLERS.load(name)(lambda x, t: x / 2, degraded, path, times, lambda x: noise)))
        for name in ("fod-mc", "fod-nmc")
    ]
    torch.testing.assert_close(*ends)


def test_the_published_chain_spreads_too_little() -> None:
    """A scalar residual N(M, S^2) with its exact estimate: the end's spread against S, by quadrature, 500 draws."""
    ends = [scalar_spread("fod-mc", ratio) for ratio in (0.0, 1.0, 2.0)]
    assert ends[0] < 0.3 and 0.6 < ends[1] < 0.9 and 0.8 < ends[2] < 0.97


@pytest.mark.parametrize("ratio", [0.0, 1.0, 2.0])
def test_with_the_variance_of_the_estimate_it_spreads_rightly(ratio: float) -> None:
    """The same by the corrected chain, whatever the bias of the residual; with all hundred steps it is 0.99 to 1.03."""
    assert scalar_spread("fod-variance", ratio) == pytest.approx(1, abs=0.1)


def scalar_spread(sampler: str, ratio: float) -> float:
    """std / S of a chain's end after 25 steps."""
    process, spread, generator = TABLES["default"], 0.1, torch.Generator().manual_seed(0)
    residuals = torch.linspace(-6, 6, 399, dtype=torch.float64) * spread + ratio * spread
    weight = torch.exp(-((residuals / spread - ratio) ** 2) / 2)
    zero = torch.zeros(1, 1, 1, 500, dtype=torch.float64)

    def predict_pair(x: Tensor, t: int) -> tuple[Tensor, Tensor]:
        if t == process.num_timesteps:
            return torch.full_like(x, ratio * spread), torch.full_like(x, spread**2)
        mean, std = float(process.log_mean[t]), float(process.log_variance[t]) ** 0.5
        # x = r (1 - L): L = 1 - x / r must be positive.
        left = 1 - x.flatten()[:, None] / residuals
        inside = left > 0
        log = torch.log(left.clamp_min(1e-300))
        likelihood = torch.exp(-(((log - mean) / std) ** 2) / 2) / (left.clamp_min(1e-300) * residuals.abs() * std)
        joint = torch.where(inside, likelihood, 0) * weight
        joint = joint / joint.sum(1, keepdim=True).clamp_min(1e-300)
        clean = (joint * residuals).sum(1)
        return clean.reshape(x.shape), (joint * (residuals - clean[:, None]) ** 2).sum(1).reshape(x.shape)

    def predict_clean(x: Tensor, t: int) -> Tensor:
        return predict_pair(x, t)[0]

    times = torch.arange(100, -1, -4)
    *_, x = SAMPLERS.load(sampler)(
        predict_pair if sampler == "fod-variance" else predict_clean,
        zero,
        process.path(zero),
        times,
        lambda x: torch.randn(x.shape, generator=generator).double(),
    )
    assert all(t > s for t, s in pairwise(times.tolist()))
    return float(x.std() / spread)
