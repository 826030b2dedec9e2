"""The luma of ITU-R BT.601, on which some tasks are measured, and the grey whose mean some borrow."""

import torch
from torch import Tensor


def luma(images: Tensor) -> Tensor:
    """Y of RGB images (B, 3, H, W) in [0, 1]: (B, 1, H, W) in [16 / 255, 235 / 255], float64, not rounded."""
    weights = torch.tensor((65.481, 128.553, 24.966), dtype=torch.float64, device=images.device) / 255
    return (images.double() * weights[:, None, None]).sum(1, keepdim=True) + 16 / 255


def grey(images: Tensor) -> Tensor:
    """The grey of RGB images (B, 3, H, W) in [0, 1]: (B, 1, H, W) in [0, 1], float64: BT.601 in its full range."""
    weights = torch.tensor((0.299, 0.587, 0.114), dtype=torch.float64, device=images.device)
    return (images.double() * weights[:, None, None]).sum(1, keepdim=True)
