"""Pixels that are missing by chance, painted white."""

from dataclasses import dataclass

import torch
from torch import Tensor

from irsde_cli.degradations.degradation import Degradation, as_file
from irsde_cli.observation import Observation
from irsde_cli.operators.mask import Mask, random_mask


@dataclass(frozen=True)
class RandomMask(Degradation):
    """Each pixel is missing or not, whatever its neighbours are.

    Attributes:
        share: of the pixels that are missing.
    """

    share: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.share < 1:
            raise ValueError(f"the share of missing pixels lies in [0, 1), and is not {self.share:g}")

    def apply(self, clean: Tensor, generator: torch.Generator) -> Tensor:
        """New holes for each image, white as in the reference."""
        return self.observe(clean, generator).image

    def observe(self, clean: Tensor, generator: torch.Generator) -> Observation:
        """See `Degradation.observe`; the image is white in its holes."""
        operator = self.operator(clean, generator)
        return Observation(Observation(as_file(clean), operator.known).painted(), operator.known, operator)

    def operator(self, clean: Tensor, generator: torch.Generator) -> Mask:
        """See `Degradation.operator`."""
        size = (clean.shape[-2], clean.shape[-1])
        return Mask(random_mask(len(clean), size, self.share, generator).to(clean.device))
