"""Means over images, with what chance leaves of them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 2000


@dataclass(frozen=True)
class Mean:
    """A mean over `count` images with its 95 % interval; infinite values are counted and left out.

    Attributes:
        mean: of the finite values; `None` without one.
        low: of the interval, by the percentile bootstrap over images.
        high: of the interval.
        count: of finite values.
        infinite: of infinite ones: equal images.
    """

    mean: float | None
    low: float | None
    high: float | None
    count: int
    infinite: int = 0


def bootstrap(values: Sequence[float]) -> Mean:
    """The mean of one value an image; the resampling has a fixed seed."""
    finite = np.asarray([value for value in values if math.isfinite(value)])
    infinite = len(values) - len(finite)
    if not len(finite):
        return Mean(None, None, None, 0, infinite)
    draws = np.random.default_rng(0).integers(len(finite), size=(RESAMPLES, len(finite)))
    low, high = np.percentile(finite[draws].mean(1), (2.5, 97.5))
    return Mean(float(finite.mean()), float(low), float(high), len(finite), infinite)
