"""Photographs without colour."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from irsde_cli.operators.operator import Operator, Recipe, Spectrum

LUMA = (0.299, 0.587, 0.114)


class Grey(Operator):
    """One weighted sum of the channels, (B, 1, H, W).

    Args:
        weights: of red, green and blue.
    """

    alike = False

    def __init__(self, weights: tuple[float, float, float]) -> None:
        self.weights = weights
        self.norm = math.sqrt(sum(weight**2 for weight in weights))

    def seen(self, image: Tensor) -> Tensor:
        """See `Operator.seen`; a grey file has three equal channels."""
        return image.mean(1, keepdim=True)

    def forward(self, x: Tensor) -> Tensor:
        """See `Operator.forward`."""
        return (x * x.new_tensor(self.weights)[:, None, None]).sum(1, keepdim=True)

    def adjoint(self, y: Tensor) -> Tensor:
        """See `Operator.adjoint`."""
        return y * y.new_tensor(self.weights)[:, None, None]

    def guess(self, y: Tensor, noise_std: float) -> Tensor:
        """See `Operator.guess`: no colour."""
        return y.expand(-1, 3, -1, -1)

    @property
    def spectrum(self) -> Spectrum:
        """See `Operator.spectrum`; one coefficient a pixel."""
        return Spectrum(
            torch.full((1,), self.norm),
            lambda x: self.forward(x) / self.norm,
            lambda c: self.adjoint(c) / self.norm,
            lambda y: y,
        )


@dataclass(frozen=True)
class GreyRecipe(Recipe):
    """Colour is missing.

    Attributes:
        weights: how much of red, green and blue is in the grey; those of luma (BT.601) if not given.
    """

    weights: tuple[float, ...] = LUMA

    def __post_init__(self) -> None:
        if len(self.weights) != 3 or min(self.weights) < 0 or not 0.9 <= sum(self.weights) <= 1.1:
            raise ValueError(f"three weights that sum to 1, not {list(self.weights)}")

    def build(self, size: tuple[int, int], known: Tensor | None = None) -> Operator:
        """See `Recipe.build`."""
        red, green, blue = self.weights
        return Grey((red, green, blue))
