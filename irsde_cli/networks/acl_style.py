"""A U-Net of linear attention, in the manner of ACL, whose authors' code and weights are not to be had.

After Gu et al., "ACL: Activating Capability of Linear Attention for Image Restoration", CVPR 2025. The block is that of
MLLA (Han et al., "Demystify Mamba in Vision", NeurIPS 2024) without its rotary embedding; widths, depths, and how it
looks at a distance are ours.
"""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from irsde_cli.networks.facts import Facts
from irsde_cli.networks.layers import pixels, plane
from irsde_cli.networks.network import count_modules
from irsde_cli.networks.restormer import Skeleton

EXPANSION = 2
HEAD = 16  # channels
DILATIONS = (1, 2, 3)


class ACLStyle(Skeleton):
    """Every pixel depends on all of the image: attention is divided by a mean over it.

    Args:
        width: channels of the first level; each level below doubles it.
        blocks: of each level, from the first.
        refinement: blocks at the end.
    """

    def __init__(self, *, width: int = 32, blocks: Sequence[int] = (2, 3, 3, 4), refinement: int = 2) -> None:
        super().__init__()
        self.facts = Facts(multiple=8, working_bytes=4 * 30 * width)

        def level(_depth: int, count: int, channels: int) -> nn.Sequential:
            heads = max(channels // HEAD, 1)
            return nn.Sequential(*(Lama(channels, heads) for _ in range(count)), Distances(channels))

        self.lay(width, blocks, refinement, level)

    @classmethod
    def options_from(cls, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
        """See `Network.options_from`."""
        levels = [*(f"encoder_level{level}." for level in (1, 2, 3)), "latent."]
        return {
            "width": len(tensors["patch_embed.proj.weight"]),
            "blocks": tuple(count_modules(tensors, level) - 1 for level in levels),
            "refinement": count_modules(tensors, "refinement.") - 1,
        }


class Lama(nn.Module):
    """Linear attention behind a gate, between convolutions of each channel, and then two layers on each pixel."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.cpe1 = _depthwise(channels)
        self.norm1 = nn.LayerNorm(channels)
        self.in_proj = nn.Linear(channels, channels)
        self.act_proj = nn.Linear(channels, channels)
        self.dwc = _depthwise(channels)
        self.attn = LinearAttention(channels, heads)
        self.out_proj = nn.Linear(channels, channels)
        self.cpe2 = _depthwise(channels)
        self.norm2 = nn.LayerNorm(channels)
        hidden = EXPANSION * channels
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(channels, hidden), "fc2": nn.Linear(hidden, channels)})

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        size = (x.shape[-2], x.shape[-1])
        x = x + self.cpe1(x)
        normed = self.norm1(pixels(x))
        gate = F.silu(self.act_proj(normed))
        inner = F.silu(self.dwc(plane(self.in_proj(normed), size)))
        x = x + plane(self.out_proj(self.attn(inner) * gate), size)
        x = x + self.cpe2(x)
        hidden = F.gelu(self.mlp["fc1"](self.norm2(pixels(x))))
        return x + plane(cast(Tensor, self.mlp["fc2"](hidden)), size)


def _depthwise(channels: int, dilation: int = 1) -> nn.Conv2d:
    return nn.Conv2d(channels, channels, 3, padding=dilation, dilation=dilation, groups=channels)


class LinearAttention(nn.Module):
    """Attention in time linear in the number of pixels, with elu + 1 in place of the exponential."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qk = nn.Linear(channels, 2 * channels)
        self.lepe = _depthwise(channels)

    def forward(self, v: Tensor) -> Tensor:
        """(B, C, H, W) to (B, H W, C)."""
        tokens = pixels(v)
        split = torch.unflatten(torch.cat((self.qk(tokens), tokens), -1), -1, (3, self.heads, -1))
        q, k, values = split.permute(2, 0, 3, 1, 4).float()
        with torch.autocast(v.device.type, enabled=False):  # sums over all pixels
            gathered = linear_attention(F.elu(q) + 1, F.elu(k) + 1, values)
        return gathered.transpose(1, 2).flatten(2).to(v.dtype) + pixels(self.lepe(v))


def linear_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Rows of `v` by shares q . k, none of which is ever made; all (B, heads, N, C), `q` and `k` positive."""
    share = 1 / (q @ k.mean(-2, keepdim=True).mT + 1e-6)
    return q @ (k.mT @ v / v.shape[-2]) * share


class Distances(nn.Module):
    """Convolutions of each channel that look nearer and farther, mixed, beside the identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.ways = nn.ModuleList(_depthwise(channels, dilation) for dilation in DILATIONS)
        self.mixed = nn.Conv2d(len(DILATIONS) * channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        return x + cast(Tensor, self.mixed(torch.cat([way(x) for way in self.ways], 1)))
