"""The blur of a camera that moves while the shutter is open."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from irsde_cli.degradations.degradation import Degradation, add_gaussian, quantise, uniform


@dataclass(frozen=True)
class MotionBlur(Degradation):
    """Motion at constant speed along an arc of random length, direction and bend, then a little noise.

    Attributes:
        length_min: shortest path, in pixels.
        length_max: longest path, in pixels.
        bend_max: largest angle, in radians and to either side, by which the direction turns from end to end.
        noise_min: lowest standard deviation of the noise, in 8-bit units.
        noise_max: highest.
        quantised_share: share of the images that are clipped and rounded to 8 bits, as files are.
    """

    length_min: float = 9.0
    length_max: float = 21.0
    bend_max: float = math.pi / 2
    noise_min: float = 0.0
    noise_max: float = 2.0
    quantised_share: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.length_min <= self.length_max:
            raise ValueError(
                f"paths from {self.length_min} to {self.length_max}: expected 0 < length_min <= length_max"
            )
        if not 0 <= self.noise_min <= self.noise_max:
            raise ValueError(f"noise from {self.noise_min} to {self.noise_max}: expected 0 <= noise_min <= noise_max")

    @property
    def margin(self) -> int:
        """Half of the longest path."""
        return math.ceil(self.length_max / 2)

    def apply(self, clean: Tensor, generator: torch.Generator) -> Tensor:
        """A new motion for each image, then noise, then the file that some of them went through."""
        blurred = blur(clean, self.kernels(len(clean), generator))
        sigma = uniform(self.noise_min, self.noise_max, len(clean), generator)
        return quantise(add_gaussian(blurred, sigma, generator), self.quantised_share, generator)

    def kernels(self, count: int, generator: torch.Generator) -> Tensor:
        """Random kernels (`count`, K, K), K odd; each sums to 1 and has its centroid in its middle."""
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


def blur(images: Tensor, kernels: Tensor) -> Tensor:
    """Convolve each image (B, C, H, W) with its kernel (B, K, K), reflecting the image at its border."""
    radius = kernels.shape[-1] // 2
    rows, columns = (_mirror(size, radius, images.device) for size in images.shape[-2:])
    padded = images[..., rows[:, None], columns]
    weight = kernels.flip(-2, -1)[:, None].to(images)
    return F.conv2d(padded.transpose(0, 1), weight, groups=len(images)).transpose(0, 1)


def blur_adjoint(images: Tensor, kernels: Tensor) -> Tensor:
    """The transpose of `blur` as a linear map of images (B, C, H, W), the reflected border included."""
    radius = kernels.shape[-1] // 2
    height, width = images.shape[-2:]
    weight = kernels.flip(-2, -1)[:, None].to(images)
    padded = F.conv_transpose2d(images.transpose(0, 1), weight, groups=len(images)).transpose(0, 1)
    folded = padded.new_zeros(*images.shape[:-2], height, padded.shape[-1])
    folded.index_add_(-2, _mirror(height, radius, images.device), padded)
    return torch.zeros_like(images).index_add_(-1, _mirror(width, radius, images.device), folded)


def _mirror(size: int, radius: int, device: torch.device) -> Tensor:
    """Indices of `size` + 2 * `radius` pixels; reflection goes back and forth where the image is smaller."""
    period = max(2 * (size - 1), 1)
    index = torch.arange(-radius, size + radius, device=device) % period
    return torch.where(index < size, index, period - index)
