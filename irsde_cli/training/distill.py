"""Students of one to four steps, which jump where their teacher walks.

The losses of Zhu et al., "Learning Efficient and Effective Trajectories for Differential Equation-based Image
Restoration" (TPAMI 2025), on mean-reverting SDEs: the student goes its few first-order jumps with the gradient through
all of them, and each of its states is drawn to the teacher's from the same start.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from irsde_cli.samplers.multistep import multistep
from irsde_cli.samplers.nodes import even_nodes, times_from
from irsde_cli.systems.diffusion import Diffusion
from irsde_cli.training.strategy import Strategy, chosen_nodes, predictor


@dataclass(frozen=True)
class DistillConfig:
    """What a student learns from.

    Attributes:
        nodes: where it evaluates; empty for the model's own `sampling.nodes`. The first may lie below T: a later start
            for mild damage.
        teacher_steps: of the second-order ODE that the network walked before, the student's nodes among them.
        inner_weight: of the states between, mean squared error.
        end_weight: of the last one. It keeps the student's dependence on the start's noise.
        truth_weight: of the clean image; it makes the student a regression, the more the fewer its steps.
        base_weight: of the clean estimates at the student's own states, in units of what they leave open.
        norm: of the last state's losses.
    """

    nodes: tuple[int, ...] = ()
    teacher_steps: int = 20
    inner_weight: float = 100.0
    end_weight: float = 300.0
    truth_weight: float = 300.0
    base_weight: float = 0.0
    norm: Literal["l1", "l2"] = "l2"

    def __post_init__(self) -> None:
        if self.teacher_steps < 1 or min(self.inner_weight, self.end_weight, self.truth_weight, self.base_weight) < 0:
            raise ValueError("'teacher_steps' must be at least 1, and no weight negative")


class Distill(Strategy):
    """See the module; the reference is the teacher and never changes."""

    Config = DistillConfig

    def __init__(self, system: Diffusion, config: DistillConfig) -> None:
        super().__init__(system)
        self.config = config
        self.nodes = chosen_nodes(system, config.nodes)
        steps = min(config.teacher_steps, self.nodes[0])
        walked = {*even_nodes(self.nodes[0], steps), *self.nodes}
        self.walked = tuple(sorted(walked, reverse=True))

    def losses(
        self, system: Diffusion, x0: Tensor, mu: Tensor, t: Tensor, noise: Tensor, generators: list[torch.Generator]
    ) -> Tensor:
        """See `Strategy.losses`."""
        config, path = self.config, system.clock.path(mu)
        start = system.clock.start(mu, self.nodes[0], lambda x: noise)
        with torch.no_grad():
            taught = self.teach(start, mu)
        estimates: list[tuple[int, Tensor]] = []
        live = predictor(system, mu)

        def remember(x: Tensor, t: int) -> Tensor:
            estimates.append((t, live(x, t)))
            return estimates[-1][1]

        states = list(multistep(remember, start, path, times_from(self.nodes), torch.randn_like, order=1))
        losses = torch.zeros(len(x0), device=x0.device)
        for node, state in zip(self.nodes[1:], states[:-1], strict=True):
            losses = losses + config.inner_weight * _mean((state - taught[node]).square())
        for weight, wanted in ((config.end_weight, taught[0]), (config.truth_weight, x0)):
            missed = states[-1] - wanted
            losses = losses + weight * _mean(missed.square() if config.norm == "l2" else missed.abs())
        for node, clean in estimates if config.base_weight else ():
            unit = system.open_std(x0, torch.full((len(x0),), node, device=x0.device))
            losses = losses + config.base_weight / len(estimates) * _mean(((clean - x0) / unit).square())
        self.facts = {"end": float(_mean((states[-1] - taught[0]).detach().square()).mean().sqrt())}
        return losses

    def teach(self, start: Tensor, mu: Tensor) -> dict[int, Tensor]:
        """The teacher's states by index, from 0 up to its second."""
        teacher = self.reference.system
        path = teacher.clock.path(mu)
        states = multistep(predictor(teacher, mu), start, path, times_from(self.walked), torch.randn_like)
        return dict(zip((*self.walked[1:], 0), states, strict=True))


def _mean(values: Tensor) -> Tensor:
    return values.flatten(1).mean(1)
