"""Rain: whether what was taken out of a picture is streaks of one direction, all over it."""

import torch
from torch import Tensor
from torch.nn import functional as F

from irsde_cli.needs import SIGNS
from irsde_cli.needs.planes import luma

SIDE = 32
OWN = 0.5  # how much a picture's own structures of that direction count against it
ACROSS = -0.2


def taken(degraded: Tensor, restored: Tensor) -> tuple[float, Tensor]:
    """How well squares of 32 pixels agree on a direction, about 0 to 1; how much of the difference counts, (1, 1, 1).

    Of each square the doubled angle of the slopes of the difference has a mean, whose length is how sure it is; of
    these means the mean is taken, so that one large structure that the network took for rain does not decide. Rain
    falls where it will; where the structures that are left have that direction too, it is the picture's own.
    """
    taken_out, left = (_directions(luma(image)) for image in (degraded - restored, restored))
    mean = taken_out.mean((1, 2))
    agreed = float(mean.norm())
    own = float((left * (mean / max(agreed, 1e-12))[:, None, None]).sum(0).mean())
    figure = agreed - OWN * max(own, ACROSS)
    return figure, degraded.new_full((1, 1, 1), SIGNS["derain"].weight(figure))


def _directions(plane: Tensor) -> Tensor:
    """(2, h, w): of squares of (H, W) the mean doubled angle of the slopes, no longer than 1; 0 where it has none."""
    plane = F.avg_pool2d(plane[None, None], 3, stride=1, padding=1)[0, 0]
    across = plane[1:-1, 2:] - plane[1:-1, :-2]
    down = plane[2:, 1:-1] - plane[:-2, 1:-1]
    doubled = torch.stack((across.square() - down.square(), 2 * across * down, across.square() + down.square()))
    side = min(SIDE, *doubled.shape[-2:])
    if side < 1:
        return plane.new_zeros(2, 1, 1)
    means = F.avg_pool2d(doubled[None], side)[0]
    sure: Tensor = means[:2] / means[2].clamp_min(1e-12)
    return sure
