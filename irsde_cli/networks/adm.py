"""ADM, the U-Net of guided diffusion, of consistency models and of what was made of both.

Dhariwal and Nichol, "Diffusion Models Beat GANs on Image Synthesis", NeurIPS 2021. Names of parameters are those of
the authors' files.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from irsde_cli.networks.facts import Facts
from irsde_cli.networks.layers import conv3
from irsde_cli.networks.network import count_modules
from irsde_cli.networks.preconditioning import Preconditioned, Preconditioning

GROUPS = 32
COARSEST = 8  # pixels of a side on the last level, in training


class ADM(Preconditioned):
    """Knows photographs of one size: smaller ones are mirrored to it.

    Files whose attention has four heads at every width (128x128, 64 to 256), and the cosine schedule (64x64), are not
    told from the others by their tensors, and are not what is computed here.

    Args:
        widths: channels of each level; multiples of 32, and of 64 where there is attention.
        blocks: residual blocks of each level on the way down; one more on the way up.
        attention: the levels that have attention; the middle always has.
        time_width: sines and cosines of the time.
        scale_shift: whether time scales and shifts what was normalised, or is added before.
        classes: of the pictures; 0 where it was not told of any.
        legacy: whether attention is guided diffusion's: its channels are ordered by heads first. Else queries, keys and
            values come first, as in consistency models.
        variance: whether it predicts a variance too, which nobody asks for here.
        preconditioning: see `Preconditioned`.
        label: the class of the pictures, from 0.
    """

    untold = (*Preconditioned.untold, "label")

    def __init__(
        self,
        *,
        widths: Sequence[int] = (256, 256, 512, 512, 1024, 1024),
        blocks: int = 2,
        attention: Sequence[int] = (3, 4, 5),
        time_width: int = 256,
        scale_shift: bool = True,
        classes: int = 0,
        legacy: bool = True,
        variance: bool = True,
        preconditioning: Preconditioning = "vp",
        label: int = 0,
    ) -> None:
        super().__init__(preconditioning)
        if not 0 <= label < max(classes, 1):
            raise ValueError(f"the class {label} is none of {classes}")
        last, time = len(widths) - 1, 4 * time_width
        side = COARSEST << last
        first = widths[0]
        # On the way up at full size: what is left of the skips; and input beside skip, normalised, in four forms.
        joined = first + max(widths[:2])
        self.facts = Facts(multiple=2**last, smallest=side, tile=side, working_bytes=4 * blocks * first + 18 * joined)
        self.label = label
        self.time_width = time_width
        self.time_embed = nn.Sequential(nn.Linear(time_width, time), nn.SiLU(), nn.Linear(time, time))
        self.label_emb = nn.Embedding(classes, time) if classes else None
        self.input_blocks = nn.ModuleList([Stage(conv3(3, first, bias=True))])
        width, skips = first, [first]
        for level, wanted in enumerate(widths):
            for _ in range(blocks):
                parts: list[nn.Module] = [Residual(width, wanted, time, scale_shift)]
                width = wanted
                if level in attention:
                    parts.append(Attention(width, legacy))
                self.input_blocks.append(Stage(*parts))
                skips.append(width)
            if level != last:
                self.input_blocks.append(Stage(Residual(width, width, time, scale_shift, "down")))
                skips.append(width)
        self.middle_block = Stage(
            Residual(width, width, time, scale_shift),
            Attention(width, legacy),
            Residual(width, width, time, scale_shift),
        )
        self.output_blocks = nn.ModuleList()
        for level, wanted in reversed(list(enumerate(widths))):
            for index in range(blocks + 1):
                parts = [Residual(width + skips.pop(), wanted, time, scale_shift)]
                width = wanted
                if level in attention:
                    parts.append(Attention(width, legacy))
                if level and index == blocks:
                    parts.append(Residual(width, width, time, scale_shift, "up"))
                self.output_blocks.append(Stage(*parts))
        self.out = nn.Sequential(Norm(width), nn.SiLU(), conv3(width, 6 if variance else 3, bias=True))

    @classmethod
    def options_from(cls, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
        """See `Network.options_from`."""
        stages = count_modules(tensors, "output_blocks.")
        levels = 1 + sum(
            f"output_blocks.{index}.{place}.in_layers.2.weight" in tensors
            for index in range(stages)
            for place in (1, 2)
        )
        per_level, rest = divmod(stages, levels)
        channels = tensors["input_blocks.0.0.weight"].shape[1], len(tensors["out.2.weight"])
        if rest or channels not in ((3, 3), (3, 6)):
            raise ValueError(
                f"an ADM of {stages} stages on {levels} levels, from {channels[0]} to {channels[1]} channels"
            )
        firsts = [1 + level * per_level for level in range(levels)]
        width = tensors["input_blocks.1.0.out_layers.0.weight"].shape[0]
        return {
            "widths": tuple(len(tensors[f"input_blocks.{first}.0.out_layers.3.weight"]) for first in firsts),
            "blocks": per_level - 1,
            "attention": tuple(
                level for level, first in enumerate(firsts) if f"input_blocks.{first}.1.qkv.weight" in tensors
            ),
            "time_width": tensors["time_embed.0.weight"].shape[1],
            "scale_shift": len(tensors["input_blocks.1.0.emb_layers.1.weight"]) == 2 * width,
            "classes": len(tensors["label_emb.weight"]) if "label_emb.weight" in tensors else 0,
            "legacy": tensors["middle_block.1.qkv.weight"].ndim == 3,
            "variance": channels[1] == 6,
        }

    def raw(self, x: Tensor, time: Tensor) -> Tensor:
        """See `Preconditioned.raw`; height and width are multiples of `facts.multiple`."""
        first = cast(nn.Linear, self.time_embed[0])
        told: Tensor = self.time_embed(sines(time, self.time_width).to(first.weight.dtype))
        if self.label_emb is not None:
            told = told + self.label_emb.weight[self.label]
        h, skips = x, []
        for stage in self.input_blocks:
            h = stage(h, told)
            skips.append(h)
        h = self.middle_block(h, told)
        for stage in self.output_blocks:
            h = stage(torch.cat((h, skips.pop()), dim=1), told)
        predicted: Tensor = self.out(h)
        return predicted[:, :3]


def sines(time: Tensor, width: int) -> Tensor:
    """Features of real times (B,): (B, `width`), cosines first."""
    half = width // 2
    places = torch.arange(half, device=time.device, dtype=torch.float32)
    angles = time.float()[:, None] * torch.exp(-math.log(10000) / half * places)
    return torch.cat((angles.cos(), angles.sin()), dim=-1)


class Stage(nn.Sequential):
    """Layers in turn, of which the residual ones are told the time."""

    def forward(self, h: Tensor, time: Tensor) -> Tensor:  # type: ignore[override]
        """(B, C, H, W) and (B, D)."""
        for layer in self:
            h = layer(h, time) if isinstance(layer, Residual) else layer(h)
        return h


class Norm(nn.GroupNorm):
    """Group normalisation, in at least float32."""

    def __init__(self, width: int) -> None:
        super().__init__(GROUPS, width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, ...) to the same."""
        if x.dtype not in (torch.bfloat16, torch.float16):
            return super().forward(x)
        return F.group_norm(x.float(), GROUPS, self.weight.float(), self.bias.float(), self.eps).to(x.dtype)


class Residual(nn.Module):
    """Two convolutions and a shortcut, on which the resolution may change."""

    def __init__(self, width: int, wanted: int, time: int, scale_shift: bool, move: str = "") -> None:
        super().__init__()
        self.move = move
        self.scale_shift = scale_shift
        self.in_layers = nn.Sequential(Norm(width), nn.SiLU(), conv3(width, wanted, bias=True))
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(time, 2 * wanted if scale_shift else wanted))
        # The authors' files count a dropout before the convolution.
        self.out_layers = nn.Sequential(Norm(wanted), nn.SiLU(), nn.Identity(), conv3(wanted, wanted, bias=True))
        self.skip_connection = nn.Identity() if width == wanted else nn.Conv2d(width, wanted, 1)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """(B, C, H, W) and (B, D) to (B, C', H', W')."""
        norm, act, conv = self.in_layers
        h = conv(self._moved(act(norm(x))))
        told = self.emb_layers(time)[:, :, None, None].to(h.dtype)
        norm, act, _, conv = self.out_layers
        if self.scale_shift:
            scale, shift = told.chunk(2, dim=1)
            h = torch.addcmul(shift, norm(h), 1 + scale)
        else:
            h = norm(h + told)
        added: Tensor = self.skip_connection(self._moved(x)) + conv(act(h))
        return added

    def _moved(self, x: Tensor) -> Tensor:
        if not self.move:
            return x
        return F.avg_pool2d(x, 2) if self.move == "down" else F.interpolate(x, scale_factor=2.0)


class Attention(nn.Module):
    """x + attention over all pixels, with heads of 64 channels."""

    HEAD = 64

    def __init__(self, width: int, legacy: bool) -> None:
        super().__init__()
        if width % self.HEAD:
            raise ValueError(f"attention at a width of {width}, which is no multiple of {self.HEAD}")
        layer = nn.Conv1d if legacy else nn.Conv2d
        self.legacy = legacy
        self.norm = Norm(width)
        self.qkv = layer(width, 3 * width, 1)
        self.proj_out = layer(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        batch, width, height, side = x.shape
        flat = self.norm(x).flatten(2) if self.legacy else self.norm(x)
        order = (-1, 3, self.HEAD) if self.legacy else (3, -1, self.HEAD)
        # The fused kernel of CPUs wants channels side by side; without it, all pairs of pixels are held.
        qkv = self.qkv(flat).reshape(batch, *order, height * side).transpose(-1, -2).contiguous()
        q, k, v = qkv.unbind(2 if self.legacy else 1)
        out = F.scaled_dot_product_attention(q, k, v).transpose(-1, -2)
        out = out.reshape(batch, width, height * side) if self.legacy else out.reshape(x.shape)
        attended: Tensor = self.proj_out(out)
        return x + attended.reshape(x.shape)
