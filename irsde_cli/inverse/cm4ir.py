"""CM4IR: four calls of a consistency model, or of any denoiser, from a first guess.

Garber and Tirer, "Zero-Shot Image Restoration Using Few-Step Guidance of Consistency Models (and Beyond)", CVPR 2025.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from irsde_cli.inverse.method import Denoiser, Method, Problem
from irsde_cli.networks.preconditioning import VP_STEPS, vp_alpha_bar
from irsde_cli.operators.mask import Mask
from irsde_cli.randomness import RandnLike

LEAST, MOST = 0.002, 80.0
FULL = 0.9999  # the largest share of the image's variance


@dataclass(frozen=True)
class CM4IR(Method):
    """Denoise, project onto the data, and move away from the old noise.

    Attributes:
        first: the step of DDPM whose noise is added to the guess; i_N in the paper.
        growth: by which the share of the image's variance rises from call to call; gamma.
        ridge: of the inverse, in units of the noise's variance; zeta.
        least_ridge: where there is any noise: the smallest of the authors' settings for blurs.
        eta: how much of the noise that is added is fresh.
        deltas: how much more noise each call is told of than there is, as a share.
    """

    evaluations: ClassVar[int] = 4

    first: int = 150
    growth: float = 0.2
    ridge: float = 1.0
    least_ridge: float = 0.0075
    eta: float = 0.1
    deltas: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.first <= VP_STEPS - 2:
            raise ValueError(f"first lies in 0..{VP_STEPS - 2}, and is not {self.first}")
        if not 0 <= self.eta <= 1:
            raise ValueError(f"eta lies in [0, 1], and is not {self.eta:g}")
        if self.growth < 0 or self.ridge < 0 or min((self.least_ridge, *self.deltas)) < 0:
            raise ValueError("growth, ridges and deltas are at least 0")

    def levels(self, evaluations: int) -> list[float]:
        """The noise level of each call, for images in [0, 1]."""
        share = float(vp_alpha_bar()[self.first + 1])
        found = []
        for _ in range(evaluations):
            found.append(min(max(math.sqrt(1 - share), LEAST), MOST) / 2)
            share = min((1 + self.growth) * share, FULL)
        return found

    def steps(self, problem: Problem, denoise: Denoiser, evaluations: int, randn_like: RandnLike) -> Iterator[Tensor]:
        """See `Method.steps`; with noise in the data the last estimate is given as it is."""
        operator, y = problem.operator, problem.y
        # Twice the noise in images twice as bright: their ridge is four times ours.
        ridge = max(self.ridge * 4 * problem.noise_std**2, self.least_ridge) if problem.noise_std else 0.0
        levels = [min(level, denoise.largest) for level in self.levels(evaluations)]
        told = [*self.deltas[:evaluations], *[0.0] * (evaluations - len(self.deltas))]
        towards = operator.towards(y)
        guess = median_fill(y, operator.known) if isinstance(operator, Mask) else operator.guess(y, problem.noise_std)
        x = guess + levels[0] * randn_like(guess)
        for index, sigma in enumerate(levels):
            clean = denoise(x, min((1 + told[index]) * sigma, denoise.largest))
            away = (clean - x) / sigma
            if index + 1 == evaluations and problem.noise_std > 0:
                yield clean
                return
            x = towards(clean, ridge)
            yield x
            if index + 1 < evaluations:
                fresh = randn_like(x)
                x = x + levels[index + 1] * (self.eta * fresh + math.sqrt(1 - self.eta**2) * away)


def median_fill(y: Tensor, known: Tensor) -> Tensor:
    """Images (B, C, H, W) whose holes get the median of what is known around, in windows that grow until none is left.

    Args:
        y: the images.
        known: (B, 1, H, W) of booleans.
    """
    known = known.to(y.device).expand_as(y)
    image = torch.where(known, y, torch.nan)
    half = 2
    while bool(image.isnan().any()):
        if half > 2 * max(y.shape[-2:]):
            return torch.nan_to_num(image, nan=0.5)
        padded = torch.nn.functional.pad(image, (half,) * 4, value=torch.nan)
        holes = image.isnan()
        size = 2 * half + 1
        windows = padded.unfold(-2, size, 1).unfold(-2, size, 1)
        image = image.masked_scatter(holes, windows[holes].flatten(1).nanmedian(1).values)
        half += 1
    return image
