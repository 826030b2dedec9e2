"""Problems whose answer is known: images that are Gaussian, so that a denoiser is a formula."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from irsde_cli.inverse.method import Problem
from irsde_cli.operators import OperatorConfig, build_recipe
from irsde_cli.operators.operator import Operator

MEAN, SPREAD = 0.5, 0.2


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@dataclass
class Noise:
    """Draws that can be repeated."""

    generator: torch.Generator = field(default_factory=seeded)

    def __call__(self, like: Tensor) -> Tensor:
        return torch.randn(like.shape, generator=self.generator, dtype=like.dtype)


@dataclass
class Gaussian:
    """E[x_0 | x_0 + sigma n] of pixels that are independent, each of MEAN and SPREAD; remembers what it was asked."""

    largest: float = 1.0
    asked: list[float] = field(default_factory=list)

    def __call__(self, x: Tensor, sigma: float) -> Tensor:
        self.asked.append(sigma)
        return MEAN + (x - MEAN) * SPREAD**2 / (SPREAD**2 + sigma**2)


def operator(name: str, size: tuple[int, int], **options: object) -> Operator:
    return build_recipe(OperatorConfig(name, options)).build(size)


def problem(
    a: Operator, size: tuple[int, int], noise_std: float, seed: int = 0, count: int = 1
) -> tuple[Problem, Tensor]:
    """A problem and its clean image."""
    noise = Noise(seeded(seed))
    x = MEAN + SPREAD * noise(torch.zeros(count, 3, *size, dtype=torch.float64))
    seen = a.forward(x)
    return Problem(seen + noise_std * noise(seen), a, noise_std), x


def posterior_mean(given: Problem, like: Tensor) -> Tensor:
    """What is best to say of the clean image."""
    return given.operator.towards(given.y)(torch.full_like(like, MEAN), (given.noise_std / SPREAD) ** 2)
