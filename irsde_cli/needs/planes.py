"""What the measures share: luma, quantiles and means of surroundings, and how large pictures are gone through."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from irsde_cli.images import in_unit
from irsde_cli.runtime import give_back

BAND = 32  # rows that are looked at at a time: of a large picture nothing is held twice
GIVEN_BACK = 8  # bands
# How much of a difference counts in some rows of (3, H, W): what broadcasts to these.
Share = Callable[[slice], Tensor]
LUMA = (0.299, 0.587, 0.114)
MOST = 1 << 17  # elements that a quantile is taken of


def luma(picture: Tensor) -> Tensor:
    """(H, W), of RGB (3, H, W), as ITU-R BT.601 weighs it."""
    return (picture * torch.tensor(LUMA, device=picture.device)[:, None, None]).sum(0)


def luma_of(samples: Tensor) -> Tensor:
    """The same of samples that `irsde_cli.images.in_unit` takes, in bands."""
    return torch.cat([luma(in_unit(samples[:, rows])) for rows in bands(samples.shape[-2])])


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
