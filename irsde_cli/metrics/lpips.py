"""LPIPS, version 0.1 (Zhang et al. 2018): a distance between the features of a classifier; lower is closer.

The graphs are written out, so torchvision is not needed; parameters are named as there.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from irsde_cli.errors import WeightsError
from irsde_cli.storage import weight_files


class Lpips(nn.Module, ABC):
    """The weighted distance of normalised features, layer by layer.

    Attributes:
        backbone: whose features they are.
        channels: of the features that are compared.
        smallest: height and width that the graph needs at least.
    """

    backbone: ClassVar[str]
    channels: ClassVar[tuple[int, ...]]
    smallest: ClassVar[int]
    shift: Tensor
    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("shift", torch.tensor((-0.030, -0.088, -0.188))[:, None, None], persistent=False)
        self.register_buffer("scale", torch.tensor((0.458, 0.448, 0.450))[:, None, None], persistent=False)
        for index, channels in enumerate(self.channels):
            self.add_module(f"lin{index}", nn.Conv2d(channels, 1, 1, bias=False))

    @classmethod
    def load(cls, path: Path) -> Self:
        """The metric with the weights of a safetensors file, frozen.

        Raises:
            WeightsError: the file is missing, damaged or holds something else.
        """
        metric = cls()
        held = weight_files.read(path)
        try:
            metric.load_state_dict(held)
        except RuntimeError:
            raise WeightsError(f"'{path}' does not hold the weights of {cls.__name__}.") from None
        return metric.eval().requires_grad_(False)

    def forward(self, restored: Tensor, clean: Tensor) -> Tensor:
        """The distance of each pair of images (B, 3, H, W), RGB in [0, 1]: (B,).

        Raises:
            ValueError: the images are smaller than `smallest`.
        """
        height, width = clean.shape[-2:]
        if min(height, width) < self.smallest:
            raise ValueError(f"LPIPS needs images of at least {self.smallest} pixels a side, not {width} x {height}")
        distance = restored.new_zeros(len(restored))
        pairs = zip(self.compared(self._normalised(restored)), self.compared(self._normalised(clean)), strict=True)
        for index, (a, b) in enumerate(pairs):
            difference = (_unit(a) - _unit(b)).square()
            distance = distance + self.get_submodule(f"lin{index}")(difference).mean((1, 2, 3))
        return distance

    @abstractmethod
    def compared(self, x: Tensor) -> Iterator[Tensor]:
        """The features of normalised images (B, 3, H, W), layer by layer."""

    def _normalised(self, images: Tensor) -> Tensor:
        return (2 * images - 1 - self.shift) / self.scale


def _unit(features: Tensor) -> Tensor:
    return features / (features.square().sum(1, keepdim=True).sqrt() + 1e-10)


class LpipsAlex(Lpips):
    """LPIPS on AlexNet, the variant that papers report."""

    backbone = "AlexNet"
    channels = (64, 192, 384, 256, 256)
    smallest = 31

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.ModuleDict(
            {
                "0": nn.Conv2d(3, 64, 11, stride=4, padding=2),
                "3": nn.Conv2d(64, 192, 5, padding=2),
                "6": nn.Conv2d(192, 384, 3, padding=1),
                "8": nn.Conv2d(384, 256, 3, padding=1),
                "10": nn.Conv2d(256, 256, 3, padding=1),
            }
        )

    def compared(self, x: Tensor) -> Iterator[Tensor]:
        """The five convolutions' outputs, with pooling before the second and the third."""
        for name, layer in self.features.items():
            if name in ("3", "6"):
                x = F.max_pool2d(x, 3, 2)
            x = layer(x).relu()
            yield x


class Fire(nn.Module):
    """SqueezeNet's block: few channels, then two kinds of convolution side by side."""

    def __init__(self, channels: int, squeezed: int, expanded: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels, squeezed, 1)
        self.expand1x1 = nn.Conv2d(squeezed, expanded, 1)
        self.expand3x3 = nn.Conv2d(squeezed, expanded, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, `channels`, H, W) to (B, 2 * `expanded`, H, W)."""
        x = self.squeeze(x).relu()
        return torch.cat((self.expand1x1(x), self.expand3x3(x)), dim=1).relu()


class LpipsSqueeze(Lpips):
    """LPIPS on SqueezeNet 1.1: smaller, and nearer to what people see on some data."""

    backbone = "SqueezeNet"
    channels = (64, 128, 256, 384, 384, 512, 512)
    smallest = 17

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.ModuleDict(
            {
                "0": nn.Conv2d(3, 64, 3, stride=2),
                "3": Fire(64, 16, 64),
                "4": Fire(128, 16, 64),
                "6": Fire(128, 32, 128),
                "7": Fire(256, 32, 128),
                "9": Fire(256, 48, 192),
                "10": Fire(384, 48, 192),
                "11": Fire(384, 64, 256),
                "12": Fire(512, 64, 256),
            }
        )

    def compared(self, x: Tensor) -> Iterator[Tensor]:
        """The first convolution's output and those of six blocks, with pooling before three of them."""
        for name, layer in self.features.items():
            if name in ("3", "6", "9"):
                x = F.max_pool2d(x, 3, 2, ceil_mode=True)
            x = layer(x).relu()
            if name not in ("3", "6"):
                yield x


def load_lpips(path: Path) -> Lpips:
    """The variant whose weights a safetensors file holds.

    Raises:
        WeightsError: the file is missing, damaged or holds something else.
    """
    with weight_files.opened(path) as file:
        squeeze = "features.3.squeeze.weight" in file.keys()  # noqa: SIM118 - not a mapping
    return LpipsSqueeze.load(path) if squeeze else LpipsAlex.load(path)
