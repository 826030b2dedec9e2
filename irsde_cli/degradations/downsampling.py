"""Bicubic downsampling as the field does it: antialiased, equal to MATLAB's imresize."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from irsde_cli.degradations.degradation import Degradation
from irsde_cli.observation import Observation
from irsde_cli.operators.operator import Operator
from irsde_cli.operators.separable import bicubic_matrix, check_factor, reduction


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
        check_factor(self.factor)

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
            return self.operator(clean, generator).forward(clean)
        rows, columns = (bicubic_matrix(size, self.factor).to(clean.device) for size in clean.shape[-2:])
        # imresize writes 8 bits after each axis, rows first; without it bright edges are off by up to 12 levels.
        return (_levels(_levels(rows @ (clean.double() * 255)) @ columns.mT) / 255).to(clean)

    def observe(self, clean: Tensor, generator: torch.Generator) -> Observation:
        """See `Degradation.observe`; what rounding does counts as noise."""
        rounding = 1 / 255 / math.sqrt(12) if self.quantised else 0.0
        return Observation(self.apply(clean, generator), operator=self.operator(clean, generator), noise_std=rounding)

    def operator(self, clean: Tensor, generator: torch.Generator) -> Operator:
        """See `Degradation.operator`."""
        return reduction((clean.shape[-2], clean.shape[-1]), self.factor)


def _levels(values: Tensor) -> Tensor:
    """Rounded to 0..255, ties upwards even if an ulp short of it."""
    return (values + 0.5 + 1e-7).floor().clamp(0, 255)
