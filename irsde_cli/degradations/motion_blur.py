"""The blur of a camera that moves while the shutter is open."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from irsde_cli.degradations.blur import Blur
from irsde_cli.degradations.degradation import check_range, uniform


@dataclass(frozen=True)
class MotionBlur(Blur):
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
        """See `Blur.kernels`."""
        return arc_kernels(
            length=uniform(self.length_min, self.length_max, count, generator),
            angle=uniform(0, 2 * math.pi, count, generator),
            bend=uniform(-self.bend_max, self.bend_max, count, generator),
            radius=self.margin,
        )


def arc_kernels(length: Tensor, angle: Tensor, bend: Tensor, radius: int) -> Tensor:
    """Kernels (B, 2 * `radius` + 1, the same) of arcs that are followed at constant speed, float32.

    Args:
        length: (B,), in pixels, at most 2 * `radius`: no point of a path is farther from the centroid than half of it.
        angle: (B,), direction halfway, in radians.
        bend: (B,), turn from end to end, in radians.
        radius: pixels from the middle to the border.
    """
    count = 8 * radius  # points at most a quarter of a pixel apart
    along = (torch.arange(count, device=length.device) + 0.5) / count - 0.5
    heading = angle[:, None] + bend[:, None] * along
    path = torch.stack((heading.sin(), heading.cos())).cumsum(-1) * (length / count)[:, None]
    path = path - path.mean(-1, keepdim=True)
    pixel = torch.arange(-radius, radius + 1, device=length.device)
    rows, columns = (1 - (pixel - path[..., None]).abs()).clamp_min(0)  # bilinear, which keeps the centroid
    kernels: Tensor = rows.mT @ columns / count
    return kernels
