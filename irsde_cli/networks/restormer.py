"""Restormer: attention between channels and gated feed-forward layers in a U-Net; and its form in DCPT.

Zamir et al., "Restormer: Efficient Transformer for High-Resolution Image Restoration", CVPR 2022. Names of parameters
are those of the released files.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from irsde_cli.networks.facts import Facts
from irsde_cli.networks.layers import normalised
from irsde_cli.networks.network import Mapper, count_modules
from irsde_cli.randomness import RandnLike

EXPANSION = 2.66


class Skeleton(Mapper):
    """The U-Net of four levels that this family shares: layers, their names, and the way through them."""

    def lay(
        self, width: int, blocks: Sequence[int], refinement: int, level: Callable[[int, int, int], nn.Module]
    ) -> None:
        """Make all layers; `level` makes blocks of its depth, from 0, their number and their channels."""
        self.patch_embed = Patches(width)
        self.encoder_level1 = level(0, blocks[0], width)
        self.down1_2 = Down(width)
        self.encoder_level2 = level(1, blocks[1], 2 * width)
        self.down2_3 = Down(2 * width)
        self.encoder_level3 = level(2, blocks[2], 4 * width)
        self.down3_4 = Down(4 * width)
        self.latent = level(3, blocks[3], 8 * width)
        self.up4_3 = Up(8 * width)
        self.reduce_chan_level3 = nn.Conv2d(8 * width, 4 * width, 1, bias=False)
        self.decoder_level3 = level(2, blocks[2], 4 * width)
        self.up3_2 = Up(4 * width)
        self.reduce_chan_level2 = nn.Conv2d(4 * width, 2 * width, 1, bias=False)
        self.decoder_level2 = level(1, blocks[1], 2 * width)
        self.up2_1 = Up(2 * width)
        self.decoder_level1 = level(0, blocks[0], 2 * width)
        self.refinement = level(0, refinement, 2 * width)
        self.output = nn.Conv2d(2 * width, 3, 3, padding=1, bias=False)

    def forward(self, image: Tensor, randn_like: RandnLike | None = None) -> Tensor:
        """See `Mapper.forward`."""
        height, width = image.shape[-2:]
        padded = self.padded(image)
        first, second, third = self.encoded(padded)
        restored = self.decoded(self.latent(self.down3_4(third)), first, second, third) + padded
        return restored[..., :height, :width]

    def encoded(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Features of the first three levels."""
        first = self.encoder_level1(self.patch_embed(image))
        second = self.encoder_level2(self.down1_2(first))
        return first, second, self.encoder_level3(self.down2_3(second))

    def decoded(self, x: Tensor, first: Tensor, second: Tensor, third: Tensor) -> Tensor:
        """What is added to the image, of the deepest features and those of the other levels."""
        x = self.decoder_level3(self.reduce_chan_level3(torch.cat((self.up4_3(self.told(x, 3)), third), 1)))
        x = self.decoder_level2(self.reduce_chan_level2(torch.cat((self.up3_2(self.told(x, 2)), second), 1)))
        return self.ended(self.told(x, 1), first)

    def ended(self, x: Tensor, first: Tensor) -> Tensor:
        """What is added to the image, of features of the second level and of the first."""
        x = self.decoder_level1(torch.cat((self.up2_1(x), first), 1))
        residual: Tensor = self.output(self.refinement(x))
        return residual

    def told(self, x: Tensor, level: int) -> Tensor:
        """Features (B, C, H, W) on their way up to a level, with what a network adds there; here nothing."""
        return x


class Restormer(Skeleton):
    """Every pixel depends on all of the image, as channels are compared over all of it.

    Args:
        width: channels of the first level; each level below doubles it.
        blocks: of each level, from the first.
        refinement: blocks at the end.
        heads: of each level.
        biased: whether normalisation takes the mean away and adds a bias.
        rectified: DCPT's form: ReLU in place of the softmax, and levels that are called `body`.
    """

    def __init__(
        self,
        *,
        width: int = 48,
        blocks: Sequence[int] = (4, 6, 6, 8),
        refinement: int = 4,
        heads: Sequence[int] = (1, 2, 4, 8),
        biased: bool = True,
        rectified: bool = False,
    ) -> None:
        super().__init__()
        self.facts = Facts(multiple=8, working_bytes=working_bytes(2 * width))

        def level(depth: int, count: int, channels: int) -> nn.Module:
            layers = (Block(channels, heads[depth], biased=biased, rectified=rectified) for _ in range(count))
            return Body(*layers) if rectified else nn.Sequential(*layers)

        self.lay(width, blocks, refinement, level)

    @classmethod
    def options_from(cls, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
        """See `Network.options_from`."""
        if len(tensors["patch_embed.proj.weight"][0]) != 3 or "noise_level1.norm1.body.weight" in tensors:
            raise ValueError("not a Restormer of one picture")
        rectified = "encoder_level1.body.0.attn.temperature" in tensors
        inner = "body." if rectified else ""
        return {
            **counted(tensors, inner),
            "biased": f"encoder_level1.{inner}0.norm1.body.bias" in tensors,
            "rectified": rectified,
        }


def counted(tensors: Mapping[str, Tensor], inner: str = "") -> dict[str, Any]:
    """Width, blocks and heads of each level, whose blocks stand under `inner`."""
    levels = [*(f"encoder_level{level}.{inner}" for level in (1, 2, 3)), f"latent.{inner}"]
    return {
        "width": len(tensors["patch_embed.proj.weight"]),
        "blocks": tuple(count_modules(tensors, level) for level in levels),
        "refinement": count_modules(tensors, f"refinement.{inner}"),
        "heads": tuple(len(tensors[f"{level}0.attn.temperature"]) for level in levels),
    }


def working_bytes(channels: int) -> int:
    """`Facts.working_bytes` of blocks of so many channels at the full size, whose feed-forward layers are widest."""
    return 4 * (4 * int(EXPANSION * channels) + 4 * channels + 16)


class Patches(nn.Module):
    """The first convolution."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, C, H, W)."""
        features: Tensor = self.proj(x)
        return features


class Body(nn.Module):
    """A level, as DCPT calls it."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.body = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        features: Tensor = self.body(x)
        return features


class Down(Body):
    """Half the size, twice the channels."""

    def __init__(self, channels: int) -> None:
        super().__init__(nn.Conv2d(channels, channels // 2, 3, padding=1, bias=False), nn.PixelUnshuffle(2))


class Up(Body):
    """Twice the size, half the channels."""

    def __init__(self, channels: int) -> None:
        super().__init__(nn.Conv2d(channels, 2 * channels, 3, padding=1, bias=False), nn.PixelShuffle(2))


class Block(nn.Module):
    """Attention between channels, then a gated feed-forward layer, each beside the identity."""

    def __init__(self, channels: int, heads: int, *, biased: bool, rectified: bool = False) -> None:
        super().__init__()
        self.norm1 = Norm(channels, biased=biased)
        self.attn = Attention(channels, heads, rectified=rectified)
        self.norm2 = Norm(channels, biased=biased)
        self.ffn = FeedForward(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        x = x + self.attn(self.norm1(x))
        x = x + self.ffn(self.norm2(x))
        return x


class Norm(nn.Module):
    """Normalises the channels of each pixel, in at least float32; without a bias the mean stays, as published."""

    def __init__(self, channels: int, *, biased: bool) -> None:
        super().__init__()
        self.body = nn.ParameterDict({"weight": torch.ones(channels)})
        if biased:
            self.body["bias"] = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape and dtype."""
        weight = self.body["weight"]
        if "bias" in self.body:
            return normalised(x, weight, self.body["bias"], 1e-5)
        wide = (x if x.dtype == torch.float64 else x.float()).permute(0, 2, 3, 1)
        scaled: Tensor = wide * (wide.var(-1, correction=0, keepdim=True) + 1e-5).rsqrt() * weight.to(wide)
        return scaled.permute(0, 3, 1, 2).to(x.dtype)


def across_channels(q: Tensor, k: Tensor, v: Tensor, temperature: Tensor, *, rectified: bool = False) -> Tensor:
    """Channels (B, C, H, W) of `v` mixed by how alike those of `q` and `k` are over the whole image.

    Args:
        q: of what is asked.
        k: of what answers.
        v: what is mixed.
        temperature: (heads, 1, 1), by which likeness is multiplied.
        rectified: whether shares are not to be negative, instead of to sum to one.
    """
    size = q.shape[-2:]
    q, k, v = (torch.unflatten(x, 1, (len(temperature), -1)).flatten(3) for x in (q, k, v))
    likeness = F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).mT * temperature
    share = likeness.relu() if rectified else likeness.softmax(-1)
    mixed: Tensor = share.to(v.dtype) @ v
    return torch.unflatten(mixed.flatten(1, 2), 2, size)


class Attention(nn.Module):
    """Which channel goes into which."""

    def __init__(self, channels: int, heads: int, *, rectified: bool = False, bias: bool = False) -> None:
        super().__init__()
        self.rectified = rectified
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1))
        self.qkv = nn.Conv2d(channels, 3 * channels, 1, bias=bias)
        self.qkv_dwconv = nn.Conv2d(3 * channels, 3 * channels, 3, padding=1, groups=3 * channels, bias=bias)
        self.project_out = nn.Conv2d(channels, channels, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        q, k, v = self.qkv_dwconv(self.qkv(x)).chunk(3, 1)
        mixed = across_channels(q, k, v, self.temperature, rectified=self.rectified)
        return cast(Tensor, self.project_out(mixed))


class FeedForward(nn.Module):
    """A depth-wise convolution on expanded channels, of which one half opens the other."""

    def __init__(self, channels: int, hidden: int = 0, *, bias: bool = False) -> None:
        super().__init__()
        hidden = hidden or int(EXPANSION * channels)
        self.project_in = nn.Conv2d(channels, 2 * hidden, 1, bias=bias)
        self.dwconv = nn.Conv2d(2 * hidden, 2 * hidden, 3, padding=1, groups=2 * hidden, bias=bias)
        self.project_out = nn.Conv2d(hidden, channels, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        gate, value = self.dwconv(self.project_in(x)).chunk(2, 1)
        projected: Tensor = self.project_out(F.gelu(gate) * value)
        return projected
