"""What all blurs share: a random kernel for each image, a border, then a little noise."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from irsde_cli.degradations.degradation import (
    Degradation,
    add_gaussian,
    check_range,
    quantise,
    uniform,
)
from irsde_cli.observation import Observation
from irsde_cli.operators.blur import Blur


@dataclass(frozen=True, kw_only=True)
class BlurDegradation(Degradation):
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
        return self.observe(clean, generator).image

    def observe(self, clean: Tensor, generator: torch.Generator) -> Observation:
        """See `Degradation.observe`; the kernel is known."""
        operator = self.operator(clean, generator)
        sigma = uniform(self.noise_min, self.noise_max, len(clean), generator)
        noisy = add_gaussian(operator.forward(clean), sigma, generator)
        image = quantise(noisy, self.quantised_share, generator)
        return Observation(image, operator=operator, noise_std=float(sigma.square().mean().sqrt()) / 255)

    def operator(self, clean: Tensor, generator: torch.Generator) -> Blur:
        """See `Degradation.operator`."""
        kernels = self.kernels(len(clean), generator)
        return Blur(kernels, (clean.shape[-2], clean.shape[-1]), self.boundary)
