"""What every degradation is: settings, and `apply`."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor


class Degradation(ABC):
    """A random way of damaging images; subclasses are frozen dataclasses of settings."""

    @property
    def margin(self) -> int:
        """How many pixels beyond a crop its degraded version depends on."""
        return 0

    @abstractmethod
    def apply(self, clean: Tensor, generator: torch.Generator) -> Tensor:
        """Degrade `clean` (B, 3, H, W), RGB in [0, 1]; each image draws its own parameters.

        The source is a `torch.Generator`, as parameters need uniform draws beside normal ones. The same generator
        state and batch give the same images. The result has the shape, dtype and device of `clean`, and may leave
        [0, 1] where no file lies between the damage and the reader.
        """


def uniform(low: float, high: float, count: int, generator: torch.Generator) -> Tensor:
    """`count` draws from [`low`, `high`), on the generator's device."""
    return low + (high - low) * torch.rand(count, generator=generator, device=generator.device)


def add_gaussian(images: Tensor, sigma: Tensor, generator: torch.Generator) -> Tensor:
    """`images` with white noise; `sigma` (B,) holds each image's standard deviation in 8-bit units."""
    noise = torch.randn(images.shape, generator=generator, device=generator.device)
    return images + (noise * (sigma / 255)[:, None, None, None]).to(images)


def quantise(images: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """About that `share` of the images clipped to [0, 1] and rounded to 8 bits, as a photo file holds them."""
    chosen = uniform(0, 1, len(images), generator).to(images.device) < share
    return torch.where(chosen[:, None, None, None], images.clamp(0, 1).mul(255).round().div(255), images)
