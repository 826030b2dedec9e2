"""JPEG: the steps to which a picture's cosines were rounded, read from its pixels, whatever file it is in now."""

import math
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from irsde_cli.images import in_unit
from irsde_cli.needs import planes
from irsde_cli.needs.planes import bands, luma

SIDE = 8
# The first cosines along the zigzag but the mean.
FIRST = ((0, 1), (1, 0), (2, 0), (1, 1), (0, 2), (0, 3), (1, 2), (2, 1), (3, 0), (4, 0), (3, 1), (2, 2), (1, 3), (0, 4))
FEWEST = 5  # of these must show their step
LARGEST_STEP = 64
LARGEST = 1100  # beyond any cosine of 8-bit values
MOST_BLOCKS = 3000  # of which steps are read
MORE_BLOCKS = 16 * MOST_BLOCKS  # among which these are looked for where much is clipped
LINES = 256  # of which is read where blocks begin
# How far multiples of the step may be missed, beside what would be missed by chance: pixels were rounded too.
MISSED = 0.28
ROUNDING = 0.25
WITHIN = 0.4


@dataclass(frozen=True, eq=False)
class Grid:
    """How a picture was rounded.

    Attributes:
        top: rows above the first block.
        left: columns before it.
        steps: (8, 8), by vertical and horizontal frequency, in 8-bit units of luma; 1 where none shows.
    """

    top: int
    left: int
    steps: Tensor


@cache
def cosines() -> Tensor:
    """(64, 64): the orthonormal cosine transform of a block, whose pixels are taken row by row."""
    frequency, place = torch.arange(SIDE)[:, None], torch.arange(SIDE)[None]
    rows = torch.cos(math.pi * (2 * place + 1) * frequency / (2 * SIDE)) * math.sqrt(2 / SIDE)
    rows[0] *= math.sqrt(0.5)
    return torch.kron(rows, rows)


def coarseness(picture: Tensor) -> float:
    """The middle one of the steps that show in (3, H, W), in 8-bit units; 0 where the picture was not rounded."""
    grid = find_grid(picture)
    if grid is None:
        return 0.0
    found = sorted(float(grid.steps[place]) for place in FIRST if grid.steps[place] > 1)
    return found[len(found) // 2]


def consistent(degraded: Tensor, restored: Tensor) -> Tensor:
    """A restored picture (3, H, W), changed in place so that its luma could have been rounded to the degraded one's.

    Each cosine is kept within `WITHIN` of its step of what the file says, the narrow quantisation constraint of Park
    and Lee (1999); the exact bound is one half. The degraded picture is in [0, 1], or samples that
    `irsde_cli.images.in_unit` makes so.
    """
    grid = find_grid(degraded)
    if grid is None:
        return restored
    shown = grid.steps > 1
    most = WITHIN * torch.where(shown, grid.steps, grid.steps[shown].median()).flatten().to(restored)
    inner, given = (picture[:, grid.top :, grid.left :] for picture in (restored, degraded))
    width = inner.shape[2] // SIDE * SIDE
    for rows in bands(inner.shape[1] // SIDE * SIDE, max(planes.BAND // SIDE, 1) * SIDE):
        after = inner[:, rows, :width]
        change = transformed(luma(after).sub_(luma(in_unit(given[:, rows, :width]))).mul_(255))
        beyond = change - torch.minimum(torch.maximum(change, -most), most)
        lost = (beyond @ cosines().to(beyond)).div_(255).reshape(-1, width // SIDE, SIDE, SIDE)
        after -= lost.transpose(1, 2).reshape(after.shape[1:])
    return restored.clamp_(0, 1)


def find_grid(picture: Tensor) -> Grid | None:
    """How (3, H, W), in [0, 1] or whole numbers, was rounded; `None` where too few steps show.

    It then never was a JPEG, or a fine one, or is resized.
    """
    if min(picture.shape[1:]) < 2 * SIDE:
        return None
    found = _grid(picture, 0, 0)
    if found is not None:
        return found
    top, left = _phase(picture.mT), _phase(picture)
    return _grid(picture, top, left) if top or left else None


def transformed(plane: Tensor) -> Tensor:
    """The cosines (N, 64) of the blocks of a plane (H, W) of whole blocks."""
    rows, columns = plane.shape[0] // SIDE, plane.shape[1] // SIDE
    found = plane.reshape(rows, SIDE, columns, SIDE).transpose(1, 2).reshape(-1, SIDE * SIDE)
    return found @ cosines().to(plane).T


def _grid(picture: Tensor, top: int, left: int) -> Grid | None:
    """How a picture (3, H, W) was rounded if its blocks begin there; `None` where too few steps show."""
    found = _some_blocks(picture[:, top:, left:])
    if len(found) < 2 * SIDE:
        return None
    steps = _steps((found @ cosines().T).abs()).reshape(SIDE, SIDE)
    return Grid(top, left, steps) if sum(float(steps[place]) > 1 for place in FIRST) >= FEWEST else None


def _some_blocks(picture: Tensor) -> Tensor:
    """(N, 64): evenly spread blocks of luma of (3, H, W), in 8-bit units, about its middle grey of 128.

    What is clipped was rounded once more, and is left out: of a picture of which much is, more blocks are looked at.
    """
    rows, columns = (size // SIDE for size in picture.shape[1:])
    whole = picture[:, : rows * SIDE, : columns * SIDE].reshape(3, rows, SIDE, columns, SIDE)
    for looked_at in (MOST_BLOCKS, MORE_BLOCKS):
        places = torch.linspace(0, rows * columns - 1, min(looked_at, rows * columns)).long()
        some = whole[:, places // columns, :, places % columns].permute(1, 0, 2, 3)
        found = luma(in_unit(some.reshape(3, -1, SIDE * SIDE))).cpu() * 255 - 128
        found = found[(found.amin(1) > -127) & (found.amax(1) < 126)]
        if len(found) >= min(looked_at, MOST_BLOCKS) // 2:
            break
    return found[torch.linspace(0, len(found) - 1, min(MOST_BLOCKS, len(found))).long()]


def _phase(picture: Tensor) -> int:
    """The column of (3, H, W) where blocks begin, by steps between neighbours that stand out in some rows."""
    plane = luma(in_unit(picture[:, :: -(-picture.shape[1] // LINES)]))
    rise = (plane[:, 1:] - plane[:, :-1]).abs_().mean(0)
    beyond = rise[1:-1] - (rise[:-2] + rise[2:]) / 2
    whole = beyond[: len(beyond) // SIDE * SIDE]
    return (int(whole.reshape(-1, SIDE).mean(0).argmax()) + 2) % SIDE


def _steps(sizes: Tensor) -> Tensor:
    """(64,): for each of the cosines (N, 64), without signs, the largest step of which those that are not 0 are near
    a multiple; 1 where there is none.
    """
    tried, misses, slopes = _tried()
    halves = (2 * sizes).long().clamp_max(2 * LARGEST - 1)
    places = (halves + 2 * LARGEST * torch.arange(SIDE * SIDE)).flatten()
    shape = (SIDE * SIDE, 2 * LARGEST)
    counts = places.bincount(minlength=shape[0] * shape[1]).reshape(shape).float()
    rest = places.bincount((sizes - halves / 2).flatten(), shape[0] * shape[1]).reshape(shape).float()
    used = int(halves.max()) + 1
    counted = counts.sum(1, keepdim=True) - counts.cumsum(1)[:, 1:LARGEST_STEP]  # those that are not rounded to 0
    missed = (counts[:, :used] @ misses[:used] + rest[:, :used] @ slopes[:used]) / counted.clamp_min(1) * 4
    allowed = (4 * ROUNDING / tried).clamp(MISSED, 0.6)
    fits = (missed < allowed) & (counted >= max(6, 0.004 * len(sizes)))
    largest = (tried * fits).amax(1, keepdim=True)
    # Of the largest and those a little smaller, the one that is missed least.
    found = tried[missed.masked_fill(~fits | (tried < 0.9 * largest), math.inf).argmin(1)]
    return torch.where(fits.any(1), found, 1.0)


@cache
def _tried() -> tuple[Tensor, Tensor, Tensor]:
    """Steps, and how far a size misses the multiples of each: at the beginning of each half of a unit, and its slope.

    Between two halves of a unit that is linear, for all steps that are whole: sums of sizes tell it exactly.
    """
    tried = torch.arange(2, LARGEST_STEP + 1, dtype=torch.float32)
    times = torch.arange(2 * LARGEST)[:, None] / (2 * tried)
    nearest = (times + 0.5).floor()
    slopes = torch.where(times >= nearest, 1, -1) / tried
    return tried, (times - nearest).abs() * (nearest > 0), slopes * (nearest > 0)
