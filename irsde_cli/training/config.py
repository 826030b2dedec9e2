"""All that decides what is learnt, as a settings file says it."""

import math
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from irsde_cli.config import to_mapping
from irsde_cli.degradations import DegradationConfig
from irsde_cli.option import option
from irsde_cli.systems import current, read_config

LEARNT = "What is learnt"


@dataclass(frozen=True)
class ValidationSampling:
    """How validation pictures are restored; one evaluation is the estimate of the mean."""

    sampler: str = "ode-1"
    steps: int = 1


@dataclass(frozen=True)
class TrainConfig:
    """All that decides what is learnt.

    Attributes:
        task: what the network will undo.
        model: the configuration of the system to train.
        system: a row of `irsde_cli.systems.SYSTEMS`.
        degradation: how pairs are made from clean pictures; `None` where the data are pairs.
        validation: the degradation of the validation pictures; the training one if `None`.
        validation_sampling: how they are restored.
        objective: a row of `irsde_cli.training.OBJECTIVES`.
        objective_options: its settings, where it has any.
        steps: optimiser steps.
        crop: side of a training crop, in pixels of the clean picture.
        batch_size: crops a step, over all devices.
        accumulate: parts that a batch is cut into, one after another, to save memory.
        enlarged_share: share of samples that are enlarged before they are degraded, by bicubic interpolation: pixels of
            cameras are softer than those of pictures that were made smaller. Pairs of files stay as they are.
        enlarged_max: how far at most; each draws its own, evenly in the logarithm.
        reduced_share: share of samples that are cut larger and reduced before they are degraded, to show whole scenes.
        reduced_max: how far at most, and no further than the picture is large; evenly in the logarithm.
        lined_share: share of samples that get parallel lines before they are degraded, as roofs and fences have them.
        swap_share: share of samples whose clean and degraded pictures change places.
        timesteps: how the index of a sample is drawn from 1..T: uniformly, or uniformly in half the log of the
            signal-to-noise ratio.
        terminal_share: share of samples at t = T, where the first evaluation of every sampler happens.
        pure_start: at t = T show the network what the sampler will: the degraded image and noise. As published,
            alpha_T = 0.005 of the clean image is left there; averaged over smooth areas a network reads it, and misses
            it when it samples.
        weighting: `uniform`, or `min-snr`: samples of a signal-to-noise ratio above 5 weigh 5 / ratio (Hang et al.,
            ICCV 2023).
        optimiser: Adam, AdamW, or Lion (Chen et al., NeurIPS 2023; the extra `lion`).
        learning_rate: after `warm_up` steps.
        betas: the optimiser's averages.
        weight_decay: decoupled in AdamW and Lion.
        clip_norm: largest norm of the gradient; 0 clips nothing.
        warm_up: steps over which the rate rises from 0.
        schedule: what the rate does then: `plateau` stays and falls to 0 over the last `decay` share of the steps;
            `multi-step` is multiplied by `gamma` at each of `milestones`; `cosine` falls to `final_rate`.
        decay: see `schedule`.
        milestones: see `schedule`, in steps.
        gamma: see `schedule`.
        final_rate: see `schedule`.
        ema_decay: of the averaged weights, which are validated and kept.
        collapse_db: a validation this far below the best one is a collapse: the run goes back to its best state.
        precision: of the network; the process around it is always in float32.
        seed: a sample depends on it, on the step and on its place in the batch, so that a resumed run repeats nothing.
    """

    VARIABLES: ClassVar[str] = "IRSDE_TRAIN_"

    task: str
    model: dict[str, Any]
    system: str = "mean-reverting"
    degradation: DegradationConfig | None = None
    validation: DegradationConfig | None = None
    validation_sampling: ValidationSampling = field(default_factory=ValidationSampling)
    objective: str = option("pixels", "What a batch teaches.", default="maximum-likelihood", panel=LEARNT)
    objective_options: dict[str, Any] = field(default_factory=dict)
    steps: int = option("pixels", "Optimiser steps.", default=100_000, panel=LEARNT, minimum=1)
    crop: int = option("pixels", "Side of the crops, in pixels.", default=64, panel=LEARNT, minimum=1)
    batch_size: int = option(
        "pixels", "Crops a step, over all devices.", default=16, panel=LEARNT, short="-b", minimum=1
    )
    accumulate: int = option("pixels", "Parts of a batch, to save memory.", default=1, panel=LEARNT, minimum=1)
    enlarged_share: float = 0.0
    enlarged_max: float = 3.0
    reduced_share: float = 0.0
    reduced_max: float = 3.0
    lined_share: float = 0.0
    swap_share: float = 0.0
    timesteps: Literal["uniform", "half-log-snr"] = "uniform"
    terminal_share: float = 0.2
    pure_start: bool = False
    weighting: Literal["uniform", "min-snr"] = "uniform"
    optimiser: Literal["adam", "adamw", "lion"] = option(
        "pixels", "How weights follow gradients.", default="adamw", panel=LEARNT
    )
    learning_rate: float = option("pixels", "After the warm-up.", default=1e-3, panel=LEARNT)
    betas: tuple[float, ...] = (0.9, 0.99)
    weight_decay: float = 1e-4
    clip_norm: float = 1.0
    warm_up: int = 500
    schedule: Literal["plateau", "multi-step", "cosine"] = option(
        "pixels", "What the rate does then.", default="plateau", panel=LEARNT
    )
    decay: float = 0.2
    milestones: tuple[int, ...] = ()
    gamma: float = 0.5
    final_rate: float = 0.0
    ema_decay: float = 0.999
    collapse_db: float = 3.0
    precision: Literal["fp32", "bf16"] = option("pixels", "Of the network.", default="fp32", panel=LEARNT)
    seed: int = option("pixels", "Of weights, crops and noise.", default=0, panel=LEARNT)

    def __post_init__(self) -> None:
        for name in ("steps", "crop", "batch_size", "accumulate", "learning_rate", "gamma", "collapse_db"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"'{name}' must be positive, not {getattr(self, name)}")
        for name in ("weight_decay", "clip_norm", "warm_up", "final_rate"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"'{name}' must be at least 0, not {getattr(self, name)}")
        for name in ("decay", "terminal_share", "swap_share", "enlarged_share", "reduced_share", "lined_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"'{name}' must lie in [0, 1], not {getattr(self, name)}")
        for name in ("enlarged_max", "reduced_max"):
            if not 1 <= getattr(self, name) <= 16:
                raise ValueError(f"'{name}' must be from 1 to 16, not {getattr(self, name)}")
        if self.enlarged_share + self.reduced_share > 1:
            raise ValueError("'enlarged_share' and 'reduced_share' must be at most 1 together")
        if not 0 <= self.ema_decay < 1:
            raise ValueError(f"'ema_decay' must lie in [0, 1), not {self.ema_decay}")
        if len(self.betas) != 2 or not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"'betas' must be two numbers in [0, 1), not {list(self.betas)}")
        if self.batch_size % self.accumulate:
            raise ValueError(f"a batch of {self.batch_size} cannot be cut into {self.accumulate} equal parts")
        # Defaults become visible, and a wrong key is found before anything is read.
        object.__setattr__(self, "system", current(self.system))
        model = to_mapping(read_config(self.system, self.model, "'model'"))
        object.__setattr__(self, "model", model)
        if self.crop % model.get("scale", 1):
            raise ValueError(f"a crop of {self.crop} pixels is no multiple of the scale {model['scale']}")
