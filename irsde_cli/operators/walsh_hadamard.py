"""Compressed sensing: a few Walsh-Hadamard coefficients of each channel, as DDRM takes them.

Kawar et al., "Denoising Diffusion Restoration Models", NeurIPS 2022.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from irsde_cli.errors import InputError
from irsde_cli.operators.operator import Operator, Recipe, Spectrum


class WalshHadamard(Operator):
    """1 / `factor` of the coefficients, each in the place of a pixel, in the order of `order`; zeros elsewhere.

    Args:
        size: height and width, whose product is a power of two.
        factor: one in so many is kept.
        order: a permutation of the coefficients, whose first are kept; as drawn from `seed` if not given.
        seed: of the permutation.
    """

    alike = False

    def __init__(self, size: tuple[int, int], factor: int, order: Tensor | None = None, seed: int = 0) -> None:
        count = math.prod(size)
        self.kept = count // factor
        self.order = torch.randperm(count, generator=torch.Generator().manual_seed(seed)) if order is None else order

    def forward(self, x: Tensor) -> Tensor:
        """See `Operator.forward`."""
        coefficients = hadamard(x.flatten(2))[..., self.order.to(x.device)]
        return self._cut(coefficients).view_as(x)

    def adjoint(self, y: Tensor) -> Tensor:
        """See `Operator.adjoint`."""
        ordered = self._cut(y.flatten(2))
        coefficients = torch.empty_like(ordered).index_copy_(2, self.order.to(y.device), ordered)
        return hadamard(coefficients).view_as(y)

    def _cut(self, coefficients: Tensor) -> Tensor:
        kept = torch.zeros_like(coefficients)
        kept[..., : self.kept] = coefficients[..., : self.kept]
        return kept

    @property
    def spectrum(self) -> Spectrum:
        """See `Operator.spectrum`."""
        return Spectrum(torch.ones(1), self.forward, self.adjoint, lambda y: self._cut(y.flatten(2)).view_as(y))


def hadamard(x: Tensor) -> Tensor:
    """The orthonormal fast Walsh-Hadamard transform of the last axis, whose length is a power of two."""
    length = x.shape[-1]
    half = 1
    while half < length:
        parts = x.reshape(*x.shape[:-1], length // (2 * half), 2, half)
        first, second = parts.unbind(-2)
        x = torch.stack((first + second, first - second), dim=-2).reshape(x.shape)
        half *= 2
    return x / math.sqrt(length)


@dataclass(frozen=True)
class WalshHadamardRecipe(Recipe):
    """Compressed sensing of images whose pixels are a power of two in number.

    Attributes:
        factor: one coefficient in so many is known.
        seed: of the choice.
    """

    factor: int = 4
    seed: int = 0

    def __post_init__(self) -> None:
        if self.factor < 1:
            raise ValueError(f"the factor must be at least 1, not {self.factor}")

    def build(self, size: tuple[int, int], known: Tensor | None = None) -> Operator:
        """See `Recipe.build`."""
        count = math.prod(size)
        if count & (count - 1) or self.factor > count:
            raise InputError(
                f"the operator 'walsh-hadamard' needs a power of two in pixels, not {size[1]} x {size[0]}."
            )
        return WalshHadamard(size, self.factor, seed=self.seed)
