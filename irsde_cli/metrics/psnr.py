"""Peak signal-to-noise ratio."""

import torch
from torch import Tensor


def psnr(restored: Tensor, clean: Tensor) -> Tensor:
    """PSNR in decibels of each image (B,), over all channels and pixels, in float64; infinite where two are equal.

    Apple's GPUs have no float64, and compute it in float32. Both are (B, C, H, W) in [0, 1]. Nothing is clipped,
    rounded or cropped here: a protocol does that before.
    """
    precise = torch.float32 if restored.device.type == "mps" else torch.float64
    error = (restored.to(precise) - clean.to(precise)).square().flatten(1).mean(1)
    return -10 * error.log10()
