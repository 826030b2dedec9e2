"""Too little light: a short exposure, with the noise that it brings."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from irsde_cli.degradations.camera_noise import GAMMA, poisson_gaussian, soften
from irsde_cli.degradations.degradation import Degradation, as_file, check_range, per_image, uniform

LUMINANCE = (0.2126, 0.7152, 0.0722)  # of linear sRGB


@dataclass(frozen=True)
class LowLight(Degradation):
    """A share of the light, a cast, then a camera's noise, in an 8-bit file.

    Attributes:
        light_min: least share of the light, on the linear scale.
        light_max: largest.
        cast_max: largest relative change of a channel.
        shot_max: most shot noise, as in `camera-noise`.
        read_max: highest standard deviation of the read noise in linear light.
        highlights_max: how many times brighter than white the brightest parts of the scene are at most, as lamps are
            that any exposure clips; each image draws its own, evenly in the logarithm. 1 for none.
    """

    light_min: float = 0.005
    light_max: float = 0.2
    cast_max: float = 0.1
    shot_max: float = 0.001
    read_max: float = 0.001
    highlights_max: float = 1.0

    def __post_init__(self) -> None:
        check_range("light", self.light_min, self.light_max, least=1e-4, most=1)
        check_range("cast", 0, self.cast_max, most=1)
        check_range("shot noise", 1e-8, self.shot_max, most=1)
        check_range("read noise", 0, self.read_max, most=1)
        check_range("highlights", 1, self.highlights_max, least=1, most=1000)

    def apply(self, clean: Tensor, generator: torch.Generator) -> Tensor:
        """A new exposure for each image."""
        count = len(clean)
        light = torch.exp(uniform(math.log(self.light_min), math.log(self.light_max), count, generator))
        cast = 1 + uniform(-self.cast_max, self.cast_max, 3 * count, generator).reshape(count, 3, 1, 1)
        shot = uniform(1e-8, self.shot_max, count, generator)
        read = uniform(0, self.read_max, count, generator)
        softening = uniform(0, 0.8, count, generator)
        scene = clean.clamp(0, 1) ** GAMMA
        if self.highlights_max > 1:  # a tone curve has drawn them to white, and is undone: x / (1 - x) with an end
            brightest = torch.exp(uniform(0, math.log(self.highlights_max), count, generator))
            luminance = (scene * scene.new_tensor(LUMINANCE)[:, None, None]).sum(1, keepdim=True)
            scene = scene / (1 - luminance * per_image(1 - 1 / brightest, clean))
        linear = (scene * per_image(light, clean) * cast.to(clean)).clamp_max(1)
        noise = poisson_gaussian(linear, shot, read, generator) - linear
        return as_file((linear + soften(noise, softening)).clamp_min(0) ** (1 / GAMMA))
