"""NAFNet's blocks and U-Net, and Refusion's network of them, which time modulates.

Chen et al., "Simple Baselines for Image Restoration", ECCV 2022. Luo et al., "Refusion: Enabling Large-Size Realistic
Image Restoration with Latent-Space Diffusion Models", CVPRW 2023. Channel attention pools over the whole input, so what
a tile predicts depends a little on the tile.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from irsde_cli.networks.facts import Facts
from irsde_cli.networks.fusible import MOST_TIMES, Fusible, packed, shuffled
from irsde_cli.networks.layers import ChannelLayerNorm, ChannelNorm, TimeFeatures, TimeMLP, in_turn, last_blocks
from irsde_cli.networks.network import Network, count_modules
from irsde_cli.networks.onednn import Convolution, Linear

Modulation = tuple[Tensor, Tensor, Tensor, Tensor]


class SimpleGate(nn.Module):
    """The product of the two halves of the channels."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, 2C, ...) to (B, C, ...)."""
        left, right = x.chunk(2, dim=1)
        return left * right


class NAFBlock(nn.Module):
    """A gated depth-wise convolution with channel attention, then a gated 1x1 pair; shift stands before scale.

    Args:
        width: channels.
        time_dim: of the embedding of time; without one nothing is modulated, and normalisation has a bias.
    """

    def __init__(self, width: int, time_dim: int | None = None) -> None:
        super().__init__()
        if time_dim is not None:
            self.mlp = nn.Sequential(SimpleGate(), nn.Linear(time_dim // 2, 4 * width))
        norm: Callable[[int], nn.Module] = ChannelNorm if time_dim is None else ChannelLayerNorm
        self.conv1 = nn.Conv2d(width, 2 * width, 1)
        self.conv2 = nn.Conv2d(2 * width, 2 * width, 3, padding=1, groups=2 * width)
        self.conv3 = nn.Conv2d(width, width, 1)
        self.sca = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(width, width, 1))
        self.sg = SimpleGate()
        self.conv4 = nn.Conv2d(width, 2 * width, 1)
        self.conv5 = nn.Conv2d(width, width, 1)
        self.norm1 = norm(width)
        self.norm2 = norm(width)
        self.beta = nn.Parameter(torch.zeros(1, width, 1, 1))
        self.gamma = nn.Parameter(torch.zeros(1, width, 1, 1))

    def forward(self, x: Tensor, time: Tensor | None = None) -> Tensor:
        """(B, C, H, W) and the embedding (B, time_dim)."""
        h = self.norm1(x)
        if time is not None:
            shift_a, scale_a, shift_f, scale_f = self.mlp(time)[:, :, None, None].chunk(4, dim=1)
            h = torch.addcmul(shift_a, h, scale_a + 1)
        h = self.sg(self.conv2(self.conv1(h)))
        h = self.conv3(h * self.sca(h))
        x = torch.addcmul(x, h, self.beta)
        h = self.norm2(x)
        if time is not None:
            h = torch.addcmul(shift_f, h, scale_f + 1)
        h = self.conv5(self.sg(self.conv4(h)))
        return torch.addcmul(x, h, self.gamma)


class Trunk(Network):
    """The U-Net of all of them; attribute names and their order are the official ones."""

    def lay(
        self,
        block: Callable[[int], nn.Module],
        channels: tuple[int, int],
        width: int,
        enc_blk_nums: Sequence[int],
        middle_blk_num: int,
        dec_blk_nums: Sequence[int],
    ) -> None:
        """Make all layers; `channels` are those that come in and those that go out."""
        if len(enc_blk_nums) != len(dec_blk_nums):
            raise ValueError(f"{len(enc_blk_nums)} levels go down and {len(dec_blk_nums)} up")
        self.intro = nn.Conv2d(channels[0], width, 3, padding=1)
        self.ending = nn.Conv2d(width, channels[1], 3, padding=1)
        self.encoders = nn.ModuleList()
        self.downs = nn.ModuleList()
        self.decoders = nn.ModuleList()
        self.ups = nn.ModuleList()
        for count in enc_blk_nums:
            self.encoders.append(nn.ModuleList(block(width) for _ in range(count)))
            self.downs.append(nn.Conv2d(width, 2 * width, 2, 2))
            width *= 2
        self.middle_blks = nn.ModuleList(block(width) for _ in range(middle_blk_num))
        for count in dec_blk_nums:
            self.ups.append(nn.Sequential(nn.Conv2d(width, 2 * width, 1, bias=False), nn.PixelShuffle(2)))
            width //= 2
            self.decoders.append(nn.ModuleList(block(width) for _ in range(count)))

    @property
    def stages(self) -> tuple[str, ...]:
        """See `Network.stages`."""
        return last_blocks("decoders", self.decoders)[::-1]

    def through(self, h: Tensor, time: Tensor | None = None) -> Tensor:
        """Features (B, C, H, W), of sides that all levels divide, down and up again."""
        skips: list[Tensor] = []
        for blocks, down in zip(self.encoders, self.downs, strict=True):
            h = in_turn(blocks, h, time)
            skips.append(h)
            h = down(h)
        h = in_turn(self.middle_blks, h, time)
        for blocks, up in zip(self.decoders, self.ups, strict=True):
            h = in_turn(blocks, up(h) + skips.pop(), time)
        return h


def counted(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """Width and blocks, of names and shapes."""
    levels = range(count_modules(tensors, "encoders."))
    return {
        "width": len(tensors["intro.weight"]),
        "enc_blk_nums": tuple(count_modules(tensors, f"encoders.{level}.") for level in levels),
        "middle_blk_num": count_modules(tensors, "middle_blks."),
        "dec_blk_nums": tuple(count_modules(tensors, f"decoders.{level}.") for level in levels),
    }


class NAFNet(Trunk, Fusible):
    """Refusion's; the official parameter names and shapes.

    Args:
        img_channel: channels of the image and of the prediction.
        width: width of the first level; each level below doubles it.
        enc_blk_nums: blocks of each encoder level.
        middle_blk_num: blocks of the middle.
        dec_blk_nums: blocks of each decoder level, from the deepest.
        conditional: whether the degraded image is an input.
        long_skip: add the first features to the last, as the latent variant does.
    """

    def __init__(
        self,
        *,
        img_channel: int = 3,
        width: int = 64,
        enc_blk_nums: Sequence[int] = (1, 1, 1, 28),
        middle_blk_num: int = 1,
        dec_blk_nums: Sequence[int] = (1, 1, 1, 1),
        conditional: bool = True,
        long_skip: bool = False,
    ) -> None:
        super().__init__()
        time_dim = 4 * width
        self.conditional = conditional
        self.long_skip = long_skip
        self.facts = Facts(
            channels=(img_channel, img_channel),
            multiple=2 ** len(enc_blk_nums),
            padding="zeros",
            working_bytes=4 * 10 * width,
        )
        self.time_mlp = TimeMLP(
            TimeFeatures(width), nn.Linear(width, 2 * time_dim), SimpleGate(), nn.Linear(time_dim, time_dim)
        )
        self.lay(
            lambda channels: NAFBlock(channels, time_dim),
            (2 * img_channel if conditional else img_channel, img_channel),
            width,
            enc_blk_nums,
            middle_blk_num,
            dec_blk_nums,
        )

    @classmethod
    def options_from(cls, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
        """See `Network.options_from`."""
        channels = tensors["intro.weight"].shape[1]
        image = tensors["ending.weight"].shape[0]
        return {
            "img_channel": image,
            **counted(tensors),
            "conditional": channels == 2 * image,
            "long_skip": image == 8,
        }

    def fused(self, dtype: torch.dtype) -> "FusedNAFNet":
        """See `Fusible.fused`."""
        return FusedNAFNet(self, dtype)

    def forward(self, x: Tensor, mu: Tensor, t: Tensor) -> Tensor:
        """See `Predictor.forward`; the unconditional network does not look at `mu`."""
        if (faster := self.faster(x, t)) is not None:
            return faster(x, mu, float(t[0]))
        height, width = x.shape[-2:]
        image = torch.cat((x - mu, mu), dim=1) if self.conditional else x
        first = self.intro(self.padded(image))
        h = self.through(first, self.time_mlp(t))
        prediction: Tensor = self.ending(h + first if self.long_skip else h)
        return prediction[..., :height, :width]


class FusedNAFNet:
    """A `NAFNet` whose weights no longer change, channels last.

    What time does rides on the normalisation, a gate on the layer before it, `beta` and `gamma` on the weights of the
    layers that they follow. The residual is float32 whatever the dtype of the layers: rounded in each of three dozen
    blocks it would lose what they add.
    """

    def __init__(self, network: NAFNet, dtype: torch.dtype) -> None:
        self.network = network
        self.dtype = dtype
        self.intro = packed(network.intro, dtype)
        self.ending = packed(network.ending, dtype)
        self.downs = [packed(down, dtype) for down in network.downs]
        self.ups = [packed(up[0], dtype, up=True) for up in cast(Sequence[Any], network.ups)]
        self.encoders, self.decoders = (
            [[_FusedBlock(block, dtype) for block in cast(Sequence[NAFBlock], level)] for level in levels]
            for levels in (network.encoders, network.decoders)
        )
        self.middle = [_FusedBlock(block, dtype) for block in cast(Sequence[NAFBlock], network.middle_blks)]
        self.times: dict[float, list[Modulation]] = {}

    def __call__(self, x: Tensor, mu: Tensor, t: float) -> Tensor:
        """See `Predictor.forward`; all images are at the time index `t`."""
        network, dtype = self.network, self.dtype
        height, width = x.shape[-2:]
        image = network.padded(torch.cat((x - mu, mu), dim=1) if network.conditional else x)
        with torch.autocast("cpu", enabled=False):
            time = iter(self._at(t))
            h = self.intro(image.to(dtype).contiguous(memory_format=torch.channels_last)).float()
            first = h.clone() if network.long_skip else None
            skips: list[Tensor] = []
            for blocks, down in zip(self.encoders, self.downs, strict=True):
                h = _through(blocks, h, time)
                skips.append(h)
                h = down(h.to(dtype)).float()
            h = _through(self.middle, h, time)
            for blocks, up in zip(self.decoders, self.ups, strict=True):
                h = _through(blocks, shuffled(up(h.to(dtype)), skips.pop()), time)
            h = h if first is None else h.add_(first)
            return self.ending(h.to(dtype))[..., :height, :width]

    def _at(self, t: float) -> list[Modulation]:
        """What time does to each block, in the order in which they are met."""
        if (known := self.times.get(t)) is not None:
            return known
        time = self.network.time_mlp(torch.tensor([t]))
        blocks = [*chain(*self.encoders), *self.middle, *chain(*self.decoders)]
        made = [block.modulation(time) for block in blocks]
        if len(self.times) < MOST_TIMES:
            self.times[t] = made
        return made


class _FusedBlock:
    """A `NAFBlock`; the two halves that a gate multiplies come from layers of their own."""

    def __init__(self, block: NAFBlock, dtype: torch.dtype) -> None:
        self.block = block
        self.dtype = dtype
        self.firsts = _halves(block.conv1, Linear, dtype)
        width = block.conv3.in_channels
        self.depthwise = _halves(block.conv2, Convolution, dtype, groups=width)
        self.gates = _halves(block.conv4, Linear, dtype)
        attention = cast(nn.Conv2d, block.sca[1])
        self.attention = (attention.weight.flatten(1), attention.bias)
        self.third, self.fifth = (
            Linear(
                layer.weight * factor.flatten()[:, None, None, None], cast(Tensor, layer.bias) * factor.flatten(), dtype
            )
            for layer, factor in ((block.conv3, block.beta), (block.conv5, block.gamma))
        )

    def modulation(self, time: Tensor) -> Modulation:
        """Gain and shift of both normalisations, (C,) each, for the embedding (1, time_dim)."""
        shift_a, scale_a, shift_f, scale_f = self.block.mlp(time)[0].chunk(4)
        gain_a, gain_f = (cast(ChannelLayerNorm, norm).g.flatten() for norm in (self.block.norm1, self.block.norm2))
        return gain_a * (scale_a + 1), shift_a, gain_f * (scale_f + 1), shift_f

    def __call__(self, x: Tensor, modulation: Modulation) -> Tensor:
        """(B, H, W, C) in float32, which may be overwritten."""
        gain_a, shift_a, gain_f, shift_f = modulation
        h = self._normalised(x, gain_a, shift_a)
        left, right = (layer(h).permute(0, 3, 1, 2) for layer in self.firsts)
        gated = self.depthwise[1].times(self.depthwise[0](left), right)
        # As a convolution of one pixel it would take a tenth of the block.
        attention = F.linear(gated.mean((2, 3)).float(), *self.attention)[:, None, None]
        h = gated.permute(0, 2, 3, 1)
        x = self.third.onto(x, h.mul_(attention.to(h.dtype)))
        h = self._normalised(x, gain_f, shift_f)
        return self.fifth.onto(x, self.gates[1].times(self.gates[0](h), h))

    def _normalised(self, x: Tensor, gain: Tensor, shift: Tensor) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], gain, shift, eps=1e-5).to(self.dtype)


def _halves(layer: nn.Conv2d, form: Any, dtype: torch.dtype, **settings: int) -> list[Any]:
    """A layer as two, each with half of its outputs."""
    pairs = zip(layer.weight.chunk(2), cast(Tensor, layer.bias).chunk(2), strict=True)
    return [form(weight, bias, dtype, **settings) for weight, bias in pairs]


def _through(blocks: Sequence[_FusedBlock], h: Tensor, time: Iterator[Modulation]) -> Tensor:
    """(B, C, H, W) in float32, channels last, which may be overwritten, through the blocks of a level."""
    last = h.permute(0, 2, 3, 1)
    for block in blocks:
        last = block(last, next(time))
    return last.permute(0, 3, 1, 2)
