"""RDBM, as released, is GOUB with another schedule, walked without noise; and DriftRec's three SDEs."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from irsde_cli.processes.bridge import MeanRevertingBridge
from irsde_cli.processes.driftrec import DriftingSDE
from irsde_cli.samplers import SAMPLERS
from irsde_cli.samplers.euler import drifting
from tests.golden import Golden, load_golden
from tests.processes.stubs import Pool, from_noise, symmetric

# The schedule's steps as they are: Delta is 1 for this eps.
RDBM = MeanRevertingBridge(0.005, 100, "ddpm-cosine", math.exp(-7.8788967), penalty=0)


@pytest.fixture(scope="module")
def golden(shared: object) -> Golden:
    return load_golden(shared, "processes_golden")


def test_the_tables_are_a_bridge(golden: Golden) -> None:
    """Its m and s in [-1, 1], index for index."""
    torch.testing.assert_close(RDBM.m[1:].float(), golden["rdbm/table/Theta"], atol=1e-6, rtol=0)
    torch.testing.assert_close(2 * RDBM.s[1:].float(), golden["rdbm/table/Sigma"], atol=1e-7, rtol=0)


@pytest.mark.parametrize("t", [0, 50, 98, 99])
def test_states(golden: Golden, t: int) -> None:
    """The training states."""
    clean, degraded = golden["common/clean01"], golden["common/degraded01"]
    x = RDBM.state(clean, degraded, torch.tensor([t + 1]), golden["common/noise"][:1])
    torch.testing.assert_close(2 * x - 1, golden[f"rdbm/state/t{t:03d}"], atol=1e-5, rtol=0)


def kept(stub: Callable[[Tensor, int], Tensor]) -> Callable[[Tensor, int], Tensor]:
    return lambda x, t: stub(x, t).clamp(-1, 1)


@pytest.mark.parametrize("steps", [1, 2, 4, 10])
def test_the_released_sampler_is_noiseless(golden: Golden, steps: int) -> None:
    """From the degraded image, with each estimate kept in [-1, 1]."""
    degraded = golden["common/degraded01"]
    mu = 2 * degraded - 1

    def stub(x: Tensor, t: int) -> Tensor:
        return 0.6 * x + 0.3 * mu + 0.05 * math.sin(t - 1)

    times = torch.tensor([int(place) + 1 for place in torch.linspace(-1, 99, steps + 1).tolist()][::-1])
    path = RDBM.path(degraded)
    *_, x = SAMPLERS.load("noiseless")(symmetric(kept(stub)), degraded, path, times, torch.randn_like)
    recorded = golden[f"rdbm/pred_x_start/sampler_pred_x_start/s{steps}/result01"]
    torch.testing.assert_close(x, recorded, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ["ouve", "t2ve", "cosve"])
def test_driftrec(shared: object, name: str) -> None:
    """What is left of the residual and the noise at a hundred times, in [-1, 1]."""
    golden, process = load_golden(shared, "systems1_golden"), DriftingSDE(stiffness=name)  # type: ignore[arg-type]
    torch.testing.assert_close(process.m.float(), golden[f"driftrec_{name}/table/mean_weight"], atol=1e-6, rtol=0)
    torch.testing.assert_close(2 * process.s.float(), golden[f"driftrec_{name}/table/std"], atol=1e-6, rtol=0)
    steps = torch.arange(0, 100)
    assert process.diffusion is not None
    rate = process.diffusion.diff() * 100 * 4
    recorded = golden[f"driftrec_{name}/table/diffusion"].double() ** 2
    torch.testing.assert_close(rate, (recorded[steps] * recorded[steps + 1]).sqrt(), rtol=1e-3, atol=0)


@pytest.mark.parametrize("name", ["ouve", "t2ve", "cosve"])
@pytest.mark.parametrize(("steps", "counted", "count"), [(5, 5, 400), (5, 100, 400), (100, 100, 9900)])
@pytest.mark.parametrize("predictor", ["euler_maruyama", "reverse_diffusion"])
def test_the_published_steps_of_driftrec(
    shared: object, name: str, steps: int, counted: int, count: int, predictor: str
) -> None:
    """From the noised degraded image in [-1, 1], at even times from 1 to 0.03, which lie on a grid of so many indices.

    What the release calls two predictors is one.
    """
    golden = load_golden(shared, "systems1_golden")
    run, mu = f"driftrec_{name}/N{steps}_sden{counted}/{predictor}/none", 2 * golden["common/lq16"] - 1
    process = DriftingSDE(count, name, smallest_std=0.01, largest_std=1.0)  # type: ignore[arg-type]
    path, pool = process.path(mu), Pool(golden["common/noise_pool"])
    places = [round(count * (1 - 0.97 * index / (steps - 1))) for index in range(steps)]

    def stub(x: Tensor, t: int) -> Tensor:
        return path.at(t)[1] * (0.8 * x - 0.7 * mu + 0.05 * math.sin(5 * t / count))

    start = process.start(mu, count, pool)
    states = [start, *drifting(from_noise(path, stub), start, path, torch.tensor([*places, 0]), pool, counted=counted)]
    for index, state in enumerate(states[:-1]):
        if f"{run}/call{index}" in golden:
            torch.testing.assert_close(state.float(), golden[f"{run}/call{index}"], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(states[-1].float(), golden[f"{run}/result"], atol=1e-4, rtol=1e-4)
