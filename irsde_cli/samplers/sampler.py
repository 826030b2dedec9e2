"""The types that all samplers share."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Protocol

from torch import Tensor


class CleanPredictor(Protocol):
    """The estimate of the clean image from the state at a time index, both (B, C, H, W)."""

    def __call__(self, x: Tensor, t: int, /) -> Tensor: ...


def transitions(times: Tensor) -> Iterator[tuple[int, int]]:
    """The pairs (t, s), s < t, of a falling sequence of indices."""
    return pairwise(int(t) for t in times.tolist())
