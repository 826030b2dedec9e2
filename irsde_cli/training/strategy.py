"""Objectives that need more than a batch: an earlier or averaged copy of the network, and whole sampled paths."""

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor, nn

from irsde_cli.samplers.sampler import CleanPredictor
from irsde_cli.systems.diffusion import Diffusion
from irsde_cli.systems.parts import PublishedSampling


class Follower(nn.Module):
    """A copy of a system that is not trained, but can move towards one that is.

    Attributes:
        system: the copy.
    """

    def __init__(self, system: Diffusion) -> None:
        super().__init__()
        self.system = copy.deepcopy(system).requires_grad_(False)

    @torch.no_grad()
    def follow(self, system: Diffusion, decay: float) -> None:
        """Keep that share of the copy, and take the rest from `system`; at 0 it becomes its equal."""
        torch._foreach_lerp_(list(self.system.parameters()), list(system.parameters()), 1 - decay)


class Strategy(nn.Module, ABC):
    """An objective with a state, which a run's checkpoints keep.

    Attributes:
        reference: a copy of the system, at first as training begins; what it becomes is the strategy's choice.
        facts: figures of the last batch, for the log.
    """

    def __init__(self, system: Diffusion) -> None:
        super().__init__()
        self.reference = Follower(system)
        self.register_buffer("updates", torch.zeros((), dtype=torch.long))
        self.updates: Tensor
        self.facts: dict[str, float] = {}

    @property
    def sampling(self) -> PublishedSampling | None:
        """How the trained network is to be sampled, where the strategy decides that."""
        return None

    def prepare(self, system: Diffusion, mu: Tensor, noise: Tensor, mean: Callable[[Tensor], Tensor]) -> None:
        """Decide what depends on the network that training begins with, on the first batch.

        Args:
            system: the network.
            mu: degraded images (B, C, H, W) of this process.
            noise: of their starts, (B, C, H, W).
            mean: the mean of a tensor over all processes.
        """

    @abstractmethod
    def losses(
        self, system: Diffusion, x0: Tensor, mu: Tensor, t: Tensor, noise: Tensor, generators: list[torch.Generator]
    ) -> Tensor:
        """A loss for each image, (B,); the arguments are an objective's, and a generator for each image."""

    def forward(self, system: Diffusion, x0: Tensor, mu: Tensor, t: Tensor, noise: Tensor, seeds: Tensor) -> Tensor:
        """The losses; the first call copies the network that training begins with."""
        if int(self.updates) == 0:
            self.reference.follow(system, 0.0)
        found = self.losses(system, x0, mu, t, noise, [torch.Generator().manual_seed(int(seed)) for seed in seeds])
        self.updates += 1
        return found


def predictor(system: Diffusion, mu: Tensor, *, clip: bool = True) -> CleanPredictor:
    """What solvers ask, for a batch in training; `clip` as samplers do, where clean ends are bounded."""
    clip = clip and system.bounded

    def predict_clean(x: Tensor, t: int) -> Tensor:
        clean = system.clean_and_noise(x, mu, torch.full((len(x),), t, device=x.device))[0]
        return clean.clamp(0, 1) if clip else clean

    return predict_clean


def decibels(images: Tensor, clean: Tensor) -> Tensor:
    """PSNR of each picture of a batch, (B,), both in [0, 1]."""
    error = (images - clean).square().flatten(1).mean(1)
    return -10 * torch.log10(error.clamp_min(1e-10))
