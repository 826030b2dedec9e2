"""What every degradation is: settings, and `apply`."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from irsde_cli.observation import Observation
from irsde_cli.operators.operator import Operator


class Degradation(ABC):
    """A random way of damaging images; subclasses are frozen dataclasses of settings."""

    @property
    def margin(self) -> int:
        """How many pixels beyond a crop its degraded version depends on; a multiple of `scale`."""
        return 0

    @property
    def scale(self) -> int:
        """How many times smaller the degraded image is."""
        return 1

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of the damages of which each image gets one; empty where all get the same."""
        return ()

    @abstractmethod
    def apply(self, clean: Tensor, generator: torch.Generator) -> Tensor:
        """Degrade `clean` (B, 3, H, W), RGB in [0, 1]; each image draws its own parameters.

        The source is a `torch.Generator`, as parameters need uniform draws beside normal ones. The same generator
        state and batch give the same images. The result (B, 3, H / scale, W / scale) has the dtype and device of
        `clean`, and may leave [0, 1] where no file lies between the damage and the reader.
        """

    def observe(self, clean: Tensor, generator: torch.Generator) -> Observation:
        """What `apply` gives, with what is known of the damage: which pixels, the linear part, its noise."""
        return Observation(self.apply(clean, generator))

    def draw(self, clean: Tensor, generator: torch.Generator) -> tuple[Observation, Tensor | None]:
        """What `observe` gives, and which of `tasks` each image got, (B,) integers; `None` where there are none."""
        return self.observe(clean, generator), None

    def operator(self, clean: Tensor, generator: torch.Generator) -> Operator | None:
        """The linear part with parameters drawn as `observe` draws them for images like `clean`, or `None`."""
        return None


def uniform(low: float, high: float, count: int, generator: torch.Generator) -> Tensor:
    """`count` draws from [`low`, `high`), on the generator's device."""
    return low + (high - low) * torch.rand(count, generator=generator, device=generator.device)


def per_image(values: Tensor, images: Tensor) -> Tensor:
    """`values` (B,) shaped to multiply `images` (B, C, H, W)."""
    return values.to(images)[:, None, None, None]


def draw_noise(images: Tensor, generator: torch.Generator) -> Tensor:
    """Standard normal noise of the shape and type of `images`."""
    return torch.randn(images.shape, generator=generator, device=generator.device).to(images)


def add_gaussian(images: Tensor, sigma: Tensor, generator: torch.Generator) -> Tensor:
    """`images` with white noise; `sigma` (B,) holds each image's standard deviation in 8-bit units."""
    return images + draw_noise(images, generator) * per_image(sigma / 255, images)


def as_file(images: Tensor) -> Tensor:
    """`images` clipped to [0, 1] and rounded to 8 bits."""
    return images.clamp(0, 1).mul(255).round().div(255)


def quantise(images: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """About that `share` of the images `as_file`, as a photo file holds them."""
    chosen = uniform(0, 1, len(images), generator).to(images.device) < share
    return torch.where(chosen[:, None, None, None], as_file(images), images)


def check_range(name: str, low: float, high: float, least: float = 0.0, most: float = float("inf")) -> None:
    """Raise a ValueError unless `least` <= `low` <= `high` <= `most`."""
    if not least <= low <= high <= most:
        limits = f"{least:g} <= minimum <= maximum" + ("" if most == float("inf") else f" <= {most:g}")
        raise ValueError(f"{name} from {low:g} to {high:g}: expected {limits}")
