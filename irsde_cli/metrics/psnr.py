"""Peak signal-to-noise ratio."""

from torch import Tensor


def psnr(restored: Tensor, clean: Tensor) -> Tensor:
    """PSNR in decibels of each image (B,), float64, over all channels and pixels; infinite where two are equal.

    Both are (B, C, H, W) in [0, 1]. Nothing is clipped, rounded or cropped here: a protocol does that before.
    """
    error = (restored.double() - clean.double()).square().flatten(1).mean(1)
    return -10 * error.log10()
