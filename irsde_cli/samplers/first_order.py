"""Samplers that keep a share k of the noise in a state: x_s = centre + m_s y_0 + s_s (k noise + sqrt(1 - k^2) fresh).

Any k from 0 to 1 keeps the marginals of a path if the clean estimate is the truth. k = 1 is `ddim`, the Markov share is
`posterior`; these are the others that are published.
"""

from collections.abc import Iterator

from torch import Tensor

from irsde_cli.processes.path import Path
from irsde_cli.randomness import RandnLike, add_noise
from irsde_cli.samplers.sampler import CleanPredictor, PairPredictor, in_bands, transitions


def ancestral(
    predict_clean: CleanPredictor, x: Tensor, path: Path, times: Tensor, randn_like: RandnLike
) -> Iterator[Tensor]:
    """K = s_s / s_t, exact where noise has been added in independent parts: ResShift's and RDDM's posterior."""
    for t, s in transitions(times):
        s_t, s_s = path.at(t)[1], path.at(s)[1]
        x = _kept(x, predict_clean(x, t), path, t, s, s_s / s_t, randn_like)
        yield x


def renoise(
    predict_clean: CleanPredictor, x: Tensor, path: Path, times: Tensor, randn_like: RandnLike
) -> Iterator[Tensor]:
    """K = 0: each state is the last estimate with noise of its own, as consistency models are sampled."""
    for t, s in transitions(times):
        x = _kept(x, predict_clean(x, t), path, t, s, 0.0, randn_like)
        yield x


def residual(
    predict_clean: CleanPredictor, x: Tensor, path: Path, times: Tensor, randn_like: RandnLike
) -> Iterator[Tensor]:
    """DiffUIR's: the residual's share of a step is taken away and the noise stays, until the estimate is returned."""
    for t, s in transitions(times):
        clean = predict_clean(x, t)
        gain = path.at(s)[0] - path.at(t)[0]
        x = clean if s == 0 else in_bands(_moved, x, clean, path.centre, gain, into=clean)
        yield x


def residual_and_noise(
    predict_pair: PairPredictor, x: Tensor, path: Path, times: Tensor, randn_like: RandnLike
) -> Iterator[Tensor]:
    """RDDM's: a share of the residual and one of the noise are taken away, as two outputs say, which need not agree."""
    for t, s in transitions(times):
        clean, noise = predict_pair(x, t)
        (m_t, s_t), (m_s, s_s) = path.at(t), path.at(s)
        x = in_bands(_without, x, clean, noise, path.centre, m_s - m_t, s_t - s_s, into=clean)
        del clean, noise
        yield x


def _without(x: Tensor, clean: Tensor, noise: Tensor, centre: Tensor, gain: float, fall: float) -> Tensor:
    return x + gain * (clean - centre) - fall * noise


def _kept(x: Tensor, clean: Tensor, path: Path, t: int, s: int, share: float, randn_like: RandnLike) -> Tensor:
    """The state at s, with `share` of the noise in x."""
    m_s, s_s = path.at(s)
    if s_s == 0:
        return clean if s == 0 else path.centre + m_s * (clean - path.centre)
    m_t, s_t = path.at(t)
    kept = share * s_s / s_t if s_t > 0 else 0.0
    x = in_bands(_mixed, x, clean, path.centre, kept, m_s - kept * m_t, into=clean)
    return add_noise(x, s_s * (1 - share**2) ** 0.5, randn_like)


def _mixed(x: Tensor, clean: Tensor, centre: Tensor, kept: float, gain: float) -> Tensor:
    return centre + kept * (x - centre) + gain * (clean - centre)


def _moved(x: Tensor, clean: Tensor, centre: Tensor, gain: float) -> Tensor:
    return x + gain * (clean - centre)
