"""Haze: how much contrast a restoration gives back to a small copy of the scene, place by place."""

import math

from torch import Tensor
from torch.nn import functional as F

from irsde_cli.needs.planes import around, luma

LONGEST = 192  # pixels of the longer side at which contrast is compared
NEAR = 7
PLACES = 3  # across and down
LEAST = 1.5 / 255  # contrast of a place that has some
LOW, HIGH = 0.5, 0.75


def gained(degraded: Tensor, restored: Tensor) -> float:
    """By how much local contrast grew from (3, H, W) to the same of it restored, as a factor.

    Haze divides contrast by its transmission, over most of a scene, while a clear photograph gains in its far parts
    alone. So of nine places the middle one and the third one from above count, in the geometric mean.
    """
    before, after = (_contrast(image) for image in (degraded, restored))
    shown = before > LEAST
    if int(shown.sum()) < PLACES:
        return 1.0
    gains = (after[shown].clamp_min(LEAST / 4) / before[shown]).log()
    return math.exp(float((gains.quantile(LOW) + gains.quantile(HIGH)) / 2))


def _contrast(image: Tensor) -> Tensor:
    """(PLACES ** 2,): the mean standard deviation of luma in small squares, of each place of (3, H, W)."""
    factor = max(1, round(max(image.shape[-2:]) / LONGEST))
    plane = F.avg_pool2d(luma(image)[None, None], min(factor, *image.shape[-2:]))[0, 0]
    variance = around(plane.square(), NEAR) - around(plane, NEAR).square()
    return F.adaptive_avg_pool2d(variance.clamp_min(0).sqrt()[None, None], PLACES).flatten()
