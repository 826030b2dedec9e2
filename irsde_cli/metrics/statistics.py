"""Means over images, with what chance leaves of them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 2000
BLOCK = 1_000_000


@dataclass(frozen=True)
class Mean:
    """A mean over `count` images with its 95 % interval; infinite values are counted and left out.

    Attributes:
        mean: of the finite values; `None` without one.
        low: of the interval, by the percentile bootstrap over images; `None` for a metric of the whole set.
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
    generator = np.random.default_rng(0)
    rows = max(BLOCK // len(finite), 1)  # so that tens of thousands of images take megabytes, not gigabytes
    means = [
        finite[generator.integers(len(finite), size=(min(rows, RESAMPLES - first), len(finite)))].mean(1)
        for first in range(0, RESAMPLES, rows)
    ]
    low, high = np.percentile(np.concatenate(means), (2.5, 97.5))
    return Mean(float(finite.mean()), float(low), float(high), len(finite), infinite)
