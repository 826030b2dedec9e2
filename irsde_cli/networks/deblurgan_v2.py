"""DeblurGAN-v2: a pyramid of features of a classifier, put together to what takes blur away.

Kupyn et al., "DeblurGAN-v2: Deblurring (Orders-of-Magnitude) Faster and Better", ICCV 2019. The classifiers are those
of Sandler et al., "MobileNetV2", 2018, and Szegedy et al., "Inception-v4, Inception-ResNet", 2017. Names of parameters
are those of the released files, which hold the classifier twice.

As its authors run it, each image is normalised by its own statistics, also where others keep averages of the training.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from irsde_cli.networks.facts import Facts
from irsde_cli.networks.network import Mapper
from irsde_cli.randomness import RandnLike

Backbone = Literal["mobilenet", "inception"]

BLOCK = 32
# Of each backbone: channels of the pyramid, of the five features, the smallest side, and how much is reflected around
# the deepest four of them, left and above, then right and below, as Inception does not pad its convolutions.
WIDTH = {"mobilenet": 128, "inception": 256}
SEEN = {"mobilenet": (16, 24, 32, 64, 160), "inception": (32, 64, 192, 1088, 2080)}
SMALLEST = {"mobilenet": 64, "inception": 128}
REFLECTED = {"mobilenet": ((0, 0),) * 5, "inception": ((0, 1), (1, 1), (1, 2), (1, 1), (1, 1))}


class DeblurGANv2(Mapper):
    """Every pixel depends on all of the image, as its statistics do.

    Args:
        backbone: whose features are seen: "mobilenet", which is quick, or "inception".
    """

    def __init__(self, *, backbone: Backbone = "inception") -> None:
        super().__init__()
        if backbone not in WIDTH:
            raise ValueError(f"the backbone is one of {', '.join(WIDTH)}, not {backbone}")
        width = WIDTH[backbone]
        self.facts = Facts(
            multiple=BLOCK, smallest=SMALLEST[backbone], padding="zeros", working_bytes=4 * 2 * width, half=()
        )
        self.fpn = Pyramid(backbone, width)
        self.head1, self.head2, self.head3, self.head4 = (Head(width, width // 2) for _ in range(4))
        self.smooth = _smoothing(2 * width, width // 2)
        self.smooth2 = _smoothing(width // 2, width // 4)
        self.final = nn.Conv2d(width // 4, 3, 3, padding=1)

    @classmethod
    def options_from(cls, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
        """See `Network.options_from`."""
        seen = tensors["fpn.lateral4.weight"].shape[1]
        return {"backbone": next(name for name, channels in SEEN.items() if channels[-1] == seen)}

    def freeze(self) -> None:
        """See `Network.freeze`; nothing changes, as statistics of few pixels make much of another order of sums."""

    def forward(self, image: Tensor, randn_like: RandnLike | None = None) -> Tensor:
        """See `Mapper.forward`."""
        height, width = image.shape[-2:]
        # As published, to the next multiple, also from one; zero is grey.
        rows, columns = (max((side // BLOCK + 1) * BLOCK, self.facts.smallest) for side in (height, width))
        padded = F.pad(2 * image - 1, (0, columns - width, 0, rows - height))
        return (self.sharpened(padded)[..., :height, :width] + 1) / 2

    def sharpened(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1] to the same; sides are multiples of 32."""
        first, *levels = self.fpn(image)
        heads = (self.head1, self.head2, self.head3, self.head4)
        parts = [_larger(head(level), 2**place) for place, (head, level) in enumerate(zip(heads, levels, strict=True))]
        x = _larger(self.smooth(torch.cat(parts[::-1], 1)), 2)
        x = self.final(_larger(self.smooth2(x + first), 2))
        sharp: Tensor = (x.tanh() + image).clamp(-1, 1)
        return sharp


def _larger(x: Tensor, factor: int) -> Tensor:
    return F.interpolate(x, scale_factor=factor) if factor > 1 else x


def _smoothing(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3, padding=1), nn.InstanceNorm2d(out_channels), nn.ReLU(inplace=True)
    )


class Head(nn.Module):
    """Two convolutions."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.block0 = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)
        self.block1 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C', H, W)."""
        return cast(Tensor, self.block1(self.block0(x).relu_()).relu_())


class Pyramid(nn.Module):
    """Features of a classifier at five sizes, and from the deepest up what they say together."""

    def __init__(self, backbone: Backbone, width: int) -> None:
        super().__init__()
        self.reflected = REFLECTED[backbone]
        stages: Sequence[nn.Module] = _mobilenet() if backbone == "mobilenet" else _inception()
        for level, stage in enumerate(stages):
            self.add_module(f"enc{level}", stage)
        self.td1, self.td2, self.td3 = (_smoothing(width, width) for _ in range(3))
        for level, channels in reversed(list(enumerate(SEEN[backbone]))):
            self.add_module(f"lateral{level}", nn.Conv2d(channels, width if level else width // 2, 1, bias=False))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """(B, 3, H, W) to features of a half, a quarter, an eighth ... of its sides."""
        levels = []
        for level, (before, behind) in enumerate(self.reflected):
            x = self.get_submodule(f"enc{level}")(x)
            side = self.get_submodule(f"lateral{level}")(x)
            levels.append(F.pad(side, (before, behind, before, behind), "reflect") if behind else side)
        first, second, third, fourth, fifth = levels
        fourth = self.td1(fourth + _larger(fifth, 2))
        third = self.td2(third + _larger(fourth, 2))
        second = self.td3(second + _larger(third, 2))
        return first, second, third, fourth, fifth


class OwnNorm(nn.Module):
    """Batch normalisation in training, of each image alone, and with no averages that change."""

    def __init__(self, channels: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape and dtype."""
        return F.instance_norm(x.float(), weight=self.weight.float(), bias=self.bias.float(), eps=self.eps).to(x.dtype)


def _mobilenet() -> list[nn.Sequential]:
    def normed(convolution: nn.Conv2d) -> tuple[nn.Module, ...]:
        return convolution, OwnNorm(convolution.out_channels, 1e-5)

    stem = nn.Sequential(*normed(nn.Conv2d(3, 32, 3, 2, 1, bias=False)), nn.ReLU6(inplace=True))
    # Channels and strides of the blocks of each stage.
    plan = (((16, 1),), ((24, 2), (24, 1)), ((32, 2), (32, 1), (32, 1)), ((64, 2), (64, 1), (64, 1), (64, 1)))
    deepest = ((96, 1), (96, 1), (96, 1), (160, 2), (160, 1))
    stages, channels = [], 32
    for blocks in (*plan, deepest):
        layers: list[nn.Module] = []
        for out, stride in blocks:
            inner = channels if out == 16 else 6 * channels
            convolutions: list[nn.Module] = []
            if inner > channels:
                convolutions += [*normed(nn.Conv2d(channels, inner, 1, bias=False)), nn.ReLU6(inplace=True)]
            convolutions += [
                *normed(nn.Conv2d(inner, inner, 3, stride, 1, groups=inner, bias=False)),
                nn.ReLU6(inplace=True),
            ]
            convolutions += normed(nn.Conv2d(inner, out, 1, bias=False))
            layers.append(Inverted(convolutions, beside=stride == 1 and out == channels))
            channels = out
        stages.append(nn.Sequential(*layers))
    stages[0].insert(0, stem)
    return stages


class Inverted(nn.Module):
    """Wide inside and narrow outside, beside the identity where that is of the same shape."""

    def __init__(self, convolutions: Sequence[nn.Module], *, beside: bool) -> None:
        super().__init__()
        self.beside = beside
        self.conv = nn.Sequential(*convolutions)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C', H', W')."""
        h: Tensor = self.conv(x)
        return x + h if self.beside else h


class Convolution(nn.Module):
    """A convolution, normalised."""

    def __init__(
        self, in_channels: int, out_channels: int, side: tuple[int, int], stride: int, *, padded: bool
    ) -> None:
        super().__init__()
        padding = (side[0] // 2, side[1] // 2) if padded else (0, 0)
        self.conv = nn.Conv2d(in_channels, out_channels, side, stride, padding, bias=False)
        self.bn = OwnNorm(out_channels, 1e-3)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C', H', W')."""
        return cast(Tensor, self.bn(self.conv(x)).relu_())


def _chain(channels: Sequence[int], sides: Sequence[int | tuple[int, int]], stride: int = 1) -> nn.Module:
    """Convolutions of those sides, the last one with a stride, and then without padding."""
    layers = []
    for place, (pair, side) in enumerate(zip(pairwise(channels), sides, strict=True)):
        last = place == len(sides) - 1
        size = (side, side) if isinstance(side, int) else side
        strides = stride if last else 1
        layers.append(Convolution(*pair, size, strides, padded=strides == 1))
    return nn.Sequential(*layers) if len(layers) > 1 else layers[0]


class Branches(nn.Module):
    """What several ways see, one behind the other; or, with a `share`, mixed and added to what comes in."""

    def __init__(self, *ways: nn.Module, mixed: tuple[int, int] | None = None, share: float = 0.0) -> None:
        super().__init__()
        self.count = len(ways)
        self.share = share
        for place, way in enumerate(ways):
            self.add_module(f"branch{place}", way)
        if mixed is not None:
            self.conv2d = nn.Conv2d(*mixed, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C', H', W')."""
        seen = torch.cat([self.get_submodule(f"branch{place}")(x) for place in range(self.count)], 1)
        if not self.share:
            return seen
        return torch.add(x, self.conv2d(seen), alpha=self.share).relu_()


def _inception() -> list[nn.Module]:
    def plain(in_channels: int, out_channels: int, side: int, stride: int = 1, *, padded: bool = False) -> Convolution:
        return Convolution(in_channels, out_channels, (side, side), stride, padded=padded)

    def half() -> nn.MaxPool2d:
        return nn.MaxPool2d(3, 2)

    around = nn.AvgPool2d(3, 1, 1, count_include_pad=False)
    mixed_5b = Branches(
        _chain((192, 96), (1,)),
        _chain((192, 48, 64), (1, 5)),
        _chain((192, 64, 96, 96), (1, 3, 3)),
        nn.Sequential(around, _chain((192, 64), (1,))),
    )
    mixed_6a = Branches(_chain((320, 384), (3,), 2), _chain((320, 256, 256, 384), (1, 3, 3), 2), half())
    mixed_7a = Branches(
        _chain((1088, 256, 384), (1, 3), 2),
        _chain((1088, 256, 288), (1, 3), 2),
        _chain((1088, 256, 288, 320), (1, 3, 3), 2),
        half(),
    )

    def block35() -> Branches:
        ways = (_chain((320, 32), (1,)), _chain((320, 32, 32), (1, 3)), _chain((320, 32, 48, 64), (1, 3, 3)))
        return Branches(*ways, mixed=(128, 320), share=0.17)

    def block17() -> Branches:
        ways = (_chain((1088, 192), (1,)), _chain((1088, 128, 160, 192), (1, (1, 7), (7, 1))))
        return Branches(*ways, mixed=(384, 1088), share=0.1)

    return [
        plain(3, 32, 3, 2),
        nn.Sequential(plain(32, 32, 3), plain(32, 64, 3, padded=True), half()),
        nn.Sequential(plain(64, 80, 1), plain(80, 192, 3), half()),
        nn.Sequential(mixed_5b, nn.Sequential(*(block35() for _ in range(10))), mixed_6a),
        nn.Sequential(nn.Sequential(*(block17() for _ in range(20))), mixed_7a),
    ]
