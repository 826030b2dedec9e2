"""A U-Net for one evaluation a picture, shaped by what matrix units of CPUs do best.

It works on 4x4 pixel blocks, so that even its finest level is a quarter of the image's size and can afford many
channels: oneDNN multiplies 96 channels at a quarter of the size half again as fast as 48 at a half. Its blocks have one
ReLU, which rides on a convolution; SiLU before each convolution is two fifths of a `pocket-unet`'s time in bfloat16.
"""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from irsde_cli.networks.facts import Facts
from irsde_cli.networks.fusible import MOST_TIMES, Fusible, packed, shuffled
from irsde_cli.networks.layers import TimeFeatures, TimeMLP, conv3, last_blocks
from irsde_cli.networks.onednn import Convolution
from irsde_cli.networks.pocket_unet import TIME_FEATURES

DRAWING = "drawing."


class QuarterBlock(nn.Module):
    """Convolution, ReLU or leaky ReLU, convolution, and the sum with the input; starts as the identity.

    Lim et al., "Enhanced Deep Residual Networks for Single Image Super-Resolution", CVPRW 2017.
    """

    def __init__(self, width: int, slope: float) -> None:
        super().__init__()
        self.slope = slope
        self.conv1 = conv3(width, width, bias=True)
        self.conv2 = conv3(width, width, bias=True)
        nn.init.zeros_(self.conv2.weight)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        h = self.conv1(x)
        h = F.leaky_relu(h, self.slope, inplace=True) if self.slope else F.relu(h, inplace=True)
        out: Tensor = x + self.conv2(h)
        return out


class Drawing(nn.Module):
    """A difference that changes with the noise, from features and noise; small at first."""

    def __init__(self, width: int, channels: int, count: int, slope: float) -> None:
        super().__init__()
        self.intro = conv3(width + channels, width, bias=True)
        self.blocks = nn.Sequential(*(QuarterBlock(width, slope) for _ in range(count)))
        self.ending = conv3(width, channels, bias=True)
        with torch.no_grad():
            self.ending.weight.mul_(0.1)

    def forward(self, features: Tensor, noise: Tensor) -> Tensor:
        """(B, width, H, W) and (B, channels, H, W) to the shape of the noise."""
        out: Tensor = self.ending(self.blocks(self.intro(torch.cat((features, noise), dim=1))))
        return out


class QuarterUNet(Fusible):
    """A U-Net of `QuarterBlock`s; time shifts and scales the features once where each level begins.

    Args:
        widths: channels of each level; level 0 has the resolution of the image over `patch`. Multiples of 32 are fast.
        blocks: residual blocks of each level, on the way down and again on the way up; the last level has them once.
        time_dim: size of the time embedding.
        state: whether it sees the state beside the degraded image; a network of one evaluation need not.
        heads: images that come out, one after the other in the channels.
        patch: side of the pixel blocks of the finest level. 2 keeps more detail, and costs more than twice the time.
        slope: of the ReLU in a block, below 0. At 0 most channels of the coarse levels die in training.
        drawing: blocks of a branch that makes the last head from the last features and the noise of the state, x - mu.
            Nothing else of the network sees that noise, and nothing else learns from that head. 0 is no branch.
    """

    def __init__(
        self,
        *,
        widths: Sequence[int] = (64, 96, 128),
        blocks: Sequence[int] = (2, 2, 2),
        time_dim: int = 32,
        state: bool = True,
        heads: int = 1,
        patch: int = 4,
        slope: float = 0.0,
        drawing: int = 0,
    ) -> None:
        super().__init__()
        if len(widths) != len(blocks):
            raise ValueError(f"{len(widths)} widths but {len(blocks)} block counts")
        if drawing and (state or heads < 2):
            raise ValueError("drawing needs state = false and two heads")
        multiple = patch * 2 ** (len(widths) - 1)
        convolutions = [4 * count for count in blocks[:-1]] + [2 * blocks[-1]]
        reach = 2 * patch + sum(patch * count * 2**level for level, count in enumerate(convolutions))
        reach += patch * (2 * drawing + 1) if drawing else 0
        self.facts = Facts(
            multiple=multiple,
            reach=reach + multiple - 1,
            working_bytes=max(80, 28 * widths[0] // patch**2) + (24 if drawing else 0),
            channels=(3, 3 * heads),
        )
        self.state = state
        self.patch = patch
        self.time_mlp = TimeMLP(
            TimeFeatures(TIME_FEATURES), nn.Linear(TIME_FEATURES, time_dim), nn.SiLU(), nn.Linear(time_dim, time_dim)
        )
        channels = 3 * patch**2
        self.intro = conv3(2 * channels if state else channels, widths[0], bias=True)
        self.times = nn.ModuleList(nn.Linear(time_dim, 2 * width) for width in widths)
        self.encoders = nn.ModuleList()
        self.decoders = nn.ModuleList()
        self.downs = nn.ModuleList()
        self.ups = nn.ModuleList()
        for width, below, count in zip(widths[:-1], widths[1:], blocks[:-1], strict=True):
            self.encoders.append(nn.Sequential(*(QuarterBlock(width, slope) for _ in range(count))))
            self.downs.append(nn.Conv2d(width, below, 2, 2))
            self.ups.append(nn.Sequential(nn.Conv2d(below, 4 * width, 1), nn.PixelShuffle(2)))
            self.decoders.append(nn.Sequential(*(QuarterBlock(width, slope) for _ in range(count))))
        self.middle = nn.Sequential(*(QuarterBlock(widths[-1], slope) for _ in range(blocks[-1])))
        self.ending = conv3(widths[0], channels * (heads - 1 if drawing else heads), bias=True)
        self.drawing = Drawing(widths[0], channels, drawing, slope) if drawing else None
        for layer in (self.ending, *cast(Sequence[nn.Linear], self.times)):
            nn.init.zeros_(cast(Tensor, layer.weight))
            nn.init.zeros_(cast(Tensor, layer.bias))

    @property
    def stages(self) -> tuple[str, ...]:
        """See `Network.stages`."""
        return last_blocks("decoders", self.decoders)

    def grown(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """See `Network.grown`: one that does not see the state, has fewer heads, or draws nothing."""
        found = dict(tensors)
        own = self.state_dict()
        if not any(name.startswith(DRAWING) for name in found):
            found |= {name: tensor for name, tensor in own.items() if name.startswith(DRAWING)}
        for name, axis in (("intro.weight", 1), ("ending.weight", 0), ("ending.bias", 0)):
            old, new = found.get(name), own[name].clone()
            if old is None or old.shape == new.shape or old.ndim != new.ndim:
                continue
            size = old.shape[axis]
            if size > new.shape[axis]:
                continue
            first = new.shape[axis] - size if name == "intro.weight" else 0  # the degraded image comes last
            part = new.narrow(axis, first, size)
            if part.shape == old.shape:
                part.copy_(old)
                found[name] = new
        return found

    def fused(self, dtype: torch.dtype) -> "FusedQuarterUNet":
        """See `Fusible.fused`."""
        return FusedQuarterUNet(self, dtype)

    def image(self, x: Tensor, mu: Tensor) -> Tensor:
        """What the first convolution sees, (B, C, H / patch, W / patch)."""
        seen = torch.cat((x - mu, mu - 0.5), dim=1) if self.state else mu - 0.5
        return F.pixel_unshuffle(self.padded(seen), self.patch)

    def noise(self, x: Tensor, mu: Tensor) -> Tensor:
        """What the drawing branch sees of the state, (B, C, H / patch, W / patch)."""
        return F.pixel_unshuffle(self.padded(x - mu), self.patch)

    def forward(self, x: Tensor, mu: Tensor, t: Tensor) -> Tensor:
        """See `Predictor.forward`."""
        if (faster := self.faster(x, t)) is not None:
            return faster(x, mu, float(t[0]))
        height, width = x.shape[-2:]
        out, h = self._seen(x, mu, t)
        if self.drawing is not None:
            out = torch.cat((out, self.drawing(h.detach(), self.noise(x, mu))), dim=1)
        return F.pixel_shuffle(out, self.patch)[..., :height, :width]

    def drawn(self, mu: Tensor, t: Tensor, states: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """The heads before the last, of which nothing is learnt, and the last for each of several states.

        `forward` for each state is the same; here the rest of the network runs once, and keeps nothing for gradients.

        Raises:
            ValueError: the network has no drawing branch.
        """
        if self.drawing is None:
            raise ValueError("it has no drawing branch")
        height, width = mu.shape[-2:]
        with torch.no_grad():
            first, h = self._seen(mu, mu, t)
        heads = [first, *(self.drawing(h, self.noise(x, mu)) for x in states)]
        before, *last = (F.pixel_shuffle(head, self.patch)[..., :height, :width] for head in heads)
        return before, last

    def _seen(self, x: Tensor, mu: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """What the trunk makes of the state, with the last features."""
        time = self.time_mlp(t)
        modulations = [layer(time)[:, :, None, None].chunk(2, dim=1) for layer in self.times]
        h = _modulated(self.intro(self.image(x, mu)), *modulations[0])
        skips: list[Tensor] = []
        for blocks, down, modulation in zip(self.encoders, self.downs, modulations[1:], strict=True):
            h = blocks(h)
            skips.append(h)
            h = _modulated(down(h), *modulation)
        h = self.middle(h)
        for blocks, up in zip([*self.decoders][::-1], [*self.ups][::-1], strict=True):
            h = blocks(up(h) + skips.pop())
        return self.ending(h), h


def _modulated(h: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    return torch.addcmul(shift, h, scale + 1)


class FusedQuarterUNet:
    """A `QuarterUNet` whose weights no longer change: convolutions alone, channels last, sums and ReLU within them.

    What time does is folded into the convolutions that begin a level, once for each of the first `MOST_TIMES` time
    indices that are asked for.
    """

    def __init__(self, network: QuarterUNet, dtype: torch.dtype) -> None:
        self.network = network
        self.dtype = dtype
        self.ending = packed(network.ending, dtype)
        self.drawing = None if network.drawing is None else _Drawing(network.drawing, dtype)
        self.ups = [packed(up[0], dtype, up=True) for up in cast(Sequence[Any], network.ups)]
        levels = [*network.encoders, network.middle, *[*network.decoders][::-1]]
        self.levels = [_packed_blocks(level, dtype) for level in levels]
        self.entries: dict[float, list[Convolution]] = {}

    def __call__(self, x: Tensor, mu: Tensor, t: float) -> Tensor:
        """See `Predictor.forward`; all images are at the time index `t`."""
        height, width = x.shape[-2:]
        intro, *downs = self._at(t)
        h = intro(self.network.image(x, mu).to(self.dtype).contiguous(memory_format=torch.channels_last))
        skips: list[Tensor] = []
        for level, down in zip(self.levels, downs, strict=False):
            skips.append(_through(level, h))
            h = down(h)
        h = _through(self.levels[len(downs)], h)
        for level, up in zip(self.levels[len(downs) + 1 :], self.ups[::-1], strict=True):
            h = _through(level, shuffled(up(h), skips.pop()))
        out = self.ending(h)
        if self.drawing is not None:
            out = torch.cat((out, self.drawing(h, self.network.noise(x, mu))), dim=1)
        return F.pixel_shuffle(out, self.network.patch)[..., :height, :width]

    def _at(self, t: float) -> list[Convolution]:
        """The convolutions that begin the levels, with the time index in them."""
        if (known := self.entries.get(t)) is not None:
            return known
        network, made = self.network, []
        with torch.autocast("cpu", enabled=False):
            time = network.time_mlp(torch.tensor([t]))
            for layer, entry in zip(network.times, [network.intro, *network.downs], strict=True):
                scale, shift = layer(time)[0].chunk(2)
                entry = cast(nn.Conv2d, entry)
                weight, bias = entry.weight * (scale + 1)[:, None, None, None], cast(Tensor, entry.bias)
                geometry = {"stride": entry.stride[0], "padding": int(entry.padding[0])}
                made.append(Convolution(weight, bias * (scale + 1) + shift, self.dtype, **geometry))
        if len(self.entries) < MOST_TIMES:
            self.entries[t] = made
        return made


class _Drawing:
    """`Drawing`, whose weights no longer change."""

    def __init__(self, branch: Drawing, dtype: torch.dtype) -> None:
        self.dtype = dtype
        self.intro, self.ending = packed(branch.intro, dtype), packed(branch.ending, dtype)
        self.blocks = _packed_blocks(branch.blocks, dtype)

    def __call__(self, features: Tensor, noise: Tensor) -> Tensor:
        both = torch.cat((features, noise.to(self.dtype)), dim=1)
        return self.ending(_through(self.blocks, self.intro(both.contiguous(memory_format=torch.channels_last))))


def _packed_blocks(level: nn.Module, dtype: torch.dtype) -> list[tuple[Convolution, Convolution, float]]:
    blocks = cast(Sequence[QuarterBlock], level)
    return [(packed(block.conv1, dtype), packed(block.conv2, dtype), block.slope) for block in blocks]


def _through(level: Sequence[tuple[Convolution, Convolution, float]], h: Tensor) -> Tensor:
    """`h`, which is overwritten, through the blocks of a level."""
    for first, second, slope in level:
        h = second.add_to(h, first(h, "leaky_relu", slope) if slope else first(h, "relu"))
    return h
