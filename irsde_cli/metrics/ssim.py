"""Structural similarity, as its authors define it (Wang et al. 2004)."""

import torch
from torch import Tensor
from torch.nn import functional as F

WINDOW = 11
SIGMA = 1.5


def ssim(restored: Tensor, clean: Tensor) -> Tensor:
    """SSIM of each image (B,), float64: the mean over channels and over the windows that lie within the image.

    Both are (B, C, H, W) in [0, 1]. The window is a Gaussian of 11 x 11 pixels with standard deviation 1.5;
    K1 = 0.01, K2 = 0.03. Libraries that pad the border or take another window give other numbers.

    Raises:
        ValueError: the images are smaller than the window.
    """
    height, width = clean.shape[-2:]
    if min(height, width) < WINDOW:
        raise ValueError(f"SSIM needs images of at least {WINDOW} x {WINDOW} pixels, not {width} x {height}")
    a, b = restored.double(), clean.double()
    mean_a, mean_b, square_a, square_b, product = map(_windowed, (a, b, a * a, b * b, a * b))
    variances = square_a - mean_a**2 + square_b - mean_b**2
    covariance = product - mean_a * mean_b
    c1, c2 = 0.01**2, 0.03**2
    similarity = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    similarity = similarity / ((mean_a**2 + mean_b**2 + c1) * (variances + c2))
    return similarity.flatten(1).mean(1)


def _windowed(x: Tensor) -> Tensor:
    offset = torch.arange(WINDOW, dtype=x.dtype, device=x.device) - WINDOW // 2
    weights = (-(offset**2) / (2 * SIGMA**2)).exp()
    weights = weights / weights.sum()
    planes = x.flatten(0, 1)[:, None]
    planes = F.conv2d(F.conv2d(planes, weights[None, None, :, None]), weights[None, None, None, :])
    return planes.reshape(*x.shape[:2], *planes.shape[-2:])
