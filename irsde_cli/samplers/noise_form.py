"""The reverse SDE in noise form, UniDB++'s other solvers: a state's noise is the polynomial, not the estimate.

With eta = s / m and u = y / m, du = 2 noise d eta and fresh noise of variance eta_t^2 - eta_s^2 on a path of any kind.
It multiplies what the network errs by at few steps; the solvers in data form (`sde-1`, `sde-2`) do not.
Pan et al., "UniDB++: Fast Sampling of Unified Diffusion Bridge" (2505.21528).
"""

from collections.abc import Iterator

from torch import Tensor

from irsde_cli.processes.path import Path
from irsde_cli.randomness import RandnLike, add_noise
from irsde_cli.samplers.sampler import CleanPredictor, in_bands, transitions

NOTHING = 1e-6  # of the clean image: a state that has no more tells nothing of it, nor of its own noise


def sde_noise_1(
    predict_clean: CleanPredictor, x: Tensor, path: Path, times: Tensor, randn_like: RandnLike
) -> Iterator[Tensor]:
    """First order; the noise of a step is that of its end, where the release takes a factor of its beginning."""
    for t, s in transitions(times):
        clean = predict_clean(x, t)
        if path.at(t)[1] == 0 or path.at(t)[0] < NOTHING:
            x = _begun(x, clean, path, s, randn_like)
        else:
            x = _with_draw(_moved(x, path.noise(x, clean, t), path, t, s), path, t, s, randn_like)
        yield x


def sde_noise_2(
    predict_clean: CleanPredictor,
    x: Tensor,
    path: Path,
    times: Tensor,
    randn_like: RandnLike,
    *,
    as_published: bool = False,
) -> Iterator[Tensor]:
    """Second order: every other index is the middle of a step, where the noise is asked for once more.

    Args:
        predict_clean: as in all samplers.
        x: likewise.
        path: likewise.
        times: likewise; a last step without a middle is of first order.
        randn_like: likewise.
        as_published: take a middle for the exact one in ln eta, whatever index stands for it.
    """
    nodes, place = [int(t) for t in times.tolist()], 0
    while place < len(nodes) - 1:
        t, middle = nodes[place], nodes[place + 1]
        clean = predict_clean(x, t)
        if path.at(t)[1] == 0 or path.at(t)[0] < NOTHING:
            x = _begun(x, clean, path, middle, randn_like)
            place += 1
            yield x
            continue
        noise = path.noise(x, clean, t)
        half = _with_draw(_moved(x, noise, path, t, middle), path, t, middle, randn_like)
        place += 1
        yield half
        if middle == 0:
            return
        s = nodes[place + 1]
        further = path.noise(half, predict_clean(half, middle), middle) - noise
        to_middle = path.half_log_snr(middle) - path.half_log_snr(t)
        to_end = path.half_log_snr(s) - path.half_log_snr(t) if s > 0 else 0.0  # times eta_s, which is 0 there
        if as_published and s > 0:
            to_middle = to_end / 2
        eta_t, eta_s = _eta(path, t), _eta(path, s)
        share = -2 * path.at(s)[0] * (eta_t - eta_s - to_end * eta_s) / to_middle
        x = _with_draw(_moved(x, noise, path, t, s) + share * further, path, t, s, randn_like)
        place += 1
        yield x


def _eta(path: Path, t: int) -> float:
    m, s = path.at(t)
    return s / m


def _begun(x: Tensor, clean: Tensor, path: Path, s: int, randn_like: RandnLike) -> Tensor:
    """The state at s after one that holds nothing of the clean image: what is known of it, and noise of its own."""
    m_s, s_s = path.at(s)
    return add_noise(path.centre + m_s * (clean - path.centre), s_s, randn_like) if s > 0 else clean


def _moved(x: Tensor, noise: Tensor, path: Path, t: int, s: int) -> Tensor:
    """The mean of a step whose noise stays as it is."""
    m_t, m_s = path.at(t)[0], path.at(s)[0]
    share = 2 * m_s * (_eta(path, t) - _eta(path, s))
    return in_bands(_formula, x, noise, path.centre, m_s / m_t, share)


def _formula(x: Tensor, noise: Tensor, centre: Tensor, kept: float, share: float) -> Tensor:
    return centre + kept * (x - centre) - share * noise


def _with_draw(x: Tensor, path: Path, t: int, s: int, randn_like: RandnLike) -> Tensor:
    """With the fresh noise of a step."""
    variance = max(_eta(path, t) ** 2 - _eta(path, s) ** 2, 0.0)
    return add_noise(x, path.at(s)[0] * variance**0.5, randn_like)
