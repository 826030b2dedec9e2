"""What strategies share that sample as they learn: an earlier or averaged copy of the network, and whole paths."""

import copy
from abc import abstractmethod

import torch
from torch import Tensor, nn

from irsde_cli.samplers.sampler import CleanPredictor
from irsde_cli.systems.diffusion import Diffusion
from irsde_cli.training.strategy import Samples, Strategy


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


class Trajectory(Strategy):
    """A strategy that learns from sampled paths.

    Attributes:
        reference: a copy of the system, at first as training begins; what it becomes is the strategy's choice.
        updates: losses computed so far.
    """

    follows_paths = True

    def __init__(self, system: Diffusion) -> None:
        super().__init__()
        self.reference = Follower(system)
        self.register_buffer("updates", torch.zeros((), dtype=torch.long))
        self.updates: Tensor

    @abstractmethod
    def losses(self, system: Diffusion, samples: Samples, turn: int) -> Tensor:
        """See `Strategy.losses`; a loss for each image."""

    def probe(self, system: Diffusion, samples: Samples) -> Tensor:
        """See `Strategy.probe`; one evaluation, as how many there are depends on chance."""
        output = system.probe(samples.x0, samples.mu, samples.t)
        assert output is not None, "a diffusion says what it evaluates"
        return output

    def forward(self, system: Diffusion, samples: Samples, turn: int = 0) -> Tensor:
        """The losses; the first call copies the network that training begins with."""
        if int(self.updates) == 0:
            self.reference.follow(system, 0.0)
        found = self.losses(system, samples, turn)
        self.updates += 1
        return found


def predictor(system: Diffusion, mu: Tensor, *, clip: bool = True) -> CleanPredictor:
    """What solvers ask, for a batch in training; `clip` as samplers do, where clean ends are bounded."""
    clip = clip and system.bounded

    def predict_clean(x: Tensor, t: int) -> Tensor:
        clean = system.clean_and_noise(x, mu, torch.full((len(x),), t, device=x.device))[0]
        return clean.clamp(0, 1) if clip else clean

    return predict_clean
