"""Adversarial training with two relativistic critics, one that sees patches and one that sees the whole crop.

Kupyn et al., "DeblurGAN-v2: Deblurring (Orders-of-Magnitude) Faster and Better", ICCV 2019. A critic learns that clean
crops are more real than restored ones are on average, by least squares (Jolicoeur-Martineau, ICLR 2019); the network
learns to turn that round. Each step is a turn of the critics and then one of the network.

The paper compares features of VGG-19 too. Here it is LPIPS, whose weights are to be had in a few megabytes. The paper
keeps its pre-trained encoder for three epochs, which other networks do not have: begin with --init instead.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from irsde_cli.metrics.lpips import Lpips, load_lpips
from irsde_cli.systems.one_pass import OnePass
from irsde_cli.training.strategy import NETWORK, Samples, Strategy

MOST_WIDTHS = 8  # how many times as wide as its first layer a critic becomes


@dataclass(frozen=True)
class AdversarialConfig:
    """What is weighed against what, as published; images count in [-1, 1].

    Attributes:
        pixel_weight: of the mean squared error.
        adversarial_weight: of what the critics say.
        layers: convolutions of stride two of each critic: three see 70 pixels, five a crop of 256.
        width: channels of a critic's first layer.
        critic_rate: the critics' learning rate, by that of the network.
        lpips: weights of LPIPS.
        perceptual_weight: of LPIPS, which needs them.
    """

    pixel_weight: float = 0.5
    adversarial_weight: float = 0.001
    layers: tuple[int, ...] = (3, 5)
    width: int = 64
    critic_rate: float = 1.0
    lpips: str = ""
    perceptual_weight: float = 0.0

    def __post_init__(self) -> None:
        if min(self.pixel_weight, self.adversarial_weight, self.perceptual_weight) < 0:
            raise ValueError("no weight may be negative")
        if not self.layers or min(self.layers) < 1 or self.width < 1 or self.critic_rate <= 0:
            raise ValueError("'layers' must be numbers from 1, 'width' at least 1, and 'critic_rate' positive")
        if self.perceptual_weight and not self.lpips:
            raise ValueError("'perceptual_weight' needs the weights of LPIPS in 'lpips'")


class Critic(nn.Sequential):
    """How real patches look: a score for each place, higher for what it takes to be clean.

    Isola et al., "Image-to-Image Translation with Conditional Adversarial Networks", CVPR 2017.
    """

    def __init__(self, layers: int, width: int) -> None:
        widths = [width * min(2**level, MOST_WIDTHS) for level in range(layers + 1)]
        blocks: list[nn.Module] = [nn.Conv2d(3, width, 4, 2, 2), nn.LeakyReLU(0.2)]
        for level in range(1, layers + 1):
            stride = 2 if level < layers else 1
            blocks += [nn.Conv2d(widths[level - 1], widths[level], 4, stride, 2), nn.InstanceNorm2d(widths[level])]
            blocks += [nn.LeakyReLU(0.2)]
        super().__init__(*blocks, nn.Conv2d(widths[-1], 1, 4, 1, 2))


class Adversarial(Strategy):
    """See the module."""

    Config = AdversarialConfig
    turns = (("critics",), (NETWORK,))

    def __init__(self, system: OnePass, config: AdversarialConfig) -> None:
        super().__init__()
        self.config = config
        self.helper_rate = config.critic_rate
        self.helpers["critics"] = nn.ModuleList(Critic(layers, config.width) for layers in config.layers)
        self._lpips: list[Lpips] = [load_lpips(Path(config.lpips))] if config.perceptual_weight else []

    def losses(self, system: OnePass, samples: Samples, turn: int) -> Tensor:
        """See `Strategy.losses`; one for all, as a critic compares with the others' mean."""
        clean = 2 * samples.x0 - 1
        if turn == 0:
            with torch.no_grad():
                restored = system.predict(samples.mu)
            judged = self._apart(clean, 2 * restored - 1)
            self.facts = {"critics": float(judged.detach())} if not judged.is_meta else {}
            return judged[None]
        restored = system.predict(samples.mu)
        loss = self.config.pixel_weight * (2 * restored - 1 - clean).square().mean()
        loss = loss + self.config.adversarial_weight * self._apart(2 * restored - 1, clean)
        for lpips in self._lpips:
            distance = lpips.to(clean.device)(restored, samples.x0).mean()
            loss = loss + self.config.perceptual_weight * distance
        return loss[None]

    def _apart(self, more: Tensor, less: Tensor) -> Tensor:
        """What is lowered to make all critics find `more` more real than `less`."""
        critics = cast(nn.ModuleList, self.helpers["critics"])
        return torch.stack([relativistic(critic(more).float(), critic(less).float()) for critic in critics]).mean()


def relativistic(more: Tensor, less: Tensor) -> Tensor:
    """Least squares that ask each score of `more` to be one above the mean of `less`, and the other way round."""
    return ((more - less.mean() - 1).square().mean() + (less - more.mean() + 1).square().mean()) / 2
