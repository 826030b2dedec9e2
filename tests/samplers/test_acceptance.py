"""The acceptance tests of the fast samplers, on the exact Gaussian problem, in float64.

There y_0 has a normal distribution, so the exact estimate is linear and the solver's mean and spread can be read off
the images that it makes from a few start states: the mean from a zero start, the factor of each draw of noise from a
run in which only that draw is not zero.
"""

import math
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from irsde_cli.processes import PROCESSES
from irsde_cli.processes.mean_reverting import MeanRevertingSDE
from irsde_cli.processes.path import Path
from irsde_cli.processes.process import Process
from irsde_cli.samplers import SAMPLERS
from irsde_cli.samplers.fit import fitting
from irsde_cli.samplers.multistep import multistep
from irsde_cli.samplers.nodes import choose_nodes, times_from

SPREADS = torch.tensor([0.3 * 2 ** (-j / 2) for j in range(13)], dtype=torch.float64)


class Impulses:
    """Noise for as many images as there are draws: one in the image that has the number of the draw, zero elsewhere."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, x: Tensor, /) -> Tensor:
        noise = torch.zeros_like(x)
        noise[self.count : self.count + 1] = 1
        self.count += 1
        return noise


class Impulse:
    """Noise that is one at a single draw and zero at all others; counts the draws."""

    def __init__(self, position: int | None) -> None:
        self.position = position
        self.count = 0

    def __call__(self, x: Tensor, /) -> Tensor:
        hit = self.count == self.position
        self.count += 1
        return torch.full_like(x, float(hit))


def gaussian_predictor(path: Path, mean: Tensor, spread: Tensor) -> Callable[[Tensor, int], Tensor]:
    """E[x_0 | x_t] for y_0 of that mean and standard deviation, per pixel; the centre is zero."""

    def predict_clean(x: Tensor, t: int) -> Tensor:
        m, s = path.at(t)
        gain = m * spread**2 / (m**2 * spread**2 + s**2)
        return mean + gain * (x - m * mean)

    return predict_clean


def moments(
    sampler: Any, path: Path, times: Tensor, mean: Tensor, spread: Tensor, start_mean: Tensor, start_std: Tensor | float
) -> tuple[Tensor, Tensor]:
    """Exact mean and standard deviation of the sampler's result for a normal start, per pixel."""
    predict_clean = gaussian_predictor(path, mean, spread)

    def run(start: Tensor, noise: Impulse | Impulses) -> Any:
        *_, x = sampler(predict_clean, start, path, times, noise)
        return x

    none = Impulse(None)
    result = run(start_mean, none)
    variance = (run(start_mean + start_std, Impulse(None)) - result) ** 2
    if none.count:
        each = run(start_mean.expand(none.count, *start_mean.shape), Impulses())
        variance = variance + ((each - result) ** 2).sum(0)
    return result, variance.sqrt()


def relative_w2(sampler: Any, path: Path, times: Tensor) -> float:
    """Distance to the true distribution over residuals from rain-sized to one level, from the published start."""
    zero = torch.zeros_like(SPREADS)
    stationary = float(path.s[-1] / torch.sqrt(1 - path.m[-1] ** 2))
    mean, std = moments(sampler, path, times, SPREADS, SPREADS, zero, stationary)
    return float(torch.sqrt(((mean - SPREADS) ** 2 + (std - SPREADS) ** 2).sum() / (SPREADS**2).sum()))


def irsde_path(max_sigma: float, num_timesteps: int = 100) -> Path:
    return MeanRevertingSDE(max_sigma / 255, num_timesteps).path(torch.zeros((), dtype=torch.float64))


def path_on(ells: Tensor) -> Path:
    """A path whose grid has those half log-SNRs, rising with falling t, with m = 1 (only ell matters)."""
    s = torch.cat((torch.zeros(1, dtype=torch.float64), torch.exp(-ells.flip(0))))
    zeros = torch.zeros_like(s)
    return Path(torch.ones_like(s), s, torch.zeros((), dtype=torch.float64), zeros, zeros, zeros)


def without_last(sampler: Any, *arguments: Any) -> Iterator[Tensor]:
    """The states before the final jump to the clean estimate."""
    states = list(sampler(*arguments))
    yield from states[:-1]


def solved(sampler: Any, count: int, spread: float) -> tuple[float, float]:
    """Errors of contraction and standard deviation over ell in -2.06..5.80, in steps of equal length."""
    ells = torch.linspace(-2.06, 5.80, count + 1, dtype=torch.float64)
    path = path_on(ells)
    spreads = torch.tensor([spread], dtype=torch.float64)
    times = torch.arange(count + 1, -1, -1)
    v_a, v_b = (spread**2 + math.exp(-2 * float(ell)) for ell in (ells[0], ells[-1]))
    zero = torch.zeros(1, dtype=torch.float64)
    run = partial(without_last, sampler)
    mean_a, _ = moments(run, path, times, zero, spreads, torch.ones(1, dtype=torch.float64), 0.0)
    _, std = moments(run, path, times, zero, spreads, zero, math.sqrt(v_a))
    return float(mean_a), float(std**2) / v_b - 1


def order(errors: tuple[float, float]) -> float:
    return math.log2(abs(errors[0]) / abs(errors[1]))


PLAIN = partial(multistep, recentre=False)


@pytest.mark.parametrize(("p", "low", "high"), [(1, 0.95, 1.05), (2, 1.9, 2.1)])
@pytest.mark.parametrize("coefficient", ["midpoint", "exact"])
def test_order_of_the_ode(p: int, low: float, high: float, coefficient: str) -> None:
    """Halving the steps divides the error of the ODE solvers by 2 and by 4."""
    exact = math.sqrt((0.2**2 + math.exp(-2 * 5.80)) / (0.2**2 + math.exp(2 * 2.06)))
    sampler = partial(PLAIN, order=p, eta=0.0, coefficient=coefficient)
    errors = tuple(solved(sampler, count, 0.2)[0] / exact - 1 for count in (64, 128))
    assert low <= order(errors) <= high  # type: ignore[arg-type]


@pytest.mark.parametrize(("p", "low", "high"), [(1, 0.9, 1.0), (2, 1.9, 2.1)])
def test_weak_order_of_the_sde(p: int, low: float, high: float) -> None:
    """The variance of the SDE solvers converges at first and at second order."""
    sampler = partial(PLAIN, order=p, eta=1.0)
    assert low <= order((solved(sampler, 64, 0.2)[1], solved(sampler, 128, 0.2)[1])) <= high


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("steps", [1, 2, 5, 50])
def test_mean_of_the_sde_is_exact(p: int, steps: int) -> None:
    """With the exact estimate no number of steps biases the mean (the tower property)."""
    path = irsde_path(10)
    mean, spread = torch.tensor([0.1], dtype=torch.float64), torch.tensor([0.2], dtype=torch.float64)
    m, s = path.at(100)
    times = times_from(choose_nodes(path, steps, 100, fast=False))
    start_std = (m**2 * spread**2 + s**2).sqrt()
    sampler: Any = partial(multistep, order=p, eta=1.0)  # type: ignore[arg-type]
    result, _ = moments(sampler, path, times, mean, spread, m * mean, start_std)
    assert abs(float(result - mean)) < 1e-12


def test_adjacent_posterior_step_is_the_closed_form() -> None:
    """A first-order SDE step between neighbours has the mean and spread of the OU process's posterior."""
    stationary_std = 10 / 255
    bar = MeanRevertingSDE(stationary_std).theta_bar.double()
    x, x0, mu = (torch.rand(1, 1, 2, 2, dtype=torch.float64, generator=torch.manual_seed(seed)) for seed in range(3))
    path = Path(torch.exp(-bar), stationary_std * (-torch.expm1(-2 * bar)).sqrt(), mu, bar, bar, bar)
    for t in (2, 30, 100):
        a, b, c = (math.exp(-value) for value in (bar[t] - bar[t - 1], bar[t], bar[t - 1]))
        mean = mu + a * (1 - c**2) / (1 - b**2) * (x - mu) + c * (1 - a**2) / (1 - b**2) * (x0 - mu)
        std = stationary_std * math.sqrt((1 - a**2) * (1 - c**2) / (1 - b**2))
        for draw, expected in ((None, mean), (0, mean + std)):
            step = SAMPLERS.load("sde-1")(lambda x, t: x0, x, path, torch.tensor([t, t - 1, 0]), Impulse(draw))
            torch.testing.assert_close(next(step), expected, atol=1e-11, rtol=0)


def ddim_from_noise(predict_clean: Any, x: Tensor, path: Path, times: Tensor, randn_like: Any) -> Iterator[Tensor]:
    """DDIM with noise prediction, written independently of the package."""
    for t, s in zip(times[:-1].tolist(), times[1:].tolist(), strict=True):
        (m_t, s_t), (m_s, s_s) = path.at(t), path.at(s)
        epsilon = (x - m_t * predict_clean(x, t)) / s_t
        x = m_s * (x - s_t * epsilon) / m_t + s_s * epsilon
        yield x


def dpm_solver_2m(predict_clean: Any, x: Tensor, path: Path, times: Tensor, randn_like: Any) -> Iterator[Tensor]:
    """DPM-Solver++ 2M (Lu et al. 2022), with its own names: h, r, and the weighted difference of two estimates."""
    past = None
    for t, s in zip(times[:-1].tolist(), times[1:].tolist(), strict=True):
        (m_t, s_t), (m_s, s_s) = path.at(t), path.at(s)
        clean = predict_clean(x, t)
        if s == 0:
            yield clean
            return
        h = math.log(m_s / s_s) - math.log(m_t / s_t)
        data = clean if past is None else (1 + h / (2 * past[1])) * clean - h / (2 * past[1]) * past[0]
        x = s_s / s_t * x - m_s * math.expm1(-h) * data
        past = (clean, h)
        yield x


@pytest.mark.parametrize(
    ("ours", "independent", "tolerance"),
    [
        (partial(PLAIN, order=1, eta=0.0), ddim_from_noise, 1e-12),
        (partial(PLAIN, order=2, eta=0.0), dpm_solver_2m, 1e-6),
    ],
)
def test_ode_equals_the_variance_preserving_solvers(ours: Any, independent: Any, tolerance: float) -> None:
    """Data and noise prediction agree; any solver for variance-preserving diffusions works on y / lambda."""
    path = irsde_path(50)
    predict = gaussian_predictor(path, SPREADS, SPREADS)
    times = times_from(choose_nodes(path, 10, 100, fast=False))
    start = torch.linspace(-0.2, 0.3, len(SPREADS), dtype=torch.float64)
    for a, b in zip(
        ours(predict, start, path, times, Impulse(None)),
        independent(predict, start, path, times, Impulse(None)),
        strict=True,
    ):
        torch.testing.assert_close(a, b, atol=tolerance, rtol=0)


@pytest.mark.parametrize(
    ("sampler", "expected"),
    [
        (SAMPLERS.load("posterior"), 0.268),
        (SAMPLERS.load("sde-1"), 0.268),
        (SAMPLERS.load("sde-2"), 0.020),
        (partial(PLAIN, order=2, eta=0.0), 0.034),
        (SAMPLERS.load("ode-2"), 0.013),
        (SAMPLERS.load("ode-1"), 0.170),
    ],
)
def test_distance_at_ten_evenly_spread_evaluations(sampler: Any, expected: float) -> None:
    """The table of the study of samplers, lambda = 10 / 255."""
    path = irsde_path(10)
    assert relative_w2(sampler, path, times_from(choose_nodes(path, 10, 100, fast=False))) == pytest.approx(
        expected, abs=1e-3
    )


@pytest.mark.parametrize(("name", "expected"), [("euler-maruyama", 0.060), ("euler-ode", 0.113), ("posterior", 0.034)])
def test_distance_of_the_published_samplers(name: str, expected: float) -> None:
    """The 100-step samplers are no ceiling of quality, and are as far off as the study measured."""
    path = irsde_path(10)
    assert relative_w2(SAMPLERS.load(name), path, torch.arange(100, -1, -1)) == pytest.approx(expected, abs=2e-3)


@pytest.mark.parametrize(
    ("max_sigma", "steps", "expected"),
    [
        (10, 4, (100, 67, 34, 1)),
        (10, 5, (100, 80, 59, 30, 9)),
        (10, 8, (100, 80, 70, 59, 45, 30, 17, 9)),
        (50, 6, (100, 60, 40, 19, 7, 2)),
        (50, 10, (100, 60, 51, 40, 28, 19, 12, 7, 4, 2)),
    ],
)
def test_node_rule(max_sigma: float, steps: int, expected: tuple[int, ...]) -> None:
    """The nodes that the study states."""
    assert choose_nodes(irsde_path(max_sigma), steps, 100, fast=True) == expected


@pytest.mark.parametrize("max_sigma", [1, 10, 50, 75])
@pytest.mark.parametrize("start", [3, 21, 100])
@pytest.mark.parametrize("fast", [True, False])
def test_nodes_are_valid_for_any_count(max_sigma: float, start: int, fast: bool) -> None:
    """Every number of steps up to the start has that many falling nodes, the first at the start, none below 1."""
    path = irsde_path(max_sigma)
    for steps in range(1, start + 1):
        nodes = choose_nodes(path, steps, start, fast=fast)
        assert len(nodes) == steps and nodes[0] == start and nodes[-1] >= 1
        assert all(late < early for early, late in pairwise(nodes))


# Steps of a discretised SDE: they end with a bias, or with the noise of the last step.
NEAR = ("euler-ode", "euler-maruyama", "euler-mean", "fod-euler", "driftrec", "sde-noise-1", "sde-noise-2")
NAMED: dict[str, Process] = {name: PROCESSES.load(name)() for name in PROCESSES}
FIT = [(kind, name) for kind, one in NAMED.items() for name in fitting(one.path(torch.zeros(1, 1, 1, 1)))]


@pytest.mark.parametrize(("kind", "name"), FIT)
@pytest.mark.parametrize("steps", [1, 2, 7, 100])
def test_every_sampler_ends_at_the_clean_image_for_a_perfect_network(kind: str, name: str, steps: int) -> None:
    """With the true clean image as estimate the last state is finite and is it, but where steps are only near."""
    clean = torch.rand(1, 3, 4, 4, dtype=torch.float64, generator=torch.manual_seed(0))
    mu = torch.rand(1, 3, 4, 4, dtype=torch.float64, generator=torch.manual_seed(1))
    path, generator = NAMED[kind].path(mu), torch.manual_seed(2)
    last = path.num_timesteps

    def randn(x: Tensor, /) -> Tensor:
        return torch.randn(x.shape, dtype=x.dtype, generator=generator)

    m, s = path.at(last)
    start = path.centre + m * (clean - path.centre) + s * randn(clean)
    times = times_from(choose_nodes(path, min(steps, last), last, fast=False))
    states = list(SAMPLERS.load(name)(lambda x, t: clean, start, path, times, randn))
    assert len(states) == min(steps, last)
    assert torch.isfinite(states[-1]).all()
    if name not in NEAR:
        left = 0.05 if name.startswith("fod") else 1e-12
        torch.testing.assert_close(states[-1], clean, atol=left, rtol=0)


def test_eta_runs_from_the_ode_to_posterior_sampling() -> None:
    """At order 1, eta 0 is the ODE and eta 1 is posterior sampling, step for step."""
    path = irsde_path(10)
    predict = gaussian_predictor(path, SPREADS, SPREADS)
    times = times_from(choose_nodes(path, 10, 100, fast=False))
    start = torch.linspace(-0.1, 0.1, len(SPREADS), dtype=torch.float64)
    for eta, name in ((0.0, "ode-1"), (1.0, "posterior")):
        mine = list(SAMPLERS.load("sde-1")(predict, start, path, times, Impulse(2), eta=eta))
        named = list(SAMPLERS.load(name)(predict, start, path, times, Impulse(2)))
        for a, b in zip(mine, named, strict=True):
            torch.testing.assert_close(a, b, atol=1e-6, rtol=0)


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("coefficient", ["midpoint", "exact"])
def test_eta_for_each_step_image_and_place(order: Any, coefficient: Any) -> None:
    """Where an image or a place has its own eta, it goes the way that it would go alone with it."""
    path = irsde_path(10)
    times = times_from((100, 60, 40, 20, 5))
    predict_clean = gaussian_predictor(path, SPREADS, SPREADS)
    start = torch.randn(3, 4, 1, len(SPREADS), dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def run(eta: Any) -> Tensor:
        generator = torch.Generator().manual_seed(1)

        def randn_like(x: Tensor) -> Tensor:
            return torch.randn(x.shape, dtype=x.dtype, generator=generator)

        solve = partial(multistep, order=order, eta=eta, coefficient=coefficient)
        *_, x = solve(predict_clean, start, path, times, randn_like)
        return x

    strengths = (0.3, 1.0, 1.2)
    alone = [run(strength) for strength in strengths]
    values = torch.tensor(strengths, dtype=torch.float64)
    together = run(values[:, None, None, None])
    for index in range(3):
        torch.testing.assert_close(together[index], alone[index][index], rtol=1e-12, atol=1e-12)
    places = run(values[torch.arange(len(SPREADS)) % 3])
    for column in range(len(SPREADS)):
        torch.testing.assert_close(places[..., column], alone[column % 3][..., column], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(run([0.3] * 4), alone[0], rtol=0, atol=0)
    once = run([0.0, 0.0, 0.5, 0.0])
    assert not torch.allclose(once, run(0.0))


@pytest.mark.parametrize("eta", [0.0, 0.4, 1.0])
def test_every_eta_keeps_the_marginals(eta: float) -> None:
    """Given the clean image, a step of any length lands on the process's own mean and spread."""
    path = irsde_path(50)
    clean = torch.linspace(-0.4, 0.4, 9, dtype=torch.float64)
    for t, s in ((100, 70), (70, 69), (40, 3)):
        (m_t, s_t), (m_s, s_s) = path.at(t), path.at(s)

        times = times_from((t, s))

        def land(start: Tensor, draw: float, times: Tensor = times) -> Tensor:
            solve = multistep(
                lambda x, t: clean, start, path, times, lambda x: torch.full_like(x, draw), order=1, eta=eta,
                recentre=False,
            )  # fmt: skip
            return next(solve)

        mean = land(m_t * clean, 0.0)
        variance = (land(m_t * clean + s_t, 0.0) - mean) ** 2 + (land(m_t * clean, 1.0) - mean) ** 2
        torch.testing.assert_close(mean, m_s * clean, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(variance, torch.full_like(clean, s_s**2), rtol=1e-12, atol=1e-12)


def test_other_paths_are_solved_too() -> None:
    """The solver knows a path by its m and s alone: ResShift's ancestral step and orders on a bridge (GOUB)."""
    eta = torch.linspace(0, 1, 16, dtype=torch.float64) ** 2 * 0.998 + 0.001
    eta[0] = 0
    zeros = torch.zeros_like(eta)
    resshift = Path(1 - eta, 2.0 * eta.sqrt(), torch.zeros((), dtype=torch.float64), zeros, zeros, zeros)
    clean, x = torch.tensor([0.3], dtype=torch.float64), torch.tensor([1.7], dtype=torch.float64)
    for t in (15, 8, 2):
        (m_a, s_a), (m_b, s_b) = resshift.at(t), resshift.at(t - 1)
        rho = s_b * math.sqrt(1 - s_b**2 / s_a**2)
        epsilon = (x - m_a * clean) / s_a
        eta_step = math.sqrt(-math.log(1 - rho**2 / s_b**2) / 2 / (math.log(m_b / s_b) - math.log(m_a / s_a)))
        expected = m_b * clean + math.sqrt(s_b**2 - rho**2) * epsilon + rho
        times = torch.tensor([t, t - 1, 0])
        solver = partial(PLAIN, order=1, eta=eta_step)
        state = next(iter(solver(lambda x, t: clean, x, resshift, times, Impulse(0))))
        torch.testing.assert_close(state, expected, atol=1e-12, rtol=0)

    def bridge(count: int) -> float:
        """Error of the second-order ODE solver between two times of GOUB's bridge."""
        sde = MeanRevertingSDE(30 / 255, 4 * count, "constant")
        bar = sde.theta_bar.double()
        sb = (30 / 255) ** 2 * (1 - torch.exp(-2 * (bar[-1] - bar)))
        sb0 = (30 / 255) ** 2 * (1 - torch.exp(-2 * bar))
        total = sb0[-1]
        m, s = torch.exp(-bar) * sb / total, (sb0 * sb / total).sqrt()
        path = Path(m, s, torch.zeros((), dtype=torch.float64), bar, bar, bar)
        a, b, spread = 3 * count, count, 0.2
        times = torch.cat((torch.arange(a, b - 1, -1), torch.zeros(1, dtype=torch.int64)))
        predict = gaussian_predictor(path, torch.zeros(1), torch.tensor([spread], dtype=torch.float64))
        sampler = partial(PLAIN, order=2, eta=0.0)
        start = torch.ones(1, dtype=torch.float64)
        *_, x = without_last(sampler, predict, start, path, times, Impulse(None))
        (m_a, s_a), (m_b, s_b) = path.at(a), path.at(b)
        return float(x) / math.sqrt((m_b**2 * spread**2 + s_b**2) / (m_a**2 * spread**2 + s_a**2)) - 1

    assert 1.8 <= order((bridge(32), bridge(64))) <= 2.2
