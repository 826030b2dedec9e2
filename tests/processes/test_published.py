"""Processes and their samplers against recorded runs of the official code (golden/systems1_fingerprints.md)."""

import math
from collections.abc import Callable
from functools import partial
from itertools import pairwise

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from irsde_cli.processes.bridge import MeanRevertingBridge
from irsde_cli.processes.diffuir import SelectiveHourglass
from irsde_cli.processes.i2sb import SchroedingerBridge
from irsde_cli.processes.path import Path
from irsde_cli.processes.rddm import ResidualDenoising
from irsde_cli.processes.resshift import ResidualShift
from irsde_cli.processes.straight import StraightFlow
from irsde_cli.samplers import SAMPLERS
from irsde_cli.samplers.noise_form import sde_noise_2
from tests.golden import Golden, load_golden
from tests.processes.stubs import Pool, from_noise, symmetric


@pytest.fixture(scope="module")
def golden(shared: object) -> Golden:
    return load_golden(shared, "systems1_golden")


def close(ours: Tensor, recorded: Tensor, tolerance: float = 1e-5) -> None:
    """Within a share of the recorded tensor's largest value."""
    torch.testing.assert_close(ours.float(), recorded, rtol=0, atol=tolerance * float(recorded.abs().max()))


BRIDGES = {
    "goub": MeanRevertingBridge(),
    "unidb_ginv0": MeanRevertingBridge(),
    "unidb_ginv1e-08": MeanRevertingBridge(penalty=1e-8, released_std=True),
    "unidb_ginv1e-07": MeanRevertingBridge(penalty=1e-7, released_std=True),
    "unidbpp_g1e7": MeanRevertingBridge(penalty=1e-7, released_std=True),
}


@pytest.mark.parametrize("name", BRIDGES)
def test_tables_of_bridges_equal_the_releases(golden: Golden, name: str) -> None:
    """m_t of GOUB, UniDB and UniDB++, and their s_t, which forgets the penalty."""
    bridge = BRIDGES[name]
    close(bridge.m, golden[f"{name}/table/m"])
    close(bridge.s, golden[f"{name}/table/f_sigma"])


def noise_stub(mu: Tensor, x: Tensor, t: int) -> Tensor:
    return 0.3 * x - 0.1 * mu + 0.05 * math.sin(t)


@pytest.mark.parametrize("name", [name for name in BRIDGES if name != "unidbpp_g1e7"])
@pytest.mark.parametrize(("sampler", "run"), [("euler-maruyama", "sde"), ("euler-mean", "mean_ode")])
def test_published_samplers_of_bridges(golden: Golden, name: str, sampler: str, run: str) -> None:
    """All hundred steps of the official samplers from mu, at each recorded state."""
    mu = golden["common/lq16"]
    path = BRIDGES[name].path(mu)
    predict_clean = from_noise(path, partial(noise_stub, mu))
    states = SAMPLERS.load(sampler)(
        predict_clean, mu, path, torch.arange(100, -1, -1), Pool(golden["common/noise_pool"])
    )
    for index, state in zip(range(99, -1, -1), states, strict=True):
        recorded = golden.get(f"{name}/{run}/x{index:03d}")
        if recorded is not None:
            close(state, recorded, 1e-4)


@pytest.mark.parametrize("steps", [5, 20])
@pytest.mark.parametrize("run", ["data_sde_1", "data_sde_1_update", "data_goub_sde_1", "data_mean_ode_1"])
def test_unidb_plus_plus_of_first_order_is_posterior_sampling(golden: Golden, run: str, steps: int) -> None:
    """Its solver in data form, with its noise or without any; what it says of the penalty changes nothing."""
    mu, path = golden["common/lq16"], BRIDGES["unidbpp_g1e7"].path(golden["common/lq16"])
    predict_clean = from_noise(path, partial(noise_stub, mu))
    pool = Pool(golden["common/noise_pool"], silent=range(100) if "mean" in run else ())
    times = torch.arange(100, -1, -100 // steps)
    *_, x = SAMPLERS.load("posterior")(predict_clean, mu, path, times, pool)
    close(x, golden[f"unidbpp_g1e7/{run}/s{steps}/x000"], 1e-4)


@pytest.mark.parametrize(("run", "steps"), [("noise_sde_1", 5), ("noise_mean_ode_1", 5), ("noise_mean_ode_1", 20)])
def test_unidb_plus_plus_in_noise_form(golden: Golden, run: str, steps: int) -> None:
    """Of first order; the release draws noise with a factor of a step's beginning, and none in the first.

    In steps that are shorter its float32 cancels: twenty steps with noise are off by 0.06.
    """
    mu, path = golden["common/lq16"], BRIDGES["unidbpp_g1e7"].path(golden["common/lq16"])
    times = torch.arange(100, -1, -100 // steps)
    factors = [1.0, *(path.at(int(t))[0] / path.at(int(s))[0] for t, s in pairwise(times[1:]))]
    noise = golden["common/noise_pool"][:steps] * torch.tensor(factors)[:, None, None, None]
    pool = Pool(noise, silent=range(steps) if "mean" in run else (0,))
    predict_clean = from_noise(path, partial(noise_stub, mu))
    states = list(SAMPLERS.load("sde-noise-1")(begun(predict_clean, path), mu, path, times, pool))
    assert len(states) == steps
    close(states[-1], golden[f"unidbpp_g1e7/{run}/s{steps}/x000"], 1e-4)


@pytest.mark.parametrize("run", ["noise_sde_2", "noise_mean_ode_2"])
def test_unidb_plus_plus_in_noise_form_of_second_order(golden: Golden, run: str) -> None:
    """Through the recorded middles, from the state that its float32 leaves after the first step, off by 0.04.

    It makes two draws a step, of which the last step takes the second.
    """
    mu, name = golden["common/lq16"], f"unidbpp_g1e7/{run}/s5"
    path, times = BRIDGES["unidbpp_g1e7"].path(mu), torch.tensor([80, 71, 60, 51, 40, 29, 20, 0])
    noise = golden["common/noise_pool"][[2, 3, 4, 5, 6, 7, 9]]
    pool = Pool(noise, silent=range(7) if "mean" in run else ())
    predict_clean = from_noise(path, partial(noise_stub, mu))
    states = list(sde_noise_2(predict_clean, golden[f"{name}/call0_t080"], path, times, pool, as_published=True))
    for index, (t, state) in enumerate(zip(times[1:-1].tolist(), states[:-1], strict=True), start=1):
        close(state, golden[f"{name}/call{index}_t{t:03d}"], 2e-4)
    close(states[-1], golden[f"{name}/x000"], 2e-4)


def begun(predict_clean: Callable[[Tensor, int], Tensor], path: Path) -> Callable[[Tensor, int], Tensor]:
    """The same, which says the centre at the end of a bridge: the release asks no network there."""
    last = path.num_timesteps
    return lambda x, t: path.centre.expand_as(x).clone() if t == last else predict_clean(x, t)


@pytest.mark.parametrize("name", [name for name in BRIDGES if name != "unidbpp_g1e7"])
def test_what_bridges_teach(golden: Golden, name: str) -> None:
    """The state, the posterior's mean and the Euler mean that the likelihood objective compares, at t = 40."""
    bridge, t = BRIDGES[name], torch.tensor([40])
    clean, mu = golden["common/image16"], golden["common/lq16"]
    close(bridge.marginal(clean, mu, t).mean, golden[f"{name}/f_mean_t40"])
    x = 0.7 * clean + 0.3 * mu
    close(bridge.posterior(x, clean, mu, t).mean, golden[f"{name}/r_mean_1_t40"])
    silence = torch.zeros_like(clean)
    close(clean - bridge.reverse_mean(clean, silence, mu, t), golden[f"{name}/drift_t40"], 1e-4)
    noise = noise_stub(mu, clean, 40)
    close(clean - bridge.reverse_mean(clean, noise, mu, t), golden[f"{name}/reverse_drift_t40"], 1e-4)


@pytest.mark.parametrize("total", ["1", "0.01"])
def test_rddm(golden: Golden, total: str) -> None:
    """Tables and the five published steps by two outputs, recorded in [0, 1], computed in [-1, 1]."""
    process, name = ResidualDenoising(0.5 * float(total) ** 0.5), f"rddm_sum{total}"
    close(1 - process.m[1:], golden[f"{name}/table/alphas_cumsum"])
    close(2 * process.s[1:], golden[f"{name}/table/betas_cumsum"], 1e-4)
    degraded = golden["common/lq16"]
    y = 2 * degraded - 1
    start, path = process.start(degraded, 1000, Pool(golden["common/noise_pool"])), process.path(degraded)

    def predict_pair(x: Tensor, t: int) -> tuple[Tensor, Tensor]:
        wave = 0.05 * math.sin(int(process.asked(torch.tensor(t))) / 100)
        seen = 2 * x - 1
        residual = (0.5 * y - 0.4 * seen + wave).clamp(-1, 1)
        return degraded - residual / 2, 0.3 * seen - 0.1 * y + wave

    states = [start, *SAMPLERS.load("rddm")(predict_pair, start, path, torch.arange(1000, -1, -200), torch.randn_like)]
    for step, state in enumerate(states):
        close(state.clamp(0, 1) if step == 5 else state, golden[f"{name}/s5/x{step}"], 1e-4)


@pytest.mark.parametrize(("name", "process"), [("realsr15", ResidualShift()), ("s4", ResidualShift(4, min_noise=0.2))])
def test_resshift(golden: Golden, name: str, process: ResidualShift) -> None:
    """Table and all published steps, with an identity in place of the autoencoder."""
    close(1 - process.m[1:], golden[f"resshift_{name}/table/etas"])
    small, last = golden["resshift/lq4"], process.num_timesteps
    mu = F.interpolate(small, scale_factor=4, mode="bicubic", align_corners=False)
    pool, path = Pool(golden["common/noise_pool"]), process.path(mu)

    def predict_clean(x: Tensor, t: int) -> Tensor:
        seen = x / math.sqrt(1 + path.at(t)[1] ** 2)
        return 0.6 * seen + 0.2 * F.interpolate(small, scale_factor=4, mode="nearest") + 0.05 * math.sin(t - 1)

    start = process.start(mu, last, pool)
    states = SAMPLERS.load("ancestral")(predict_clean, start, path, torch.arange(last, -1, -1), pool)
    recorded = 0
    for index, state in zip(range(last - 1, -1, -1), states, strict=True):
        key = f"resshift_{name}/x_after_t{index:02d}"
        if key in golden:
            close(state, golden[key])
            recorded += 1
    assert recorded >= 4


@pytest.mark.parametrize("run", ["sde", "ot_ode"])
def test_i2sb(golden: Golden, run: str) -> None:
    """Tables as released, and the five published steps; the last keeps the variance of one step and adds no noise.

    The steps are those of the exact bridge: the released states are not quite on it, and differ by 3e-4.
    """
    released, process = SchroedingerBridge(released=True), SchroedingerBridge()
    close(released.m[1:], golden["i2sb/table/mu_x0"])
    close(2 * released.s[1:], golden["i2sb/table/std_sb"])
    mu = golden["common/lq16"]
    start = 2 * mu - 1

    def stub(x: Tensor, t: int) -> Tensor:
        return 0.7 * x - 0.1 * start + 0.05 * math.sin(t - 1)

    pool = Pool(golden["common/noise_pool"], silent=(4,) if run == "sde" else range(5))
    times = torch.tensor([1000, 800, 600, 401, 201, 1, 0])
    states = list(SAMPLERS.load("posterior")(symmetric(stub), mu, process.path(mu), times, pool))
    for index, state in enumerate(states[:5]):
        close(2 * state - 1, golden[f"i2sb/{run}/xs"][4 - index][None], 1e-4)


@pytest.mark.parametrize("steps", [3, 4, 5])
def test_diffuir(golden: Golden, steps: int) -> None:
    """Tables and published steps, in the shifted coordinates and back."""
    process = SelectiveHourglass()
    close(1 - process.m[1:], golden["diffuir/table/alphas_cumsum"])
    close(2 * process.s[1:], golden["diffuir/table/betas_cumsum"])
    close(process.shift[1:], golden["diffuir/table/delta_cumsum"])
    mu = golden["common/lq16"]
    y, path = 2 * mu - 1, process.path(mu)

    def published(x: Tensor, t: int) -> Tensor:
        # The paper shifts in [-1, 1], where the degraded image is y and not mu.
        return 2 * x - 1 - float(process.shift[t]) * y

    def predict_clean(x: Tensor, t: int) -> Tensor:
        time = float(process.asked(torch.tensor(t)))
        residual = (0.5 * y - 0.4 * published(x, t) + 0.05 * math.sin(time / 100)).clamp(-1, 1)
        return ((y - residual).clamp(-1, 1) + 1) / 2

    start = process.start(mu, 1000, Pool(golden["common/noise_pool"]))
    times = [int(place) + 1 for place in torch.linspace(-1, 999, steps + 1).tolist()][::-1]
    states = [start, *SAMPLERS.load("residual")(predict_clean, start, path, torch.tensor(times), torch.randn_like)]
    for index, (t, state) in enumerate(zip(times, states, strict=True)):
        close((published(state, t) + 1) / 2, golden[f"diffuir/s{steps}/x{index}"], 1e-4)


@pytest.mark.parametrize("name", ["pmrf", "pmrf_naive_flow"])
def test_pmrf(golden: Golden, name: str) -> None:
    """Five Euler steps of the flow from the noised centre are `ddim`."""
    process, mu = StraightFlow(0.1, 5), golden["common/lq16"]
    centre = (1.3 * mu - 0.1).clamp(0, 1) if name == "pmrf" else mu
    path, start = process.path(centre), process.start(centre, 5, Pool(golden["common/noise_pool"]))

    def predict_clean(x: Tensor, t: int) -> Tensor:
        left = t / 5
        return x + left * (0.4 * x - 0.3 * mu + 0.05 * math.sin(7 * (1 - left)))

    states = [start, *SAMPLERS.load("ddim")(predict_clean, start, path, torch.arange(5, -1, -1), torch.randn_like)]
    for index, state in enumerate(states):
        close(state, golden[f"{name}/s5/x{index}"])


@pytest.mark.parametrize(("sigma", "steps"), [(0.1, 5), (0.04, 3), (0.025, 3)])
def test_elir_is_that_flow_in_a_latent(shared: object, sigma: float, steps: int) -> None:
    """Encode, estimate the mean there, take the steps of PMRF, decode: each recorded state, with stubs for networks."""
    golden = load_golden(shared, "processes_golden")
    degraded, name = golden["common/degraded01"], f"elir/k{steps}_sigma{sigma:g}"
    centre = 1.1 * (0.9 * degraded + 0.05) - 0.02
    process, places = StraightFlow(sigma, steps), torch.linspace(-1, 1, 160)

    def features(time: float) -> Tensor:
        angles = 1000 * time * torch.exp(torch.arange(80) * -(math.log(10000) / 79))
        return torch.cat((angles.cos(), angles.sin()))

    def predict_clean(x: Tensor, t: int) -> Tensor:
        wave = 0.005 * float((features(1 - t / steps) * places).sum())
        return x + t / steps * (0.3 * x - 0.1 * degraded + wave)

    for time in (0.0, 0.2, 1.0):
        torch.testing.assert_close(
            features(time), golden[f"elir/time_features/t{time:.4f}"].flatten(), atol=2e-4, rtol=0
        )
    start = process.start(centre, steps, Pool(golden["common/noise"]))
    times = torch.arange(steps, -1, -1)
    states = [start, *SAMPLERS.load("ddim")(predict_clean, start, process.path(centre), times, torch.randn_like)]
    for index, state in enumerate(states[:-1]):
        close(state, golden[f"{name}/x_at_call{index}"])
    close((1.05 * states[-1] + 0.01).clamp(0, 1), golden[f"{name}/result01"])
