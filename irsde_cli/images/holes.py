"""A smooth surface for holes in images."""

import torch
from torch import Tensor
from torch.nn import functional as F

SWEEPS = 16


def smoothed(images: Tensor, hole: Tensor) -> Tensor:
    """`images` (B, C, H, W) with each `hole`, (B, 1, H, W) of booleans, as smooth as its border allows.

    The surface is nearly harmonic: it is found from coarse to fine, with `SWEEPS` of Jacobi's method at each level, and
    has no slope across the image's own border. An image that is all hole becomes white.
    """
    if not bool(hole.any()):
        return images
    out = images.clone()
    for channel in range(images.shape[1]):  # one by one, so that a large image takes little memory
        plane = slice(channel, channel + 1)
        out[:, plane] = _surface(images[:, plane].masked_fill(hole, 0), hole)
    return out


def _surface(plane: Tensor, hole: Tensor) -> Tensor:
    """`plane` (B, 1, H, W), zero in holes, with these filled."""
    height, width = hole.shape[-2:]
    if height == width == 1:
        return plane.masked_fill(hole, 1.0)
    if not bool(hole.any()):
        return plane
    even = (0, width % 2, 0, height % 2)
    weight = F.avg_pool2d(F.pad((~hole).to(plane), even), 2)
    mean = F.avg_pool2d(F.pad(plane, even), 2) / weight.clamp_min(0.25)
    coarse = _surface(mean, weight == 0)
    start = F.interpolate(coarse, scale_factor=2, mode="bilinear")[..., :height, :width]
    surface = torch.where(hole, start, plane)
    del start, plane
    for _ in range(SWEEPS):
        near = F.pad(surface, (1, 1, 1, 1), mode="replicate")
        around = near[..., :-2, 1:-1] + near[..., 2:, 1:-1]
        around.add_(near[..., 1:-1, :-2]).add_(near[..., 1:-1, 2:]).div_(4)
        torch.where(hole, around, surface, out=surface)
    return surface
