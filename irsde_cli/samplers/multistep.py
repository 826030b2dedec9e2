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

# Stands for an infinite h, from a start that holds nothing of the clean image: zero times it is zero.
ENDLESS = 1e30


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
    boot: bool = True,
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
        boot: draw the noise that a state lacks where the path has none of it: at the end of a bridge, which holds
            nothing of the clean image. Without it `eta` 0 stays on the path's mean.
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
        h = min(path.half_log_snr(s) - ell, ENDLESS)
        strength = torch.as_tensor(eta[index] if isinstance(eta, Sequence) else eta, dtype=torch.float64)
        if s_t == 0:  # a pinned end, or no noise at all: the next state's mean, and noise of its own
            x = in_bands(_mean, clean, path.centre, m_s, into=clean)
            if boot and s_s > 0:
                x = add_noise(x, s_s, randn_like)
            yield x
            continue
        lack = _factor(m_t * (strength < 1), x) if index == 0 and recentre else None
        c = 1 + strength**2
        weight = -torch.expm1(-c * h)
        slope = None
        if order == 2 and previous is not None and math.isfinite(previous_ell):
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


def _mean(clean: Tensor, centre: Tensor, m: float) -> Tensor:
    """The mean of the state that holds a share m of the clean image."""
    return centre + m * (clean - centre)


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
# As RDBM samples: a bridge without any noise, which stays at the mean however many steps it takes.
noiseless = partial(multistep, order=1, eta=0.0, recentre=False, boot=False)
