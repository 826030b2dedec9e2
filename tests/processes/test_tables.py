"""The tables of the SDEs against those of the reference implementation (golden/README.md says how they were made)."""

import json
import math

import pytest
import torch

from irsde_cli.processes.denoising import DenoisingSDE
from irsde_cli.processes.mean_reverting import MeanRevertingSDE
from irsde_cli.processes.schedules import SCHEDULES, thetas
from tests.golden import Golden, load_golden


def scaled(max_sigma: float) -> float:
    return max_sigma / 255 if max_sigma >= 1 else max_sigma


def names(kind: str, count: int) -> list[str]:
    return [f"{kind}.{index}" for index in range(count)]


@pytest.fixture(scope="module")
def golden(shared: object) -> Golden:
    return load_golden(shared, "sde_tables")


@pytest.mark.parametrize("name", names("irsde", 6) + names("denoising_sde", 3))
def test_tables_equal_the_reference(golden: Golden, name: str) -> None:
    """Every table of the reference can be read off ours, within 1e-6 relative."""
    config = json.loads(golden.metadata["configs"])[name]
    build = DenoisingSDE if name.startswith("denoising") else MeanRevertingSDE
    sde = build(scaled(config["max_sigma"]), config["T"], config["schedule"], config["eps"])
    theta = thetas(config["schedule"], config["T"])
    expected = {key: golden[f"{name}.{key}"] for key in ("thetas", "sigmas", "thetas_cumsum", "sigma_bars", "dt")}
    delta = expected["dt"]
    ours = {
        "thetas": theta,
        "sigmas": torch.sqrt(sde.stationary_std**2 * 2 * theta),
        "thetas_cumsum": sde.theta_bar / delta,
        "sigma_bars": sde.std_table,
        "dt": (sde.theta_step[1:] / theta[1:]).mean()[None],
    }
    for key, table in expected.items():
        torch.testing.assert_close(ours[key], table, rtol=1e-6, atol=0)


@pytest.mark.parametrize("name", names("denoising_sde", 3))
def test_start_of_denoising_equals_the_reference(golden: Golden, name: str) -> None:
    """A noise level starts at the timestep at which the reference starts."""
    config = json.loads(golden.metadata["configs"])[name]
    sde = DenoisingSDE(scaled(config["max_sigma"]), config["T"], config["schedule"], config["eps"])
    starts = [sde.timestep_for(level / 255) for level in config["noise_levels"]]
    assert starts == golden[f"{name}.optimal_timesteps"].tolist()


@pytest.mark.parametrize(
    ("max_sigma", "num_timesteps", "expected"),
    [
        (75, 100, {5: 5, 15: 14, 25: 21, 35: 27, 50: 38, 70: 61, 75: 100}),
        (70, 1000, {5: 71, 15: 158, 25: 230, 35: 299, 50: 414, 70: 1000}),
    ],
)
def test_start_of_denoising_equals_the_published_table(
    max_sigma: int, num_timesteps: int, expected: dict[int, int]
) -> None:
    """The starts that the study of the reference measured."""
    sde = DenoisingSDE(max_sigma / 255, num_timesteps)
    assert {level: sde.timestep_for(level / 255) for level in expected} == expected


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_alpha_falls_from_one_to_eps(schedule: str) -> None:
    """Nothing is lost at t = 0 and `eps` is left at t = T, whatever the schedule."""
    sde = MeanRevertingSDE(0.1, 50, schedule, eps=0.01)  # type: ignore[arg-type]
    alpha = torch.exp(-sde.theta_bar)
    assert alpha[0] == 1
    assert alpha[-1] == pytest.approx(0.01, rel=1e-5)
    assert (alpha.diff() < 0).all()


def test_golden_scalars() -> None:
    """Single numbers of the reference at max_sigma 50: one reverse step, its optimum, and the posterior."""
    sde = MeanRevertingSDE(50 / 255)
    x, mu, x0, noise = (torch.full((1, 1, 1, 1), value) for value in (0.6, 0.4, 0.55, 0.7))
    for t, mean, optimum in [(1, 0.59745711, 0.55000001), (50, 0.59502959, 0.59313929), (100, 0.59224546, 0.58038789)]:
        index = torch.tensor([t])
        assert float(sde.reverse_mean(x, noise, mu, index)) == pytest.approx(mean, abs=1e-6)
        assert float(sde.posterior(x, x0, mu, index).mean) == pytest.approx(optimum, abs=1e-6)
    assert float(sde.posterior(x, x0, mu, torch.tensor([50])).std) == pytest.approx(0.0614917278, rel=1e-5)
    assert float(sde.posterior(x, x0, mu, torch.tensor([1])).std) == pytest.approx(0, abs=1e-9)


def test_marginals_compose() -> None:
    """Going to s and on to t is going to t: the posterior and the marginal at t - 1 agree."""
    sde = MeanRevertingSDE(0.1, 20)
    x0, mu = torch.rand(1, 3, 4, 4), torch.rand(1, 3, 4, 4)
    for t in (2, 10, 20):
        now, before = sde.marginal(x0, mu, torch.tensor([t])), sde.marginal(x0, mu, torch.tensor([t - 1]))
        torch.testing.assert_close(sde.posterior(now.mean, x0, mu, torch.tensor([t])).mean, before.mean)
        spread = float((sde.posterior(now.mean + now.std, x0, mu, torch.tensor([t])).mean - before.mean).mean())
        total = math.hypot(spread, float(sde.posterior(x0, x0, mu, torch.tensor([t])).std))
        assert total == pytest.approx(float(before.std), rel=1e-4)


@pytest.mark.parametrize(
    ("settings", "words"),
    [({"stationary_std": 0}, "stationary_std"), ({"num_timesteps": 0}, "num_timesteps"), ({"eps": 1.5}, "eps")],
)
def test_impossible_settings_are_refused(settings: dict[str, float], words: str) -> None:
    """A process that cannot be is refused with the setting's name."""
    with pytest.raises(ValueError, match=words):
        MeanRevertingSDE(**{"stationary_std": 0.1, **settings})  # type: ignore[arg-type]
