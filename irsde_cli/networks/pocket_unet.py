"""A small U-Net of our own, for the networks that ship in the package and for training on CPUs.

It works on 2x2 pixel blocks and has dense 3x3 convolutions only: no attention, no normalisation and no pooling over
the image, so that every pixel depends on a bounded neighbourhood and tiles agree with the whole image.
"""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from irsde_cli.networks.layers import TimeFeatures, TimeMLP, conv3, in_turn
from irsde_cli.networks.network import Network

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


class PocketUNet(Network):
    """A U-Net of `PocketBlock`s.

    Args:
        widths: channels of each level; level 0 has half the resolution of the image.
        blocks: residual blocks of each level, on the way down and again on the way up; the last level has them once.
        time_dim: size of the time embedding.
    """

    def __init__(
        self, *, widths: Sequence[int] = (48, 64, 96), blocks: Sequence[int] = (2, 2, 6), time_dim: int = 64
    ) -> None:
        super().__init__()
        if len(widths) != len(blocks):
            raise ValueError(f"{len(widths)} widths but {len(blocks)} block counts")
        self.multiple = 2 ** len(widths)
        self.working_bytes = 4 * 4 * widths[0]
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
        self.ending = conv3(widths[0], 12, bias=True)
        nn.init.zeros_(self.ending.weight)
        nn.init.zeros_(cast(Tensor, self.ending.bias))

    def forward(self, x: Tensor, mu: Tensor, t: Tensor) -> Tensor:
        """See `Network.forward`."""
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
