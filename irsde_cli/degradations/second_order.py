"""What becomes of a photograph that is passed on: blurred, resized, noisy and compressed, twice and in any order.

Two rounds are the second-order model of Wang et al., "Real-ESRGAN: Training Real-World Blind Super-Resolution with Pure
Synthetic Data", ICCVW 2021; the order is random as in Zhang et al., "Designing a Practical Degradation Model for Deep
Blind Image Super-Resolution", ICCV 2021.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from irsde_cli.degradations.degradation import Degradation, as_file, check_range, uniform
from irsde_cli.degradations.jpeg import recode
from irsde_cli.operators.blur import Blur

REACH = 32  # pixels of the clean image: a few widths of blur, and a block of JPEG that was made larger


@dataclass(frozen=True)
class SecondOrder(Degradation):
    """Rounds of blur, resizing, noise and JPEG, each in an order of its own, then the last size and the last file.

    Attributes:
        factor: how many times smaller the result is.
        rounds: how often.
        left_out: share of the single steps that are left out; the last size and the file always come.
        blur_max: widest standard deviation of the Gaussian blur along either of its axes, in pixels.
        size_min: smallest size between the steps, of the size before.
        size_max: largest.
        noise_max: highest standard deviation of the noise, in 8-bit units; half of it is grey.
        quality_min: lowest quality of a JPEG file, as libjpeg counts it.
        quality_max: highest.
    """

    factor: int = 1
    rounds: int = 2
    left_out: float = 0.3
    blur_max: float = 2.0
    size_min: float = 0.5
    size_max: float = 1.5
    noise_max: float = 10.0
    quality_min: int = 40
    quality_max: int = 95

    def __post_init__(self) -> None:
        check_range("factor", 1, self.factor, least=1, most=16)
        check_range("rounds", 1, self.rounds, least=1, most=4)
        check_range("share of steps that are left out", 0, self.left_out, most=1)
        check_range("blur", 0, self.blur_max, most=8)
        check_range("size", self.size_min, self.size_max, least=0.25, most=4)
        check_range("noise", 0, self.noise_max, most=255)
        check_range("quality", self.quality_min, self.quality_max, least=1, most=100)

    @property
    def margin(self) -> int:
        """See `Degradation.margin`."""
        return math.ceil(REACH / self.factor) * self.factor

    @property
    def scale(self) -> int:
        """The factor."""
        return self.factor

    def apply(self, clean: Tensor, generator: torch.Generator) -> Tensor:
        """Each image on its own, in an 8-bit file."""
        return torch.cat([self._passed_on(image[None], generator) for image in clean])

    def _passed_on(self, clean: Tensor, generator: torch.Generator) -> Tensor:
        steps: tuple[Callable[[Tensor, torch.Generator], Tensor], ...] = (
            self._blurred,
            self._between,
            self._noisy,
            self._coded,
        )
        image = clean.clamp(0, 1)
        for _ in range(self.rounds):
            for index in torch.randperm(len(steps), generator=generator, device=generator.device).tolist():
                if _drawn(generator) >= self.left_out:
                    image = steps[index](image, generator)
        size = [math.ceil(length / self.factor) for length in clean.shape[-2:]]
        image = as_file(_resized(image, size, _drawn(generator)))
        return self._coded(image, generator) if _drawn(generator) >= self.left_out else image

    def _blurred(self, image: Tensor, generator: torch.Generator) -> Tensor:
        """By a Gaussian of two widths, turned."""
        along, across = uniform(0.1, max(self.blur_max, 0.1), 2, generator).tolist()
        angle = math.pi * _drawn(generator)
        radius = max(1, math.ceil(3 * self.blur_max))
        pixel = torch.arange(-radius, radius + 1, device=image.device)
        down, right = torch.meshgrid(pixel, pixel, indexing="ij")
        u, v = (
            math.cos(angle) * right + math.sin(angle) * down,
            math.cos(angle) * down - math.sin(angle) * right,
        )
        kernel = torch.exp(-((u / along).square() + (v / across).square()) / 2)
        return Blur((kernel / kernel.sum())[None], (image.shape[-2], image.shape[-1])).forward(image)

    def _between(self, image: Tensor, generator: torch.Generator) -> Tensor:
        """At another size."""
        place, way = uniform(0, 1, 2, generator).tolist()
        factor = self.size_min * (self.size_max / self.size_min) ** place
        return _resized(image, [max(1, round(length * factor)) for length in image.shape[-2:]], way)

    def _noisy(self, image: Tensor, generator: torch.Generator) -> Tensor:
        level, grey = uniform(0, 1, 2, generator).tolist()
        shape = (1, 1 if grey < 0.5 else 3, *image.shape[-2:])
        noise = torch.randn(shape, generator=generator, device=generator.device).to(image)
        noisy: Tensor = image + noise * (level * self.noise_max / 255)
        return noisy.clamp(0, 1)

    def _coded(self, image: Tensor, generator: torch.Generator) -> Tensor:
        place, full_colour = uniform(0, 1, 2, generator).tolist()
        quality = int(self.quality_min + place * (self.quality_max + 1 - self.quality_min))
        return recode(image, [quality], [full_colour < 0.3])


def _drawn(generator: torch.Generator) -> float:
    return float(uniform(0, 1, 1, generator))


def _resized(image: Tensor, size: list[int], way: float) -> Tensor:
    """By one of the two filters that programs use most."""
    mode = "bicubic" if way < 0.5 else "bilinear"
    return F.interpolate(image, size=size, mode=mode, antialias=True).clamp(0, 1)
