"""Rain: whether what was taken out of a picture is streaks of one direction, all over it."""

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from irsde_cli.images import in_unit
from irsde_cli.needs import SIGNS, planes
from irsde_cli.needs.planes import Share, alike, bands, luma, pooled, sums

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
        after = luma(restored[:, rows])
        out.append(directions(luma(in_unit(degraded[:, rows])).sub_(after), within))
        rest.append(directions(after, within))
    figure = agreed(torch.cat(out, 1), torch.cat(rest, 1))
    share = restored.new_full((1, 1, 1), SIGNS["derain"].weight(figure))
    return figure, partial(alike, share)


def agreed(taken_out: Tensor, left: Tensor) -> float:
    """How well `directions` of what was taken out agree, less what of that direction is left."""
    mean = taken_out.mean((1, 2))
    length = float(mean.norm())
    own = float((left * (mean / max(length, 1e-12))[:, None, None]).sum(0).mean())
    return length - OWN * max(own, ACROSS)


def _bands(height: int, width: int) -> Iterator[tuple[slice, slice]]:
    """Rows on which bands of whole squares depend, and which of their slopes' means the bands have."""
    side = min(SIDE, height - 2, width - 2)
    if side < 1:
        yield slice(0, height), slice(0, height)
        return
    for rows in bands((height - 2) // side * side, max(planes.BAND // side, 1) * side):
        first = max(rows.start - 1, 0)
        yield slice(first, rows.stop + 3), slice(rows.start - first, rows.stop - first + 2)


def directions(plane: Tensor, within: slice = slice(None)) -> Tensor:
    """(2, h, w): of squares of (H, W) the mean doubled angle of the slopes, no longer than 1; 0 where it has none.

    Args:
        plane: what slopes are taken of, smoothed.
        within: the rows of it that have squares, and one above and below them.
    """
    plane = sums(F.pad(plane, (1, 1, 1, 1)), 3)[within]
    across = (plane[1:-1, 2:] - plane[1:-1, :-2]).div_(9)
    down = (plane[2:, 1:-1] - plane[:-2, 1:-1]).div_(9)
    side = min(SIDE, *across.shape)
    if side < 1:
        return plane.new_zeros(2, 1, 1)
    both = pooled(across * down, side)
    across, down = pooled(across.square_(), side), pooled(down.square_(), side)
    return torch.stack((across - down, 2 * both)) / (across + down).clamp_min(1e-12)
