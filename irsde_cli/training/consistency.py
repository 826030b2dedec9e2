"""Consistency distillation: the estimates along one deterministic path are to agree.

Song et al., "Consistency Models" (ICML 2023), section 4; for bridges see He et al., "Consistency Diffusion Bridge
Models" (NeurIPS 2024). No path is rolled out, so an update costs three evaluations.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from irsde_cli.samplers.multistep import multistep
from irsde_cli.samplers.nodes import even_nodes, times_from
from irsde_cli.systems.diffusion import Diffusion
from irsde_cli.training.strategy import Samples
from irsde_cli.training.trajectory import Follower, Trajectory, predictor


@dataclass(frozen=True)
class ConsistencyConfig:
    """How estimates are compared.

    Attributes:
        steps: of the teacher's path from T to 0, evenly spread.
        decay: of the averaged student that gives the later estimate.
        truth_weight: of the clean image beside it.
    """

    steps: int = 20
    decay: float = 0.99
    truth_weight: float = 0.0

    def __post_init__(self) -> None:
        if self.steps < 1 or not 0 <= self.decay < 1 or self.truth_weight < 0:
            raise ValueError("'steps' must be at least 1, 'decay' lie in [0, 1), and 'truth_weight' not be negative")


class Consistency(Trajectory):
    """See the module; the reference is the teacher, `averaged` the student's average."""

    Config = ConsistencyConfig

    def __init__(self, system: Diffusion, config: ConsistencyConfig) -> None:
        super().__init__(system)
        self.config = config
        self.nodes = even_nodes(system.process.num_timesteps, config.steps)
        self.averaged = Follower(system)

    def losses(self, system: Diffusion, samples: Samples, turn: int) -> Tensor:
        """See `Strategy.losses`; all images of a batch are at one node."""
        x0, mu = samples.x0, samples.mu
        self.averaged.follow(system, self.config.decay if int(self.updates) else 0.0)
        index = int(torch.randint(len(self.nodes), (), generator=samples.generators()[0]))
        here, there = (*self.nodes, 0)[index : index + 2]
        at = torch.full((len(x0),), here, device=x0.device)
        state = system.state(x0, mu, at, samples.noise)
        path = system.process.path(mu)
        with torch.no_grad():
            walk = multistep(
                predictor(self.reference.system, mu), state, path, times_from((here, there) if there else (here,)),
                torch.randn_like, order=1, recentre=system.pure_start and index == 0,
            )  # fmt: skip
            later = next(walk)
            wanted = predictor(self.averaged.system, mu)(later, there) if there else later
        clean = predictor(system, mu, clip=False)(state, here)
        unit = system.open_std(x0, at)
        missed = ((clean - wanted) / unit).square() + self.config.truth_weight * ((clean - x0) / unit).square()
        return missed.flatten(1).mean(1)
