"""IR-SDE's U-Net, conditional and unconditional. Luo et al., ICML 2023.

The output is the prediction itself; there is no global residual. Linear attention divides by the number of pixels, so
what a tile predicts depends a little on the size of the tile.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from irsde_cli.networks.facts import Facts
from irsde_cli.networks.fusible import MOST_TIMES, Fusible, packed
from irsde_cli.networks.layers import (
    HEAD_DIM,
    HEADS,
    ChannelLayerNorm,
    LinearAttention,
    ResBlock,
    ResidualAttention,
    TimeFeatures,
    TimeMLP,
    conv3,
    downsampling,
    levels,
    upsampling,
)
from irsde_cli.networks.network import count_modules
from irsde_cli.networks.onednn import Linear, PackedConvolution

Attend = Callable[[nn.Module, Tensor], Tensor]


def alone(attention: nn.Module, h: Tensor) -> Tensor:
    """An attention that sees nothing besides its input (B, C, H, W)."""
    attended: Tensor = attention(h)
    return attended


class UNet(Fusible):
    """The official parameter names and shapes.

    Args:
        in_nc: channels of the image.
        out_nc: channels of the prediction.
        nf: width of the first level.
        depth: number of levels; level i has width nf * 2^i.
        ch_mult: widths of levels 1.. as multiples of `nf`, instead of powers of two.
        conditional: whether the degraded image is an input.
        full_attention: full instead of linear attention in the middle, as the published Denoising-SDE has it.
    """

    def __init__(
        self,
        *,
        in_nc: int = 3,
        out_nc: int = 3,
        nf: int = 64,
        depth: int = 4,
        ch_mult: Sequence[int] | None = None,
        conditional: bool = True,
        full_attention: bool = False,
    ) -> None:
        super().__init__()
        multiples = [1, *(ch_mult if ch_mult is not None else (2 ** (level + 1) for level in range(depth)))]
        widths = [nf * multiple for multiple in multiples]
        count = len(widths) - 1
        time_dim = 4 * nf
        self.conditional = conditional
        # 760 is that of the heads, however narrow the level.
        self.facts = Facts(channels=(in_nc, out_nc), multiple=2**count, working_bytes=4 * (760 + 10 * nf))

        self.init_conv = nn.Conv2d(2 * in_nc if conditional else in_nc, nf, 7, padding=3, bias=False)
        self.time_mlp = TimeMLP(TimeFeatures(nf), nn.Linear(nf, time_dim), nn.GELU(), nn.Linear(time_dim, time_dim))
        self.downs = nn.ModuleList()
        self.ups = nn.ModuleList()
        for level in range(count):
            inner, outer = widths[level], widths[level + 1]
            self.downs.append(
                nn.ModuleList(
                    [
                        ResBlock(inner, inner, time_dim),
                        ResBlock(inner, inner, time_dim),
                        ResidualAttention(inner),
                        downsampling(inner, outer, last=level == count - 1),
                    ]
                )
            )
        for level in reversed(range(count)):
            inner, outer = widths[level], widths[level + 1]
            self.ups.append(
                nn.ModuleList(
                    [
                        ResBlock(outer + inner, outer, time_dim),
                        ResBlock(outer + inner, outer, time_dim),
                        ResidualAttention(outer),
                        upsampling(outer, inner, last=level == 0),
                    ]
                )
            )
        self.mid_block1 = ResBlock(widths[-1], widths[-1], time_dim)
        self.mid_attn = ResidualAttention(widths[-1], full=full_attention)
        self.mid_block2 = ResBlock(widths[-1], widths[-1], time_dim)
        self.final_res_block = ResBlock(2 * nf, nf, time_dim)
        self.final_conv = conv3(nf, out_nc, bias=True)

    @property
    def stages(self) -> tuple[str, ...]:
        """See `Network.stages`: the second blocks of the way up."""
        return tuple(f"ups.{index}.1" for index in reversed(range(len(self.ups))))

    @classmethod
    def options_from(cls, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
        """See `Network.options_from`."""
        nf, channels = tensors["init_conv.weight"].shape[:2]
        out = tensors["final_conv.weight"].shape[0]
        depth = count_modules(tensors, "downs.")
        # Level i ends with a convolution to the width of the next.
        widths = [tensors[f"downs.{level}.3.weight"].shape[0] for level in range(depth)]
        powers = [nf * 2 ** (level + 1) for level in range(depth)]
        return {
            "in_nc": out,
            "out_nc": out,
            "nf": nf,
            **({"depth": depth} if widths == powers else {"ch_mult": tuple(width // nf for width in widths)}),
            "conditional": channels == 2 * out,
            "full_attention": "mid_attn.fn.fn.to_out.weight" in tensors,
        }

    def fused(self, dtype: torch.dtype) -> "FusedUNet":
        """See `Fusible.fused`."""
        return FusedUNet(self, dtype)

    def forward(self, x: Tensor, mu: Tensor, t: Tensor) -> Tensor:
        """See `Predictor.forward`; the unconditional network does not look at `mu`."""
        if (faster := self.faster(x, t)) is not None:
            return faster(x, mu, float(t[0]))
        height, width = x.shape[-2:]
        image = torch.cat((x - mu, mu), dim=1) if self.conditional else x
        first = self.init_conv(self.padded(image))
        time = self.time_mlp(t)
        h = self.final_res_block(torch.cat((self.trunk(first, time), first), dim=1), time)
        prediction: Tensor = self.final_conv(h)
        return prediction[..., :height, :width]

    def trunk(self, h: Tensor, time: Tensor, attend: Attend = alone) -> Tensor:
        """Down, middle and up again: features (B, nf, H, W) to the same shape; `attend` calls the attentions."""
        skips: list[Tensor] = []
        for block1, block2, attention, down in levels(self.downs):
            h = block1(h, time)
            skips.append(h)
            h = attend(attention, block2(h, time))
            skips.append(h)
            h = down(h)
        h = self.mid_block2(attend(self.mid_attn, self.mid_block1(h, time)), time)
        for block1, block2, attention, up in levels(self.ups):
            h = block1(torch.cat((h, skips.pop()), dim=1), time)
            h = block2(torch.cat((h, skips.pop()), dim=1), time)
            h = up(attend(attention, h))
        return h


Modulation = tuple[Tensor, Tensor]


class FusedUNet:
    """A `UNet` whose weights no longer change, channels last.

    Weights are kept in oneDNN's layout, SiLU and the sums of blocks ride on convolutions, linear attention is some
    products of matrices, and nothing is enlarged before a convolution to which each pixel once is enough.
    """

    def __init__(self, network: UNet, dtype: torch.dtype) -> None:
        self.network = network
        self.dtype = dtype
        self.init = packed(network.init_conv, dtype)
        self.final = packed(network.final_conv, dtype)
        self.blocks = {
            block: _FusedBlock(block, dtype) for block in network.modules() if isinstance(block, ResBlock) and block.mlp
        }
        self.attentions = {
            layer: _attention(layer, dtype) for layer in network.modules() if isinstance(layer, ResidualAttention)
        }
        self.downs = [packed(level[-1], dtype, form=PackedConvolution) for level in cast(Sequence[Any], network.downs)]
        self.ups = [_upsampled(level[-1], dtype) for level in cast(Sequence[Any], network.ups)]
        self.times: dict[float, dict[ResBlock, Modulation]] = {}

    def __call__(self, x: Tensor, mu: Tensor, t: float) -> Tensor:
        """See `Predictor.forward`; all images are at the time index `t`."""
        network, times = self.network, self._at(t)

        def through(block: ResBlock, *features: Tensor) -> Tensor:
            h = features[0] if len(features) == 1 else torch.cat(features, dim=1)
            return self.blocks[block](h, *times[block])

        height, width = x.shape[-2:]
        image = network.padded(torch.cat((x - mu, mu), dim=1) if network.conditional else x)
        first = h = self.init(image.to(self.dtype).contiguous(memory_format=torch.channels_last))
        skips: list[Tensor] = []
        for (block1, block2, attention, _), down in zip(levels(network.downs), self.downs, strict=True):
            h = through(block1, h)
            skips.append(h)
            h = self.attentions[attention](through(block2, h))
            skips.append(h)
            h = down(h)
        h = through(network.mid_block2, self.attentions[network.mid_attn](through(network.mid_block1, h)))
        for (block1, block2, attention, _), up in zip(levels(network.ups), self.ups, strict=True):
            h = through(block1, h, skips.pop())
            h = through(block2, h, skips.pop())
            h = up(self.attentions[attention](h))
        return self.final(through(network.final_res_block, h, first))[..., :height, :width]

    def _at(self, t: float) -> dict[ResBlock, Modulation]:
        """What time does to each block: a factor and a shift of its channels, (1, C, 1, 1) each."""
        if (known := self.times.get(t)) is not None:
            return known
        made = {}
        with torch.autocast("cpu", enabled=False):
            time = self.network.time_mlp(torch.tensor([t]))
            for block in self.blocks:
                assert block.mlp is not None, "chosen by that"
                scale, shift = block.mlp(time)[:, :, None, None].chunk(2, dim=1)
                made[block] = ((scale + 1).to(self.dtype), shift.to(self.dtype))
        if len(self.times) < MOST_TIMES:
            self.times[t] = made
        return made


class _FusedBlock:
    """A `ResBlock` with time."""

    def __init__(self, block: ResBlock, dtype: torch.dtype) -> None:
        self.first, self.second = (
            packed(part.proj, dtype, form=PackedConvolution) for part in (block.block1, block.block2)
        )
        shortcut = block.res_conv
        self.shortcut = packed(shortcut, dtype, form=PackedConvolution) if isinstance(shortcut, nn.Conv2d) else None

    def __call__(self, x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        """(B, C, H, W), channels last, to (B, C', H, W)."""
        h = F.silu(torch.addcmul(shift, self.first(x), scale), inplace=True)
        h = self.second(h, "swish")
        return h.add_(x) if self.shortcut is None else self.shortcut.add_to(h, x)


class _Doubled:
    """Each pixel twice in both directions, and a 3x3 convolution: four of 2x2 on the image as it was.

    Of the three rows that the convolution sees two are the same; their weights are added beforehand.
    """

    def __init__(self, layer: nn.Conv2d, dtype: torch.dtype) -> None:
        rows = _merged(layer.weight, 2)
        parts = [part for row in rows for part in _merged(row, 3)]
        bias = cast(Tensor, layer.bias).repeat(4)
        self.convolution = PackedConvolution(torch.cat(parts), bias, dtype, padding=1)

    def __call__(self, x: Tensor) -> Tensor:
        """(B, C, H, W), channels last, to (B, C', 2H, 2W)."""
        height, width = x.shape[-2:]
        parts = self.convolution(x).chunk(4, dim=1)
        size = (len(x), parts[0].shape[1], 2 * height, 2 * width)
        out = torch.empty(size, dtype=x.dtype, memory_format=torch.channels_last)
        for index, part in enumerate(parts):
            down, across = divmod(index, 2)
            out[:, :, down::2, across::2] = part[:, :, down : down + height, across : across + width]
        return out


def _merged(weight: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """Three weights along an axis as two, for the first and for the second of two equal pixels."""
    before, here, after = weight.unbind(axis)
    return torch.stack((before, here + after), axis), torch.stack((before + here, after), axis)


def _upsampled(layer: nn.Module, dtype: torch.dtype) -> Callable[[Tensor], Tensor]:
    """The layer that ends a level on the way up."""
    if isinstance(layer, nn.Conv2d):
        return packed(layer, dtype, form=PackedConvolution)
    return _Doubled(cast(nn.Conv2d, cast(nn.Sequential, layer)[1]), dtype)


class _FusedAttention:
    """A linear `ResidualAttention`, as products over all channels at once: zeros keep the heads apart.

    What it makes of the image is a matrix for each, and one with the layer behind it.
    """

    def __init__(self, norm: ChannelLayerNorm, attention: LinearAttention, dtype: torch.dtype) -> None:
        self.dtype = dtype
        self.norm = norm.g.flatten()
        inner = HEADS * HEAD_DIM
        self.qkv = Linear(attention.to_qkv.weight, torch.zeros(3 * inner), dtype)
        blocks = torch.eye(HEADS).repeat_interleave(HEAD_DIM, 0).repeat_interleave(HEAD_DIM, 1)
        self.heads = blocks * HEAD_DIM**-0.5
        layer, last = cast(Sequence[Any], attention.to_out)
        self.out, self.bias, self.last = layer.weight.flatten(1).t(), layer.bias, last.g.flatten()

    def __call__(self, h: Tensor) -> Tensor:
        """(B, C, H, W), channels last, to the same."""
        with torch.autocast("cpu", enabled=False):
            pixels = h.permute(0, 2, 3, 1)
            normalised = F.layer_norm(pixels.float(), pixels.shape[-1:], self.norm, eps=1e-5)
            qkv = self.qkv(normalised.to(self.dtype)).flatten(1, 2)
            q, k, v = qkv.reshape(*qkv.shape[:2], 3, HEADS * HEAD_DIM).unbind(2)
            q = q.reshape(*q.shape[:2], HEADS, HEAD_DIM).softmax(dim=-1).flatten(2)
            out = torch.stack([self._mixed(*one) for one in zip(q, k.softmax(dim=1), v.contiguous(), strict=True)])
            attended = F.layer_norm(out, out.shape[-1:], self.last, eps=1e-5).to(self.dtype)
            return attended.view(pixels.shape).add_(pixels).permute(0, 3, 1, 2)

    def _mixed(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Of one image, (H * W, 128) each, to (H * W, C) in float32; products of a batch are ten times slower here."""
        context = (k.t() @ v).float() * (self.heads / len(q))
        mixed: Tensor = (q @ (context @ self.out).to(self.dtype)).float()
        return mixed.add_(self.bias)


def _attention(layer: nn.Module, dtype: torch.dtype) -> Callable[[Tensor], Tensor]:
    """An attention with its sum; the full one is as it was."""
    assert isinstance(layer, ResidualAttention)
    kind = layer.fn.fn
    if isinstance(kind, LinearAttention):
        return _FusedAttention(layer.fn.norm, kind, dtype)
    return lambda h: alone(layer, h).contiguous(memory_format=torch.channels_last)
