"""Exponential multistep solvers with data prediction, for any path x_t = centre + m_t y_0 + s_t noise.

On the clock ell = ln(m / s), u = y / m relaxes to the current clean estimate: du = c (D - u) d ell + noise, with
c = 1 + eta^2; eta = 0 is the probability-flow ODE and eta = 1 the reverse SDE. Integrated exactly for a D that is a
polynomial in ell. Order 1 is DDIM (eta 0) and posterior sampling (eta 1); order 2 at eta 0 is DPM-Solver++ 2M.
"""

import math
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from irsde_cli.processes.path import Path
from irsde_cli.randomness import RandnLike, add_noise
from irsde_cli.samplers.sampler import CleanPredictor, in_bands, transitions


def multistep(
    predict_clean: CleanPredictor,
    x: Tensor,
    path: Path,
    times: Tensor,
    randn_like: RandnLike,
    *,
    order: Literal[1, 2] = 2,
    eta: float | Tensor | Sequence[float | Tensor] = 0.0,
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
        eta: 0 to 1 and beyond; a tensor that broadcasts to `x` gives each image or place its own, and a sequence each
            step (one for each transition but the last, which has no noise). All keep the marginals, given the clean
            image.
        recentre: add the mean that the start lacks, m_T y_0, from the first estimate. Without it the ODE has a bias
            that no number of steps removes; at eta >= 1 the noise forgets it, and nothing is done.
        coefficient: how the second-order term is weighted; both are of second order, `midpoint` errs less at few steps.
    """
    previous: Tensor | None = None
    previous_ell = math.nan
    for index, (t, s) in enumerate(transitions(times)):
        clean = predict_clean(x, t)
        if s == 0:
            yield clean
            return
        m_s, s_s = path.at(s)
        m_t, s_t = path.at(t)
        ell = path.half_log_snr(t)
        h = path.half_log_snr(s) - ell
        strength = torch.as_tensor(eta[index] if isinstance(eta, Sequence) else eta, dtype=torch.float64)
        lack = _factor(m_t * (strength < 1), x) if index == 0 and recentre else None
        c = 1 + strength**2
        weight = -torch.expm1(-c * h)
        slope = None
        if order == 2 and previous is not None:
            slope_weight = h / 2 if coefficient == "midpoint" else _factor(_slope_integral(h, c) / weight, x)
            slope = slope_weight / (ell - previous_ell)
        kept = _factor(s_s / s_t * torch.exp(-(strength**2) * h), x)
        gain = _factor(m_s * weight, x)
        spent = previous if order == 2 else clean
        x = in_bands(_jump, x, path.centre, clean, previous, lack, slope, kept, gain, into=spent)
        if bool((strength > 0).any()):
            x = add_noise(x, _factor(s_s * torch.sqrt(-torch.expm1(-2 * strength**2 * h)), x), randn_like)
        previous, previous_ell = clean if order == 2 else None, ell
        del clean
        yield x


def _jump(
    x: Tensor,
    centre: Tensor,
    clean: Tensor,
    previous: Tensor | None,
    lack: Tensor | float | None,
    slope: Tensor | float | None,
    kept: Tensor | float,
    gain: Tensor | float,
) -> Tensor:
    """The next state before noise; `previous` is the clean estimate before this one."""
    y, estimate = x - centre, clean - centre
    if lack is not None:
        y = y + lack * estimate
    if slope is not None and previous is not None:
        estimate = estimate + slope * (clean - previous)
    return centre + kept * y + gain * estimate


def _factor(values: Tensor, x: Tensor) -> Tensor | float:
    """As a number where it is one, which leaves the state's dtype and device alone."""
    return values.to(x) if values.ndim else float(values)


def _slope_integral(h: float, c: Tensor) -> Tensor:
    """E_1 = c times the integral of exp(-c (h - q)) q over 0..h, by its series where the difference would cancel."""
    return torch.where(c * h < 1e-3, c * h**2 / 2 - c**2 * h**3 / 6, h + torch.expm1(-c * h) / c)


# An entry of the table each; the keyword `eta` stays open for `--eta`.
ode_1 = partial(multistep, order=1, eta=0.0)
ode_2 = partial(multistep, order=2, eta=0.0)
sde_1 = partial(multistep, order=1, eta=1.0)
sde_2 = partial(multistep, order=2, eta=1.0)
# Not recentred: on a rectified flow it is Euler's method in the flow's own time, as FLUX is sampled.
ddim = partial(multistep, order=1, eta=0.0, recentre=False)
