"""Students of one to four steps, which jump where their teacher walks.

The losses of Zhu et al., "Learning Efficient and Effective Trajectories for Differential Equation-based Image
Restoration" (TPAMI 2025), on mean-reverting SDEs: a student goes its few first-order jumps with the gradient through
all of them, and each of its states is drawn to the teacher's from the same start. One network is the student of each
number of steps in turn.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from irsde_cli.samplers.costs import cheapest, jump_costs
from irsde_cli.samplers.multistep import multistep
from irsde_cli.samplers.nodes import even_nodes, falling, times_from
from irsde_cli.systems.diffusion import Diffusion
from irsde_cli.systems.parts import PublishedSampling
from irsde_cli.training.strategy import Samples
from irsde_cli.training.trajectory import Trajectory, predictor

PRICED = 25


@dataclass(frozen=True)
class DistillConfig:
    """What a student learns from.

    Attributes:
        steps: of the students; each batch belongs to one of them, drawn at random. Where the model's sampler has no
            nodes for a number, the cheapest way of so many jumps is chosen on the first batch (`samplers.costs`).
        normalised: price jumps as published, by how far the signal moves; see there what becomes of it.
        teacher_steps: of the second-order ODE that the network walked before, the student's nodes among them.
        inner_weight: of the states between, mean squared error.
        end_weight: of the last one. It keeps the student's dependence on the start's noise.
        truth_weight: of the clean image; it makes the student a regression, the more the fewer its steps.
        base_weight: of the clean estimates at the student's own states, in units of what they leave open.
        norm: of the last state's losses.
    """

    steps: tuple[int, ...] = (1, 2, 4)
    normalised: bool = False
    teacher_steps: int = 20
    inner_weight: float = 100.0
    end_weight: float = 300.0
    truth_weight: float = 300.0
    base_weight: float = 0.0
    norm: Literal["l1", "l2"] = "l2"

    def __post_init__(self) -> None:
        if not self.steps or min(self.steps) < 1 or max(self.steps) > PRICED:
            raise ValueError(f"'steps' must be numbers from 1 to {PRICED}, not {list(self.steps)}")
        if self.teacher_steps < 1 or min(self.inner_weight, self.end_weight, self.truth_weight, self.base_weight) < 0:
            raise ValueError("'teacher_steps' must be at least 1, and no weight negative")


class Distill(Trajectory):
    """See the module; the reference is the teacher and never changes."""

    Config = DistillConfig

    def __init__(self, system: Diffusion, config: DistillConfig) -> None:
        super().__init__(system)
        self.config = config
        sampling: PublishedSampling = system.config.sampling
        known = (*sampling.schedules, *([sampling.nodes] if sampling.nodes else []))
        self.students = {len(nodes): falling(nodes, system.process.num_timesteps) for nodes in known}
        self._published = sampling

    @property
    def sampling(self) -> PublishedSampling:
        """The students' sampler and nodes, once they are chosen."""
        steps = self._published.steps
        others = tuple(nodes for count, nodes in sorted(self.students.items()) if count != steps)
        return replace(self._published, nodes=self.students.get(steps), schedules=others)

    def prepare(self, system: Diffusion, mu: Tensor, noise: Tensor, mean: Callable[[Tensor], Tensor]) -> None:
        """See `Strategy.prepare`: the nodes of each number of steps that has none."""
        missing = [count for count in self.config.steps if count not in self.students]
        if not missing:
            return
        path, last = system.process.path(mu), system.process.num_timesteps
        times = times_from(even_nodes(last, min(PRICED, last)))
        start = system.process.start(mu, last, lambda x: noise)
        with torch.no_grad():
            costs = mean(jump_costs(predictor(system, mu), start, path, times, normalised=self.config.normalised))
        self.students.update((count, cheapest(costs, times, count)) for count in missing)

    def get_extra_state(self) -> list[list[int]]:
        """The nodes, for a run's state."""
        return [list(nodes) for nodes in self.students.values()]

    def set_extra_state(self, state: list[list[int]]) -> None:
        """Take the nodes of a run's state."""
        self.students = {len(nodes): tuple(nodes) for nodes in state}

    def losses(self, system: Diffusion, samples: Samples, turn: int) -> Tensor:
        """See `Strategy.losses`."""
        x0, mu = samples.x0, samples.mu
        config, path = self.config, system.process.path(mu)
        place = int(torch.randint(len(config.steps), (), generator=samples.generators()[0]))
        nodes = self.students[config.steps[place]]
        start = system.process.start(mu, nodes[0], lambda x: samples.noise)
        with torch.no_grad():
            taught = self.teach(start, mu, nodes)
        estimates: list[tuple[int, Tensor]] = []
        live = predictor(system, mu)

        def remember(x: Tensor, t: int) -> Tensor:
            estimates.append((t, live(x, t)))
            return estimates[-1][1]

        states = list(multistep(remember, start, path, times_from(nodes), torch.randn_like, order=1))
        losses = torch.zeros(len(x0), device=x0.device)
        for node, state in zip(nodes[1:], states[:-1], strict=True):
            losses = losses + config.inner_weight * _mean((state - taught[node]).square())
        for weight, wanted in ((config.end_weight, taught[0]), (config.truth_weight, x0)):
            missed = states[-1] - wanted
            losses = losses + weight * _mean(missed.square() if config.norm == "l2" else missed.abs())
        for node, clean in estimates if config.base_weight else ():
            unit = system.open_std(x0, torch.full((len(x0),), node, device=x0.device))
            losses = losses + config.base_weight / len(estimates) * _mean(((clean - x0) / unit).square())
        self.facts = {"end": float(_mean((states[-1] - taught[0]).detach().square()).mean().sqrt())}
        return losses

    def teach(self, start: Tensor, mu: Tensor, nodes: tuple[int, ...]) -> dict[int, Tensor]:
        """The teacher's states by index, those of the student's nodes among them, from 0 up to its second."""
        walked = sorted({*even_nodes(nodes[0], min(self.config.teacher_steps, nodes[0])), *nodes}, reverse=True)
        teacher = self.reference.system
        path = teacher.process.path(mu)
        states = multistep(predictor(teacher, mu), start, path, times_from(tuple(walked)), torch.randn_like)
        return dict(zip((*walked[1:], 0), states, strict=True))


def _mean(values: Tensor) -> Tensor:
    return values.flatten(1).mean(1)
