"""The training loop. It knows neither files nor displays; it yields after each step, and whoever iterates decides."""

import math
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel

from irsde_cli import extras
from irsde_cli.errors import UsageError
from irsde_cli.metrics.psnr import psnr
from irsde_cli.observation import Observation
from irsde_cli.randomness import ImageNoise, generator_for, generator_from
from irsde_cli.restorer import Restorer, last
from irsde_cli.samplers.settings import Sampling
from irsde_cli.systems import build_restorer
from irsde_cli.training.config import TrainConfig
from irsde_cli.training.data import Batch, Source, batches
from irsde_cli.training.ranks import Ranks
from irsde_cli.training.strategy import NETWORK, Samples, Strategy, build_objective

MIN_SNR = 5.0


@dataclass(frozen=True)
class Step:
    """What one step was like.

    Attributes:
        loss: of the network, over the batch and all devices.
        rate: the learning rate.
        norm: of the network's gradient, before clipping.
        waited: seconds in which the device waited for data.
        seconds: that the step took in all.
        facts: other figures of an objective's, of this process's share of the batch.
    """

    loss: float
    rate: float
    norm: float
    waited: float
    seconds: float
    facts: dict[str, float] = field(default_factory=dict)

    @property
    def finite(self) -> bool:
        """Whether losses and gradients are numbers; if not, loss and norm are of the part where they are none."""
        return math.isfinite(self.loss) and math.isfinite(self.norm)


@dataclass(frozen=True)
class Measured:
    """A validation picture: relative path without suffix, images (1, 3, H, W), and PSNR in dB over RGB in [0, 1]."""

    name: str
    clean: Tensor
    degraded: Tensor
    restored: Tensor
    input_psnr: float
    psnr: float


class Lesson(nn.Module):
    """A system and its objective as one module, whose call can be shared among devices."""

    def __init__(self, system: Restorer, objective: Any) -> None:
        super().__init__()
        self.system = system
        self.objective = objective

    def forward(self, samples: Samples, turn: int) -> Tensor:
        """The weighted mean of the losses; strategies weigh for themselves."""
        if isinstance(self.objective, Strategy):
            return self.objective(self.system, samples, turn).mean()  # type: ignore[no-any-return]
        losses: Tensor = self.objective(self.system, samples.x0, samples.mu, samples.t, samples.noise)
        return (losses * samples.weight).mean()


class Trainer:
    """One network, its averaged copy, what learns beside it, and their optimisers, on this process's device.

    Attributes:
        parts: what learns, by name: the network, and the helpers of a strategy.
        step: steps done.
        returns: how often the run went back to an earlier state; each halves the rate and draws other samples.
        best_psnr: of the validations so far.
        best_step: when that was; -1 before the first.
    """

    def __init__(self, config: TrainConfig, ranks: Ranks) -> None:
        torch.manual_seed(config.seed)
        self.config = config
        self.ranks = ranks
        self.system = build_restorer(config.system, config.model, "'model'").to(ranks.device)
        self.system.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if config.crop % self.system.scale:
            raise UsageError(f"a crop of {config.crop} pixels is no multiple of the scale {self.system.scale}.")
        self.system.pure_start = config.pure_start
        self.system.requires_grad_(False)
        self.system.learnt.requires_grad_(True)
        self.averaged = AveragedModel(self.system, multi_avg_fn=_ema(config.ema_decay))
        self.objective = build_objective(config.objective, config.objective_options, self.system, config.system)
        self.parts: dict[str, nn.Module] = {NETWORK: self.system.learnt}
        self._turns: tuple[tuple[str, ...], ...] = ((NETWORK,),)
        if isinstance(self.objective, Strategy):
            self.objective.to(ranks.device)
            self.parts |= dict(self.objective.helpers.items())
            self._turns = self.objective.turns
        self._optimisers = {name: _optimiser(config, part) for name, part in self.parts.items()}
        self._lessons = [self._lesson(turn) for turn in range(len(self._turns))]
        self.step = 0
        self.returns = 0
        self.best_psnr = -math.inf
        self.best_step = -1

    @property
    def kept(self) -> Restorer:
        """The averaged weights, which are what a checkpoint should hold."""
        return cast(Restorer, self.averaged.module)

    def start_from(self, tensors: dict[str, Tensor]) -> None:
        """Begin with other weights; `tensors` are some or all of the system's."""
        for system in (self.system, self.kept):
            system.load_state_dict(tensors, strict=False)

    def check(self, source: Source) -> None:
        """Look at the data before the first step.

        Raises:
            UsageError: the objective cannot learn from them.
        """
        if isinstance(self.objective, Strategy):
            self.objective.check(source.tasks)

    def state(self) -> dict[str, Any]:
        """All that `load_state` needs to go on as if nothing had happened."""
        return {
            "step": self.step,
            "returns": self.returns,
            "best_psnr": self.best_psnr,
            "best_step": self.best_step,
            "system": self.system.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimiser": self._optimisers[NETWORK].state_dict(),
            "helpers": {name: one.state_dict() for name, one in self._optimisers.items() if name != NETWORK},
            "objective": self.objective.state_dict() if isinstance(self.objective, Strategy) else None,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from a state of a trainer with the same settings; the number of steps and of devices may differ."""
        self.step = state["step"]
        self.returns = state["returns"]
        self.best_psnr = state["best_psnr"]
        self.best_step = state["best_step"]
        self.system.load_state_dict(state["system"])
        self.averaged.load_state_dict(state["averaged"])
        for name, optimiser in self._optimisers.items():
            optimiser.load_state_dict(state["optimiser"] if name == NETWORK else state["helpers"][name])
        if isinstance(self.objective, Strategy):
            self.objective.load_state_dict(state["objective"])
            self._adopt_sampling()

    def train(self, source: Source, *, workers: int = 1) -> Iterator[Step]:
        """Train until `config.steps`, yielding each step; one that is not finite is the last.

        The part where it is not keeps its weights; those that learnt before it in this step do not.
        """
        config, device = self.config, self.ranks.device
        data = batches(source, config.crop, self._generators(), workers)
        for generators in self._generators(offset=1):
            since = time.monotonic()
            batch = next(data).to(device)
            waited = time.monotonic() - since
            rate = config.learning_rate * self.rate_factor(self.step)
            with self._autocast():
                samples = self._samples(batch, generators)
            if self.step == 0 and isinstance(self.objective, Strategy):
                with self._autocast():
                    self.objective.prepare(self.system, samples.mu, samples.noise, self._mean)
                self._adopt_sampling()
            loss = norm = math.nan
            for turn, names in enumerate(self._turns):
                learnt = self._learn(turn, samples, rate)
                if NETWORK in names or not all(map(math.isfinite, learnt)):
                    loss, norm = learnt
                if not all(map(math.isfinite, learnt)):
                    break
            facts = dict(self.objective.facts) if isinstance(self.objective, Strategy) else {}
            step = Step(loss, rate, norm, waited, time.monotonic() - since, facts)
            if step.finite:
                self.averaged.update_parameters(self.system)
                self.step += 1
            yield step
            if not step.finite:
                return

    def _learn(self, turn: int, samples: Samples, rate: float) -> tuple[float, float]:
        """One turn of a step: the loss over all devices, and the norm of its gradient before clipping."""
        config, names = self.config, self._turns[turn]
        self._only(turn)
        for name in names:
            self._optimisers[name].zero_grad()
            for group in self._optimisers[name].param_groups:
                group["lr"] = rate * (1.0 if name == NETWORK else self.objective.helper_rate)
        loss = 0.0
        for part in samples.parts(config.accumulate):
            with self._autocast():
                share = self._lessons[turn](part, turn) / config.accumulate
            share.backward()
            loss += share.item()
        limit = config.clip_norm or math.inf
        norms = {name: float(nn.utils.clip_grad_norm_(self.parts[name].parameters(), limit)) for name in names}
        loss = self.ranks.total([loss])[0] / self.ranks.world
        if math.isfinite(loss) and all(map(math.isfinite, norms.values())):
            for name in names:
                self._optimisers[name].step()
        return loss, _named(norms)

    def _lesson(self, turn: int) -> nn.Module:
        """The lesson of a turn, whose gradients are those of its parts alone."""
        self._only(turn)
        return self.ranks.wrap(Lesson(self.system, self.objective))

    def _only(self, turn: int) -> None:
        """Let the parts of a turn learn, and no others."""
        if len(self._turns) > 1:
            for name, part in self.parts.items():
                part.requires_grad_(name in self._turns[turn])

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.ranks.device.type, torch.bfloat16, enabled=self.config.precision == "bf16")

    def validate(self, source: Source, *, crop: int) -> Iterator[Measured]:
        """Restore this process's share of the validation pictures with the averaged weights."""
        wanted, sampling = self.config.validation_sampling, Sampling()
        if self.kept.takes_sampler:
            sampling = Sampling(sampler=wanted.sampler, steps=wanted.steps)
        elif self.kept.takes_realism:
            sampling = Sampling(realism=0.0)
        sampling = self.kept.resolve(sampling)
        for index in range(self.ranks.rank, len(source), self.ranks.world):
            name, pair = source.pair(index, crop, self.config.seed)
            clean, degraded = pair.clean, pair.observation.painted()
            noise = ImageNoise([generator_for(self.config.seed, os.fsencode(name))])
            here = pair.to(self.ranks.device).observation
            with torch.inference_mode():
                restored = last(self.kept.steps(here, noise, sampling)).clamp(0, 1).cpu()
                seen = degraded
                if self.kept.scale > 1:
                    seen = _enlarged(self.kept.endpoints(clean, pair.observation)[1], clean)
            yield Measured(
                name, clean, seen, restored, float(psnr(seen.clamp(0, 1), clean)), float(psnr(restored, clean))
            )

    def rate_factor(self, step: int) -> float:
        """The share of the learning rate at a step, halved at each return."""
        config = self.config
        factor: float = min((step + 1) / max(config.warm_up, 1), 1.0) / 2**self.returns
        match config.schedule:
            case "plateau":
                return min(factor, (config.steps - step) / max(config.decay * config.steps, 1))
            case "multi-step":
                return factor * config.gamma ** sum(step >= milestone for milestone in config.milestones)
            case "cosine":
                final = config.final_rate / config.learning_rate
                return factor * (final + (1 - final) * (1 + math.cos(math.pi * step / config.steps)) / 2)

    def _adopt_sampling(self) -> None:
        """A checkpoint is to be sampled as a strategy has decided."""
        if self.objective.sampling is not None:
            for system in (self.system, self.kept):
                system.config = replace(system.config, sampling=self.objective.sampling)

    def _mean(self, values: Tensor) -> Tensor:
        """The mean over all processes."""
        total = torch.tensor(self.ranks.total(values.flatten().tolist()), dtype=values.dtype)
        return total.view_as(values) / self.ranks.world

    def _generators(self, offset: int = 0) -> Iterator[list[torch.Generator]]:
        """Generators of each step to come, for the samples of this process; `offset` tells a sample's uses apart."""
        config, ranks = self.config, self.ranks
        for step in range(self.step, config.steps):
            places = range(ranks.rank, config.batch_size, ranks.world)
            yield [generator_from(repr((config.seed, self.returns, step, place, offset)).encode()) for place in places]

    def _samples(self, batch: Batch, generators: list[torch.Generator]) -> Samples:
        """What a batch teaches: the ends of the process, an index and a noise for each sample."""
        config = self.config
        swapped = torch.tensor([float(torch.rand((), generator=g)) < config.swap_share for g in generators])
        clean, observation = batch.clean, batch.observation
        if config.swap_share:
            which = swapped.to(clean.device)[:, None, None, None]
            degraded = observation.painted()
            known = None if observation.known is None else observation.known | which
            observation = Observation(torch.where(which, clean, degraded), known)
            clean = torch.where(which, degraded, clean)
        x0, mu = self.system.endpoints(clean, observation)
        t = torch.tensor([self._timestep(generator) for generator in generators])
        noise = torch.stack([torch.randn(x0.shape[1:], generator=generator) for generator in generators])
        weight = self._weights(t).to(x0.device)
        seeds = torch.tensor([int(torch.randint(2**62, (), generator=one)) for one in generators])
        tasks = torch.zeros_like(t) if batch.tasks is None else batch.tasks
        return Samples(x0, mu, t.to(x0.device), noise.to(x0), weight, seeds, tasks.to(x0.device))

    def _timestep(self, generator: torch.Generator) -> int:
        terminal, place = torch.rand(2, generator=generator).tolist()
        if terminal < self.config.terminal_share:
            return self.system.last_taught
        return self.system.time_at(place, self.config.timesteps)

    def _weights(self, t: Tensor) -> Tensor:
        if self.config.weighting == "uniform":
            return torch.ones(len(t))
        ratio = self.system.signal_to_noise(t)
        return (MIN_SNR / ratio).clamp_max(1).float()


def _named(norms: dict[str, float]) -> float:
    """The network's norm, or that of a part without; what is no number comes first."""
    bad = [norm for norm in norms.values() if not math.isfinite(norm)]
    return bad[0] if bad else norms.get(NETWORK, max(norms.values()))


def _optimiser(config: TrainConfig, learnt: nn.Module) -> torch.optim.Optimizer:
    settings: dict[str, Any] = {"lr": config.learning_rate, "betas": config.betas, "weight_decay": config.weight_decay}
    match config.optimiser:
        case "adam":
            return torch.optim.Adam(learnt.parameters(), **settings)
        case "adamw":
            return torch.optim.AdamW(learnt.parameters(), **settings)
        case "lion":
            lion = extras.load("lion", "the optimiser 'lion'").Lion
            return cast(torch.optim.Optimizer, lion(learnt.parameters(), **settings))


def _enlarged(image: Tensor, clean: Tensor) -> Tensor:
    """An image at the size of the clean one."""
    return F.interpolate(image, clean.shape[-2:], mode="bicubic", antialias=True)


def _ema(decay: float) -> Any:
    @torch.no_grad()
    def update(averaged: list[Tensor], current: list[Tensor], count: Tensor) -> None:
        # The young average follows quickly, so that it never holds on to the random start.
        weight = max(1 - decay, 9 / (10 + float(count)))
        torch._foreach_lerp_(averaged, current, weight)

    return update
