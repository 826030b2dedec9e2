"""Nothing but noise."""

from dataclasses import dataclass

import torch
from torch import Tensor

from irsde_cli.operators.operator import Operator, Recipe, Spectrum


class Identity(Operator):
    """A x = x."""

    def forward(self, x: Tensor) -> Tensor:
        """See `Operator.forward`."""
        return x

    def adjoint(self, y: Tensor) -> Tensor:
        """See `Operator.adjoint`."""
        return y

    @property
    def spectrum(self) -> Spectrum:
        """See `Operator.spectrum`."""
        return Spectrum(torch.ones(1), self.forward, self.forward, self.forward)


@dataclass(frozen=True)
class IdentityRecipe(Recipe):
    """Noise alone."""

    def build(self, size: tuple[int, int], known: Tensor | None = None) -> Operator:
        """See `Recipe.build`."""
        return Identity()
