"""How much white noise a photograph has."""

import torch
from torch import Tensor
from torch.nn import functional as F


def estimate_noise(images: Tensor) -> float:
    """Standard deviation of the white noise in images (B, C, H, W), in their own units.

    From the median of the finest diagonal Haar details (Donoho and Johnstone 1994), which edges hardly reach.
    """
    height, width = (size // 2 * 2 for size in images.shape[-2:])
    if min(height, width) < 2:
        return 0.0
    haar = torch.tensor([[0.5, -0.5], [-0.5, 0.5]], dtype=images.dtype, device=images.device)
    planes = images[..., :height, :width].reshape(-1, 1, height, width)
    details = F.conv2d(planes, haar[None, None], stride=2)
    return float(details.abs().flatten().median() / 0.6745)
