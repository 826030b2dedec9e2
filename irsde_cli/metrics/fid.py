"""Fréchet distance between two sets of features (Heusel et al. 2017): FID, where they are Inception's."""

import numpy as np
from numpy.typing import NDArray

BLOCK = 1024


def fid(restored: NDArray[np.float32], clean: NDArray[np.float32]) -> float:
    """The distance of the Gaussians that have the features' means and covariances; rows are pictures, (N, D).

    The trace of (S1 S2)^(1/2) is taken as the nuclear norm of A1 A2^T, where S = A^T A: no root of a matrix that has
    none when there are fewer pictures than features. Rows are read in blocks, so they may lie on disk.

    Raises:
        ValueError: a set has fewer than two rows.
    """
    (mean, factor), (mean_clean, factor_clean) = _gaussian(restored), _gaussian(clean)
    common = np.linalg.svd(factor @ factor_clean.T, compute_uv=False).sum()
    spread = np.square(factor).sum() + np.square(factor_clean).sum() - 2 * common
    return float(np.square(mean - mean_clean).sum() + spread)


def _gaussian(features: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The mean (D,), and A (at most D, D) with A^T A the unbiased covariance."""
    count, size = features.shape
    if count < 2:
        raise ValueError(f"a covariance needs at least 2 pictures, not {count}")
    mean = sum((block.sum(0) for block in _blocks(features)), np.zeros(size)) / count
    if count <= size:
        return mean, (features.astype(np.float64) - mean) / np.sqrt(count - 1)
    covariance = np.zeros((size, size))
    for block in _blocks(features):
        covariance += (block - mean).T @ (block - mean) / (count - 1)
    variances, axes = np.linalg.eigh(covariance)
    return mean, np.sqrt(variances.clip(0))[:, None] * axes.T


def _blocks(features: NDArray[np.float32]) -> list[NDArray[np.float64]]:
    return [features[first : first + BLOCK].astype(np.float64) for first in range(0, len(features), BLOCK)]
