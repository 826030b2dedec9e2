"""DiffPIR: diffusion whose clean estimates are moved towards the data.

Zhu et al., "Denoising Diffusion Models for Plug-and-Play Image Restoration", CVPRW 2023.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

from torch import Tensor

from irsde_cli.inverse.method import Denoiser, Method, Problem, log_levels
from irsde_cli.randomness import RandnLike


@dataclass(frozen=True)
class DiffPIR(Method):
    """Denoise, step to the data, add noise of the next level.

    Attributes:
        trust: how much the prior counts against the data; lambda in the paper.
        zeta: from 0, the noise that was found, to 1, fresh noise.
        first: the noise level at the start, of 255; at most what the prior knows.
    """

    evaluations: ClassVar[int] = 20

    trust: float = 1.0
    zeta: float = 0.3
    first: float = 255.0

    def __post_init__(self) -> None:
        if not 0 <= self.zeta <= 1:
            raise ValueError(f"zeta lies in [0, 1], and is not {self.zeta:g}")
        if not 0 < self.first <= 25500 or not 0 < self.trust < 1000:
            raise ValueError(f"first {self.first:g} and trust {self.trust:g} must be above 0")

    def steps(self, problem: Problem, denoise: Denoiser, evaluations: int, randn_like: RandnLike) -> Iterator[Tensor]:
        """See `Method.steps`."""
        last = min(max(problem.variance**0.5 / 2, 1 / 255), denoise.largest)
        levels = [*log_levels(min(self.first / 255, denoise.largest), last, evaluations), 0.0]
        towards = problem.operator.towards(problem.y)
        guess = problem.operator.guess(problem.y, problem.noise_std)
        x = guess + levels[0] * randn_like(guess)
        for sigma, lower in pairwise(levels):
            clean = denoise(x, sigma)
            clean = towards(clean, self.trust * problem.variance / sigma**2)
            if lower:
                noise = math.sqrt(1 - self.zeta) * (x - clean) / sigma
                if self.zeta:
                    noise = noise + math.sqrt(self.zeta) * randn_like(clean)
                x = clean + lower * noise
            yield clean
