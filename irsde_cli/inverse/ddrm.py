"""DDRM: diffusion in the coefficients of the damage's singular value decomposition.

Kawar et al., "Denoising Diffusion Restoration Models", NeurIPS 2022, equations 7 and 8. As its noise only adds, their
variance-preserving network needs no place here.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Literal

import torch
from torch import Tensor

from irsde_cli.inverse.method import Denoiser, Method, Problem, need_spectrum
from irsde_cli.networks.preconditioning import vp_levels
from irsde_cli.operators.operator import Operator, Recipe, Spectrum
from irsde_cli.randomness import RandnLike

MIDDLE = 0.5  # of the pixels: what is nothing to a process between -1 and 1


@dataclass(frozen=True)
class DDRM(Method):
    """Each coefficient by what is known of it: nothing, less than the state knows, or more.

    Attributes:
        eta: how much fresh noise a coefficient of which little is known gets, from 0 to 1.
        eta_data: how far a coefficient of which more is known follows the data, from 0 to 1.
        compat: `ddrm` takes what is seen of a coefficient that a blur loses for noise that is known, and starts a
            little nearer to the middle, as the authors' code does.
    """

    evaluations: ClassVar[int] = 20

    eta: float = 0.85
    eta_data: float = 1.0
    compat: Literal["", "ddrm"] = ""

    def __post_init__(self) -> None:
        for name in ("eta", "eta_data"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} lies in [0, 1], and is not {getattr(self, name):g}")

    def check(self, damage: Operator | Recipe) -> None:
        """See `Method.check`."""
        need_spectrum("ddrm", damage)

    def steps(self, problem: Problem, denoise: Denoiser, evaluations: int, randn_like: RandnLike) -> Iterator[Tensor]:
        """See `Method.steps`; the levels are evenly spread over the steps of DDPM that the denoiser knows."""
        spectrum = problem.operator.spectrum
        assert spectrum is not None, "`check` has looked"
        known = vp_levels()[vp_levels() <= denoise.largest * (1 + 1e-6)]
        skip = max(len(known) // evaluations, 1)
        levels = [*known[torch.arange(0, len(known), skip)[:evaluations]].flip(0).tolist(), 0.0]
        y = problem.y - problem.operator.forward(torch.full_like(problem.operator.adjoint(problem.y), MIDDLE))
        state = _State(spectrum, y, problem.noise_std, self.compat)
        x = state.start(levels[0], randn_like)
        if self.compat:
            x = x * (1 + 1 / (2 * levels[0]) ** 2) ** 0.5
        for sigma, lower in pairwise(levels):
            clean = denoise(x + MIDDLE, sigma) - MIDDLE
            if not lower:
                yield clean + MIDDLE
                return
            x = self._step(state, clean, (x - clean) / sigma, lower, randn_like)
            yield clean + MIDDLE

    def _step(self, state: "_State", clean: Tensor, noise: Tensor, sigma: float, randn_like: RandnLike) -> Tensor:
        """The state at the level `sigma`, of the estimates of the clean image and of the noise in the last state."""
        kept = (1 - self.eta**2) ** 0.5
        fresh = randn_like(clean)
        values, y, noise_std = state.values, state.y, state.noise_std
        # What the damage loses, in pixels: the rule is the same in any basis.
        x = clean + kept * sigma * noise + self.eta * sigma * fresh
        prior, drawn = state.spectrum.analyse(clean), state.spectrum.analyse(fresh)
        ours = state.spectrum.analyse(x)
        weak = values * sigma < noise_std
        seen = y / state.positive
        if noise_std > 0:
            told = (y - values * prior) / noise_std
            follow = prior + kept * sigma * told + self.eta * sigma * drawn
        else:
            follow = prior
        left = (sigma**2 - (self.eta_data * noise_std / state.positive) ** 2).clamp_min(0).sqrt()
        near = (1 - self.eta_data) * prior + self.eta_data * seen + left * drawn
        wanted = torch.where(weak, follow, near)
        moved: Tensor = x + state.spectrum.synthesise(torch.where(state.inside, wanted - ours, 0))
        return moved


class _State:
    """What does not change from step to step."""

    def __init__(self, spectrum: Spectrum, y: Tensor, noise_std: float, compat: str) -> None:
        self.spectrum = spectrum
        self.y = spectrum.observe(y)
        self.values = spectrum.values.to(self.y.real)
        self.positive = torch.where(self.values > 0, self.values, 1)
        self.inside = self.values > (-1 if compat and noise_std > 0 else 0)
        self.noise_std = noise_std

    def start(self, sigma: float, randn_like: RandnLike) -> Tensor:
        """The first state: what is known better than it is moved there."""
        like = self.spectrum.synthesise(self.y)
        fresh = randn_like(like)
        drawn = self.spectrum.analyse(fresh)
        known = self.inside & (self.values * sigma > self.noise_std)
        left = (sigma**2 - (self.noise_std / self.positive) ** 2).clamp_min(0).sqrt()
        wanted = torch.where(known, self.y / self.positive + left * drawn, sigma * drawn)
        return sigma * fresh + self.spectrum.synthesise(torch.where(self.inside, wanted - sigma * drawn, 0))
