"""NCSN++ as DriftRec has it: a U-Net of BigGAN's blocks, between two pyramids of the picture made smaller and larger.

Song et al., "Score-Based Generative Modeling through Stochastic Differential Equations" (ICLR 2021), and Welker et al.,
"DriftRec: Adapting diffusion models to blind JPEG restoration" (IEEE TIP 2024). Written anew from the papers; names of
parameters are those of DriftRec's files without `backbone.`, in the order of the call, which is that of the score.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from irsde_cli.networks.facts import Facts
from irsde_cli.networks.network import Predictor

FOURIER_SCALE = 16
EPS = 1e-6
LEAST = 1e-12  # of noise, whose logarithm is taken
TAPS = (1.0, 3.0, 3.0, 1.0)


class NCSNpp(Predictor):
    """Predicts noise, told the noise's standard deviation in [-1, 1] as its time; images in [0, 1].

    Args:
        width: channels of the first level.
        multiples: of it at each level, from the finest.
        blocks: of each level.
        attention: the levels, counted from 0, whose pixels are compared with each other.
    """

    def __init__(
        self,
        *,
        width: int = 128,
        multiples: Sequence[int] = (1, 1, 2, 2, 2, 2, 2),
        blocks: int = 2,
        attention: Sequence[int] = (4,),
    ) -> None:
        super().__init__()
        widths, seen = [width * factor for factor in multiples], 6
        last = len(widths) - 1
        self.levels, self.blocks, self.attention = len(widths), blocks, frozenset(attention)
        held = width * (blocks + 5 + 4 * max(multiples[:2])) + 24
        self.facts = Facts(multiple=2**last, working_bytes=4 * held)
        time = 4 * width
        modules: list[nn.Module] = [Fourier(width), nn.Linear(2 * width, time), nn.Linear(time, time)]
        modules.append(nn.Conv2d(seen, width, 3, padding=1))
        kept, channels = [width], width
        for level, wide in enumerate(widths):
            for _ in range(blocks):
                modules.append(Block(channels, wide, time))
                channels = wide
                if level in self.attention:
                    modules.append(Attention(channels))
                kept.append(channels)
            if level < last:
                modules += [Block(channels, channels, time, "down"), Combined(seen, channels)]
                kept.append(channels)
        modules += [Block(channels, channels, time), Attention(channels), Block(channels, channels, time)]
        for level, wide in reversed(list(enumerate(widths))):
            for _ in range(blocks + 1):
                modules.append(Block(channels + kept.pop(), wide, time))
                channels = wide
            if level in self.attention:
                modules.append(Attention(channels))
            modules += [norm(channels), nn.Conv2d(channels, seen, 3, padding=1)]
            if level > 0:
                modules.append(Block(channels, channels, time, "up"))
        self.output_layer = nn.Conv2d(seen, 3, 1)
        self.all_modules = nn.ModuleList(modules)

    def forward(self, x: Tensor, mu: Tensor, t: Tensor) -> Tensor:
        """See `Predictor.forward`; `t` is the standard deviation of the noise for images in [-1, 1]."""
        height, width = x.shape[-2:]
        seen = 2 * self.padded(torch.cat((x, mu), 1)) - 1
        pyramid = self._pyramid(seen, t.to(x.device).float().clamp_min(LEAST))
        said: Tensor = self.output_layer(pyramid)  # the score, times the noise's standard deviation
        return -said[..., :height, :width]

    def _pyramid(self, x: Tensor, sigma: Tensor) -> Tensor:
        """The sum of what every level says of the picture, (B, 6, H, W)."""
        layers: Iterator[Any] = iter(self.all_modules)
        features = next(layers)(sigma.log()).to(x.dtype)
        time = next(layers)(features)
        time = F.silu(next(layers)(F.silu(time)))
        kept, small = [next(layers)(x)], x
        for level in range(self.levels):
            for _ in range(self.blocks):
                h = next(layers)(kept[-1], time)
                kept.append(next(layers)(h) if level in self.attention else h)
            if level < self.levels - 1:
                h = next(layers)(kept[-1], time)
                small = halved(small)
                kept.append(next(layers)(small, h))
        h = next(layers)(kept[-1], time)
        h = next(layers)(h)
        h = next(layers)(h, time)
        pyramid: Tensor | None = None
        for level in reversed(range(self.levels)):
            for _ in range(self.blocks + 1):
                h = next(layers)(torch.cat((h, kept.pop()), 1), time)
            if level in self.attention:
                h = next(layers)(h)
            said: Tensor = next(layers)(h)
            said = next(layers)(F.silu(said))
            pyramid = said if pyramid is None else doubled(pyramid) + said
            if level > 0:
                h = next(layers)(h, time)
        assert pyramid is not None, "at least one level"
        return pyramid


class Fourier(nn.Module):
    """Sine and cosine of random multiples of a number."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.W = nn.Parameter(FOURIER_SCALE * torch.randn(width), requires_grad=False)

    def forward(self, value: Tensor) -> Tensor:
        """(B,) to (B, 2 * width)."""
        angles = 2 * math.pi * value[:, None] * self.W.float()[None]
        return torch.cat((angles.sin(), angles.cos()), dim=-1)


def norm(channels: int) -> nn.GroupNorm:
    """Group normalisation of four channels or more a group."""
    return nn.GroupNorm(min(channels // 4, 32), channels, eps=EPS)


class Block(nn.Module):
    """Two convolutions beside the identity, told of time, that may halve or double the picture between them."""

    def __init__(self, channels: int, wide: int, time: int, way: str = "") -> None:
        super().__init__()
        self.way = way
        self.GroupNorm_0 = norm(channels)
        self.Conv_0 = nn.Conv2d(channels, wide, 3, padding=1)
        self.Dense_0 = nn.Linear(time, wide)
        self.GroupNorm_1 = norm(wide)
        self.Conv_1 = nn.Conv2d(wide, wide, 3, padding=1)
        self.Conv_2 = nn.Conv2d(channels, wide, 1) if way or channels != wide else None

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """(B, C, H, W); `time` (B, T) or (1, T), behind its nonlinearity."""
        h = F.silu(self.GroupNorm_0(x))
        if self.way:
            resized = halved if self.way == "down" else doubled
            h, x = resized(h), resized(x)
        h = self.Conv_0(h) + self.Dense_0(time)[:, :, None, None]
        h = self.Conv_1(F.silu(self.GroupNorm_1(h)))
        if self.Conv_2 is not None:
            x = self.Conv_2(x)
        out: Tensor = (x + h) / math.sqrt(2)
        return out


class Attention(nn.Module):
    """Every pixel compared with every other."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.GroupNorm_0 = norm(channels)
        self.NIN_0, self.NIN_1, self.NIN_2, self.NIN_3 = (Pointwise(channels) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W)."""
        h = self.GroupNorm_0(x)
        # The fused kernel of CPUs wants a head and channels side by side; without it, all pairs of pixels are held.
        q, k, v = (
            one(h).flatten(2).transpose(1, 2)[:, None].contiguous() for one in (self.NIN_0, self.NIN_1, self.NIN_2)
        )
        h = F.scaled_dot_product_attention(q, k, v)[:, 0].transpose(1, 2).reshape(x.shape)
        out: Tensor = (x + self.NIN_3(h)) / math.sqrt(2)
        return out


class Pointwise(nn.Module):
    """A 1x1 convolution whose weight is a matrix from what comes in to what goes out."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.W = nn.Parameter(torch.randn(channels, channels) / math.sqrt(channels))
        self.b = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W)."""
        return F.conv2d(x, self.W.T[:, :, None, None], self.b)


class Combined(nn.Module):
    """The small picture, as features, added to a level's."""

    def __init__(self, seen: int, channels: int) -> None:
        super().__init__()
        self.Conv_0 = nn.Conv2d(seen, channels, 1)

    def forward(self, small: Tensor, h: Tensor) -> Tensor:
        """(B, 6, H, W) and (B, C, H, W)."""
        added: Tensor = self.Conv_0(small)
        return added + h


def _taps(x: Tensor, gain: float) -> Tensor:
    """The smoothing kernel for each channel, of sum `gain`."""
    taps = torch.tensor(TAPS, dtype=x.dtype, device=x.device)
    kernel = taps[:, None] * taps[None]
    return (kernel * (gain / kernel.sum())).expand(x.shape[1], 1, 4, 4)


def halved(x: Tensor) -> Tensor:
    """(B, C, H, W) to half of its height and width, smoothed; beyond the border is zero."""
    return F.conv2d(x, _taps(x, 1), stride=2, padding=1, groups=x.shape[1])


def doubled(x: Tensor) -> Tensor:
    """(B, C, H, W) to twice its height and width, smoothed."""
    return F.conv_transpose2d(x, _taps(x, 4), stride=2, padding=1, groups=x.shape[1])
