"""Layers that the published networks share; attribute names are those of the official checkpoints."""

from collections.abc import Iterator, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from irsde_cli.networks.network import time_features


class TimeFeatures(nn.Module):
    """The sinusoidal embedding as a layer without parameters."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, t: Tensor) -> Tensor:
        """(B,) to (B, dim), float32."""
        return time_features(t, self.dim)


class TimeMLP(nn.Sequential):
    """Features of the time index through a small network, whatever the dtype of its weights."""

    def forward(self, t: Tensor) -> Tensor:
        """(B,) to (B, time_dim)."""
        features, first, *rest = cast(Sequence[Any], self)
        h: Tensor = first(features(t).to(first.weight.dtype))
        for layer in rest:
            h = layer(h)
        return h


def levels(modules: nn.ModuleList) -> Iterator[tuple[Any, Any, Any, Any]]:
    """The two blocks, the attention and the resampling of each level of a U-Net."""
    for level in modules:
        first, second, attention, resampling = cast(Sequence[Any], level)
        yield first, second, attention, resampling


def in_turn(blocks: nn.Module, h: Tensor, time: Tensor | None) -> Tensor:
    """`h` through each of the blocks of a `ModuleList`."""
    for block in cast(Sequence[Any], blocks):
        h = block(h, time)
    return h


def last_blocks(name: str, levels: nn.ModuleList) -> tuple[str, ...]:
    """The names of the last block of each level of the `ModuleList` of that name; a level without blocks has none."""
    counts = [len(cast(Sequence[Any], level)) for level in levels]
    return tuple(f"{name}.{index}.{count - 1}" for index, count in enumerate(counts) if count)


class ChannelLayerNorm(nn.Module):
    """Layer normalisation over channels with a gain, in at least float32 and with eps 1e-5.

    The reference takes eps 1e-3 for any dtype but float32, which changes what a network computes in half precision.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.g = nn.Parameter(torch.ones(1, dim, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape and dtype."""
        wide = x if x.dtype == torch.float64 else x.float()
        if wide.is_contiguous(memory_format=torch.channels_last):  # one pass instead of four
            last = wide.permute(0, 2, 3, 1)
            return (
                F.layer_norm(last, last.shape[-1:], self.g.flatten().to(wide), eps=1e-5).permute(0, 3, 1, 2).to(x.dtype)
            )
        variance, mean = torch.var_mean(wide, dim=1, correction=0, keepdim=True)
        normalised: Tensor = (wide - mean) * (variance + 1e-5).rsqrt() * self.g
        return normalised.to(x.dtype)


def pixels(plane: Tensor) -> Tensor:
    """(B, C, H, W) to (B, H W, C)."""
    return plane.flatten(2).transpose(1, 2)


def plane(pixels: Tensor, size: tuple[int, int]) -> Tensor:
    """(B, H W, C) to (B, C, H, W)."""
    return torch.unflatten(pixels.transpose(1, 2), 2, size)


def normalised(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """Channels (B, C, H, W) of each pixel normalised in at least float32, with gains and biases (C,)."""
    wide = (x if x.dtype == torch.float64 else x.float()).permute(0, 2, 3, 1)
    wide = F.layer_norm(wide, weight.shape, weight.to(wide), bias.to(wide), eps)
    return wide.permute(0, 3, 1, 2).to(x.dtype)


class ChannelNorm(nn.Module):
    """Layer normalisation over channels with a gain and a bias, and eps 1e-6."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        self.bias = nn.Parameter(torch.zeros(dim))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape and dtype."""
        return normalised(x, self.weight, self.bias, 1e-6)


def conv3(in_channels: int, out_channels: int, bias: bool = False) -> nn.Conv2d:
    """A 3x3 convolution that keeps the size."""
    return nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=bias)


class ConvAct(nn.Module):
    """Convolution, optional scale and shift, SiLU."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.proj = conv3(in_channels, out_channels)

    def forward(self, x: Tensor, scale_shift: tuple[Tensor, Tensor] | None = None) -> Tensor:
        """(B, C, H, W); scale and shift are (B, C', 1, 1)."""
        x = self.proj(x)
        if scale_shift is not None:
            scale, shift = scale_shift
            x = torch.addcmul(shift, x, scale + 1)
        return F.silu(x, inplace=not torch.is_grad_enabled())


class ResBlock(nn.Module):
    """Two convolutions and a shortcut, without normalisation; time modulates the first, if `time_dim` is given."""

    def __init__(self, in_channels: int, out_channels: int, time_dim: int | None = None) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.SiLU(), nn.Linear(time_dim, 2 * out_channels)) if time_dim else None
        self.block1 = ConvAct(in_channels, out_channels)
        self.block2 = ConvAct(out_channels, out_channels)
        same = in_channels == out_channels
        self.res_conv = nn.Identity() if same else nn.Conv2d(in_channels, out_channels, 1, bias=False)

    def forward(self, x: Tensor, time: Tensor | None = None) -> Tensor:
        """(B, C, H, W); `time` is the embedding (B, time_dim)."""
        scale_shift = None
        if self.mlp is not None:
            scale, shift = self.mlp(time)[:, :, None, None].chunk(2, dim=1)
            scale_shift = (scale, shift)
        h: Tensor = self.block2(self.block1(x, scale_shift)) + self.res_conv(x)
        return h


HEADS = 4
HEAD_DIM = 32


class LinearAttention(nn.Module):
    """Attention linear in the number of pixels. Values are divided by that number, so the branch depends on it."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        inner = HEADS * HEAD_DIM
        self.to_qkv = nn.Conv2d(dim, 3 * inner, 1, bias=False)
        self.to_out = nn.Sequential(nn.Conv2d(inner, dim, 1), ChannelLayerNorm(dim))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        qkv = self.to_qkv(x)
        if qkv.dtype != torch.float16:
            return self._attended(qkv)
        # Of many pixels both the shares and the values would be too small for it, and zero.
        with torch.autocast(x.device.type, enabled=False):
            return self._attended(qkv.float())

    def _attended(self, qkv: Tensor) -> Tensor:
        batch, _, height, width = qkv.shape
        q, k, v = qkv.reshape(batch, 3, HEADS, HEAD_DIM, height * width).unbind(1)
        q = q.softmax(dim=-2) * HEAD_DIM**-0.5
        context = k.softmax(dim=-1) @ (v / (height * width)).transpose(-1, -2)
        out = (context.transpose(-1, -2) @ q).reshape(batch, HEADS * HEAD_DIM, height, width)
        attended: Tensor = self.to_out(out)
        return attended


class Attention(nn.Module):
    """Full attention over all pixels, through the fused kernel."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        inner = HEADS * HEAD_DIM
        self.to_qkv = nn.Conv2d(dim, 3 * inner, 1, bias=False)
        self.to_out = nn.Conv2d(inner, dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        batch, _, height, width = x.shape
        qkv = self.to_qkv(x).reshape(batch, 3, HEADS, HEAD_DIM, height * width)
        q, k, v = qkv.transpose(-1, -2).unbind(1)
        out = F.scaled_dot_product_attention(q, k, v).transpose(-1, -2)
        attended: Tensor = self.to_out(out.reshape(batch, HEADS * HEAD_DIM, height, width))
        return attended


class PreNorm(nn.Module):
    """A layer and the normalisation before it, named as in official checkpoints; whoever holds it calls both."""

    def __init__(self, dim: int, fn: nn.Module) -> None:
        super().__init__()
        self.norm = ChannelLayerNorm(dim)
        self.fn = fn


class ResidualAttention(nn.Module):
    """x + attention(norm(x))."""

    def __init__(self, dim: int, *, full: bool = False) -> None:
        super().__init__()
        self.fn = PreNorm(dim, Attention(dim) if full else LinearAttention(dim))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        attended: Tensor = self.fn.fn(self.fn.norm(x))
        return x + attended


def downsampling(in_channels: int, out_channels: int, *, last: bool) -> nn.Conv2d:
    """The layer that ends an encoder level; the last level keeps its resolution."""
    return conv3(in_channels, out_channels) if last else nn.Conv2d(in_channels, out_channels, 4, 2, 1)


def upsampling(in_channels: int, out_channels: int, *, last: bool) -> nn.Module:
    """The layer that ends a decoder level; the last level, at full resolution, keeps it."""
    if last:
        return conv3(in_channels, out_channels)
    return nn.Sequential(nn.Upsample(scale_factor=2), conv3(in_channels, out_channels, bias=True))
