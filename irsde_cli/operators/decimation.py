"""Blurred with a known kernel, and then one pixel in so many."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from irsde_cli.errors import InputError
from irsde_cli.operators.blur import Blur, Kernel
from irsde_cli.operators.operator import LOST, Operator, Recipe, Spectrum
from irsde_cli.operators.separable import check_factor


class Decimation(Operator):
    """A circular blur, of which every `factor`-th pixel of each axis is kept, the first among them.

    Args:
        kernels: (1, K, K), K odd.
        size: height and width of what is blurred, multiples of `factor`.
        factor: how many times smaller the result is.
    """

    def __init__(self, kernels: Tensor, size: tuple[int, int], factor: int) -> None:
        self.blur = Blur(kernels, size, "circular")
        self.size = size
        self.scale = factor

    def forward(self, x: Tensor) -> Tensor:
        """See `Operator.forward`."""
        return self.blur.forward(x)[..., :: self.scale, :: self.scale].contiguous()

    def adjoint(self, y: Tensor) -> Tensor:
        """See `Operator.adjoint`."""
        return self.blur.adjoint(self._spread(y))

    def _spread(self, y: Tensor) -> Tensor:
        x = y.new_zeros(*y.shape[:-2], *self.size)
        x[..., :: self.scale, :: self.scale] = y
        return x

    @cached_property
    def spectrum(self) -> Spectrum:
        """See `Operator.spectrum`: A A^T is a circular blur of the small image; coefficients are its frequencies."""
        small = (self.size[0] // self.scale, self.size[1] // self.scale)
        delta = torch.zeros(1, 1, *small, dtype=torch.float64)
        delta[..., 0, 0] = 1.0
        power = torch.fft.rfft2(self.forward(self.adjoint(delta))).real.clamp_min(0)
        values = power.sqrt()
        values = torch.where(values > LOST, values, 0)
        gain = torch.where(values > 0, 1 / values.clamp_min(LOST), 0)

        def observe(y: Tensor) -> Tensor:
            seen: Tensor = torch.fft.rfft2(y, norm="ortho")
            return seen

        def small_image(c: Tensor) -> Tensor:
            image: Tensor = torch.fft.irfft2(c, s=small, norm="ortho")
            return image

        def scaled(c: Tensor) -> Tensor:
            return c * gain.to(c.real)

        return Spectrum(
            values, lambda x: scaled(observe(self.forward(x))), lambda c: self.adjoint(small_image(scaled(c))), observe
        )


@dataclass(frozen=True)
class DecimationRecipe(Kernel, Recipe):
    """Reduced by taking one pixel in so many after a blur with a known kernel, on the torus.

    Attributes:
        factor: how many times.
    """

    factor: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        check_factor(self.factor)

    @property
    def scale(self) -> int:
        """The factor."""
        return self.factor

    def build(self, size: tuple[int, int], known: Tensor | None = None) -> Operator:
        """See `Recipe.build`."""
        if size[0] % self.factor or size[1] % self.factor:
            raise InputError(f"{size[1]} x {size[0]} pixels are no multiple of {self.factor}.")
        return Decimation(self.kernels(size), size, self.factor)
