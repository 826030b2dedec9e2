"""The blur of a camera that moves while the shutter is open."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from irsde_cli.degradations.blur import BlurDegradation
from irsde_cli.degradations.degradation import check_range, uniform
from irsde_cli.operators.kernels import arc_kernels


@dataclass(frozen=True)
class MotionBlur(BlurDegradation):
    """Motion at constant speed along an arc of random length, direction and bend, then a little noise.

    Attributes:
        length_min: shortest path, in pixels.
        length_max: longest path, in pixels.
        bend_max: largest angle, in radians and to either side, by which the direction turns from end to end.
    """

    length_min: float = 9.0
    length_max: float = 21.0
    bend_max: float = math.pi / 2

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("paths", self.length_min, self.length_max, least=1)

    @property
    def margin(self) -> int:
        """Half of the longest path."""
        return math.ceil(self.length_max / 2)

    def kernels(self, count: int, generator: torch.Generator) -> Tensor:
        """See `BlurDegradation.kernels`."""
        return arc_kernels(
            length=uniform(self.length_min, self.length_max, count, generator),
            angle=uniform(0, 2 * math.pi, count, generator),
            bend=uniform(-self.bend_max, self.bend_max, count, generator),
            radius=self.margin,
        )
