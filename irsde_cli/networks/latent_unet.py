"""The U-Net autoencoder of latent Refusion: the degraded image's skips decode the restored latent."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from irsde_cli.networks.facts import Facts
from irsde_cli.networks.layers import ResBlock, ResidualAttention, conv3, downsampling, levels, upsampling
from irsde_cli.networks.network import count_modules, pad_to


class LatentUNet(nn.Module):
    """Encoder and decoder with the official parameter names. It has no time input and is no `Network`.

    Args:
        in_ch: channels of the image.
        out_ch: channels of the decoded image.
        ch: width of the first level.
        ch_mult: widths of the levels below as multiples of `ch`.
        embed_dim: channels of the latent.
    """

    def __init__(
        self,
        *,
        in_ch: int = 3,
        out_ch: int = 3,
        ch: int = 8,
        ch_mult: Sequence[int] = (4, 8, 8, 16),
        embed_dim: int = 8,
    ) -> None:
        super().__init__()
        widths = [ch * multiple for multiple in (1, *ch_mult)]
        depth = len(ch_mult)
        self.factor = 2 ** (depth - 1)
        self.embed_dim = embed_dim
        self.facts = Facts(
            channels=(in_ch, out_ch),
            multiple=2**depth,
            working_bytes=4 * (8 * max(widths[:2]) + 720 // self.factor**2),
        )
        self.init_conv = conv3(in_ch, ch)
        self.encoder = nn.ModuleList()
        self.decoder = nn.ModuleList()
        for level in range(depth):
            inner, outer, last = widths[level], widths[level + 1], level == depth - 1
            self.encoder.append(
                nn.ModuleList(
                    [
                        ResBlock(inner, inner),
                        ResBlock(inner, inner),
                        ResidualAttention(inner) if last else nn.Identity(),
                        downsampling(inner, outer, last=last),
                    ]
                )
            )
        for level in reversed(range(depth)):
            inner, outer, last = widths[level], widths[level + 1], level == depth - 1
            self.decoder.append(
                nn.ModuleList(
                    [
                        ResBlock(outer + inner, outer),
                        ResBlock(outer + inner, outer),
                        ResidualAttention(outer) if last else nn.Identity(),
                        upsampling(outer, inner, last=level == 0),
                    ]
                )
            )
        self.latent_conv = nn.Conv2d(widths[-1], embed_dim, 1, bias=False)
        self.post_latent_conv = nn.Conv2d(embed_dim, widths[-1], 1, bias=False)
        self.final_conv = conv3(ch, out_ch, bias=True)

    @classmethod
    def options_from(cls, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
        """See `Network.options_from`."""
        ch, channels = tensors["init_conv.weight"].shape[:2]
        depth = count_modules(tensors, "encoder.")
        return {
            "in_ch": channels,
            "out_ch": tensors["final_conv.weight"].shape[0],
            "ch": ch,
            "ch_mult": tuple(tensors[f"encoder.{level}.3.weight"].shape[0] // ch for level in range(depth)),
            "embed_dim": tensors["latent_conv.weight"].shape[0],
        }

    def encode(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        """(B, C, H, W) to the latent (B, embed_dim, H / factor, W / factor) of the padded image, and its skips."""
        h = self.init_conv(pad_to(image, self.facts.padded_size(*image.shape[-2:]), self.facts.padding))
        skips = [h]
        for block1, block2, attention, down in levels(self.encoder):
            h = block1(h)
            skips.append(h)
            h = attention(block2(h))
            skips.append(h)
            h = down(h)
        return self.latent_conv(h), skips

    def decode(self, latent: Tensor, skips: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
        """The image (B, C, *size) of a latent, with the skips of `encode`."""
        first, *rest = skips
        h = self.post_latent_conv(latent)
        for block1, block2, attention, up in levels(self.decoder):
            h = block1(torch.cat((h, rest.pop()), dim=1))
            h = block2(torch.cat((h, rest.pop()), dim=1))
            h = up(attention(h))
        image: Tensor = self.final_conv(h + first)
        return image[..., : size[0], : size[1]]

    def forward(self, image: Tensor) -> Tensor:
        """Decode what was encoded, (B, C, H, W) to the same shape."""
        latent, skips = self.encode(image)
        return self.decode(latent, skips, (image.shape[-2], image.shape[-1]))
