"""RDMD: a fixed point of a denoiser and a diffusion, in any proportion.

Wang et al., "Reconciling Stochastic and Deterministic Strategies for Zero-shot Image Restoration using Diffusion Model
in Dual", CVPR 2025.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from irsde_cli.inverse.method import Denoiser, Method, Problem, log_levels
from irsde_cli.networks.preconditioning import vp_levels
from irsde_cli.randomness import RandnLike

MIDDLE = 0.5
FIRST = 49.0  # of 255: the denoiser's level in the first round
LEAST_NOISE = 1e-3


@dataclass(frozen=True)
class RDMD(Method):
    """Each round takes one step from the image towards the data, what the denoiser makes of it, and the diffusion.

    Attributes:
        tau: from 0, the denoiser of the image alone, to 1, the diffusion alone.
        trust: how much both count against the data; lambda in the paper.
        zeta: of the noise that the diffusion adds, how much is fresh.
        compat: `rdmd` asks the network about the image as if it were shrunk by its noise, and starts from one that is,
            as the authors' code does.
    """

    evaluations: ClassVar[int] = 40
    each: ClassVar[int] = 2

    tau: float = 0.5
    trust: float = 20.0
    zeta: float = 0.3
    compat: Literal["", "rdmd"] = ""

    def __post_init__(self) -> None:
        if not 0 <= self.tau <= 1 or not 0 <= self.zeta <= 1:
            raise ValueError(f"tau and zeta lie in [0, 1], and are not {self.tau:g} and {self.zeta:g}")
        if not 0 < self.trust < math.inf:
            raise ValueError(f"trust must be above 0, not {self.trust:g}")

    def levels(self, rounds: int, largest: float) -> list[float]:
        """The noise level of the diffusion in each round, for images in [0, 1]."""
        known = vp_levels()
        count = max(int((known <= largest * (1 + 1e-6)).sum()), 1)
        times = torch.linspace(0, count**2, rounds, dtype=torch.float64).sqrt().long().clamp_max(count - 1)
        return known[count - 1 - times].tolist()

    def steps(self, problem: Problem, denoise: Denoiser, evaluations: int, randn_like: RandnLike) -> Iterator[Tensor]:
        """See `Method.steps`; two evaluations a round."""
        operator, y, noise = problem.operator, problem.y, problem.noise_std
        levels = self.levels(evaluations // self.each, denoise.largest)
        last = max(operator.scale / 255, noise)
        told = log_levels(min(max(FIRST / 255, last), denoise.largest), min(last, denoise.largest), len(levels))
        still = self.trust * (1 - self.tau) * noise**2
        z = y if operator.alike and operator.scale == 1 else operator.guess(y, noise)
        x = self._start(z, levels[0], noise if operator.scale == 1 else 0.0, randn_like)
        for index, (sigma, level) in enumerate(zip(levels, told, strict=True)):
            fixed = denoise(self._asked(z, level), level)
            yield fixed
            clean = denoise(x, sigma)
            if index + 1 == len(levels):
                yield z if operator.scale > 1 else clean
                return
            # In the paper's units, of images between -1 and 1, sigma is twice ours.
            moving = self.trust * self.tau * max(noise, LEAST_NOISE) ** 2 / (2 * sigma) ** 2
            slope = operator.adjoint(operator.forward(z) - y)
            z = z - (slope + still * (z - fixed) + moving * (z - clean)) / (1 + still + moving)
            yield z
            found = (x - z) / sigma
            if self.zeta:
                found = math.sqrt(1 - self.zeta) * found + math.sqrt(self.zeta) * randn_like(z)
            x = z + levels[index + 1] * found

    def _start(self, z: Tensor, sigma: float, noise: float, randn_like: RandnLike) -> Tensor:
        """The diffusion's first state, of an image that has noise already."""
        if not self.compat:
            return z + math.sqrt(max(sigma**2 - noise**2, 0)) * randn_like(z)
        held = float(vp_levels()[(vp_levels() - noise).abs().argmin()]) if noise else 0.0
        larger = MIDDLE + (z - MIDDLE) * math.sqrt(1 + (2 * held) ** 2)
        return larger + math.sqrt(sigma**2 - held**2) * randn_like(z)

    def _asked(self, z: Tensor, level: float) -> Tensor:
        """What the denoiser is given for an image."""
        return MIDDLE + (z - MIDDLE) * math.sqrt(1 + (2 * level) ** 2) if self.compat else z
