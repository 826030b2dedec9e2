"""The types that all samplers share, and their arithmetic on pictures that barely fit into memory."""

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Protocol

import torch
from torch import Tensor

from irsde_cli import room

# What a step computes on the way has at most so many elements at once, 4 MB of each.
BAND_ELEMENTS = 1 << 20


class CleanPredictor(Protocol):
    """The estimate of the clean image from the state at a time index, both (B, C, H, W).

    Without gradients each call returns another tensor, which a sampler may overwrite when it needs it no more.
    """

    def __call__(self, x: Tensor, t: int, /) -> Tensor: ...


class PairPredictor(Protocol):
    """The estimate of the clean image and what the network says beside it, both (B, C, H, W); as `CleanPredictor`."""

    def __call__(self, x: Tensor, t: int, /) -> tuple[Tensor, Tensor]: ...


def in_bands(
    formula: Callable[..., Tensor], x: Tensor, *others: Tensor | float | None, into: Tensor | None = None
) -> Tensor:
    """A formula without neighbours, applied to `x` (B, C, H, W) and others that broadcast to it.

    Where no gradients are recorded a large picture goes through it in bands of rows, so that its intermediate results
    take little memory; the values stay the same. They are then written to `into`, which may be one of the others.
    """
    if torch.is_grad_enabled() or x.numel() <= BAND_ELEMENTS:
        return formula(x, *others)
    height = x.shape[-2]
    rows = max(BAND_ELEMENTS * height // x.numel(), 1)
    result = room.zeros(x.shape, x) if into is None else into

    def band(value: Tensor | float | None, span: slice) -> Tensor | float | None:
        return value[..., span, :] if isinstance(value, Tensor) and value.shape[-2] == height else value

    for top in range(0, height, rows):
        span = slice(top, top + rows)
        result[..., span, :] = formula(*(band(value, span) for value in (x, *others)))
        room.rest()
    return result


def transitions(times: Tensor) -> Iterator[tuple[int, int]]:
    """The pairs (t, s), s < t, of a falling sequence of indices."""
    return pairwise(int(t) for t in times.tolist())
