"""Blur of motion or focus: how sharp the sharpest edges are in the direction in which they are softest."""

import torch
from torch import Tensor

from irsde_cli.needs.planes import luma, quantile

LENGTH = 9  # pixels of a line across an edge
CONTRAST = 0.12  # an edge is at least so high
EDGES = 50  # fewer say nothing
SHARP = 0.9


def sharpness(picture: Tensor) -> float:
    """The largest step between neighbours, beside all that a line of nine pixels climbs: 1 is an edge of one pixel.

    Of each of four directions the sharpest tenth of the lines counts, and of these directions the softest: motion
    leaves the edges along it sharp. A picture (3, H, W) without edges counts as sharp.
    """
    plane = luma(picture)
    lines = (plane, plane.T, _slanted(plane, 1), _slanted(plane, -1))
    return min((found for found in map(_steepness, lines) if found is not None), default=1.0)


def _steepness(plane: Tensor) -> float | None:
    """Of the lines along the rows; `None` if they cross too few edges."""
    if plane.shape[1] < LENGTH:
        return None
    lines = plane.unfold(1, LENGTH, 2)
    climb = lines.amax(-1) - lines.amin(-1)
    edges = climb > CONTRAST
    if int(edges.sum()) < EDGES:
        return None
    step = (lines[..., 1:] - lines[..., :-1]).abs().amax(-1)
    return quantile((step[edges] / climb[edges]), SHARP)


def _slanted(plane: Tensor, slope: int) -> Tensor:
    """The diagonals of (H, W) as rows; those that leave it on one side go on at the other."""
    height, width = plane.shape
    rows = torch.arange(height, device=plane.device)[:, None]
    columns = torch.arange(width, device=plane.device)[None]
    return plane[rows, (columns + slope * rows) % width].T
