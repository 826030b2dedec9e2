"""Means over images, with what chance leaves of them."""

import math
import statistics
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


def share_interval(count: int, of: int) -> tuple[float, float]:
    """The 95 % interval of a share, by Wilson's formula: none in ten may still be one in four."""
    z = statistics.NormalDist().inv_cdf(0.975)
    share, weight = count / of, z**2 / of
    middle, half = share + weight / 2, z * math.sqrt(share * (1 - share) / of + weight / of / 4)
    return max((middle - half) / (1 + weight), 0.0), min((middle + half) / (1 + weight), 1.0)


def resampled(values: Sequence[float], others: Sequence[float]) -> Mean:
    """The sum of the values by that of the others, pair by pair, with its 95 % interval by the bootstrap over pairs.

    `None` where the others are all zero.
    """
    top, bottom = np.asarray(values, float), np.asarray(others, float)
    if not bottom.sum() > 0:
        return Mean(None, None, None, 0)
    drawn = np.random.default_rng(0).integers(len(top), size=(RESAMPLES, len(top)))
    sums = bottom[drawn].sum(1)
    low, high = np.percentile(top[drawn].sum(1)[sums > 0] / sums[sums > 0], (2.5, 97.5))
    return Mean(float(top.sum() / bottom.sum()), float(low), float(high), len(top))
