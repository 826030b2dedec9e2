"""DA-CLIP's U-Net: IR-SDE's, told by CLIP what the picture shows and what is wrong with it.

Luo et al., "Controlling Vision-Language Models for Multi-Task Image Restoration", ICLR 2024; at half the resolution,
"Photo-Realistic Image Restoration in the Wild with Controlled Vision-Language Models", CVPRW 2024.
"""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from irsde_cli.networks.layers import PreNorm, downsampling, upsampling
from irsde_cli.networks.network import Predictor, count_modules
from irsde_cli.networks.unet import UNet

HEAD_DIM = 32
CONTEXT = "mid_attn.fn.fn.transformer_blocks.0.attn2"


class CrossAttention(nn.Module):
    """Attention of tokens to a context, or to themselves."""

    def __init__(self, dim: int, context_dim: int) -> None:
        super().__init__()
        self.to_q = nn.Linear(dim, dim, bias=False)
        self.to_k = nn.Linear(context_dim, dim, bias=False)
        self.to_v = nn.Linear(context_dim, dim, bias=False)
        self.to_out = nn.Sequential(nn.Linear(dim, dim))

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """Tokens (B, N, dim) and (B, M, context_dim) to (B, N, dim)."""
        q, k, v = (
            tokens.unflatten(-1, (-1, HEAD_DIM)).transpose(1, 2)
            for tokens in (self.to_q(x), self.to_k(context), self.to_v(context))
        )
        attended: Tensor = self.to_out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return attended


class GatedGELU(nn.Module):
    """One half of a projection, gated by the other."""

    def __init__(self, dim: int, inner: int) -> None:
        super().__init__()
        self.proj = nn.Linear(dim, 2 * inner)

    def forward(self, x: Tensor) -> Tensor:
        """(..., dim) to (..., inner)."""
        value, gate = self.proj(x).chunk(2, dim=-1)
        gated: Tensor = value * F.gelu(gate)
        return gated


class FeedForward(nn.Module):
    """Four times as wide inside."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        # An identity stands where the reference has a dropout that drops nothing.
        self.net = nn.Sequential(GatedGELU(dim, 4 * dim), nn.Identity(), nn.Linear(4 * dim, dim))

    def forward(self, x: Tensor) -> Tensor:
        """(..., dim) to the same shape."""
        out: Tensor = self.net(x)
        return out


class TransformerBlock(nn.Module):
    """Attention among the pixels, attention to the context, and a feed-forward layer."""

    def __init__(self, dim: int, context_dim: int) -> None:
        super().__init__()
        self.attn1 = CrossAttention(dim, dim)
        self.ff = FeedForward(dim)
        self.attn2 = CrossAttention(dim, context_dim)
        self.norm1 = nn.LayerNorm(dim)
        self.norm2 = nn.LayerNorm(dim)
        self.norm3 = nn.LayerNorm(dim)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """Tokens (B, N, dim) and (B, M, context_dim) to (B, N, dim)."""
        normed = self.norm1(x)
        x = self.attn1(normed, normed) + x
        x = self.attn2(self.norm2(x), context) + x
        out: Tensor = self.ff(self.norm3(x)) + x
        return out


class SpatialTransformer(nn.Module):
    """A transformer block on the pixels of a feature map."""

    def __init__(self, dim: int, context_dim: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(32, dim, eps=1e-6)
        self.proj_in = nn.Conv2d(dim, dim, 1)
        self.transformer_blocks = nn.ModuleList([TransformerBlock(dim, context_dim)])
        self.proj_out = nn.Conv2d(dim, dim, 1)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """(B, dim, H, W) and (B, M, context_dim) to (B, dim, H, W)."""
        height, width = x.shape[-2:]
        tokens = self.proj_in(self.norm(x)).flatten(2).transpose(1, 2)
        for block in self.transformer_blocks:
            tokens = block(tokens, context)
        out: Tensor = self.proj_out(tokens.transpose(1, 2).unflatten(-1, (height, width))) + x
        return out


class ContextAttention(nn.Module):
    """x + transformer(norm(x), context)."""

    def __init__(self, dim: int, context_dim: int) -> None:
        super().__init__()
        self.fn = PreNorm(dim, SpatialTransformer(dim, context_dim))

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """(B, dim, H, W) and (B, M, context_dim) to (B, dim, H, W)."""
        attended: Tensor = self.fn.fn(self.fn.norm(x), context)
        return x + attended


class DaClipUNet(UNet):
    """The official parameter names and shapes.

    Args:
        in_nc: channels of the image.
        out_nc: channels of the prediction.
        nf: width of the first level, a multiple of 32 on the deepest.
        ch_mult: widths of levels 1.. as multiples of `nf`.
        context_dim: length of CLIP's embeddings.
        degradation_context: whether the embedding of the damage is an input; it joins that of the time.
        halved: work at half the resolution inside.
    """

    def __init__(
        self,
        *,
        in_nc: int = 3,
        out_nc: int = 3,
        nf: int = 64,
        ch_mult: Sequence[int] = (1, 2, 4, 8),
        context_dim: int = 512,
        degradation_context: bool = True,
        halved: bool = False,
    ) -> None:
        super().__init__(in_nc=in_nc, out_nc=out_nc, nf=nf, ch_mult=ch_mult)
        time_dim = 4 * nf
        self.context_dim = context_dim
        self.halved = halved
        widths = [nf * multiple for multiple in (1, *ch_mult)]
        for level, width in ((self.downs[-1], widths[-2]), (self.ups[0], widths[-1])):
            cast(nn.ModuleList, level)[2] = ContextAttention(width, context_dim)
        self.mid_attn = ContextAttention(widths[-1], context_dim)  # type: ignore[assignment]
        self.prompt: nn.Parameter | None = None
        if degradation_context:
            self.prompt = nn.Parameter(torch.rand(1, time_dim))
            self.text_mlp = nn.Sequential(nn.Linear(context_dim, time_dim), nn.SiLU(), nn.Linear(time_dim, time_dim))
            self.prompt_mlp = nn.Linear(time_dim, time_dim)
        if halved:
            self.downsample = downsampling(nf, nf, last=False)
            self.upsample = upsampling(nf, nf, last=False)

    @classmethod
    def options_from(cls, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
        """See `Network.options_from`."""
        plain = super().options_from(tensors)
        nf, depth = plain["nf"], count_modules(tensors, "downs.")
        return {
            "in_nc": plain["in_nc"],
            "out_nc": plain["out_nc"],
            "nf": nf,
            "ch_mult": tuple(tensors[f"downs.{level}.3.weight"].shape[0] // nf for level in range(depth)),
            "context_dim": tensors[f"{CONTEXT}.to_k.weight"].shape[1],
            "degradation_context": "prompt" in tensors,
            "halved": "downsample.weight" in tensors,
        }

    def forward(
        self, x: Tensor, mu: Tensor, t: Tensor, content: Tensor | None = None, degradation: Tensor | None = None
    ) -> Tensor:
        """See `Predictor.forward`; besides, CLIP's embeddings (B, context_dim) of what is shown and of the damage.

        Without them the network is told zeros, which it was not trained with.
        """
        height, width = x.shape[-2:]
        zeros = x.new_zeros(len(x), self.context_dim)
        content = zeros if content is None else content.to(x.dtype)
        degradation = zeros if degradation is None else degradation.to(x.dtype)
        first = self.init_conv(self.padded(torch.cat((x - mu, mu), dim=1)))
        time = self.time_mlp(t)
        if self.prompt is not None:
            time = time + self.prompt_mlp(self.text_mlp(degradation).softmax(dim=1) * self.prompt)
        h = self.downsample(first) if self.halved else first
        context = content[:, None]

        def attend(attention: nn.Module, h: Tensor) -> Tensor:
            attended: Tensor = attention(h, context) if isinstance(attention, ContextAttention) else attention(h)
            return attended

        h = self.trunk(h, time, attend)
        h = self.upsample(h) if self.halved else h
        h = self.final_res_block(torch.cat((h, first), dim=1), time)
        prediction: Tensor = self.final_conv(h)
        return prediction[..., :height, :width]


class Told(Predictor):
    """A DA-CLIP network that was told about its images once, as a `Predictor`."""

    def __init__(self, network: DaClipUNet, content: Tensor, degradation: Tensor) -> None:
        super().__init__()
        self.network = network
        self.content = content
        self.degradation = degradation
        self.facts = network.facts

    def forward(self, x: Tensor, mu: Tensor, t: Tensor) -> Tensor:
        """See `Predictor.forward`; the images are those that the embeddings were made of, or tiles of them."""
        prediction: Tensor = self.network(x, mu, t, self.content, self.degradation)
        return prediction
