"""What every zero-shot method is: settings, and a generator of states.

All is in pixels of [0, 1], and noise only adds: x_t = x_0 + sigma n. Papers whose images lie in [-1, 1] have twice our
sigma, and those that shrink the image as noise comes in divide by what they shrink it with.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from irsde_cli.errors import UsageError
from irsde_cli.operators.operator import Operator, Recipe
from irsde_cli.randomness import RandnLike

LEAST_NOISE = 0.25 / 255  # what a picture of 8 bits has at least


class Denoiser(Protocol):
    """E[x_0 | x_0 + sigma n], a prior.

    Attributes:
        largest: the largest sigma that it knows.
    """

    largest: float

    def __call__(self, x: Tensor, sigma: float) -> Tensor:
        """The mean for images x (B, C, H, W)."""
        ...


@dataclass(frozen=True, eq=False)
class Problem:
    """y = A x_0 + noise.

    Attributes:
        y: (B, C, h, w), what was seen.
        operator: A.
        noise_std: of the noise, for images in [0, 1].
    """

    y: Tensor
    operator: Operator
    noise_std: float

    @property
    def variance(self) -> float:
        """Of the noise; never quite nothing, so that what is divided by it stays finite."""
        return max(self.noise_std, LEAST_NOISE) ** 2


class Method(ABC):
    """A way to solve a `Problem`; subclasses are frozen dataclasses of settings, rows of `METHODS`.

    Attributes:
        evaluations: of the denoiser, where nobody asks for another number.
        draws: whether two seeds give two results.
        each: how many evaluations a round takes: their number is a multiple of it.
    """

    evaluations: ClassVar[int]
    draws: ClassVar[bool] = True
    each: ClassVar[int] = 1

    def usual(self, *, sparse: bool) -> int:
        """The number of evaluations where nobody asks for another; see `Recipe.sparse`."""
        return self.evaluations

    def check(self, damage: Operator | Recipe) -> None:
        """Raise a UsageError where the method cannot work with such an operator."""
        return

    @abstractmethod
    def steps(self, problem: Problem, denoise: Denoiser, evaluations: int, randn_like: RandnLike) -> Iterator[Tensor]:
        """Yield the image after each evaluation; the last is the restored one."""


def need_spectrum(name: str, damage: Operator | Recipe) -> None:
    """Raise a UsageError unless the operator has a spectrum."""
    if not damage.spectral:
        raise UsageError(
            f"the method '{name}' needs the singular values of the damage, and those of a blur are known for a "
            "circular border alone.",
            hint="--set operator.border=circular, or another method: dpir, diffpir, cm4ir.",
        )


def log_levels(first: float, last: float, count: int) -> list[float]:
    """`count` falling noise levels, evenly spread in their logarithm."""
    ends = math.log10(max(first, last)), math.log10(last)
    levels: list[float] = torch.logspace(*ends, count, dtype=torch.float64).tolist()
    return levels
