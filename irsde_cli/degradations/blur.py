"""What all blurs share: a random kernel for each image, a border, then a little noise."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from irsde_cli.degradations.degradation import (
    Degradation,
    add_gaussian,
    check_range,
    quantise,
    uniform,
)
from irsde_cli.operators.linear_map import LinearMap

TOLERANCE = 1e-5  # frequencies weaker than this share of the mean are lost, for the pseudo-inverse


@dataclass(frozen=True, kw_only=True)
class Blur(Degradation):
    """A convolution with a kernel of its own for each image.

    Attributes:
        noise_min: lowest standard deviation of the noise, in 8-bit units.
        noise_max: highest.
        quantised_share: share of the images that are clipped and rounded to 8 bits, as files are.
        boundary: what lies beyond the border: the mirrored image, or the opposite side (for inverse problems in
            closed form).
    """

    noise_min: float = 0.0
    noise_max: float = 2.0
    quantised_share: float = 1.0
    boundary: Literal["mirror", "circular"] = "mirror"

    def __post_init__(self) -> None:
        check_range("noise", self.noise_min, self.noise_max)

    @abstractmethod
    def kernels(self, count: int, generator: torch.Generator) -> Tensor:
        """Random kernels (`count`, K, K), K odd; each sums to 1 and has its centroid in its middle."""

    def apply(self, clean: Tensor, generator: torch.Generator) -> Tensor:
        """A new kernel for each image, then noise, then the file that some of them went through."""
        blurred = self.linear_map(clean, generator).forward(clean)
        sigma = uniform(self.noise_min, self.noise_max, len(clean), generator)
        return quantise(add_gaussian(blurred, sigma, generator), self.quantised_share, generator)

    def linear_map(self, clean: Tensor, generator: torch.Generator) -> LinearMap:
        """See `Degradation.linear_map`; circular blur has a pseudo-inverse."""
        kernels = self.kernels(len(clean), generator)
        if self.boundary == "circular":
            return circular_blur(kernels, clean.shape[-2], clean.shape[-1])
        return LinearMap(lambda x: blur(x, kernels), lambda y: blur_adjoint(y, kernels))


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


def circular_blur(kernels: Tensor, height: int, width: int) -> LinearMap:
    """Convolution of images (B, C, `height`, `width`) with kernels (B, K, K) on the torus, by FFT."""
    transfer = _transfer(kernels, height, width)
    power = transfer.abs().square()
    inverse = torch.where(power > TOLERANCE**2, transfer.conj() / power, torch.zeros_like(transfer))

    def apply(filter_: Tensor, images: Tensor) -> Tensor:
        spectrum = torch.fft.rfft2(images) * filter_.to(torch.promote_types(images.dtype, torch.complex64))
        filtered: Tensor = torch.fft.irfft2(spectrum, s=(height, width))
        return filtered

    return LinearMap(lambda x: apply(transfer, x), lambda y: apply(transfer.conj(), y), lambda y: apply(inverse, y))


def _transfer(kernels: Tensor, height: int, width: int) -> Tensor:
    """The kernels' spectra (B, 1, `height`, `width` // 2 + 1), their middle at the origin; double precision."""
    radius = kernels.shape[-1] // 2
    index = torch.arange(-radius, radius + 1, device=kernels.device)
    canvas = kernels.new_zeros(len(kernels), height, kernels.shape[-1], dtype=torch.float64)
    canvas.index_add_(1, index % height, kernels.double())
    wrapped = canvas.new_zeros(len(kernels), height, width).index_add_(2, index % width, canvas)
    spectra: Tensor = torch.fft.rfft2(wrapped)[:, None]
    return spectra


def _mirror(size: int, radius: int, device: torch.device) -> Tensor:
    """Indices of `size` + 2 * `radius` pixels; reflection goes back and forth where the image is smaller."""
    period = max(2 * (size - 1), 1)
    index = torch.arange(-radius, size + radius, device=device) % period
    return torch.where(index < size, index, period - index)
