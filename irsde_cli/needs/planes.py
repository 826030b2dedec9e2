"""What the measures share: luma, quantiles and means of surroundings."""

import torch
from torch import Tensor
from torch.nn import functional as F

LUMA = (0.299, 0.587, 0.114)
MOST = 1 << 20  # elements that a quantile is taken of


def luma(picture: Tensor) -> Tensor:
    """(H, W), of RGB (3, H, W), as ITU-R BT.601 weighs it."""
    return (picture * torch.tensor(LUMA, device=picture.device)[:, None, None]).sum(0)


def quantile(values: Tensor, share: float) -> float:
    """Of evenly spread elements where there are many."""
    flat = values.flatten()
    return float(flat[:: -(-len(flat) // MOST)].float().quantile(share))


def around(plane: Tensor, side: int) -> Tensor:
    """Means of squares of an odd `side` around each pixel of (H, W), or of what of them lies in the picture."""
    return F.avg_pool2d(plane[None, None], side, stride=1, padding=side // 2, count_include_pad=False)[0, 0]
