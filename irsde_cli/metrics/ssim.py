"""Structural similarity, as its authors define it (Wang et al. 2004)."""

import torch
from torch import Tensor

WINDOW = 11
SIGMA = 1.5


def ssim(restored: Tensor, clean: Tensor, shown: Tensor | None = None) -> Tensor:
    """SSIM of each image (B,), float64: the mean over channels and over the windows that lie within the image.

    Both are (B, C, H, W) in [0, 1]. The window is a Gaussian of 11 x 11 pixels with standard deviation 1.5;
    K1 = 0.01, K2 = 0.03. Libraries that pad the border or take another window give other numbers. With `shown`,
    (1, 1, H, W), only windows around pixels that are shown count; without one it is not a number.

    Raises:
        ValueError: the images are smaller than the window.
    """
    height, width = clean.shape[-2:]
    if min(height, width) < WINDOW:
        raise ValueError(f"SSIM needs images of at least {WINDOW} x {WINDOW} pixels, not {width} x {height}")
    a, b = restored.double(), clean.double()
    mean_a, mean_b, squares, product = map(_windowed, (a, b, a * a + b * b, a * b))
    means = mean_a**2 + mean_b**2
    mean_product = mean_a * mean_b
    c1, c2 = 0.01**2, 0.03**2
    similarity = (2 * mean_product + c1) * (2 * (product - mean_product) + c2)
    similarity /= (means + c1) * (squares - means + c2)
    if shown is not None:
        half = WINDOW // 2
        similarity = similarity[..., shown[0, 0, half : height - half, half : width - half]]
    return similarity.flatten(1).mean(1)


def _windowed(x: Tensor) -> Tensor:
    """Sums of shifted slices: torch has no fast convolution in float64, and this is five times as fast."""
    offsets = torch.arange(WINDOW, dtype=torch.float64) - WINDOW // 2
    weights = (-(offsets**2) / (2 * SIGMA**2)).exp()
    weights /= weights.sum()
    for dim in (-2, -1):
        size = x.shape[dim] - WINDOW + 1
        total = torch.zeros_like(x.narrow(dim, 0, size))
        for shift, weight in enumerate(weights.tolist()):
            total.add_(x.narrow(dim, shift, size), alpha=weight)
        x = total
    return x
