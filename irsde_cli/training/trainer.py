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

from irsde_cli.config import from_mapping
from irsde_cli.errors import UsageError
from irsde_cli.metrics.psnr import psnr
from irsde_cli.observation import Observation
from irsde_cli.randomness import ImageNoise, generator_for, generator_from
from irsde_cli.restorer import Restorer, last
from irsde_cli.samplers.settings import Sampling
from irsde_cli.systems import build_restorer
from irsde_cli.training import OBJECTIVES
from irsde_cli.training.config import TrainConfig
from irsde_cli.training.data import Batch, Source, batches
from irsde_cli.training.ranks import Ranks
from irsde_cli.training.strategy import Strategy

MIN_SNR = 5.0


@dataclass(frozen=True)
class Step:
    """What one step was like.

    Attributes:
        loss: of the batch, over all devices.
        rate: the learning rate.
        norm: of the gradient, before clipping.
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
        """Whether loss and gradient are numbers; if not, the weights were left alone."""
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

    def forward(self, x0: Tensor, mu: Tensor, t: Tensor, noise: Tensor, weight: Tensor, seeds: Tensor) -> Tensor:
        """The weighted mean of the losses; strategies weigh for themselves."""
        if isinstance(self.objective, Strategy):
            return self.objective(self.system, x0, mu, t, noise, seeds).mean()  # type: ignore[no-any-return]
        losses: Tensor = self.objective(self.system, x0, mu, t, noise)
        return (losses * weight).mean()


class Trainer:
    """One network, its averaged copy and its optimiser, on this process's device.

    Attributes:
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
        self.optimiser = _optimiser(config, self.system.learnt)
        self.objective = _objective(config, self.system)
        self.lesson = ranks.wrap(Lesson(self.system, self.objective))
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

    def state(self) -> dict[str, Any]:
        """All that `load_state` needs to go on as if nothing had happened."""
        return {
            "step": self.step,
            "returns": self.returns,
            "best_psnr": self.best_psnr,
            "best_step": self.best_step,
            "system": self.system.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimiser": self.optimiser.state_dict(),
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
        self.optimiser.load_state_dict(state["optimiser"])
        if isinstance(self.objective, Strategy):
            self.objective.load_state_dict(state["objective"])
            self._adopt_sampling()

    def train(self, source: Source, *, workers: int = 1) -> Iterator[Step]:
        """Train until `config.steps`, yielding each step; one that is not finite changes no weight and is the last."""
        config, device = self.config, self.ranks.device
        parameters = list(self.system.learnt.parameters())
        data = batches(source, config.crop, self._generators(), workers)
        for generators in self._generators(offset=1):
            since = time.monotonic()
            batch = next(data).to(device)
            waited = time.monotonic() - since
            rate = config.learning_rate * self.rate_factor(self.step)
            for group in self.optimiser.param_groups:
                group["lr"] = rate
            self.optimiser.zero_grad()
            loss = 0.0
            with torch.autocast(device.type, torch.bfloat16, enabled=config.precision == "bf16"):
                x0, mu, t, noise = self._states(batch, generators)
            if self.step == 0 and isinstance(self.objective, Strategy):
                with torch.autocast(device.type, torch.bfloat16, enabled=config.precision == "bf16"):
                    self.objective.prepare(self.system, mu, noise, self._mean)  # type: ignore[arg-type]
                self._adopt_sampling()
            weight = self._weights(t).to(device)
            seeds = torch.tensor([int(torch.randint(2**62, (), generator=one)) for one in generators])
            for part in zip(*(x.chunk(config.accumulate) for x in (x0, mu, t, noise, weight, seeds)), strict=True):
                with torch.autocast(device.type, torch.bfloat16, enabled=config.precision == "bf16"):
                    share = self.lesson(*part) / config.accumulate
                share.backward()
                loss += share.item()
            limit = config.clip_norm or math.inf
            norm = float(nn.utils.clip_grad_norm_(parameters, limit))
            loss = self.ranks.total([loss])[0] / self.ranks.world
            facts = self.objective.facts if isinstance(self.objective, Strategy) else {}
            step = Step(loss, rate, norm, waited, time.monotonic() - since, facts)
            if step.finite:
                self.optimiser.step()
                self.averaged.update_parameters(self.system)
                self.step += 1
            yield step
            if not step.finite:
                return

    def validate(self, source: Source, *, crop: int) -> Iterator[Measured]:
        """Restore this process's share of the validation pictures with the averaged weights."""
        sampling = Sampling()
        if self.kept.draws:
            wanted = self.config.validation_sampling
            sampling = Sampling(sampler=wanted.sampler, steps=wanted.steps)
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

    def _states(self, batch: Batch, generators: list[torch.Generator]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The ends of the process, an index and a noise for each sample."""
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
        return x0, mu, t.to(x0.device), noise.to(x0)

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


def _objective(config: TrainConfig, system: Restorer) -> Any:
    """The function, or the strategy with its settings.

    Raises:
        UsageError: a setting is unknown or impossible, or the system has no process to sample.
    """
    loaded = OBJECTIVES.load(config.objective)
    if not isinstance(loaded, type):
        if config.objective_options:
            raise UsageError(f"the objective '{config.objective}' has no settings, but 'objective_options' holds some.")
        return loaded
    if not system.follows_paths:
        raise UsageError(
            f"the objective '{config.objective}' needs a system that samples as it learns, not '{config.system}'."
        )
    settings = from_mapping(loaded.Config, config.objective_options, "'objective_options'")  # type: ignore[attr-defined]
    try:
        return loaded(system, settings)
    except ValueError as error:
        raise UsageError(f"'objective_options': {error}.") from None


def _optimiser(config: TrainConfig, learnt: nn.Module) -> torch.optim.Optimizer:
    settings: dict[str, Any] = {"lr": config.learning_rate, "betas": config.betas, "weight_decay": config.weight_decay}
    match config.optimiser:
        case "adam":
            return torch.optim.Adam(learnt.parameters(), **settings)
        case "adamw":
            return torch.optim.AdamW(learnt.parameters(), **settings)
        case "lion":
            try:
                from lion_pytorch import Lion
            except ImportError:
                raise UsageError(
                    "the optimiser 'lion' needs lion-pytorch.", hint="pip install 'irsde[lion]', or --optimiser adamw"
                ) from None
            return cast(torch.optim.Optimizer, Lion(learnt.parameters(), **settings))


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
