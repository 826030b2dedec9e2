"""JPEG: the steps to which a picture's cosines were rounded, read from its pixels, whatever file it is in now."""

import math
from dataclasses import dataclass, replace
from functools import cache

import torch
from torch import Tensor

from irsde_cli.images import in_unit
from irsde_cli.needs import planes
from irsde_cli.needs.planes import bands, luma, luma_of

SIDE = 8
# The first cosines along the zigzag but the mean.
FIRST = ((0, 1), (1, 0), (2, 0), (1, 1), (0, 2), (0, 3), (1, 2), (2, 1), (3, 0), (4, 0), (3, 1), (2, 2), (1, 3), (0, 4))
FEWEST = 5  # of these must show their step
LARGEST_STEP = 64
MOST_BLOCKS = 3000
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
    """(8, 8): the orthonormal cosine transform of eight values."""
    frequency, place = torch.arange(SIDE)[:, None], torch.arange(SIDE)[None]
    rows = torch.cos(math.pi * (2 * place + 1) * frequency / (2 * SIDE)) * math.sqrt(2 / SIDE)
    rows[0] *= math.sqrt(0.5)
    return rows


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
    steps = torch.where(shown, grid.steps, grid.steps[shown].median()).to(restored)
    inner = restored[:, grid.top :, grid.left :]
    for rows in bands(inner.shape[1] // SIDE * SIDE, max(planes.BAND // SIDE, 1) * SIDE):
        after = inner[:, rows]
        before = in_unit(degraded[:, grid.top :, grid.left :][:, rows])
        given, made = (transformed(luma(image) * 255, replace(grid, top=0, left=0)) for image in (before, after))
        kept = torch.minimum(torch.maximum(made, given - WITHIN * steps), given + WITHIN * steps)
        change = cosines().to(kept).T @ (kept - made) @ cosines().to(kept)
        change = change.permute(0, 2, 1, 3).reshape(kept.shape[0] * SIDE, kept.shape[1] * SIDE) / 255
        after[..., : change.shape[1]] += change
    return restored.clamp_(0, 1)


def find_grid(picture: Tensor) -> Grid | None:
    """How (3, H, W), in [0, 1] or whole numbers, was rounded; `None` where too few steps show.

    It then never was a JPEG, or a fine one, or is resized.
    """
    plane = luma_of(picture).cpu().mul_(255)
    if min(plane.shape) < 2 * SIDE:
        return None
    for top, left in dict.fromkeys(((0, 0), (_phase(plane.T), _phase(plane)))):
        steps = _steps(plane, top, left)
        if steps is not None and sum(float(steps[place]) > 1 for place in FIRST) >= FEWEST:
            return Grid(top, left, steps)
    return None


def transformed(plane: Tensor, grid: Grid) -> Tensor:
    """The cosines (N, M, 8, 8) of the whole blocks of a luma plane in 8-bit units."""
    return cosines().to(plane) @ blocks(plane, grid.top, grid.left) @ cosines().to(plane).T


def blocks(plane: Tensor, top: int, left: int) -> Tensor:
    """(N, M, 8, 8) of (H, W), about its middle grey of 128."""
    inner = plane[top:, left:]
    rows, columns = inner.shape[0] // SIDE, inner.shape[1] // SIDE
    inner = inner[: rows * SIDE, : columns * SIDE] - 128
    return inner.reshape(rows, SIDE, columns, SIDE).permute(0, 2, 1, 3)


def _phase(plane: Tensor) -> int:
    """The column where blocks begin, by the steps between neighbours that stand out."""
    rise = (plane[:, 1:] - plane[:, :-1]).abs()
    beyond = rise[:, 1:-1] - (rise[:, :-2] + rise[:, 2:]) / 2
    whole = beyond[:, : beyond.shape[1] // SIDE * SIDE]
    return (int(whole.reshape(len(plane), -1, SIDE).mean((0, 1)).argmax()) + 2) % SIDE


def _steps(plane: Tensor, top: int, left: int) -> Tensor | None:
    """For each cosine the largest step of which all that are not 0 are near a multiple."""
    found = blocks(plane, top, left).reshape(-1, SIDE, SIDE)
    found = found[(found.amin((1, 2)) > -127) & (found.amax((1, 2)) < 126)]  # what is clipped was rounded once more
    if len(found) > MOST_BLOCKS:
        found = found[torch.linspace(0, len(found) - 1, MOST_BLOCKS).long()]
    if len(found) < 2 * SIDE:
        return None
    sizes = (cosines() @ found @ cosines().T).abs().reshape(len(found), -1, 1)
    tried = torch.arange(2, LARGEST_STEP + 1, dtype=torch.float32)
    steps = torch.ones(SIDE * SIDE)
    for index in range(SIDE * SIDE):  # all at once would take a gigabyte
        times = sizes[:, index] / tried
        counted = times.round() >= 1
        counts = counted.sum(0)
        missed = ((times - times.round()).abs() * counted).sum(0) / counts.clamp_min(1) * 4
        allowed = torch.maximum(torch.tensor(MISSED), (4 * ROUNDING / tried).clamp_max(0.6))
        fits = (missed < allowed) & (counts >= max(6, 0.004 * len(found)))
        if fits.any():  # of the largest and those a little smaller, the one that is missed least
            largest = tried[fits.nonzero().max()]
            steps[index] = tried[missed.masked_fill(~fits | (tried < 0.9 * largest), math.inf).argmin()]
    return steps.reshape(SIDE, SIDE)
