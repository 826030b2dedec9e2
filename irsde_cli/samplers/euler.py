"""The samplers published with IR-SDE: first-order in t. They have a step bias; see docs/samplers.md."""

from collections.abc import Iterator

from torch import Tensor

from irsde_cli.processes.driftrec import DriftingPath
from irsde_cli.processes.path import Path
from irsde_cli.randomness import RandnLike, add_noise
from irsde_cli.samplers.sampler import CleanPredictor, in_bands, transitions


def euler_maruyama(
    predict_clean: CleanPredictor, x: Tensor, path: Path, times: Tensor, randn_like: RandnLike
) -> Iterator[Tensor]:
    """The reverse SDE. Adds noise in its last step too, as published: a perfect network leaves lambda / 50 or so."""
    assert path.injected is not None, "a path with rates"
    for t, s in transitions(times):
        injected = float(path.injected[t] - path.injected[s])
        x = add_noise(_step(x, predict_clean(x, t), path, t, s, injected), -(injected**0.5), randn_like)
        yield x


def euler_ode(
    predict_clean: CleanPredictor, x: Tensor, path: Path, times: Tensor, randn_like: RandnLike
) -> Iterator[Tensor]:
    """The probability-flow ODE."""
    for t, s in transitions(times):
        x = _step(x, predict_clean(x, t), path, t, s, injected=0.0)
        yield x


def euler_mean(
    predict_clean: CleanPredictor, x: Tensor, path: Path, times: Tensor, randn_like: RandnLike
) -> Iterator[Tensor]:
    """The reverse SDE without its noise: GOUB's mean-ODE. It contracts to the mean, and has no spread in the end."""
    assert path.injected is not None, "a path with rates"
    for t, s in transitions(times):
        x = _step(x, predict_clean(x, t), path, t, s, injected=float(path.injected[t] - path.injected[s]))
        yield x


def drifting(
    predict_clean: CleanPredictor,
    x: Tensor,
    path: DriftingPath,
    times: Tensor,
    randn_like: RandnLike,
    *,
    counted: int | None = None,
) -> Iterator[Tensor]:
    """DriftRec's Euler steps, each as long as 1 / N whatever the time between two indices; the last has no noise.

    So a run goes as far as its N steps say, but the indices, which do not end at 0, say otherwise: 0.97 of the time for
    N = 100. The release sees no more of it with fewer steps, for its N stays what the process was built with.

    Args:
        predict_clean: as in all samplers.
        x: likewise.
        path: that of DriftRec.
        times: the last of which is not evaluated.
        randn_like: likewise.
        counted: N; the number of steps if not given.
    """
    length = 1 / (counted or len(times) - 1)
    for index, (t, _) in enumerate(transitions(times)):
        rate, spread = length * float(path.rate[t]), length * float(path.spread[t])
        m_t, s_t = path.at(t)
        clean = predict_clean(x, t)
        x = in_bands(_drifted, x, clean, path.centre, rate, spread / s_t**2, m_t, into=clean)
        if index < len(times) - 2:
            x = add_noise(x, spread**0.5, randn_like)
        yield x


def _drifted(x: Tensor, clean: Tensor, centre: Tensor, rate: float, gain: float, m: float) -> Tensor:
    return x + rate * (x - centre) - gain * (x - centre - m * (clean - centre))


def _step(x: Tensor, clean: Tensor, path: Path, t: int, s: int, injected: float) -> Tensor:
    """The mean of an Euler step of the reverse process that injects noise of variance `injected`."""
    assert path.pull is not None and path.diffusion is not None, "a path with rates"
    pull = float(path.pull[t] - path.pull[s])
    diffusion = float(path.diffusion[t] - path.diffusion[s])
    m_t, s_t = path.at(t)
    if s_t == 0 or (path.pinned and t == path.num_timesteps):
        # A bridge's end: no score is known there, and as published none is taken.
        return in_bands(lambda x, centre: x + pull * (x - centre), x, path.centre)

    def formula(x: Tensor, clean: Tensor, centre: Tensor) -> Tensor:
        score = -(x - centre - m_t * (clean - centre)) / s_t / s_t
        return x + pull * (x - centre) + 0.5 * (diffusion + injected) * score

    return in_bands(formula, x, clean, path.centre, into=clean)
