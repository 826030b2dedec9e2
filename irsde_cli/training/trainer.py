"""The training loop. It knows neither files nor displays; it yields after each step, and whoever iterates decides."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from irsde_cli.degradations import DegradationConfig, build_degradation
from irsde_cli.errors import MachineError
from irsde_cli.randomness import ImageNoise
from irsde_cli.restorer import last
from irsde_cli.samplers.settings import Sampling
from irsde_cli.systems.mean_reverting import MeanReverting, MeanRevertingConfig
from irsde_cli.training import OBJECTIVES
from irsde_cli.training.photos import training_pair


@dataclass(frozen=True)
class TrainConfig:
    """All that decides what is learnt.

    Attributes:
        task: what the network will undo.
        model: the system to train.
        degradation: how pairs are made from clean photographs.
        validation: the degradation of the validation photographs; the training one if `None`.
        objective: a row of `irsde_cli.training.OBJECTIVES`.
        steps: optimiser steps.
        crop: side of a training crop, in pixels.
        batch_size: crops a step.
        learning_rate: of AdamW, after `warm_up` steps and until the last `decay` share of them, where it falls to 0.
        weight_decay: of AdamW.
        terminal_share: the share of samples at t = T, where the first evaluation of every sampler happens; the others
            are uniform in 1..T.
        ema_decay: of the averaged weights, which are validated and kept.
        clip_norm: largest norm of the gradient.
        precision: of the network; the process around it is always in float32.
        seed: the batch of a step depends on it and on the step alone, so that a resumed run repeats nothing.
    """

    task: str
    model: MeanRevertingConfig
    degradation: DegradationConfig
    validation: DegradationConfig | None = None
    objective: str = "maximum-likelihood"
    steps: int = 100_000
    crop: int = 64
    batch_size: int = 16
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    warm_up: int = 500
    decay: float = 0.2
    terminal_share: float = 0.2
    ema_decay: float = 0.999
    clip_norm: float = 1.0
    precision: Literal["fp32", "bf16"] = "fp32"
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "crop", "batch_size", "learning_rate", "clip_norm"):
            if getattr(self, name) <= 0:
                raise ValueError(f"'{name}' must be positive, not {getattr(self, name)}")
        for name in ("decay", "terminal_share", "ema_decay"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"'{name}' must lie in [0, 1], not {getattr(self, name)}")


def parameter_count(config: TrainConfig) -> int:
    """How many numbers are learnt."""
    return sum(parameter.numel() for parameter in MeanReverting(config.model).parameters())


class Trainer:
    """One network, its averaged copy and its optimiser, on one device."""

    def __init__(self, config: TrainConfig, device: torch.device) -> None:
        torch.manual_seed(config.seed)
        self.config = config
        self.device = device
        self.system = MeanReverting(config.model).to(device)
        self.system.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.averaged = AveragedModel(self.system, multi_avg_fn=_ema(config.ema_decay))
        self.optimiser = torch.optim.AdamW(
            self.system.parameters(), lr=config.learning_rate, betas=(0.9, 0.99), weight_decay=config.weight_decay
        )
        self.degradation = build_degradation(config.degradation)
        self.objective = OBJECTIVES.load(config.objective)
        self.step = 0

    @property
    def best(self) -> MeanReverting:
        """The averaged weights, which are what a checkpoint should hold."""
        return cast(MeanReverting, self.averaged.module)

    def state(self) -> dict[str, Any]:
        """All that `load_state` needs to go on as if nothing had happened."""
        return {
            "step": self.step,
            "system": self.system.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimiser": self.optimiser.state_dict(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from a state of a trainer with the same settings; the number of steps may differ."""
        self.step = state["step"]
        self.system.load_state_dict(state["system"])
        self.averaged.load_state_dict(state["averaged"])
        self.optimiser.load_state_dict(state["optimiser"])

    def train(self, photos: list[Tensor]) -> Iterator[float]:
        """Train until `config.steps`; yields the loss of each step.

        Raises:
            MachineError: the loss is not finite.
        """
        config = self.config
        while self.step < config.steps:
            generator = torch.Generator().manual_seed((config.seed << 32) + self.step)
            clean, mu = training_pair(photos, self.degradation, config.crop, config.batch_size, generator)
            terminal = torch.rand(len(clean), generator=generator) < config.terminal_share
            t = torch.randint(1, config.model.num_timesteps + 1, (len(clean),), generator=generator)
            t = torch.where(terminal, config.model.num_timesteps, t)
            noise = torch.randn(clean.shape, generator=generator)
            for group in self.optimiser.param_groups:
                group["lr"] = config.learning_rate * self._rate(self.step)
            with torch.autocast(self.device.type, torch.bfloat16, enabled=config.precision == "bf16"):
                loss = self.objective(self.system, *(x.to(self.device) for x in (clean, mu, t, noise)))
            self.optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(self.system.parameters(), config.clip_norm)
            value = loss.item()
            if not math.isfinite(value):
                raise MachineError(f"the loss is {value} at step {self.step}; the last checkpoint is untouched.")
            self.optimiser.step()
            self.averaged.update_parameters(self.system)
            self.step += 1
            yield value

    def validate(self, pairs: list[tuple[Tensor, Tensor]]) -> tuple[float, float]:
        """Mean PSNR in dB of the degraded images and of the one-evaluation estimate, over all channels of [0, 1]."""
        before, after = [], []
        sampling = self.best.resolve(Sampling(sampler="ode-1", steps=1))
        for index, (clean, degraded) in enumerate(pairs):
            noise = ImageNoise([torch.Generator().manual_seed(index)])
            with torch.inference_mode():
                restored = last(self.best.steps(degraded.to(self.device), noise, sampling)).clamp(0, 1).cpu()
            before.append(_psnr(degraded.clamp(0, 1), clean))
            after.append(_psnr(restored, clean))
        return sum(before) / len(before), sum(after) / len(after)

    def _rate(self, step: int) -> float:
        """The share of the learning rate at a step: a ramp, a plateau, and a straight fall to zero."""
        config = self.config
        left = (config.steps - step) / max(config.decay * config.steps, 1)
        return min((step + 1) / max(config.warm_up, 1), 1.0, left)


def _psnr(image: Tensor, clean: Tensor) -> float:
    return float(-10 * torch.log10((image - clean).double().square().mean()))


def _ema(decay: float) -> Any:
    @torch.no_grad()
    def update(averaged: list[Tensor], current: list[Tensor], count: Tensor) -> None:
        # The young average follows quickly, so that it never holds on to the random start.
        weight = max(1 - decay, 9 / (10 + float(count)))
        torch._foreach_lerp_(averaged, current, weight)

    return update
