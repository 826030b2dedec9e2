"""A larger picture: made small again, it is to be its input. And small copies, to look at."""

import math
from collections.abc import Iterator

from torch import Tensor
from torch.nn import functional as F

from irsde_cli import room
from irsde_cli.images import in_unit

BAND = 64  # rows of the smaller picture that are taken at a time: a large one is not held twice
REACH = 4  # rows of it that a band's result depends on beyond it
FINER = 4  # times as fine is what means are taken of, along each side: a large picture is not converted whole


def consistent(degraded: Tensor, restored: Tensor) -> Tensor:
    """A restored picture (3, H * scale, W * scale), taken nearer in place to what reduces to the degraded (3, H, W).

    The degraded picture is in [0, 1], or samples that `irsde_cli.images.in_unit` makes so.

    One step of the back-projection of Irani and Peleg (1991): what is missed when it is made small again, bicubically
    as the field does it, is added enlarged.
    """
    scale = restored.shape[-1] // degraded.shape[-1]
    if scale < 2:
        return restored
    missed = restored.new_empty(degraded.shape)
    for rows, taken, inner in _bands(degraded.shape[-2]):
        part = restored[:, taken.start * scale : taken.stop * scale]
        missed[:, rows] = in_unit(degraded[:, rows]) - resized(part, degraded[:, taken])[:, inner]
        room.rest()
    for rows, taken, inner in _bands(degraded.shape[-2]):
        part = restored[:, taken.start * scale : taken.stop * scale]
        added = resized(missed[:, taken], part)[:, inner.start * scale : inner.stop * scale]
        restored[:, rows.start * scale : rows.stop * scale].add_(added).clamp_(0, 1)
        room.rest()
    return restored


def resized(image: Tensor, like: Tensor) -> Tensor:
    """(3, H, W) at the size of another; bicubic, without aliasing."""
    size = (like.shape[-2], like.shape[-1])
    return F.interpolate(image[None], size=size, mode="bicubic", antialias=True, align_corners=False)[0]


def copy_of(samples: Tensor, pixels: int) -> Tensor:
    """A picture's samples (3, H, W) in [0, 1], made as small as so many `pixels` by means, where they are more."""
    height, width = samples.shape[-2:]
    factor = math.sqrt(height * width / pixels)
    if factor <= 1:
        return in_unit(samples)
    skipped = max(1, int(factor / FINER))
    fine = in_unit(samples[:, ::skipped, ::skipped])
    size = [max(1, round(side / factor)) for side in (height, width)]
    return F.interpolate(fine[None], size=size, mode="area")[0]


def _bands(height: int) -> Iterator[tuple[slice, slice, slice]]:
    """Rows of a band, those rows with what it depends on, and where among these it lies."""
    for top in range(0, height, BAND):
        bottom = min(top + BAND, height)
        first, last = max(0, top - REACH), min(height, bottom + REACH)
        yield slice(top, bottom), slice(first, last), slice(top - first, bottom - first)
