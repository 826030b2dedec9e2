"""Kernel distance between two sets of features (Binkowski et al. 2018): KID, where they are Inception's."""

import numpy as np
from numpy.typing import NDArray

SUBSETS = 100
SUBSET = 1000


def kid(restored: NDArray[np.float32], clean: NDArray[np.float32]) -> float:
    """The unbiased squared maximum mean discrepancy of rows (N, D) under (x . y / D + 1)^3; it may be below zero.

    Up to 1000 rows it is that of all of them; beyond, the mean over 100 random subsets of 1000, as its authors do.

    Raises:
        ValueError: a set has fewer than two rows.
    """
    fewest = min(len(restored), len(clean))
    if fewest < 2:
        raise ValueError(f"a distance of kernels needs at least 2 pictures, not {fewest}")
    if max(len(restored), len(clean)) <= SUBSET:
        return _discrepancy(restored, clean)
    generator = np.random.default_rng(0)

    def drawn(features: NDArray[np.float32]) -> NDArray[np.float32]:
        return features[np.sort(generator.choice(len(features), min(SUBSET, len(features)), replace=False))]

    return float(np.mean([_discrepancy(drawn(restored), drawn(clean)) for _ in range(SUBSETS)]))


def _discrepancy(restored: NDArray[np.float32], clean: NDArray[np.float32]) -> float:
    x, y = restored.astype(np.float64), clean.astype(np.float64)
    return _within(x) + _within(y) - 2 * float(_kernel(x, y).mean())


def _within(x: NDArray[np.float64]) -> float:
    """The mean of the kernel over pairs of different rows."""
    values = _kernel(x, x)
    return float((values.sum() - values.trace()) / (len(x) * (len(x) - 1)))


def _kernel(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    base: NDArray[np.float64] = x @ y.T / x.shape[1] + 1
    return base * base * base
