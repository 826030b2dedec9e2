"""Rain: whether what was taken out of a picture is streaks of one direction, all over it."""

import torch
from torch import Tensor
from torch.nn import functional as F

from irsde_cli.needs import SIGNS
from irsde_cli.needs.planes import luma

SIDE = 32


def taken(degraded: Tensor, restored: Tensor) -> tuple[float, Tensor]:
    """How well squares of 32 pixels agree on a direction, from 0 to 1; how much of the difference counts, (1, 1, 1).

    Of each square the doubled angle of the slopes of the difference has a mean, whose length is how sure it is; of
    these means the mean is taken, so that one large structure that the network took for rain does not decide.
    """
    plane = luma(degraded - restored)
    plane = F.avg_pool2d(plane[None, None], 3, stride=1, padding=1)[0, 0]
    across = plane[1:-1, 2:] - plane[1:-1, :-2]
    down = plane[2:, 1:-1] - plane[:-2, 1:-1]
    doubled = torch.stack((across.square() - down.square(), 2 * across * down, across.square() + down.square()))
    side = min(SIDE, *doubled.shape[-2:])
    if side < 1:
        return 0.0, plane.new_zeros(1, 1, 1)
    cosine, sine, length = F.avg_pool2d(doubled[None], side)[0]
    sure = torch.stack((cosine, sine)) / length.clamp_min(1e-12)
    agreed = float(sure.mean((1, 2)).norm())
    return agreed, plane.new_full((1, 1, 1), SIGNS["derain"].weight(agreed))
