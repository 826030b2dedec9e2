"""The blur of a lens that is out of focus."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from irsde_cli.degradations.blur import BlurDegradation
from irsde_cli.degradations.degradation import check_range, uniform


@dataclass(frozen=True)
class DefocusBlur(BlurDegradation):
    """A disc, the image of a point through a round aperture, with a soft rim one pixel wide.

    Attributes:
        radius_min: smallest radius, in pixels.
        radius_max: largest.
    """

    radius_min: float = 1.0
    radius_max: float = 6.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("radii", self.radius_min, self.radius_max, least=0.5)

    @property
    def margin(self) -> int:
        """The largest radius, with its rim."""
        return math.ceil(self.radius_max + 0.5)

    def kernels(self, count: int, generator: torch.Generator) -> Tensor:
        """See `BlurDegradation.kernels`."""
        radius = uniform(self.radius_min, self.radius_max, count, generator)
        pixel = torch.arange(-self.margin, self.margin + 1, device=radius.device)
        distance = (pixel[:, None].square() + pixel.square()).sqrt()
        discs = (radius[:, None, None] + 0.5 - distance).clamp(0, 1)
        return discs / discs.sum((1, 2), keepdim=True)
