"""Pre-training of all-in-one networks: what a decoder computes of damaged pictures is to tell the damage.

DCPT, "Degradation Classification Pre-Training" (ICLR 2025; github.com/MILab-PKU/dcpt): the network gives clean pictures
back as they are, while a classifier that sees nothing but its decoder's features says what damaged the others. Both
learn from the sum. Afterwards the classifier is left out, and the network learns to restore as any other does: begin
that run with --init.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from irsde_cli.errors import UsageError
from irsde_cli.systems.one_pass import OnePass
from irsde_cli.training.features import tapped, widths
from irsde_cli.training.strategy import NETWORK, Samples, Strategy

EPS = 1e-6


@dataclass(frozen=True)
class DegradationClassificationConfig:
    """What is learnt beside the damage.

    Attributes:
        classes: damages that the data have; `untouched` pictures of a mixture are one of them.
        reconstruct: `clean` pictures as they are, to prepare a network; or `degraded` ones as the clean ones, to train
            it at once.
        weight: of the classification.
        focus: how much less counts what is already told, the exponent of a focal loss; 0 is cross-entropy.
    """

    classes: int
    reconstruct: Literal["clean", "degraded"] = "clean"
    weight: float = 1.0
    focus: float = 0.0

    def __post_init__(self) -> None:
        if self.classes < 2 or min(self.weight, self.focus) < 0:
            raise ValueError("'classes' must be at least 2, 'weight' and 'focus' not negative")


class DegradationClassification(Strategy):
    """See the module."""

    Config = DegradationClassificationConfig
    turns = ((NETWORK, "classifier"),)

    def __init__(self, system: OnePass, config: DegradationClassificationConfig) -> None:
        super().__init__()
        if config.reconstruct == "clean" and system.network.facts.scale > 1:
            raise ValueError("a network that enlarges gives no clean picture back: 'reconstruct' must be 'degraded'")
        self.config = config
        self.stages = system.network.stages
        self.helpers["classifier"] = Classifier(widths(system), config.classes)

    def check(self, tasks: Sequence[str]) -> None:
        """See `Strategy.check`."""
        if len(tasks) != self.config.classes:
            names = f": {', '.join(tasks)}" if tasks else ""
            raise UsageError(
                f"'objective_options' speaks of {self.config.classes} classes, but the data have {len(tasks)} "
                f"damages{names}.",
                hint="Take the degradation 'mixture', or pairs in a folder for each damage, and --set "
                "objective_options.classes=N.",
            )

    def losses(self, system: OnePass, samples: Samples, turn: int) -> Tensor:
        """See `Strategy.losses`."""
        with tapped(system.network, self.stages) as found:
            restored = system.predict(samples.mu)
        logits = self.helpers["classifier"]([found[name] for name in self.stages]).float()
        if self.config.reconstruct == "clean":
            restored = system.predict(samples.x0)
        told = focal(logits, samples.tasks, self.config.focus)
        if not logits.is_meta:
            self.facts = {"told": float((logits.argmax(1) == samples.tasks).float().mean())}
        return (restored - samples.x0).abs().flatten(1).mean(1) + self.config.weight * told


def focal(logits: Tensor, tasks: Tensor, focus: float) -> Tensor:
    """Cross-entropy of logits (B, classes), less of it the surer the truth is: (B,)."""
    entropy = F.cross_entropy(logits, tasks, reduction="none")
    return (1 - (-entropy).exp()) ** focus * entropy if focus else entropy


class Normed(nn.Conv2d):
    """A convolution without bias, and layer normalisation over its channels."""

    def __init__(self, channels: int, out: int, size: int) -> None:
        super().__init__(channels, out, size, padding=size // 2, bias=False)
        self.norm = nn.LayerNorm(out, eps=EPS)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C', H, W)."""
        normed: Tensor = self.norm(super().forward(x).movedim(1, -1))
        return normed.movedim(-1, 1)


class Bottleneck(nn.Module):
    """Three convolutions, twice as wide inside, and the sum with the input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = Normed(width, 2 * width, 1)
        self.conv2 = Normed(2 * width, 2 * width, 3)
        self.conv3 = Normed(2 * width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        h = self.conv2(self.conv1(x).relu()).relu()
        out: Tensor = (x + self.conv3(h)).relu()
        return out


class Classifier(nn.Module):
    """Says which damage features of a decoder come from; names of parameters are the published ones.

    Args:
        widths: channels of the features, each half as large as those before.
        classes: damages.
    """

    def __init__(self, widths: Sequence[int], classes: int) -> None:
        super().__init__()
        self.mixing_weights = nn.Parameter(torch.ones(len(widths)))
        self.bottleneck_layers = nn.ModuleList(nn.Sequential(Bottleneck(width), Bottleneck(width)) for width in widths)
        below = [*widths[1:], widths[-1]]
        self.downsample_layers = nn.ModuleList(
            nn.Sequential(nn.Conv2d(width, other, 1, bias=False), nn.MaxPool2d(2), nn.ReLU())
            for width, other in zip(widths, below, strict=True)
        )
        self.last_stage = nn.Sequential(Bottleneck(widths[-1]), Bottleneck(widths[-1]))
        self.fc = nn.Linear(widths[-1], classes)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Features from fine to coarse, (B, C, H, W) each, to logits (B, classes)."""
        shares = self.mixing_weights.softmax(0)
        h: Tensor | float = 0.0
        for share, feature, blocks, down in zip(
            shares, features, self.bottleneck_layers, self.downsample_layers, strict=True
        ):
            h = down(blocks(h + share * feature))
        assert isinstance(h, Tensor)
        logits: Tensor = self.fc(self.last_stage(h).mean((-2, -1)))
        return logits
