"""DA-CLIP: a CLIP whose picture tower is steered by a copy of itself that learnt to see damage.

Luo et al., ICLR 2024; CLIP is that of Radford et al. 2021, as open_clip names its parameters. The towers are written
out here, because open_clip needs torchvision.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from irsde_cli.networks.network import count_modules

CLIP_HEAD = 64
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)


class ResidualAttentionBlock(nn.Module):
    """Attention and a feed-forward layer, each after a normalisation."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(width)
        self.attn = nn.MultiheadAttention(width, heads, batch_first=True)
        self.ln_2 = nn.LayerNorm(width)
        self.mlp = nn.ModuleDict({"c_fc": nn.Linear(width, 4 * width), "c_proj": nn.Linear(4 * width, width)})

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, N, width) to the same shape; `mask` (N, N) is added to the logits."""
        normed = self.ln_1(x)
        x = x + self.attn(normed, normed, normed, need_weights=False, attn_mask=mask)[0]
        out: Tensor = x + self.mlp["c_proj"](nn.functional.gelu(self.mlp["c_fc"](self.ln_2(x))))
        return out


class Transformer(nn.Module):
    """Blocks in turn."""

    def __init__(self, width: int, layers: int, heads: int) -> None:
        super().__init__()
        self.resblocks = nn.ModuleList(ResidualAttentionBlock(width, heads) for _ in range(layers))

    def forward(self, x: Tensor, mask: Tensor | None = None, control: Sequence[Tensor] = ()) -> Tensor:
        """(B, N, width) to the same shape; what the controller says is added behind the blocks.

        The controller's last word comes first, as in the reference.
        """
        words = list(control)
        for block in self.resblocks:
            x = block(x, mask)
            if words:
                x = x + words.pop()
        return x


class ControlTransformer(nn.Module):
    """A transformer that says something after each of its blocks."""

    def __init__(self, width: int, layers: int, heads: int) -> None:
        super().__init__()
        self.transformer = Transformer(width, layers, heads)
        self.zero_modules = nn.ModuleList(nn.Linear(width, width) for _ in range(layers))

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """(B, N, width) to the same shape, and a list of words of that shape."""
        words = []
        for block, zero in zip(self.transformer.resblocks, self.zero_modules, strict=True):
            x = block(x)
            words.append(zero(x))
        return x, words


class VisionTower(nn.Module):
    """A ViT up to the embedding: patches, a class token, the transformer, a projection."""

    def __init__(
        self,
        embed_dim: int,
        image_size: int,
        patch_size: int,
        width: int,
        transformer: Transformer | ControlTransformer,
    ) -> None:
        super().__init__()
        self.class_embedding = nn.Parameter(torch.randn(width) * width**-0.5)
        self.positional_embedding = nn.Parameter(torch.randn((image_size // patch_size) ** 2 + 1, width) * width**-0.5)
        self.proj = nn.Parameter(torch.randn(width, embed_dim) * width**-0.5)
        self.conv1 = nn.Conv2d(3, width, patch_size, patch_size, bias=False)
        self.ln_pre = nn.LayerNorm(width)
        self.transformer = transformer
        self.ln_post = nn.LayerNorm(width)

    def tokens(self, images: Tensor) -> Tensor:
        """Normalised images (B, 3, image_size, image_size) to tokens (B, N, width)."""
        patches = self.conv1(images).flatten(2).transpose(1, 2)
        first = self.class_embedding.to(patches.dtype).expand(len(images), 1, -1)
        tokens: Tensor = self.ln_pre(torch.cat((first, patches), dim=1) + self.positional_embedding.to(patches.dtype))
        return tokens

    def pooled(self, tokens: Tensor) -> Tensor:
        """(B, N, width) to embeddings (B, embed_dim)."""
        embedding: Tensor = self.ln_post(tokens[:, 0]) @ self.proj
        return embedding


class Clip(nn.Module):
    """Both towers of CLIP, the text's without a module of its own."""

    def __init__(
        self,
        embed_dim: int,
        visual: VisionTower,
        context_length: int,
        vocab_size: int,
        text_width: int,
        text_heads: int,
        text_layers: int,
    ) -> None:
        super().__init__()
        self.visual = visual
        self.positional_embedding = nn.Parameter(0.01 * torch.randn(context_length, text_width))
        self.text_projection = nn.Parameter(torch.randn(text_width, embed_dim) * text_width**-0.5)
        self.logit_scale = nn.Parameter(torch.tensor(100.0).log())
        self.transformer = Transformer(text_width, text_layers, text_heads)
        self.token_embedding = nn.Embedding(vocab_size, text_width)
        self.ln_final = nn.LayerNorm(text_width)

    def encode_text(self, tokens: Tensor) -> Tensor:
        """Indices (B, N), the last word the largest, to embeddings (B, embed_dim)."""
        count = tokens.shape[1]
        x = self.token_embedding(tokens) + self.positional_embedding[:count]
        mask = torch.full((count, count), -torch.inf, device=x.device, dtype=x.dtype).triu(1)
        x = self.ln_final(self.transformer(x, mask))
        embedding: Tensor = x[torch.arange(len(x), device=x.device), tokens.argmax(dim=-1)] @ self.text_projection
        return embedding


def looked_at(images: Tensor, side: int) -> Tensor:
    """Images (B, 3, H, W) in [0, 1] as CLIP looks at them: (B, 3, side, side), the middle of a bicubic reduction.

    Pillow reduces them in 8 bits, as in training. The reference cuts decimals off before; we round.
    """
    from PIL import Image

    height, width = images.shape[-2:]
    # The shorter side becomes `side`; what is too long is cut on both ends.
    size = (max(side, side * width // min(height, width)), max(side, side * height // min(height, width)))
    left, top = round((size[0] - side) / 2), round((size[1] - side) / 2)
    small = []
    for image in (255 * images.detach().float().cpu().clamp(0, 1)).round().byte():
        picture = Image.fromarray(image.permute(1, 2, 0).contiguous().numpy())
        picture = picture.resize(size, Image.Resampling.BICUBIC).crop((left, top, left + side, top + side))
        small.append(torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8).reshape(side, side, 3))
    pixels = torch.stack(small).permute(0, 3, 1, 2).to(images.device).float() / 255
    mean, std = (torch.tensor(values, device=images.device)[:, None, None] for values in (MEAN, STD))
    return (pixels - mean) / std


class DaClip(nn.Module):
    """The official parameter names and shapes, but for the picture tower, which official files hold twice.

    Args:
        embed_dim: length of the embeddings.
        image_size: side of the pictures that it looks at.
        patch_size: side of the patches.
        width: of the picture tower.
        layers: of the picture tower.
        head_width: of the picture tower.
        context_length: longest text, in tokens.
        vocab_size: of texts.
        text_width: of the text tower.
        text_heads: of the text tower.
        text_layers: of the text tower.
    """

    def __init__(
        self,
        *,
        embed_dim: int = 512,
        image_size: int = 224,
        patch_size: int = 32,
        width: int = 768,
        layers: int = 12,
        head_width: int = 64,
        context_length: int = 77,
        vocab_size: int = 49408,
        text_width: int = 512,
        text_heads: int = 8,
        text_layers: int = 12,
    ) -> None:
        super().__init__()
        self.image_size = image_size
        self.context_length = context_length
        heads = width // head_width
        visual = VisionTower(embed_dim, image_size, patch_size, width, Transformer(width, layers, heads))
        self.clip = Clip(embed_dim, visual, context_length, vocab_size, text_width, text_heads, text_layers)
        self.visual_control = VisionTower(
            embed_dim, image_size, patch_size, width, ControlTransformer(width, layers, heads)
        )
        self.logit_scale = nn.Parameter(torch.tensor(100.0).log())

    @classmethod
    def options_from(cls, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
        """Numbers of heads leave no trace: all released ones are 64 wide."""
        width, _, patch_size, _ = tensors["visual_control.conv1.weight"].shape
        patches = tensors["visual_control.positional_embedding"].shape[0] - 1
        context_length, text_width = tensors["clip.positional_embedding"].shape
        return {
            "embed_dim": tensors["visual_control.proj"].shape[1],
            "image_size": patch_size * math.isqrt(patches),
            "patch_size": patch_size,
            "width": width,
            "layers": count_modules(tensors, "clip.visual.transformer.resblocks."),
            "head_width": min(CLIP_HEAD, width),
            "context_length": context_length,
            "vocab_size": tensors["clip.token_embedding.weight"].shape[0],
            "text_width": text_width,
            "text_heads": max(text_width // CLIP_HEAD, 1),
            "text_layers": count_modules(tensors, "clip.transformer.resblocks."),
        }

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Embeddings (B, embed_dim) of what is shown and of its damage.

        Args:
            images: (B, 3, image_size, image_size), normalised as CLIP expects.
        """
        damage, words = self.visual_control.transformer(self.visual_control.tokens(images))
        visual = self.clip.visual
        shown = visual.transformer(visual.tokens(images), control=words)
        return visual.pooled(shown), self.visual_control.pooled(damage)

    def encode_image(self, images: Tensor) -> Tensor:
        """The embedding without the controller."""
        visual = self.clip.visual
        return visual.pooled(visual.transformer(visual.tokens(images)))

    def encode_text(self, tokens: Tensor) -> Tensor:
        """See `Clip.encode_text`."""
        return self.clip.encode_text(tokens)
