"""Too little light: a short exposure, with the noise that it brings."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from irsde_cli.degradations.camera_noise import GAMMA, poisson_gaussian, soften
from irsde_cli.degradations.degradation import Degradation, as_file, check_range, per_image, uniform


@dataclass(frozen=True)
class LowLight(Degradation):
    """A share of the light, a cast, then a camera's noise, in an 8-bit file.

    Attributes:
        light_min: least share of the light, on the linear scale.
        light_max: largest.
        cast_max: largest relative change of a channel.
        shot_max: most shot noise, as in `camera-noise`.
        read_max: highest standard deviation of the read noise in linear light.
    """

    light_min: float = 0.005
    light_max: float = 0.2
    cast_max: float = 0.1
    shot_max: float = 0.001
    read_max: float = 0.001

    def __post_init__(self) -> None:
        check_range("light", self.light_min, self.light_max, least=1e-4, most=1)
        check_range("cast", 0, self.cast_max, most=1)
        check_range("shot noise", 1e-8, self.shot_max, most=1)
        check_range("read noise", 0, self.read_max, most=1)

    def apply(self, clean: Tensor, generator: torch.Generator) -> Tensor:
        """A new exposure for each image."""
        count = len(clean)
        light = torch.exp(uniform(math.log(self.light_min), math.log(self.light_max), count, generator))
        cast = 1 + uniform(-self.cast_max, self.cast_max, 3 * count, generator).reshape(count, 3, 1, 1)
        shot = uniform(1e-8, self.shot_max, count, generator)
        read = uniform(0, self.read_max, count, generator)
        softening = uniform(0, 0.8, count, generator)
        linear = clean.clamp(0, 1) ** GAMMA * per_image(light, clean) * cast.to(clean)
        noise = poisson_gaussian(linear, shot, read, generator) - linear
        return as_file((linear + soften(noise, softening)).clamp_min(0) ** (1 / GAMMA))
