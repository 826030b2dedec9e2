"""Several damages in one network, each weighed by how well it can be undone.

TUR, "Task-Uncertainty Regularisation" (AAAI 2025; github.com/Aitical/TUR): a head on the network's last features says
for each pixel how large the error will be, averaged over the samples of a damage; errors count by it. With a constant
uncertainty the best is half of a damage's mean error E, which leaves 2 + 2 ln(E / 2): the sum of the logarithms of all
damages' errors is lowered, so that an easy damage counts as much as a hard one. The head learns along and is left out
of the kept weights.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from irsde_cli.errors import UsageError
from irsde_cli.networks.layers import conv3
from irsde_cli.systems.one_pass import OnePass
from irsde_cli.training.features import tapped, widths
from irsde_cli.training.strategy import NETWORK, Samples, Strategy

HEAD_WIDTH = 64
START = 0.05  # what a fresh head says: about an error of early training


@dataclass(frozen=True)
class TaskUncertaintyConfig:
    """How damages are weighed.

    Attributes:
        floor: smallest uncertainty, of images in [0, 1]; the published 1e-6 lets untouched pictures outweigh all else.
        leak: as published for three and five damages, where the error of each is averaged with those before it.
    """

    floor: float = 1e-3
    leak: bool = False

    def __post_init__(self) -> None:
        if self.floor <= 0:
            raise ValueError("'floor' must be positive")


class TaskUncertainty(Strategy):
    """See the module."""

    Config = TaskUncertaintyConfig
    turns = ((NETWORK, "head"),)

    def __init__(self, system: OnePass, config: TaskUncertaintyConfig) -> None:
        super().__init__()
        self.config = config
        self.stage, width = system.network.stages[:1], widths(system)[0]
        self.helpers["head"] = uncertainty_head(width)

    def check(self, tasks: Sequence[str]) -> None:
        """See `Strategy.check`."""
        if len(tasks) < 2:
            raise UsageError(
                "the objective 'task-uncertainty' weighs several damages against each other, and these data have one.",
                hint="Take the degradation 'mixture', or pairs in a folder for each damage: GT/rain/, GT/haze/.",
            )

    def losses(self, system: OnePass, samples: Samples, turn: int) -> Tensor:
        """See `Strategy.losses`; one for all, as samples of a damage share their uncertainty."""
        with tapped(system.network, self.stage) as found:
            restored = system.predict(samples.mu)
        uncertainty = self._fitted(self.helpers["head"](found[self.stage[0]]).float(), samples.mu, restored, system)
        error = (restored - samples.x0).abs().float()
        self.facts = {"uncertainty": float(uncertainty.detach().mean())}
        return weighed(error, uncertainty, samples.tasks, floor=self.config.floor, leak=self.config.leak)[None]

    def probe(self, system: OnePass, samples: Samples) -> Tensor:
        """See `Strategy.probe`; which damages a batch holds is not known there."""
        with tapped(system.network, self.stage) as found:
            restored = system.predict(samples.mu)
        said: Tensor = self.helpers["head"](found[self.stage[0]])
        return restored.mean() + said.mean()

    def _fitted(self, uncertainty: Tensor, image: Tensor, restored: Tensor, system: OnePass) -> Tensor:
        """At the size of the restored images, where the features are coarser or of a padded image."""
        height, width = system.network.facts.padded_size(*image.shape[-2:])
        scale = system.network.facts.scale
        if uncertainty.shape[-2:] != (height * scale, width * scale):
            uncertainty = F.interpolate(uncertainty, (height * scale, width * scale), mode="bilinear")
        return uncertainty[..., : restored.shape[-2], : restored.shape[-1]]


def uncertainty_head(channels: int) -> nn.Sequential:
    """From features (B, `channels`, H, W) to positive numbers (B, 3, H, W)."""
    last = conv3(HEAD_WIDTH, 3, bias=True)
    nn.init.constant_(cast(Tensor, last.bias), math.log(math.expm1(START)))  # before the softplus
    return nn.Sequential(
        conv3(channels, HEAD_WIDTH, bias=True),
        nn.ELU(),
        conv3(HEAD_WIDTH, HEAD_WIDTH, bias=True),
        nn.ELU(),
        last,
        nn.Softplus(),
    )


def weighed(error: Tensor, uncertainty: Tensor, tasks: Tensor, *, floor: float, leak: bool = False) -> Tensor:
    """The mean over the damages in a batch, (), of error by uncertainty and twice the logarithm of the latter's mean.

    Args:
        error: absolute differences, (B, C, H, W).
        uncertainty: of each, like `error`; it is averaged over the samples of a damage.
        tasks: which damage each sample has, (B,).
        floor: smallest uncertainty.
        leak: average the errors of all damages so far, in the order of their numbers.
    """
    found = []
    total, count = error.new_zeros(()), 0
    for task in sorted(set(tasks.tolist())):
        chosen = tasks == task
        shared = uncertainty[chosen].mean(0, keepdim=True).clamp_min(floor)
        errors = error[chosen] / shared
        if leak:
            total, count = total + errors.sum(), count + errors.numel()
            mean = total / count
        else:
            mean = errors.mean()
        found.append(mean + 2 * shared.mean().log())
    return torch.stack(found).mean()
