"""Reinforcing the deterministic path with better random ones.

After Zhu et al., "Learning Efficient and Effective Trajectories for Differential Equation-based Image Restoration"
(TPAMI 2025), whose training was not released, on mean-reverting SDEs: from one state of the probability-flow ODE
several paths go on that are random for one step and deterministic after it; the next step of the ODE is drawn to that
of the best.

The reward is the PSNR of the end, so what is reinforced is precision: the path moves towards the conditional mean, PSNR
rises and spread falls. A perceptual term in the reward weighs against it.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from irsde_cli.metrics.lpips import LpipsAlex
from irsde_cli.metrics.psnr import psnr
from irsde_cli.processes.path import Path as Process
from irsde_cli.randomness import ImageNoise
from irsde_cli.samplers.multistep import multistep
from irsde_cli.samplers.nodes import even_nodes, falling, times_from
from irsde_cli.samplers.sampler import CleanPredictor
from irsde_cli.systems.diffusion import Diffusion
from irsde_cli.training.clean_matching import clean_matching
from irsde_cli.training.strategy import Samples
from irsde_cli.training.trajectory import Follower, Trajectory, predictor

MOST_DECIBELS = 100.0  # of a reward, so that two equal pictures have a finite one


@dataclass(frozen=True)
class ReinforceConfig:
    """How paths are explored, and what is learnt from them.

    Attributes:
        steps: of the ODE, evenly spread, where `nodes` is empty.
        nodes: its indices.
        paths: random paths for each image.
        eta_min: least strength of the noise, which is drawn for each path and image.
        eta_max: largest; 1 is posterior sampling.
        block: side of the squares that share a strength, in pixels; 0 for one strength for the whole image.
        margin: in dB; images whose best path is no better than the ODE's end by that much teach nothing.
        rollout: `step` explores at one step and carries the gradient through one evaluation; `path` explores at all
            steps and carries it through all of them, with their memory saved and their time spent twice.
        clean_weight: of the clean estimate at the better state, in mean absolute error.
        base_weight: of `clean-matching`, which keeps the network what it is.
        floor: standard deviation that is added to a state's, so that late steps do not outweigh all others.
        refresh: updates after which the exploring copy takes over the average of the trained one.
        decay: of that average.
        lpips: weights of LPIPS (AlexNet) for the reward; without them it is PSNR alone.
        perceptual_weight: decibels that an LPIPS of 1 costs.
    """

    steps: int = 10
    nodes: tuple[int, ...] = ()
    paths: int = 8
    eta_min: float = 0.05
    eta_max: float = 1.0
    block: int = 0
    margin: float = 0.0
    rollout: Literal["step", "path"] = "step"
    clean_weight: float = 0.1
    base_weight: float = 1.0
    floor: float = 0.02
    refresh: int = 200
    decay: float = 0.999
    lpips: str = ""
    perceptual_weight: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.eta_min <= self.eta_max:
            raise ValueError(f"eta must rise from 'eta_min' to 'eta_max', not from {self.eta_min} to {self.eta_max}")
        if self.paths < 0 or self.refresh < 1 or self.steps < 3 or self.block < 0:
            raise ValueError("'steps' must be at least 3, 'refresh' 1, 'paths' and 'block' 0")
        if self.perceptual_weight and not self.lpips:
            raise ValueError("'perceptual_weight' needs the weights of LPIPS in 'lpips'")


class Reinforce(Trajectory):
    """See the module; the reference is the exploring copy."""

    Config = ReinforceConfig

    def __init__(self, system: Diffusion, config: ReinforceConfig) -> None:
        super().__init__(system)
        self.config = config
        last = system.process.num_timesteps
        self.nodes = falling(config.nodes or even_nodes(last, config.steps), last)
        self.average = Follower(system)
        self._lpips = LpipsAlex.load(Path(config.lpips)) if config.perceptual_weight else None

    def losses(self, system: Diffusion, samples: Samples, turn: int) -> Tensor:
        """See `Strategy.losses`."""
        config = self.config
        x0, mu, noise = samples.x0, samples.mu, samples.noise
        self._refresh(system)
        losses = config.base_weight * clean_matching(system, x0, mu, samples.t, noise)
        if config.paths:
            step = self._step if config.rollout == "step" else self._path
            losses = losses + step(system, x0, mu, noise, samples.generators())
        return losses

    def _refresh(self, system: Diffusion) -> None:
        updates = int(self.updates)
        self.average.follow(system, self.config.decay if updates else 0.0)
        if updates and updates % self.config.refresh == 0:
            self.reference.follow(self.average.system, 0.0)

    def _rewards(self, system: Diffusion, x0: Tensor) -> Callable[[Tensor], Tensor]:
        """The reward of ends, given the clean ones: that of the pictures that they stand for."""
        truth = system.picture(x0)

        def reward(ends: Tensor) -> Tensor:
            shown = system.picture(ends)
            found = psnr(shown, truth).clamp_max(MOST_DECIBELS)
            if self._lpips is not None:
                found = found - self.config.perceptual_weight * self._lpips.to(x0.device)(shown, truth)
            return found

        return reward

    def _strength(self, x: Tensor, generators: list[torch.Generator]) -> Tensor:
        """Eta for each image or square of it, broadcasting to `x`."""
        config = self.config
        side = (1, 1) if not config.block else tuple(-(-size // config.block) for size in x.shape[-2:])
        drawn = torch.stack([torch.rand((1, *side), generator=generator) for generator in generators])
        if config.block:
            drawn = F.interpolate(drawn, scale_factor=config.block, mode="nearest")[..., : x.shape[-2], : x.shape[-1]]
        return (config.eta_min + (config.eta_max - config.eta_min) * drawn).to(x)

    def _ode(self, predict: CleanPredictor, start: Tensor, path: Process) -> list[Tensor]:
        """The states after each step of the deterministic path."""
        return list(multistep(predict, start, path, times_from(self.nodes), torch.randn_like, order=1))

    def _step(
        self, system: Diffusion, x0: Tensor, mu: Tensor, noise: Tensor, generators: list[torch.Generator]
    ) -> Tensor:
        """One step of the ODE against the best of several random ones from the same state."""
        config, path = self.config, system.process.path(mu)
        explore = predictor(self.reference.system, mu)
        index = int(torch.randint(1, len(self.nodes) - 1, (), generator=generators[0]))
        times = times_from(self.nodes[index:])
        draw = ImageNoise(generators)
        with torch.no_grad():
            states = self._ode(explore, system.process.start(mu, self.nodes[0], lambda x: noise), path)
            here = states[index - 1]
            zeros: list[float | Tensor] = [0.0] * (len(times) - 2)
            etas = ([self._strength(here, generators), *zeros] for _ in range(config.paths))
            branches = (multistep(explore, here, path, times, draw, order=1, eta=eta, recentre=False) for eta in etas)
            improved, target = self._best(states[index:], branches, 0, self._rewards(system, x0))
        live = multistep(
            predictor(system, mu, clip=False), here, path, times, draw, order=1, recentre=False
        )  # the one evaluation with a gradient
        _, s = path.at(self.nodes[index + 1])
        missed = (next(live) - target).square() / (s**2 + config.floor**2)
        clean = predictor(system, mu, clip=False)(target, self.nodes[index + 1])
        return improved * (missed.flatten(1).mean(1) + config.clean_weight * (clean - x0).abs().flatten(1).mean(1))

    def _path(
        self, system: Diffusion, x0: Tensor, mu: Tensor, noise: Tensor, generators: list[torch.Generator]
    ) -> Tensor:
        """The whole ODE against a state of the best of several paths that are random at every step, and the truth."""
        config, path = self.config, system.process.path(mu)
        start = system.process.start(mu, self.nodes[0], lambda x: noise)
        index = int(torch.randint(1, len(self.nodes), (), generator=generators[0]))
        times, draw = times_from(self.nodes), ImageNoise(generators)
        explore = predictor(self.reference.system, mu)
        with torch.no_grad():
            etas = ([self._strength(start, generators) for _ in self.nodes[1:]] for _ in range(config.paths))
            branches = (multistep(explore, start, path, times, draw, order=1, eta=eta) for eta in etas)
            states = self._ode(explore, start, path)
            improved, target = self._best(states, branches, index - 1, self._rewards(system, x0))
        live = predictor(system, mu, clip=False)

        def saving(x: Tensor, t: int) -> Tensor:
            clean: Tensor = checkpoint(live, x, t, use_reentrant=False)
            return clean

        reached = self._ode(saving, start, path)
        _, s = path.at(self.nodes[index])
        missed = (reached[index - 1] - target).square() / (s**2 + config.floor**2)
        ended = (reached[-1] - x0).square() / config.floor**2
        return improved * (missed + ended).flatten(1).mean(1)

    def _best(
        self,
        plainly: Sequence[Tensor],
        branches: Iterable[Iterable[Tensor]],
        place: int,
        reward_of: Callable[[Tensor], Tensor],
    ) -> tuple[Tensor, Tensor]:
        """Which images learn, (B,) of 0 and 1, and the state at `place` of the way whose end has the best reward.

        The ways are the ODE's states and those of the branches; the rewards are remembered for the log.
        """
        plain = reward_of(plainly[-1])
        best, target = plain, plainly[place]
        for branch in map(list, branches):
            reward = reward_of(branch[-1])
            better = (reward > best)[:, None, None, None]
            best, target = torch.maximum(best, reward), torch.where(better, branch[place], target)
        improved = (best > plain + self.config.margin).float()
        self.facts = {
            "reward": float(plain.mean()),
            "best": float(best.mean()),
            "gap": float((best - plain).mean()),
            "improved": float(improved.mean()),
        }
        return improved, target
