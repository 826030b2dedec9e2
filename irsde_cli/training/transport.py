"""Optimal transport: pictures become clean ones at the least cost of what is changed, with or without pairs.

Tang et al., "Degradation-Aware Residual-Conditioned Optimal Transport for Unified Image Restoration" (DA-RCOT), TPAMI
2025. Of all maps whose results look clean to a critic, that is sought whose residual is small and has a sparse
spectrum. The critic says how clean a picture looks, and must not change faster than the picture does (Gulrajani et
al., NeurIPS 2017). Each step is a turn of the critic and then one of the network.

The authors take a step for the critic's steepness apart from that for its scores, and add the spectra's cost over a
batch where they average all else; here it is one step, and the mean, so that the batch's size changes no weight. Their
term that should bring the features of one damage together does nothing (see `contrast`), and is off.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from irsde_cli.errors import UsageError
from irsde_cli.systems.one_pass import OnePass
from irsde_cli.training.features import tapped, widths
from irsde_cli.training.strategy import NETWORK, Samples, Strategy

TEMPERATURE = 0.07
FLAT = 4  # the critic's features are brought to so many squared before they are weighed, as crops of 128 pixels are


@dataclass(frozen=True)
class TransportConfig:
    """What is weighed against what, as published.

    Attributes:
        paired: whether the network is told the clean picture of each; without, it only sees others.
        pixel_weight: of the mean absolute error, where it is told.
        cost_weight: of the residual.
        contrast_weight: of the term that brings the network's deepest features of one damage together.
        published_contrast: whether it is the authors' own, which does nothing.
        penalty: on the critic's steepness, where it is not 1.
        one_sided: whether only what is steeper than 1 is held back. As published, the critic must slope where results
            look clean already, so that without pairs the network never comes to rest.
        dense: damages whose residual is dense, like noise: their spectrum costs its root mean square, others' its mean.
        width: channels of the critic's first layer.
        critic_rate: the critic's learning rate, by that of the network.
    """

    paired: bool = True
    pixel_weight: float = 1e4
    cost_weight: float = 1.0
    contrast_weight: float = 0.0
    published_contrast: bool = False
    penalty: float = 10.0
    one_sided: bool = False
    dense: tuple[str, ...] = ("gaussian-noise", "sensor-noise", "camera-noise")
    width: int = 64
    critic_rate: float = 2.0

    def __post_init__(self) -> None:
        if min(self.pixel_weight, self.cost_weight, self.contrast_weight, self.penalty) < 0:
            raise ValueError("no weight may be negative")
        if self.width < 1 or self.critic_rate <= 0:
            raise ValueError("'width' must be at least 1, and 'critic_rate' positive")


class Potential(nn.Module):
    """How clean images (B, 3, H, W) look, (B,); with a width of 64, the published one for crops of 128 pixels.

    Args:
        width: channels of the first layer.
    """

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 3
        for level, kernel in enumerate((5, 3, 3, 3, 3)):
            channels = width * min(2**level, 8)
            bias = level < 3
            layers += [nn.Conv2d(before, channels, kernel, 1, kernel // 2, bias=bias), nn.LeakyReLU(0.2)]
            layers += [nn.Conv2d(channels, channels, 4, 2, 1, bias=bias), nn.LeakyReLU(0.2)]
            before = channels
        self.features = nn.Sequential(*layers)
        self.fc = nn.Linear(before * FLAT**2, 32 * width)
        self.fc1 = nn.Linear(32 * width, width)
        self.fc2 = nn.Linear(width, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Higher for what looks cleaner."""
        height, width = images.shape[-2:]
        images = F.pad(images, (0, max(32 - width, 0), 0, max(32 - height, 0)), "replicate")
        features = self.features(images)
        if features.shape[-2:] != (FLAT, FLAT):
            features = F.adaptive_avg_pool2d(features, FLAT)
        hidden = self.fc1(self.fc(features.flatten(1)))
        score: Tensor = self.fc2(F.leaky_relu(hidden, 0.2))[:, 0]
        return score


class Transport(Strategy):
    """See the module."""

    Config = TransportConfig
    turns = (("critic",), (NETWORK,))

    def __init__(self, system: OnePass, config: TransportConfig) -> None:
        super().__init__()
        self.config = config
        self.helper_rate = config.critic_rate
        self.helpers["critic"] = Potential(config.width)
        self._dense: tuple[int, ...] = ()
        if system.scale != 1:
            raise ValueError("a residual is of a picture and a result of one size; this network enlarges")
        if config.contrast_weight:
            widths(system)  # there are features to look at

    def check(self, tasks: Sequence[str]) -> None:
        """See `Strategy.check`; tells damages whose residual is dense."""
        self._dense = tuple(index for index, task in enumerate(tasks) if task in self.config.dense)

    def losses(self, system: OnePass, samples: Samples, turn: int) -> Tensor:
        """See `Strategy.losses`; one for all."""
        if not self.config.paired and len(samples.x0) < 2:
            raise UsageError("without pairs the objective 'transport' needs two pictures at a time: --batch-size 2.")
        clean = samples.x0 if self.config.paired else samples.x0.roll(1, 0)
        if turn == 0:
            with torch.no_grad():
                restored = system.predict(samples.mu)
            apart = (self._looks(restored) - self._looks(clean)).mean()
            return (apart + self.config.penalty * self._steepness(clean, restored, samples.noise))[None]
        stages = system.network.stages[-1:] if self.config.contrast_weight else ()
        with tapped(system.network, stages) as found:
            restored = system.predict(samples.mu)
        residual = (samples.mu - restored).float()
        dense = torch.isin(samples.tasks, torch.tensor(self._dense, device=samples.tasks.device))
        price = root_mean_square(residual) + spectral_cost(residual, dense).mean()
        loss = self.config.cost_weight * price - self._looks(restored).mean()
        if self.config.paired:
            loss = loss + self.config.pixel_weight * (restored - samples.x0).abs().float().mean()
        for features in found.values():
            embeddings = features.float() if self.config.published_contrast else features.float().mean((2, 3))
            apart = contrast(embeddings, samples.tasks, published=self.config.published_contrast)
            loss = loss + self.config.contrast_weight * apart
        return loss[None]

    def probe(self, system: OnePass, samples: Samples) -> Tensor:
        """See `Strategy.probe`; the critic's steepness is counted as another look at each picture."""
        restored = system.predict(samples.mu)
        looks = torch.cat([self._looks(images) for images in (restored, samples.x0, samples.x0)])
        return restored.mean() + looks.mean()

    def _looks(self, images: Tensor) -> Tensor:
        score: Tensor = self.helpers["critic"](images).float()
        return score

    def _steepness(self, clean: Tensor, restored: Tensor, noise: Tensor) -> Tensor:
        """How far from 1, or above, the critic's slope is, squared, somewhere between clean and restored images."""
        place = torch.special.ndtr(noise.flatten(1)[:, 0]).view(-1, 1, 1, 1).to(clean)
        between = torch.lerp(clean, restored.to(clean), place).detach().requires_grad_()
        (slope,) = torch.autograd.grad(self._looks(between).sum(), between, create_graph=True)
        wrong: Tensor = slope.flatten(1).float().norm(dim=1) - 1
        if self.config.one_sided:
            wrong = wrong.clamp_min(0)
        return wrong.square().mean()


def root_mean_square(values: Tensor) -> Tensor:
    """Of all that a tensor holds, ()."""
    root: Tensor = values.abs().square().mean().add(1e-12).sqrt()
    return root


def spectral_cost(residual: Tensor, dense: Tensor) -> Tensor:
    """What the spectrum of each residual (B, C, H, W) costs, (B,).

    The transform is not normalised. By Parseval's identity the root mean square of the spectrum is that of the pixels
    times the square root of their number: for a dense residual this says nothing new.

    Args:
        residual: what was changed.
        dense: (B,) of booleans: the root mean square counts, and not the mean of the absolute values.
    """
    height, width = residual.shape[-2:]
    squares = residual.square().flatten(1).mean(1)
    root = (squares + 1e-12).sqrt() * math.sqrt(height * width)
    return torch.where(dense, root, torch.fft.fft2(residual).abs().flatten(1).mean(1))


def contrast(embeddings: Tensor, tasks: Tensor, *, published: bool = False) -> Tensor:
    """How far the embeddings of one damage are apart, and those of different ones together, ().

    As published each pair of elements is compared by itself, and the exponentials are averaged: for vectors of unit
    length and many elements these are all near to 1, whatever the vectors are, so that nothing is learnt from it.

    Args:
        embeddings: (B, ...); each is brought to unit length.
        tasks: which damage each has, (B,).
        published: as the authors' code compares; else by the cosine.
    """
    unit = F.normalize(embeddings.flatten(1), dim=1)
    first, second = torch.triu_indices(len(unit), len(unit), 1, device=unit.device)
    alike = torch.where(tasks[first] == tasks[second], -1.0, 1.0)
    products = unit[first] * unit[second]
    if not published:
        products = products.sum(1, keepdim=True)
    return (alike[:, None] * products / TEMPERATURE).exp().mean(1).sum()
