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
from irsde_cli.networks.network import count_modules
from irsde_cli.networks.swin_family import ResidualGroup, SwinFamily
from irsde_cli.randomness import RandnLike

GROUPS = 3  # before the middle, and after it
WINDOW = 8


class SwinIR(SwinFamily):
    """Takes any size. Shifted windows go around the image, so that its borders see each other.

    Args:
        embed_dim: channels.
        depths: blocks of each of the six groups.
        heads: of attention.
        mlp_ratio: hidden channels by channels.
    """

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
        self.lay(embed_dim, 3, "none", 1)
        first, *rest = (_group(embed_dim, depth, heads, hidden) for depth in depths)
        self.encode_layers = nn.ModuleList((first, *rest[: GROUPS - 1]))
        self.decode_layers0, self.decode_layers1, self.decode_layers2 = rest[GROUPS - 1 :]

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

    def through(self, x: Tensor, size: tuple[int, int], randn_like: RandnLike | None) -> Tensor:
        """See `SwinFamily.through`."""
        for group in (*self.encode_layers, self.decode_layers0, self.decode_layers1, self.decode_layers2):
            x = group(x, size)
        return x


def _group(dim: int, depth: int, heads: int, hidden: int) -> ResidualGroup:
    """Blocks, every other one with shifted windows."""
    shifts = ((index % 2) * (WINDOW // 2) for index in range(depth))
    return ResidualGroup(dim, nn.ModuleList(Block(dim, heads, hidden, shift) for shift in shifts))


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
