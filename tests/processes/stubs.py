"""What the recorded runs of other people's code share: their noise, their images, and stubs in place of networks."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from irsde_cli.processes.path import Path


class Pool:
    """The k-th draw of a run returns entry k of the recorded noise, in units of its own range."""

    def __init__(self, noise: Tensor, *, silent: Iterable[int] = ()) -> None:
        self.noise = noise
        self.silent = set(silent)
        self.draws = 0

    def __call__(self, x: Tensor, /) -> Tensor:
        drawn = self.noise[self.draws][None].to(x)
        self.draws += 1
        return torch.zeros_like(x) if self.draws - 1 in self.silent else drawn


def symmetric(stub: Callable[[Tensor, int], Tensor]) -> Callable[[Tensor, int], Tensor]:
    """A clean estimate of states in [-1, 1], by index, as samplers ask for it: of states in [0, 1]."""
    return lambda x, t: (stub(2 * x - 1, t) + 1) / 2


def from_noise(path: Path, stub: Callable[[Tensor, int], Tensor]) -> Callable[[Tensor, int], Tensor]:
    """The clean estimate by a stub that says what noise a state holds; the centre where nothing is known."""

    def predict_clean(x: Tensor, t: int) -> Tensor:
        m, s = path.at(t)
        if m == 0:
            return path.centre.clone()
        return path.centre + (x - path.centre - s * stub(x, t)) / m

    return predict_clean
