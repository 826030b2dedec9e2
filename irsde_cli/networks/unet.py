"""IR-SDE's U-Net, conditional and unconditional. Luo et al., ICML 2023.

The output is the prediction itself; there is no global residual. Linear attention divides by the number of pixels, so
what a tile predicts depends a little on the size of the tile.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from irsde_cli.networks.facts import Facts
from irsde_cli.networks.layers import (
    ResBlock,
    ResidualAttention,
    TimeFeatures,
    TimeMLP,
    conv3,
    downsampling,
    levels,
    upsampling,
)
from irsde_cli.networks.network import Predictor, count_modules

Attend = Callable[[nn.Module, Tensor], Tensor]


def alone(attention: nn.Module, h: Tensor) -> Tensor:
    """An attention that sees nothing besides its input (B, C, H, W)."""
    attended: Tensor = attention(h)
    return attended


class UNet(Predictor):
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

    def forward(self, x: Tensor, mu: Tensor, t: Tensor) -> Tensor:
        """See `Predictor.forward`; the unconditional network does not look at `mu`."""
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
