"""What the measures share: luma, quantiles and means of surroundings."""

import torch
from torch import Tensor
from torch.nn import functional as F

LUMA = (0.299, 0.587, 0.114)
MOST = 1 << 17  # elements that a quantile is taken of


def luma(picture: Tensor) -> Tensor:
    """(H, W), of RGB (3, H, W), as ITU-R BT.601 weighs it."""
    return (picture * torch.tensor(LUMA, device=picture.device)[:, None, None]).sum(0)


def quantile(values: Tensor, share: float) -> float:
    """Of evenly spread elements where there are many."""
    flat = values.flatten()
    return float(flat[:: -(-len(flat) // MOST)].float().quantile(share))


def around(plane: Tensor, side: int) -> Tensor:
    """Means of squares of an odd `side` around each pixel of (H, W), or of what of them lies in the picture."""
    half, means = side // 2, plane[None, None]
    for shape, padding in (
        ((side, 1), (half, 0)),
        ((1, side), (0, half)),
    ):  # one after the other: side / 2 times faster
        means = F.avg_pool2d(means, shape, stride=1, padding=padding, count_include_pad=False)
    return means[0, 0]


def detail(planes: Tensor) -> Tensor:
    """What the mask of Immerkaer (1996), of unit gain for white noise, finds in (..., H, W): (..., H - 2, W - 2).

    Second differences down, then across: five times as fast as the convolution.
    """
    down = planes[..., 2:, :] + planes[..., :-2, :] - 2 * planes[..., 1:-1, :]
    return (down[..., 2:] + down[..., :-2] - 2 * down[..., 1:-1]) / 6
