"""Bicubic downsampling as the field does it: antialiased, equal to MATLAB's imresize."""

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from irsde_cli.degradations.degradation import Degradation
from irsde_cli.operators.linear_map import LinearMap


@dataclass(frozen=True)
class Downsampling(Degradation):
    """Smaller by a whole factor.

    Attributes:
        factor: how many times.
        quantised: whether the result is clipped and rounded to 8 bits, as files are.
    """

    factor: int = 4
    quantised: bool = True

    def __post_init__(self) -> None:
        if not 2 <= self.factor <= 16:
            raise ValueError(f"a factor of {self.factor}: expected 2 to 16")

    @property
    def margin(self) -> int:
        """Half the width of the kernel."""
        return 2 * self.factor

    @property
    def scale(self) -> int:
        """The factor."""
        return self.factor

    def apply(self, clean: Tensor, generator: torch.Generator) -> Tensor:
        """Nothing is drawn; heights and widths that are no multiples of the factor are rounded up."""
        if not self.quantised:
            return self.linear_map(clean, generator).forward(clean)
        rows, columns = (resize_matrix(size, self.factor).to(clean.device) for size in clean.shape[-2:])
        # imresize writes 8 bits after each axis, rows first; without it bright edges are off by up to 12 levels.
        return (_levels(_levels(rows @ (clean.double() * 255)) @ columns.mT) / 255).to(clean)

    def linear_map(self, clean: Tensor, generator: torch.Generator) -> LinearMap:
        """See `Degradation.linear_map`; rows and columns are separate, and so are their pseudo-inverses."""
        rows, columns = (resize_matrix(size, self.factor) for size in clean.shape[-2:])

        def between(left: Tensor, images: Tensor, right: Tensor) -> Tensor:
            return left.to(images) @ images @ right.to(images)

        return LinearMap(
            lambda x: between(rows, x, columns.mT),
            lambda y: between(rows.mT, y, columns),
            lambda y: between(_inverse(clean.shape[-2], self.factor), y, _inverse(clean.shape[-1], self.factor).mT),
        )


@lru_cache(maxsize=64)
def resize_matrix(size: int, factor: int) -> Tensor:
    """The map of one axis, (ceil(size / factor), size), float64; the image is mirrored at its ends."""
    small = math.ceil(size / factor)
    matrix = torch.zeros(small, size, dtype=torch.float64)
    reach = 2 * factor
    for index in range(small):
        middle = (index + 0.5) * factor - 0.5
        taps = torch.arange(math.floor(middle - reach) + 1, math.ceil(middle + reach))
        weights = _cubic((taps - middle) / factor)
        mirrored = taps % (2 * size)
        mirrored = torch.where(mirrored < size, mirrored, 2 * size - 1 - mirrored)
        matrix[index].index_add_(0, mirrored, weights / weights.sum())
    return matrix


@lru_cache(maxsize=16)
def _inverse(size: int, factor: int) -> Tensor:
    inverse: Tensor = torch.linalg.pinv(resize_matrix(size, factor))
    return inverse


def _levels(values: Tensor) -> Tensor:
    """Rounded to 0..255, ties upwards even if an ulp short of it."""
    return (values + 0.5 + 1e-7).floor().clamp(0, 255)


def _cubic(x: Tensor) -> Tensor:
    """Keys' kernel with a = -1/2."""
    x = x.abs().double()
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return torch.where(x <= 1, near, torch.where(x < 2, far, torch.zeros_like(x)))
