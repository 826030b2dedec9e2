"""Uformer: a U-Net of attention in windows, with convolutions between.

Wang et al., "Uformer: A General U-Shaped Transformer for Image Restoration", CVPR 2022. Names of parameters are those
of the released files, and of TUR's once its head for uncertainty is left out.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from irsde_cli.networks import windows
from irsde_cli.networks.facts import Facts
from irsde_cli.networks.layers import pixels, plane
from irsde_cli.networks.network import Mapper, count_modules
from irsde_cli.randomness import RandnLike

WINDOW = 8
LEVELS = 4
EXPANSION = 4


class Uformer(Mapper):
    """Takes any size. The authors pad pictures to squares, here they are padded to what windows need.

    Args:
        width: channels of the first level; each level below doubles it.
        depths: blocks of each level, down, at the bottom, and up.
        heads: of attention, for each.
        modulated: whether windows of the decoder are added a learnt picture.
    """

    places: Tensor

    def __init__(
        self,
        *,
        width: int = 32,
        depths: Sequence[int] = (1, 2, 8, 8, 2, 8, 8, 2, 1),
        heads: Sequence[int] = (1, 2, 4, 8, 16, 16, 8, 4, 2),
        modulated: bool = True,
    ) -> None:
        super().__init__()
        if len(depths) != 2 * LEVELS + 1 or len(heads) != len(depths):
            raise ValueError(f"a Uformer has {2 * LEVELS + 1} levels, not {len(depths)} of {len(heads)} heads")
        self.facts = Facts(multiple=WINDOW * 2**LEVELS, working_bytes=4 * (43 * width + 76))
        self.register_buffer("places", windows.places(WINDOW), persistent=False)
        self.input_proj = nn.ModuleDict({"proj": nn.Sequential(nn.Conv2d(3, width, 3, padding=1), nn.LeakyReLU())})
        for level in range(LEVELS):
            dim = width * 2**level
            self.add_module(f"encoderlayer_{level}", Level(depths[level], dim, heads[level], modulated=False))
            self.add_module(f"dowsample_{level}", Resampling(conv=nn.Conv2d(dim, 2 * dim, 4, 2, 1)))
        bottom = width * 2**LEVELS
        self.conv = Level(depths[LEVELS], bottom, heads[LEVELS], modulated=False)
        below = bottom
        for step in range(LEVELS):
            dim, place = width * 2 ** (LEVELS - 1 - step), LEVELS + 1 + step
            self.add_module(f"upsample_{step}", Resampling(deconv=nn.ConvTranspose2d(below, dim, 2, 2)))
            self.add_module(f"decoderlayer_{step}", Level(depths[place], 2 * dim, heads[place], modulated=modulated))
            below = 2 * dim
        self.output_proj = nn.ModuleDict({"proj": nn.Sequential(nn.Conv2d(2 * width, 3, 3, padding=1))})

    @classmethod
    def options_from(cls, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
        """See `Network.options_from`."""
        down, up = ([f"{kind}layer_{level}.blocks." for level in range(LEVELS)] for kind in ("encoder", "decoder"))
        names = [*down, "conv.blocks.", *up]
        table = f"{names[0]}0.attn.relative_position_bias_table"
        if math.isqrt(len(tensors[table])) != 2 * WINDOW - 1:
            raise ValueError("windows of another size")
        return {
            "width": len(tensors["input_proj.proj.0.weight"]),
            "depths": tuple(count_modules(tensors, name) for name in names),
            "heads": tuple(tensors[f"{name}0.attn.relative_position_bias_table"].shape[1] for name in names),
            "modulated": f"{up[0]}0.modulator.weight" in tensors,
        }

    def forward(self, image: Tensor, randn_like: RandnLike | None = None) -> Tensor:
        """See `Mapper.forward`."""
        height, width = image.shape[-2:]
        padded = self.padded(image)
        size = (padded.shape[-2], padded.shape[-1])
        x = pixels(self.input_proj["proj"](padded))
        kept = []
        for level in range(LEVELS):
            x = self.get_submodule(f"encoderlayer_{level}")(x, size, self.places)
            kept.append(x)
            x = self.get_submodule(f"dowsample_{level}")(x, size)
            size = (size[0] // 2, size[1] // 2)
        x = self.conv(x, size, self.places)
        for step in range(LEVELS):
            x = self.get_submodule(f"upsample_{step}")(x, size)
            size = (2 * size[0], 2 * size[1])
            x = self.get_submodule(f"decoderlayer_{step}")(torch.cat((x, kept.pop()), -1), size, self.places)
        restored: Tensor = self.output_proj["proj"](plane(x, size)) + padded
        return restored[..., :height, :width]


class Resampling(nn.Module):
    """The convolution between two levels."""

    def __init__(self, **layer: nn.Module) -> None:
        super().__init__()
        ((name, convolution),) = layer.items()
        self.name = name
        self.add_module(name, nn.Sequential(convolution))

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """(B, H W, C) to (B, H' W', C')."""
        return pixels(self.get_submodule(self.name)(plane(x, size)))


class Level(nn.Module):
    """Blocks, every other one with shifted windows."""

    def __init__(self, depth: int, dim: int, heads: int, *, modulated: bool) -> None:
        super().__init__()
        shifts = ((index % 2) * (WINDOW // 2) for index in range(depth))
        self.blocks = nn.ModuleList(Block(dim, heads, shift, modulated=modulated) for shift in shifts)

    def forward(self, x: Tensor, size: tuple[int, int], places: Tensor) -> Tensor:
        """(B, H W, C) to the same."""
        for block in self.blocks:
            x = block(x, size, places)
        return x


class Block(nn.Module):
    """Attention in windows, then a feed-forward layer with a convolution, each beside the identity."""

    def __init__(self, dim: int, heads: int, shift: int, *, modulated: bool) -> None:
        super().__init__()
        self.shift = shift
        if modulated:
            self.modulator = nn.Embedding(WINDOW**2, dim)
        self.norm1 = nn.LayerNorm(dim)
        self.attn = WindowAttention(dim, heads)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = Convolved(dim, EXPANSION * dim)

    def forward(self, x: Tensor, size: tuple[int, int], places: Tensor) -> Tensor:
        """(B, H W, C) to the same."""
        apart = windows.strangers(size, WINDOW, self.shift, x.device) if self.shift else None
        parts = windows.cut(torch.unflatten(self.norm1(x), 1, size), WINDOW, self.shift)
        if hasattr(self, "modulator"):
            parts = parts + self.modulator.weight
        x = x + windows.joined(self.attn(parts, places, apart), size, self.shift).flatten(1, 2)
        return x + cast(Tensor, self.mlp(self.norm2(x), size))


class WindowAttention(nn.Module):
    """Attention among the pixels of a window, with a learnt bias for each distance."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.relative_position_bias_table = windows.empty_table(WINDOW, heads)
        self.qkv = nn.ModuleDict({"to_q": nn.Linear(dim, dim), "to_kv": nn.Linear(dim, 2 * dim)})
        self.proj = nn.Linear(dim, dim)

    def forward(self, parts: Tensor, places: Tensor, apart: Tensor | None) -> Tensor:
        """(windows, pixels, C) to the same."""
        qkv = torch.cat((self.qkv["to_q"](parts), self.qkv["to_kv"](parts)), -1)
        bias = windows.biases(self.relative_position_bias_table, places)
        return cast(Tensor, self.proj(windows.attended(qkv, self.heads, bias, apart)))


class Convolved(nn.Module):
    """Two layers on each pixel, and a convolution of each channel between."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.linear1 = nn.Sequential(nn.Linear(dim, hidden))
        self.dwconv = nn.Sequential(nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden))
        self.linear2 = nn.Sequential(nn.Linear(hidden, dim))

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """(B, H W, C) to the same."""
        h = self.dwconv(plane(F.gelu(self.linear1(x)), size))
        return cast(Tensor, self.linear2(pixels(F.gelu(h))))
