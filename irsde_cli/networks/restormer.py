"""Restormer: attention between channels and gated feed-forward layers in a U-Net; and its form in DCPT.

Zamir et al., "Restormer: Efficient Transformer for High-Resolution Image Restoration", CVPR 2022. Names of parameters
are those of the released files.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from irsde_cli.networks.facts import Facts
from irsde_cli.networks.network import Mapper, count_modules
from irsde_cli.randomness import RandnLike

EXPANSION = 2.66


class Restormer(Mapper):
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

    @classmethod
    def options_from(cls, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
        """See `Network.options_from`."""
        width, channels = tensors["patch_embed.proj.weight"].shape[:2]
        rectified = "encoder_level1.body.0.attn.temperature" in tensors
        inner = "body." if rectified else ""
        levels = [*(f"encoder_level{level}.{inner}" for level in (1, 2, 3)), f"latent.{inner}"]
        if channels != 3 or "prompt1.prompt_param" in tensors:
            raise ValueError("not a Restormer of one picture")
        return {
            "width": width,
            "blocks": tuple(count_modules(tensors, level) for level in levels),
            "refinement": count_modules(tensors, f"refinement.{inner}"),
            "heads": tuple(len(tensors[f"{level}0.attn.temperature"]) for level in levels),
            "biased": f"{levels[0]}0.norm1.body.bias" in tensors,
            "rectified": rectified,
        }

    def forward(self, image: Tensor, randn_like: RandnLike | None = None) -> Tensor:
        """See `Mapper.forward`."""
        height, width = image.shape[-2:]
        padded = self.padded(image)
        first = self.encoder_level1(self.patch_embed(padded))
        second = self.encoder_level2(self.down1_2(first))
        third = self.encoder_level3(self.down2_3(second))
        x = self.latent(self.down3_4(third))
        x = self.decoder_level3(self.reduce_chan_level3(torch.cat((self.up4_3(self.told(x, 3)), third), 1)))
        x = self.decoder_level2(self.reduce_chan_level2(torch.cat((self.up3_2(self.told(x, 2)), second), 1)))
        x = self.decoder_level1(torch.cat((self.up2_1(self.told(x, 1)), first), 1))
        restored: Tensor = self.output(self.refinement(x)) + padded
        return restored[..., :height, :width]

    def told(self, x: Tensor, level: int) -> Tensor:
        """Features (B, C, H, W) on their way up to a level, with what a network adds there; here nothing."""
        return x


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
        wide = (x if x.dtype == torch.float64 else x.float()).permute(0, 2, 3, 1)
        weight = self.body["weight"].to(wide)
        if "bias" in self.body:
            wide = F.layer_norm(wide, weight.shape, weight, self.body["bias"].to(wide), eps=1e-5)
        else:
            wide = wide * (wide.var(-1, correction=0, keepdim=True) + 1e-5).rsqrt() * weight
        return wide.permute(0, 3, 1, 2).to(x.dtype)


class Attention(nn.Module):
    """Which channel goes into which, by how alike they are over the whole image."""

    def __init__(self, channels: int, heads: int, *, rectified: bool) -> None:
        super().__init__()
        self.rectified = rectified
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1))
        self.qkv = nn.Conv2d(channels, 3 * channels, 1, bias=False)
        self.qkv_dwconv = nn.Conv2d(3 * channels, 3 * channels, 3, padding=1, groups=3 * channels, bias=False)
        self.project_out = nn.Conv2d(channels, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        batch, channels, height, width = x.shape
        heads = len(self.temperature)
        q, k, v = self.qkv_dwconv(self.qkv(x)).reshape(batch, 3, heads, channels // heads, -1).unbind(1)
        likeness = F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).mT * self.temperature
        share = likeness.relu() if self.rectified else likeness.softmax(-1)
        mixed: Tensor = self.project_out((share.to(v.dtype) @ v).reshape(batch, channels, height, width))
        return mixed


class FeedForward(nn.Module):
    """A depth-wise convolution on expanded channels, of which one half opens the other."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = int(EXPANSION * channels)
        self.project_in = nn.Conv2d(channels, 2 * hidden, 1, bias=False)
        self.dwconv = nn.Conv2d(2 * hidden, 2 * hidden, 3, padding=1, groups=2 * hidden, bias=False)
        self.project_out = nn.Conv2d(hidden, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        gate, value = self.dwconv(self.project_in(x)).chunk(2, 1)
        projected: Tensor = self.project_out(F.gelu(gate) * value)
        return projected
