"""White Gaussian noise."""

from dataclasses import dataclass

import torch
from torch import Tensor

from irsde_cli.degradations.degradation import Degradation, add_gaussian, check_range, quantise, uniform
from irsde_cli.observation import Observation
from irsde_cli.operators.identity import Identity


@dataclass(frozen=True)
class GaussianNoise(Degradation):
    """Noise of a level drawn for each image; levels are standard deviations in 8-bit units.

    Attributes:
        sigma_min: lowest level.
        sigma_max: highest level.
        quantised_share: share of the images that are clipped and rounded to 8 bits, as files are; benchmarks of
            denoising do neither, and clipping biases the noise near black and white.
    """

    sigma_min: float = 0.0
    sigma_max: float = 55.0
    quantised_share: float = 0.5

    def __post_init__(self) -> None:
        check_range("noise", self.sigma_min, self.sigma_max)

    def apply(self, clean: Tensor, generator: torch.Generator) -> Tensor:
        """Noise of a new level for each image, then the file that some of them went through."""
        return self.observe(clean, generator).image

    def observe(self, clean: Tensor, generator: torch.Generator) -> Observation:
        """See `Degradation.observe`."""
        sigma = uniform(self.sigma_min, self.sigma_max, len(clean), generator)
        image = quantise(add_gaussian(clean, sigma, generator), self.quantised_share, generator)
        return Observation(image, operator=Identity(), noise_std=float(sigma.square().mean().sqrt()) / 255)
