"""Every process and sampler on the Gaussian problem, where the answer is known: in float64, without sampling error.

States are kept as affine forms in the noises that were drawn, one coefficient an element: the first is the mean, the
others those of the draws. A sampler that is linear then gives its exact mean and standard deviation as it is written.
"""

import math
from dataclasses import replace
from functools import partial
from typing import Any, Literal

import pytest
import torch
from torch import Tensor

from irsde_cli.processes.bridge import MeanRevertingBridge
from irsde_cli.processes.fod import ForwardOnly
from irsde_cli.processes.i2sb import SchroedingerBridge
from irsde_cli.processes.mean_reverting import MeanRevertingSDE
from irsde_cli.processes.path import Path
from irsde_cli.processes.process import Process
from irsde_cli.processes.rddm import ResidualDenoising
from irsde_cli.processes.resshift import ResidualShift
from irsde_cli.processes.straight import BrownianBridge, StraightFlow
from irsde_cli.samplers import SAMPLERS
from irsde_cli.samplers.fit import fitting, refusal
from irsde_cli.samplers.multistep import multistep
from tests.golden import Golden, load_golden

MEAN, SPREAD, DRAWS = 0.1, 0.2, 110
PROCESSES: dict[str, Process] = {
    "irsde_10": MeanRevertingSDE(10 / 255),
    "irsde_50": MeanRevertingSDE(50 / 255),
    "goub_30": MeanRevertingBridge(),
    "unidb_30_c1e-8": MeanRevertingBridge(penalty=1e-8),
    "unidb_30_c1e-2": MeanRevertingBridge(penalty=1e-2),
    "resshift_15": ResidualShift(),
    "rddm_1": ResidualDenoising(1.0),
    "rddm_0.01": ResidualDenoising(0.1),
    "i2sb": SchroedingerBridge(),
    "flow_0.1": StraightFlow(0.1),
}
NAMES = {"brownian": "ancestral", "mean-ode": "euler-mean", "euler-sde": "euler-maruyama"}


class Forms:
    """Affine forms: each draw is a coefficient of its own."""

    def __init__(self) -> None:
        self.drawn = 0

    def constant(self, value: float) -> Tensor:
        form = torch.zeros(1, 1, 1, DRAWS, dtype=torch.float64)
        form[..., 0] = value
        return form

    def __call__(self, x: Tensor, /) -> Tensor:
        self.drawn += 1
        form = torch.zeros_like(x)
        form[..., self.drawn] = 1
        return form


def end(path: Path, sampler: str, times: list[int], start: Tensor, forms: Forms) -> tuple[float, float]:
    """Mean and standard deviation of a sampler's result with the exact estimate, the centre being zero."""

    def predict_clean(x: Tensor, t: int) -> Tensor:
        m, s = path.at(t)
        gain = m * SPREAD**2 / (m**2 * SPREAD**2 + s**2) if m > 0 or s > 0 else 0.0
        return forms.constant(MEAN) + gain * (x - forms.constant(m * MEAN))

    *_, x = SAMPLERS.load(sampler)(predict_clean, start, path, torch.tensor(times), forms)
    return float(x[..., 0]), float(x[..., 1:].square().sum().sqrt())


def recorded_path(process: Process) -> Path:
    """Around zero; the bridge of I2SB was recorded with its noise in [-1, 1] beside images in [0, 1]."""
    path = process.path(torch.zeros(1, 1, 1, 1, dtype=torch.float64))
    return replace(path, s=2 * path.s) if isinstance(process, SchroedingerBridge) else path


def run(process: Process, sampler: str, steps: int) -> tuple[float, float]:
    forms, last = Forms(), process.num_timesteps
    path = recorded_path(process)
    start = forms.constant(0)
    if float(path.s[-1]) > 0:
        start = float(path.s[-1]) * forms(start)
    return end(path, sampler, [last - last * index // steps for index in range(steps)] + [0], start, forms)


@pytest.fixture(scope="module")
def golden(shared: object) -> Golden:
    return load_golden(shared, "processes_golden")


@pytest.mark.parametrize("name", PROCESSES)
def test_tables_are_those_of_the_closed_forms(golden: Golden, name: str) -> None:
    """m_t and s_t of each process."""
    path = recorded_path(PROCESSES[name])
    torch.testing.assert_close(path.m.float(), golden[f"gauss/{name}/m"], atol=1e-6, rtol=0)
    torch.testing.assert_close(path.s.float(), golden[f"gauss/{name}/s"], atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", PROCESSES)
def test_ends_are_those_of_the_closed_forms(golden: Golden, name: str) -> None:
    """Mean and standard deviation for every recorded sampler and number of steps."""
    keys = [key for key in golden if key.startswith(f"gauss/{name}/") and key.split("/")[2] not in ("m", "s")]
    assert len(keys) >= 5
    for key in keys:
        sampler = NAMES.get(key.split("/")[2], key.split("/")[2])
        for steps, mean, std in golden[key].tolist():
            ours = run(PROCESSES[name], sampler, int(steps))
            assert ours == pytest.approx((mean, std), abs=2e-5), (sampler, steps)


def before_the_jump(sampler: Any, path: Path, forms: Forms, x: Tensor, times: list[int]) -> Tensor:
    """The last state before the final jump to the clean estimate."""

    def predict_clean(x: Tensor, t: int) -> Tensor:
        m, s = path.at(t)
        gain = m * SPREAD**2 / (m**2 * SPREAD**2 + s**2)
        return forms.constant(MEAN) + gain * (x - forms.constant(m * MEAN))

    states: list[Tensor] = list(sampler(predict_clean, x, path, torch.tensor([*times, 0]), forms))
    return states[-2]


def on_nodes(process: Process, count: int, first: int) -> tuple[Path, list[int]]:
    """A path through `count` + 1 nodes that are uniform in ln(m / s) between two of the process's indices.

    Between indices both tables are read off by splines of first order in ln(m / s), which stays a path.
    """
    path = process.path(torch.zeros(1, 1, 1, 1, dtype=torch.float64))
    inside = slice(process.num_timesteps // 10, first + 1)
    ell = torch.log(path.m[inside] / path.s[inside]).flip(0)
    wanted = torch.linspace(float(ell[0]), float(ell[-1]), count + 1, dtype=torch.float64)
    place = torch.searchsorted(ell, wanted).clamp(1, len(ell) - 1)
    share = (wanted - ell[place - 1]) / (ell[place] - ell[place - 1])
    log_m = torch.log(path.m[inside]).flip(0)
    m = torch.exp(log_m[place - 1] + share * (log_m[place] - log_m[place - 1]))
    zero, one = torch.zeros(1, dtype=torch.float64), torch.ones(1, dtype=torch.float64)
    nodes = Path(torch.cat((one, m.flip(0))), torch.cat((zero, (m / torch.exp(wanted)).flip(0))), path.centre)
    return nodes, list(range(count + 1, 0, -1))


ORDERED = {
    "goub": MeanRevertingBridge(),
    "unidb 0.01": MeanRevertingBridge(penalty=0.01),
    "flow": StraightFlow(0.1),
    "resshift": ResidualShift(100),
    "brownian": BrownianBridge(),
}


@pytest.mark.parametrize("name", ORDERED)
@pytest.mark.parametrize("order", [1, 2])
def test_orders_of_the_flow(name: str, order: Literal[1, 2]) -> None:
    """Twice the steps between two inner points of a path divide the error by two, and by four."""
    process, errors = ORDERED[name], []
    solver = partial(multistep, order=order, recentre=False)
    for count in (256, 512):
        path, times = on_nodes(process, count, process.num_timesteps * 9 // 10)
        forms = Forms()
        (m_a, s_a), (m_b, s_b) = path.at(times[0]), path.at(times[-1])
        spread_a, spread_b = (math.sqrt((m * SPREAD) ** 2 + s**2) for m, s in ((m_a, s_a), (m_b, s_b)))
        # Started one standard deviation from the mean, the exact flow ends there too.
        x = before_the_jump(solver, path, forms, forms.constant(m_a * MEAN + spread_a), times)
        errors.append(abs(float(x[..., 0]) - m_b * MEAN - spread_b))
    assert math.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.1)


@pytest.mark.parametrize("name", PROCESSES)
@pytest.mark.parametrize("sampler", ["posterior", "sde-2"])
@pytest.mark.parametrize("steps", [1, 3, 15])
def test_a_draw_of_the_sde_has_the_right_mean(name: str, sampler: str, steps: int) -> None:
    """For any number of steps: a posterior's step with the posterior's mean cannot move the mean."""
    process = PROCESSES[name]
    mean, _ = run_from_the_marginal(process, sampler, steps)
    assert mean == pytest.approx(MEAN, abs=1e-12)


@pytest.mark.parametrize("name", ["irsde_50", "goub_30", "flow_0.1"])
def test_noise_form_spreads_too_far(name: str) -> None:
    """The first order in the limit alone rightly; the second not even there, as a middle has noise of its own."""
    few, many = (run(PROCESSES[name], "sde-noise-1", steps)[1] / SPREAD for steps in (5, 99))
    assert few > 1.1 and many == pytest.approx(1, abs=0.01)
    assert 1.05 < run(PROCESSES[name], "sde-noise-2", 99)[1] / SPREAD < 1.3


def run_from_the_marginal(process: Process, sampler: str, steps: int) -> tuple[float, float]:
    forms, path = Forms(), recorded_path(process)
    m, s = path.at(process.num_timesteps)
    zero = forms.constant(0)
    start = forms.constant(m * MEAN) + math.sqrt((m * SPREAD) ** 2 + s**2) * forms(zero)
    last = process.num_timesteps
    return end(path, sampler, [last - last * index // steps for index in range(steps)] + [0], start, forms)


def test_deterministic_bridges_give_the_mean() -> None:
    """Without noise a bridge ends at the posterior's mean whatever its steps; published Euler steps come near it."""
    for steps in (1, 2, 10, 100):
        assert run(MeanRevertingBridge(), "noiseless", steps) == pytest.approx((MEAN, 0), abs=1e-12)
    missed = [1 - run(MeanRevertingBridge(num_timesteps=t), "euler-mean", t)[0] / MEAN for t in (100, 200, 400)]
    assert missed == pytest.approx([1 - 0.98534, 1 - 0.99257, 1 - 0.99626], abs=3e-5)


@pytest.mark.parametrize("penalty", [1e3, math.inf])
def test_without_end_the_penalty_leaves_irsde(penalty: float) -> None:
    """c = infinity is IR-SDE, table by table."""
    bridge, free = MeanRevertingBridge(10 / 255, penalty=penalty), MeanRevertingSDE(10 / 255)
    tolerance = 0 if penalty == math.inf else 1e-5
    for name in ("m", "s", "pull", "diffusion"):
        torch.testing.assert_close(getattr(bridge, name), getattr(free, name), atol=tolerance, rtol=tolerance)


def test_the_variance_of_bridges_is_the_integral_of_their_sde() -> None:
    """s_t^2 by small Euler steps of dv = -2 (theta + h) v + g^2, for several penalties; first order, so Richardson."""
    for penalty in (0.0, 1e-3, 1e-2):
        ends = []
        for count in (2000, 4000):
            fine = MeanRevertingBridge(num_timesteps=count, schedule="constant", penalty=penalty)
            half = count // 2
            assert fine.pull is not None and fine.diffusion is not None
            v = 0.0
            for t in range(half):
                pull = float(fine.pull[t + 1] - fine.pull[t])
                v += -2 * pull * v + float(fine.diffusion[t + 1] - fine.diffusion[t])
            ends.append(v - float(fine.s[half]) ** 2)
        assert 2 * ends[1] - ends[0] == pytest.approx(0, abs=2e-6)


PINNED = {"goub": MeanRevertingBridge(), "brownian": BrownianBridge(), "i2sb": SchroedingerBridge()}
PATHS = {name: process.path(torch.zeros(1, 1, 1, 1, dtype=torch.float64)) for name, process in PINNED.items()}


@pytest.mark.parametrize(("name", "sampler"), [(name, one) for name, path in PATHS.items() for one in fitting(path)])
@pytest.mark.parametrize("steps", [1, 2, 7])
def test_a_pinned_end_gives_no_nan(name: str, sampler: str, steps: int) -> None:
    """m = s = 0 at T: no sampler that a bridge can use divides by it."""
    assert PINNED[name].s[-1] == 0
    assert all(math.isfinite(value) for value in run(PINNED[name], sampler, steps))


def test_what_a_process_cannot_use_is_refused_with_a_reason() -> None:
    """The noise of a bridge falls again, a table has no rates, and FoD is a world of its own."""
    assert "falls again" in refusal("ancestral", PATHS["goub"])
    assert "Euler" in refusal("euler-ode", PATHS["brownian"])
    assert "only a bridge" in refusal("noiseless", StraightFlow().path(torch.zeros(1, 1, 1, 1)))
    forward = ForwardOnly().path(torch.zeros(1, 1, 1, 1))
    assert fitting(forward) == ["fod-mc", "fod-nmc", "fod-euler"]
    assert not refusal("euler-maruyama", PATHS["goub"])
