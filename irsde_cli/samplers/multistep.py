"""Exponential multistep solvers with data prediction, for any path x_t = centre + m_t y_0 + s_t noise.

On the clock ell = ln(m / s), u = y / m relaxes to the current clean estimate: du = c (D - u) d ell + noise, with
c = 1 + eta^2; eta = 0 is the probability-flow ODE and eta = 1 the reverse SDE. Integrated exactly for a D that is a
polynomial in ell. Order 1 is DDIM (eta 0) and posterior sampling (eta 1); order 2 at eta 0 is DPM-Solver++ 2M.
"""

import math
from collections.abc import Iterator
from functools import partial
from typing import Literal

from torch import Tensor

from irsde_cli.diffusion.path import Path
from irsde_cli.randomness import RandnLike
from irsde_cli.samplers.sampler import CleanPredictor, transitions


def multistep(
    predict_clean: CleanPredictor,
    x: Tensor,
    path: Path,
    times: Tensor,
    randn_like: RandnLike,
    *,
    order: Literal[1, 2] = 2,
    eta: float = 0.0,
    recentre: bool = True,
    coefficient: Literal["midpoint", "exact"] = "midpoint",
) -> Iterator[Tensor]:
    """Solve the reverse process; the last step, to t = 0, takes the clean estimate itself.

    Args:
        predict_clean: estimate of x_0.
        x: the state at `times[0]`, (B, C, H, W).
        path: the process.
        times: falling indices, the last is 0.
        randn_like: source of noise; not used at eta = 0.
        order: 1 or 2; the first step is of order 1 in any case.
        eta: 0 to 1 and beyond.
        recentre: add the mean that the start lacks, m_T y_0, from the first estimate. Without it the ODE has a bias
            that no number of steps removes; at eta >= 1 the noise forgets it, and nothing is done.
        coefficient: how the second-order term is weighted; both are of second order, `midpoint` errs less at few steps.
    """
    c = 1 + eta**2
    previous: Tensor | None = None
    previous_ell = math.nan
    for index, (t, s) in enumerate(transitions(times)):
        clean = predict_clean(x, t) - path.centre
        if s == 0:
            yield path.centre + clean
            return
        m_s, s_s = path.at(s)
        _, s_t = path.at(t)
        ell = path.half_log_snr(t)
        h = path.half_log_snr(s) - ell
        y = x - path.centre
        if index == 0 and recentre and eta < 1:
            y = y + path.at(t)[0] * clean
        weight = -math.expm1(-c * h)
        estimate = clean
        if order == 2 and previous is not None:
            slope_weight = h / 2 if coefficient == "midpoint" else _slope_integral(h, c) / weight
            estimate = clean + (slope_weight / (ell - previous_ell)) * (clean - previous)
        x = path.centre + (s_s / s_t * math.exp(-(eta**2) * h)) * y + (m_s * weight) * estimate
        if eta > 0:
            x = x + (s_s * math.sqrt(-math.expm1(-2 * eta**2 * h))) * randn_like(x)
        previous, previous_ell = clean, ell
        yield x


def _slope_integral(h: float, c: float) -> float:
    """E_1 = c times the integral of exp(-c (h - q)) q over 0..h, by its series where the difference would cancel."""
    if c * h < 1e-3:
        return c * h**2 / 2 - c**2 * h**3 / 6
    return h + math.expm1(-c * h) / c


# An entry of the table each; the keyword `eta` stays open for `--eta`.
ode_1 = partial(multistep, order=1, eta=0.0)
ode_2 = partial(multistep, order=2, eta=0.0)
sde_1 = partial(multistep, order=1, eta=1.0)
sde_2 = partial(multistep, order=2, eta=1.0)
