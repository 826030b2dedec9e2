"""SwinIR in the form that DCPT trained: attention in windows that shift, without biases and without masks.

Liang et al., "SwinIR: Image Restoration Using Swin Transformer", ICCV workshops 2021; Hu et al., "Universal Image
Restoration Pre-training via Degradation Classification", ICLR 2025. Names of parameters are those of DCPT's files.
"""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from irsde_cli.networks import windows
from irsde_cli.networks.facts import Facts
from irsde_cli.networks.layers import pixels, plane
from irsde_cli.networks.network import Mapper, count_modules
from irsde_cli.randomness import RandnLike

MEAN = (0.4488, 0.4371, 0.4040)
GROUPS = 3  # before the middle, and after it
WINDOW = 8


class SwinIR(Mapper):
    """Takes any size. Shifted windows go around the image, so that its borders see each other.

    Args:
        embed_dim: channels.
        depths: blocks of each of the six groups.
        heads: of attention.
        mlp_ratio: hidden channels by channels.
    """

    mean: Tensor

    def __init__(
        self,
        *,
        embed_dim: int = 180,
        depths: Sequence[int] = (6, 6, 6, 6, 6, 6),
        heads: int = 6,
        mlp_ratio: float = 2.0,
    ) -> None:
        super().__init__()
        if len(depths) != 2 * GROUPS:
            raise ValueError(f"a SwinIR of DCPT has {2 * GROUPS} groups, not {len(depths)}")
        hidden = int(embed_dim * mlp_ratio)
        self.facts = Facts(multiple=WINDOW, working_bytes=4 * (5 * embed_dim + 3 * hidden))
        self.register_buffer("mean", torch.tensor(MEAN).view(1, -1, 1, 1), persistent=False)
        self.conv_first = nn.Conv2d(3, embed_dim, 3, padding=1)
        self.patch_embed = nn.ModuleDict({"norm": nn.LayerNorm(embed_dim)})
        first, *rest = (Group(embed_dim, depth, heads, hidden) for depth in depths)
        self.encode_layers = nn.ModuleList((first, *rest[: GROUPS - 1]))
        self.decode_layers0, self.decode_layers1, self.decode_layers2 = rest[GROUPS - 1 :]
        self.norm = nn.LayerNorm(embed_dim)
        self.conv_after_body = nn.Conv2d(embed_dim, embed_dim, 3, padding=1)
        self.conv_last = nn.Conv2d(embed_dim, 3, 3, padding=1)

    @classmethod
    def options_from(cls, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
        """See `Network.options_from`; all released ones have heads of 30 channels, as shapes do not say."""
        dim = len(tensors["conv_first.weight"])
        groups = [f"encode_layers.{group}." for group in range(GROUPS)]
        groups += [f"decode_layers{group}." for group in range(GROUPS)]
        return {
            "embed_dim": dim,
            "depths": tuple(count_modules(tensors, f"{group}residual_group.blocks.") for group in groups),
            "heads": max(dim // 30, 1),
            "mlp_ratio": len(tensors["encode_layers.0.residual_group.blocks.0.mlp.fc1.weight"]) / dim,
        }

    def forward(self, image: Tensor, randn_like: RandnLike | None = None) -> Tensor:
        """See `Mapper.forward`."""
        height, width = image.shape[-2:]
        centred = self.padded(image) - self.mean
        size = (centred.shape[-2], centred.shape[-1])
        shallow = self.conv_first(centred)
        x = self.patch_embed["norm"](pixels(shallow))
        for group in (*self.encode_layers, self.decode_layers0, self.decode_layers1, self.decode_layers2):
            x = group(x, size)
        deep = self.conv_after_body(plane(self.norm(x), size)) + shallow
        restored: Tensor = self.conv_last(deep) + centred + self.mean
        return restored[..., :height, :width]


class Group(nn.Module):
    """Blocks, every other one with shifted windows, and a convolution around which everything is added."""

    def __init__(self, dim: int, depth: int, heads: int, hidden: int) -> None:
        super().__init__()
        shifts = ((index % 2) * (WINDOW // 2) for index in range(depth))
        blocks = nn.ModuleList(Block(dim, heads, hidden, shift) for shift in shifts)
        self.residual_group = nn.ModuleDict({"blocks": blocks})
        self.conv = nn.Conv2d(dim, dim, 3, padding=1)

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """(B, H W, C) to the same."""
        h = x
        for block in cast(nn.ModuleList, self.residual_group["blocks"]):
            h = block(h, size)
        return pixels(self.conv(plane(h, size))) + x


class Block(nn.Module):
    """Attention in windows, then two layers on each pixel, each beside the identity."""

    def __init__(self, dim: int, heads: int, hidden: int, shift: int) -> None:
        super().__init__()
        self.heads = heads
        self.shift = shift
        self.norm1 = nn.LayerNorm(dim)
        self.attn = nn.ModuleDict({"qkv": nn.Linear(dim, 3 * dim), "proj": nn.Linear(dim, dim)})
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(dim, hidden), "fc2": nn.Linear(hidden, dim)})

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """(B, H W, C) to the same."""
        parts = windows.cut(torch.unflatten(self.norm1(x), 1, size), WINDOW, self.shift)
        seen = self.attn["proj"](windows.attended(self.attn["qkv"](parts), self.heads))
        x = x + windows.joined(seen, size, self.shift).flatten(1, 2)
        return x + cast(Tensor, self.mlp["fc2"](nn.functional.gelu(self.mlp["fc1"](self.norm2(x)))))
