"""Rain streaks: bright lines that lie over the picture.

The additive model of the data sets: layers of sparse drops, each drawn out along the direction of fall (Yang et al.,
"Deep Joint Rain Detection and Removal from a Single Image", CVPR 2017; Rain100L has few layers, Rain100H many).
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from irsde_cli.degradations.degradation import Degradation, as_file, check_range, per_image, uniform
from irsde_cli.degradations.haze import made_up_depth
from irsde_cli.operators.blur import Blur
from irsde_cli.operators.kernels import arc_kernels


@dataclass(frozen=True)
class Rain(Degradation):
    """Layers of streaks, added and clipped.

    Attributes:
        layers_max: most layers; each image draws its number from 1.
        density_min: least number of streaks, in a layer, that a pixel lies under on average.
        density_max: largest; above about 1 the streaks merge into a veil.
        length_min: shortest streaks, in pixels.
        length_max: longest.
        tilt_max: largest angle from the vertical, in degrees.
        spread_max: largest difference between a layer's angle and that of the image, in degrees.
        strength_min: brightness of the faintest streaks, of 1.
        strength_max: of the brightest.
        thickness_max: largest standard deviation across a streak, in pixels; the least is 0.3.
        distance_max: how many times farther than the nearest the farthest layer may be: its drops are so many times
            shorter, thinner, fainter and more. 1 for layers that all are near.
        veil_max: largest share of the light of the farthest point that rain too fine to be seen takes away and gives
            back as its own grey. Depth is made up as for haze.
    """

    layers_max: int = 5
    density_min: float = 0.01
    density_max: float = 4.0
    length_min: float = 8.0
    length_max: float = 100.0
    tilt_max: float = 45.0
    spread_max: float = 20.0
    strength_min: float = 0.15
    strength_max: float = 1.0
    thickness_max: float = 0.9
    distance_max: float = 1.0
    veil_max: float = 0.0

    def __post_init__(self) -> None:
        check_range("layers", 1, self.layers_max, least=1)
        check_range("density", self.density_min, self.density_max, least=1e-4, most=100)
        check_range("lengths", self.length_min, self.length_max, least=1, most=400)
        check_range("strength", self.strength_min, self.strength_max, most=1)
        check_range("thickness", 0.3, self.thickness_max, least=0.3, most=8)
        check_range("distance", 1, self.distance_max, least=1, most=16)
        check_range("veil", 0, self.veil_max, most=1)
        check_range("tilt", 0, self.tilt_max, most=90)
        check_range("spread", 0, self.spread_max, most=90)

    def apply(self, clean: Tensor, generator: torch.Generator) -> Tensor:
        """A new rain for each image, grey, in an 8-bit file."""
        streaks = self.streaks(len(clean), clean.shape[-2], clean.shape[-1], generator)
        if self.veil_max:
            count = len(clean)
            veil = per_image(uniform(0, self.veil_max, count, generator), clean)
            grey = per_image(uniform(0.4, 0.9, count, generator), clean)
            clean = torch.lerp(clean, grey, veil * made_up_depth(clean, 0.4, generator))
        return as_file(clean + streaks.to(clean))

    def streaks(self, count: int, height: int, width: int, generator: torch.Generator) -> Tensor:
        """The light of the rain alone, (`count`, 1, `height`, `width`), float32, at least 0."""
        tilt = uniform(-self.tilt_max, self.tilt_max, count, generator)
        layers = uniform(1, self.layers_max + 1, count, generator).floor()
        total = torch.zeros(count, 1, height, width, device=generator.device)
        for layer in range(self.layers_max):
            light = self._layer(tilt, height, width, generator)
            total += light * per_image((layer < layers).float(), light)
        return total

    def _layer(self, tilt: Tensor, height: int, width: int, generator: torch.Generator) -> Tensor:
        count = len(tilt)
        length = torch.exp(uniform(math.log(self.length_min), math.log(self.length_max), count, generator))
        angle = tilt + uniform(-self.spread_max, self.spread_max, count, generator)
        density = self.density_min * (self.density_max / self.density_min) ** uniform(0, 1, count, generator)
        strength = uniform(self.strength_min, self.strength_max, count, generator)
        thickness = uniform(0.3, self.thickness_max, count, generator)
        if self.distance_max > 1:
            distance = torch.exp(uniform(0, math.log(self.distance_max), count, generator))
            length, thickness = (length / distance).clamp_min(2), (thickness / distance).clamp_min(0.3)
            density, strength = (density * distance).clamp_max(self.density_max), strength / distance
        radius = math.ceil(self.length_max / 2)
        lines = arc_kernels(length, math.pi / 2 + angle * math.pi / 180, torch.zeros_like(length), radius)
        area = length * math.sqrt(2 * math.pi) * thickness  # of a streak, in pixels
        chance = density / area
        shape = (count, 1, height, width)
        drops = torch.rand(shape, generator=generator, device=generator.device) < per_image(chance, lines)
        weight = torch.rand(shape, generator=generator, device=generator.device)
        seeds = drops * weight**2  # many faint drops, few bright ones
        drawn = Blur(_thicken(lines, thickness), (height, width), "circular").forward(seeds)
        # A single drop of full weight reaches `strength` along its streak; those of a veil share the light.
        return drawn.clamp_min(0) * per_image(strength * area / (1 + density), drawn)


def _thicken(lines: Tensor, thickness: Tensor) -> Tensor:
    """Kernels (B, K, K) smoothed by a Gaussian of standard deviation `thickness` (B,) pixels; their sums stay."""
    radius = lines.shape[-1] // 2
    pixel = torch.arange(-radius, radius + 1, device=lines.device)
    difference = (pixel[:, None] - pixel).square()
    smooth = torch.exp(-difference / (2 * thickness[:, None, None] ** 2))
    smooth = smooth / smooth.sum(1, keepdim=True)
    return smooth @ lines @ smooth.mT
