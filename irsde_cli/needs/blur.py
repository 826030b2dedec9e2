"""Blur of motion or focus: how sharp the sharpest edges are in the direction in which they are softest."""

from itertools import pairwise

import torch
from torch import Tensor

from irsde_cli.needs.planes import luma, quantile

LENGTH = 9  # pixels of a line across an edge
CONTRAST = 0.12  # an edge is at least so high
EDGES = 50  # fewer say nothing
SHARP = 0.9
MOST = 1 << 17  # lines of a direction that are looked at
DIRECTIONS = ((0, 1), (1, 0), (1, 1), (1, -1))  # rows down and columns across


def sharpness(picture: Tensor) -> float:
    """The largest step between neighbours, beside all that a line of nine pixels climbs: 1 is an edge of one pixel.

    Of each of four directions the sharpest tenth of the lines counts, and of these directions the softest: motion
    leaves the edges along it sharp. A picture (3, H, W) without edges counts as sharp.
    """
    plane = luma(picture)
    halves = plane[:, ::2].contiguous(), plane[:, 1::2].contiguous()  # far faster than steps of two in each line
    found = [_steepness(_lines(plane, halves, *direction)) for direction in DIRECTIONS]
    return min((one for one in found if one is not None), default=1.0)


def _lines(plane: Tensor, halves: tuple[Tensor, Tensor], down: int, across: int) -> list[Tensor]:
    """The values (h, w) at each of nine places of lines in a direction, which begin two pixels after each other."""
    reach = LENGTH - 1
    height, width = plane.shape[0] - reach * down, plane.shape[1] - reach * abs(across)
    if min(height, width) < 1:
        return []
    apart = -(-height * width // (2 * MOST))
    if not across:
        thin = plane[:, ::apart].contiguous()
        return [thin[place : place + height : 2] for place in range(LENGTH)]
    found = []
    for place in range(LENGTH):
        left = place if across > 0 else reach - place
        half = halves[left % 2][:, left // 2 : left // 2 + (width + 1) // 2]
        found.append(half[down * place : down * place + height : apart])
    return found


def _steepness(values: list[Tensor]) -> float | None:
    """Of lines; `None` if they cross too few edges."""
    if not values:
        return None
    low, high, step = values[0].clone(), values[0].clone(), torch.zeros_like(values[0])
    for one, other in pairwise(values):
        torch.minimum(low, other, out=low)
        torch.maximum(high, other, out=high)
        torch.maximum(step, (other - one).abs_(), out=step)
    climb = high.sub_(low)
    found = step.div_(climb)[climb > CONTRAST]
    return quantile(found, SHARP) if len(found) >= EDGES else None
