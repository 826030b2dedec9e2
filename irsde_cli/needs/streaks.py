"""Rain: whether what was taken out of a picture is streaks of one direction, all over it."""

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from irsde_cli.images import in_unit
from irsde_cli.needs import SIGNS, planes
from irsde_cli.needs.planes import Share, alike, bands, luma

SIDE = 32
OWN = 0.5  # how much a picture's own structures of that direction count against it
ACROSS = -0.2


def taken(degraded: Tensor, restored: Tensor) -> tuple[float, Share]:
    """How well squares of 32 pixels agree on a direction, about 0 to 1; how much of the difference counts.

    Of each square the doubled angle of the slopes of the difference has a mean, whose length is how sure it is; of
    these means the mean is taken, so that one large structure that the network took for rain does not decide. Rain
    falls where it will; where the structures that are left have that direction too, it is the picture's own.

    Args:
        degraded: (3, H, W) in [0, 1], or samples that `irsde_cli.images.in_unit` makes so.
        restored: (3, H, W).
    """
    out, rest = [], []
    for rows, within in _bands(*degraded.shape[1:]):
        after = restored[:, rows]
        out.append(_directions(luma(in_unit(degraded[:, rows]) - after), within))
        rest.append(_directions(luma(after), within))
    taken_out, left = torch.cat(out, 1), torch.cat(rest, 1)
    mean = taken_out.mean((1, 2))
    agreed = float(mean.norm())
    own = float((left * (mean / max(agreed, 1e-12))[:, None, None]).sum(0).mean())
    figure = agreed - OWN * max(own, ACROSS)
    share = restored.new_full((1, 1, 1), SIGNS["derain"].weight(figure))
    return figure, partial(alike, share)


def _bands(height: int, width: int) -> Iterator[tuple[slice, slice]]:
    """Rows on which bands of whole squares depend, and which of their slopes' means the bands have."""
    side = min(SIDE, height - 2, width - 2)
    if side < 1:
        yield slice(0, height), slice(0, height)
        return
    for rows in bands((height - 2) // side * side, max(planes.BAND // side, 1) * side):
        first = max(rows.start - 1, 0)
        yield slice(first, rows.stop + 3), slice(rows.start - first, rows.stop - first + 2)


def _directions(plane: Tensor, within: slice) -> Tensor:
    """(2, h, w): of squares of (H, W) the mean doubled angle of the slopes, no longer than 1; 0 where it has none.

    Args:
        plane: what slopes are taken of, smoothed.
        within: the rows of it that have squares, and one above and below them.
    """
    plane = F.avg_pool2d(plane[None, None], 3, stride=1, padding=1)[0, 0, within]
    across = plane[1:-1, 2:] - plane[1:-1, :-2]
    down = plane[2:, 1:-1] - plane[:-2, 1:-1]
    doubled = torch.stack((across.square() - down.square(), 2 * across * down, across.square() + down.square()))
    side = min(SIDE, *doubled.shape[-2:])
    if side < 1:
        return plane.new_zeros(2, 1, 1)
    means = F.avg_pool2d(doubled[None], side)[0]
    sure: Tensor = means[:2] / means[2].clamp_min(1e-12)
    return sure
