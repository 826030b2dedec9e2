"""What the measures share: luma, quantiles and means of surroundings, and how large pictures are gone through."""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from irsde_cli.runtime import give_back

BAND = 64  # rows that are looked at at a time: of a large picture nothing is held twice
GIVEN_BACK = 16  # bands
# How much of a difference counts in some rows of (3, H, W): what broadcasts to these.
Share = Callable[[slice], Tensor]
LUMA = (0.299, 0.587, 0.114)
MOST = 1 << 17  # elements that a quantile is taken of


def luma(picture: Tensor) -> Tensor:
    """(H, W), of RGB (3, H, W), as ITU-R BT.601 weighs it."""
    found: Tensor = picture[0] * LUMA[0]
    return found.add_(picture[1], alpha=LUMA[1]).add_(picture[2], alpha=LUMA[2])


def alike(share: Tensor, rows: slice) -> Tensor:
    """A `Share` that is the same in all rows; given it, `partial` makes it one."""
    return share


def bands(height: int, rows: int = 0) -> Iterator[slice]:
    """A height cut into bands of so many rows, or of `BAND`; the last may have fewer.

    Every now and then what was freed goes back to the system: glibc would hold ever more of it.
    """
    rows = rows or BAND
    for index, top in enumerate(range(0, height, rows), start=1):
        yield slice(top, min(top + rows, height))
        if index % GIVEN_BACK == 0:
            give_back()


def quantile(values: Tensor, share: float) -> float:
    """Of evenly spread elements where there are many; as `torch.quantile` has it, without sorting them all."""
    flat = values.flatten()
    flat = flat[:: -(-len(flat) // MOST)].float().cpu()
    place = share * (len(flat) - 1)
    below = int(place)
    above = min(below + 1, len(flat) - 1)
    parted = np.partition(flat.numpy(), (below, above))
    return float(parted[below] + (place - below) * (parted[above] - parted[below]))


def sums(plane: Tensor, side: int) -> Tensor:
    """Of all squares of `side` pixels of (..., H, W): (..., H - side + 1, W - side + 1).

    Sums of two neighbours, of two of these and so on: a pooling takes ten times as long, and sums of whole lines would
    lose what is small.
    """
    for dimension in (-2, -1):
        size = plane.shape[dimension] - side + 1
        found, done, width = None, 0, 1
        while width <= side:
            if side & width:
                part = plane.narrow(dimension, done, size)
                found = part.clone() if found is None else found.add_(part)
                done += width
            width *= 2
            if width <= side:
                count = plane.shape[dimension] - width // 2
                plane = plane.narrow(dimension, 0, count) + plane.narrow(dimension, width // 2, count)
        assert found is not None, "a side has at least one pixel"
        plane = found
    return plane


def around(plane: Tensor, side: int) -> Tensor:
    """Means of squares of an odd `side` around each pixel of (H, W), or of what of them lies in the picture."""
    half = side // 2
    down, across = (_counts(size, half, plane) for size in plane.shape)
    return sums(F.pad(plane, (half,) * 4), side).div_(down[:, None]).div_(across)


def _counts(size: int, half: int, like: Tensor) -> Tensor:
    """(size,): how many of each place and of `half` beside it, on both sides, there are."""
    places = torch.arange(size, device=like.device)
    return ((places + half).clamp_max(size - 1) - (places - half).clamp_min(0) + 1).to(like)


def pooled(planes: Tensor, side: int) -> Tensor:
    """Means of squares of `side` pixels of (..., H, W), of whole ones: (..., H // side, W // side)."""
    height, width = (size // side for size in planes.shape[-2:])
    whole = planes[..., : height * side, : width * side]
    rows = whole.reshape(*planes.shape[:-2], height, side, width * side).sum(-2)
    found = rows[..., ::side].clone()
    for place in range(1, side):
        found.add_(rows[..., place::side])
    return found.div_(side**2)


def detail(planes: Tensor) -> Tensor:
    """What the mask of Immerkaer (1996), of unit gain for white noise, finds in (..., H, W): (..., H - 2, W - 2).

    Second differences down, then across: five times as fast as the convolution.
    """
    down = (planes[..., 2:, :] + planes[..., :-2, :]).sub_(planes[..., 1:-1, :], alpha=2)
    return (down[..., 2:] + down[..., :-2]).sub_(down[..., 1:-1], alpha=2).div_(6)
