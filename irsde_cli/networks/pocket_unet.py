"""A small U-Net of our own, for the networks that ship in the package and for training on CPUs.

It works on 2x2 pixel blocks and has dense 3x3 convolutions only: no attention, no normalisation and no pooling over
the image, so that every pixel depends on a bounded neighbourhood and tiles agree with the whole image.
"""

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from irsde_cli.networks.facts import Facts
from irsde_cli.networks.fusible import MOST_TIMES, Fusible, packed, shuffled
from irsde_cli.networks.layers import TimeFeatures, TimeMLP, conv3, in_turn, last_blocks
from irsde_cli.networks.onednn import Convolution

TIME_FEATURES = 64


class PocketBlock(nn.Module):
    """Pre-activation residual block, modulated by time between its convolutions; starts as the identity."""

    def __init__(self, width: int, time_dim: int) -> None:
        super().__init__()
        self.conv1 = conv3(width, width, bias=True)
        self.conv2 = conv3(width, width, bias=True)
        self.time = nn.Linear(time_dim, 2 * width)
        nn.init.zeros_(self.conv2.weight)
        nn.init.zeros_(self.time.weight)
        nn.init.zeros_(self.time.bias)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """(B, C, H, W) and the embedding (B, time_dim)."""
        scale, shift = self.time(time)[:, :, None, None].chunk(2, dim=1)
        h = self.conv1(F.silu(x))
        h = self.conv2(F.silu(h * (scale + 1) + shift))
        out: Tensor = x + h
        return out


class PocketUNet(Fusible):
    """A U-Net of `PocketBlock`s.

    Args:
        widths: channels of each level; level 0 has half the resolution of the image.
        blocks: residual blocks of each level, on the way down and again on the way up; the last level has them once.
        time_dim: size of the time embedding.
        heads: images that come out, one after the other in the channels.
    """

    def __init__(
        self,
        *,
        widths: Sequence[int] = (48, 64, 96),
        blocks: Sequence[int] = (2, 2, 6),
        time_dim: int = 64,
        heads: int = 1,
    ) -> None:
        super().__init__()
        if len(widths) != len(blocks):
            raise ValueError(f"{len(widths)} widths but {len(blocks)} block counts")
        multiple = 2 ** len(widths)
        convolutions = [4 * count for count in blocks[:-1]] + [2 * blocks[-1]]
        self.facts = Facts(
            multiple=multiple,
            reach=4 + sum(count * 2 ** (level + 1) for level, count in enumerate(convolutions)) + multiple - 1,
            working_bytes=4 * 2 * widths[0],
            channels=(3, 3 * heads),
        )
        self.time_mlp = TimeMLP(
            TimeFeatures(TIME_FEATURES), nn.Linear(TIME_FEATURES, time_dim), nn.SiLU(), nn.Linear(time_dim, time_dim)
        )
        self.intro = conv3(24, widths[0], bias=True)
        self.encoders = nn.ModuleList()
        self.decoders = nn.ModuleList()
        self.downs = nn.ModuleList()
        self.ups = nn.ModuleList()
        for width, below, count in zip(widths[:-1], widths[1:], blocks[:-1], strict=True):
            self.encoders.append(nn.ModuleList(PocketBlock(width, time_dim) for _ in range(count)))
            self.downs.append(nn.Conv2d(width, below, 2, 2))
            self.ups.append(nn.Sequential(nn.Conv2d(below, 4 * width, 1), nn.PixelShuffle(2)))
            self.decoders.append(nn.ModuleList(PocketBlock(width, time_dim) for _ in range(count)))
        self.middle = nn.ModuleList(PocketBlock(widths[-1], time_dim) for _ in range(blocks[-1]))
        self.ending = conv3(widths[0], 12 * heads, bias=True)
        nn.init.zeros_(self.ending.weight)
        nn.init.zeros_(cast(Tensor, self.ending.bias))

    @property
    def stages(self) -> tuple[str, ...]:
        """See `Network.stages`."""
        return last_blocks("decoders", self.decoders)

    def fused(self, dtype: torch.dtype) -> "FusedPocketUNet":
        """See `Fusible.fused`."""
        return FusedPocketUNet(self, dtype)

    def forward(self, x: Tensor, mu: Tensor, t: Tensor) -> Tensor:
        """See `Predictor.forward`."""
        if (faster := self.faster(x, t)) is not None:
            return faster(x, mu, float(t[0]))
        height, width = x.shape[-2:]
        image = self.padded(torch.cat((x - mu, mu - 0.5), dim=1))
        h = self.intro(F.pixel_unshuffle(image, 2))
        time = self.time_mlp(t)
        skips: list[Tensor] = []
        for blocks, down in zip(self.encoders, self.downs, strict=True):
            h = in_turn(blocks, h, time)
            skips.append(h)
            h = down(h)
        h = in_turn(self.middle, h, time)
        for blocks, up in zip([*self.decoders][::-1], [*self.ups][::-1], strict=True):
            h = in_turn(blocks, up(h) + skips.pop(), time)
        return F.pixel_shuffle(self.ending(F.silu(h)), 2)[..., :height, :width]


class FusedPocketUNet:
    """A `PocketUNet` whose weights no longer change: a block is one SiLU and two convolutions, channels last.

    What time does to a block is folded into its first convolution, once for each of the first `MOST_TIMES` time
    indices that are asked for; the second adds to the block's input in place.
    """

    def __init__(self, network: PocketUNet, dtype: torch.dtype) -> None:
        self.network = network
        self.dtype = dtype
        self.intro = packed(network.intro, dtype)
        self.ending = packed(network.ending, dtype)
        self.downs = [packed(down, dtype) for down in network.downs]
        self.ups = [packed(up[0], dtype, up=True) for up in cast(Sequence[Any], network.ups)]
        self.levels = [[*cast(Sequence[PocketBlock], level)] for level in (*network.encoders, network.middle)]
        self.levels += [[*cast(Sequence[PocketBlock], level)] for level in [*network.decoders][::-1]]
        self.seconds = [[packed(block.conv2, dtype) for block in level] for level in self.levels]
        self.firsts: dict[float, list[list[Convolution]]] = {}

    def __call__(self, x: Tensor, mu: Tensor, t: float) -> Tensor:
        """See `Predictor.forward`; all images are at the time index `t`."""
        height, width = x.shape[-2:]
        image = self.network.padded(torch.cat((x - mu, mu - 0.5), dim=1))
        h = F.pixel_unshuffle(image.to(self.dtype), 2).contiguous(memory_format=torch.channels_last)
        h = self.intro(h)
        levels = [
            [*zip(firsts, seconds, strict=True)] for firsts, seconds in zip(self._at(t), self.seconds, strict=True)
        ]
        skips: list[Tensor] = []
        for level, down in zip(levels, self.downs, strict=False):
            h = _through(level, h)
            skips.append(h)
            h = down(h)
        h = _through(levels[len(skips)], h)
        for level, up in zip(levels[len(skips) + 1 :], self.ups[::-1], strict=True):
            h = _through(level, shuffled(up(h), skips.pop()))
        out = F.pixel_shuffle(self.ending(F.silu(h, inplace=True)), 2)
        return out[..., :height, :width]

    def _at(self, t: float) -> list[list[Convolution]]:
        """The first convolutions of all blocks with the time index in them."""
        if (known := self.firsts.get(t)) is not None:
            return known
        with torch.autocast("cpu", enabled=False):
            time = self.network.time_mlp(torch.tensor([t]))
            made = [[self._modulated(block, time) for block in level] for level in self.levels]
        if len(self.firsts) < MOST_TIMES:
            self.firsts[t] = made
        return made

    def _modulated(self, block: PocketBlock, time: Tensor) -> Convolution:
        scale, shift = block.time(time)[0].chunk(2)
        weight, bias = block.conv1.weight, cast(Tensor, block.conv1.bias)
        return Convolution(weight * (scale + 1)[:, None, None, None], bias * (scale + 1) + shift, self.dtype)


def _through(level: Sequence[tuple[Convolution, Convolution]], h: Tensor) -> Tensor:
    """`h`, which is overwritten, through the blocks of a level."""
    for first, second in level:
        h = second.add_to(h, first(F.silu(h), "swish"))
    return h
