"""VLU-Net: every stage of a U-Net is a step of gradient descent, whose damage is told by what CLIP sees.

Zeng et al., "Vision-Language Gradient Descent-driven All-in-One Deep Unfolding Networks", CVPR 2025. Names of
parameters are those of the released files; of CLIP they need the tower for pictures alone.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from irsde_cli.networks.daclip import CLIP_HEAD, Transformer, VisionTower, looked_at
from irsde_cli.networks.facts import Facts
from irsde_cli.networks.network import Looker, count_modules
from irsde_cli.networks.promptir import freeze_convolutions
from irsde_cli.networks.restormer import (
    Attention,
    Block,
    Down,
    Patches,
    Skeleton,
    Up,
    across_channels,
    working_bytes,
)

HEADS = 2  # of the attention that stands for the damage and for its adjoint
SIDE = 96  # of the prompts of the first level, in pixels


class VLUNet(Looker, Skeleton):
    """Every pixel depends on all of the image; CLIP looks at the whole before tiles are cut.

    Args:
        width: channels of the first level, at least 10; each level below doubles it.
        blocks: of each level, from the first.
        refinement: blocks at the end.
        heads: of each level.
        degradations: kinds of damage that it was taught.
        embedding: length of what CLIP says.
        clip_size: side of the picture that CLIP looks at.
        clip_patch: side of its patches.
        clip_width: of its transformer.
        clip_layers: of its transformer.
    """

    def __init__(
        self,
        *,
        width: int = 48,
        blocks: Sequence[int] = (4, 6, 6, 8),
        refinement: int = 4,
        heads: Sequence[int] = (1, 2, 4, 8),
        degradations: int = 7,
        embedding: int = 512,
        clip_size: int = 224,
        clip_patch: int = 32,
        clip_width: int = 768,
        clip_layers: int = 12,
    ) -> None:
        super().__init__()
        self.facts = Facts(multiple=8, working_bytes=working_bytes(2 * width) + 4 * 6 * width)
        self.clip_size = clip_size

        def level(depth: int, count: int, channels: int) -> Stage:
            return Stage(depth + 1, count, channels, heads[depth], degradations, embedding)

        self.lay(width, blocks, refinement, level)
        # The same way again, for the features of the image itself.
        self.patch_embed_i = Patches(width)
        self.down2_3_i = Down(2 * width)
        self.down3_4_i = Down(4 * width)
        self.up4_3_i = Up(8 * width)
        self.reduce_chan_level3_img = nn.Conv2d(8 * width, 4 * width, 1, bias=False)
        self.up3_2_i = Up(4 * width)
        self.reduce_chan_level2_img = nn.Conv2d(4 * width, 2 * width, 1, bias=False)
        self.up2_1_i = Up(2 * width)
        transformer = Transformer(clip_width, clip_layers, max(clip_width // CLIP_HEAD, 1))
        tower = VisionTower(embedding, clip_size, clip_patch, clip_width, transformer)
        self.clip_model = nn.ModuleDict({"visual": tower})
        layers: list[nn.Module] = []
        for _ in range(3):
            layers += [nn.Linear(embedding, embedding), nn.LayerNorm(embedding), nn.GELU()]
        self.adapter = nn.Sequential(*layers[:-1])

    @classmethod
    def options_from(cls, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
        """See `Network.options_from`."""
        levels = [*(f"encoder_level{level}" for level in (1, 2, 3)), "latent"]
        degradations, embedding = tensors["encoder_level1.gradient_descent.linear.weight"].shape
        clip_width, _, clip_patch, _ = tensors["clip_model.visual.conv1.weight"].shape
        patches = len(tensors["clip_model.visual.positional_embedding"]) - 1
        return {
            "width": len(tensors["patch_embed.proj.weight"]),
            "blocks": tuple(count_modules(tensors, f"{level}.denoiser.blocks.") for level in levels),
            "refinement": count_modules(tensors, "refinement.denoiser.blocks."),
            "heads": tuple(len(tensors[f"{level}.denoiser.blocks.0.attn.temperature"]) for level in levels),
            "degradations": degradations,
            "embedding": embedding,
            "clip_size": clip_patch * math.isqrt(patches),
            "clip_patch": clip_patch,
            "clip_width": clip_width,
            "clip_layers": count_modules(tensors, "clip_model.visual.transformer.resblocks."),
        }

    def freeze(self) -> None:
        """See `Network.freeze`; the prompts have an axis more than pictures."""
        freeze_convolutions(self)

    def seen(self, image: Tensor) -> Tensor:
        """What CLIP sees of the damage, (B, embedding)."""
        tower = cast(VisionTower, self.clip_model["visual"])
        with torch.no_grad():
            tokens = tower.tokens(looked_at(image, self.clip_size).to(image.dtype))
            embedding: Tensor = self.adapter(tower.pooled(tower.transformer(tokens)))
        return embedding

    def restored(self, image: Tensor, seen: Tensor) -> Tensor:
        """See `Looker.restored`; `seen` is (B, embedding)."""
        height, width = image.shape[-2:]
        padded = self.padded(image)
        i1 = self.patch_embed_i(padded)
        first = self.encoder_level1(self.patch_embed(padded), i1, seen)
        i2 = self.down1_2(i1)  # as published, and not a layer of its own
        second = self.encoder_level2(self.down1_2(first), i2, seen)
        i3 = self.down2_3_i(i2)
        third = self.encoder_level3(self.down2_3(second), i3, seen)
        i = self.down3_4_i(i3)
        x = self.latent(self.down3_4(third), i, seen)
        i = self.reduce_chan_level3_img(torch.cat((self.up4_3_i(i), i3), 1))
        x = self.decoder_level3(self.reduce_chan_level3(torch.cat((self.up4_3(x), third), 1)), i, seen)
        i = self.reduce_chan_level2_img(torch.cat((self.up3_2_i(i), i2), 1))
        x = self.decoder_level2(self.reduce_chan_level2(torch.cat((self.up3_2(x), second), 1)), i, seen)
        i = torch.cat((self.up2_1_i(i), i1), 1)
        x = self.decoder_level1(torch.cat((self.up2_1(x), first), 1), i, seen)
        restored: Tensor = self.output(self.refinement(x, i, seen)) + padded
        return restored[..., :height, :width]


class Stage(nn.Module):
    """A step of gradient descent, then Restormer's blocks."""

    def __init__(self, stage: int, count: int, channels: int, heads: int, degradations: int, embedding: int) -> None:
        super().__init__()
        self.gradient_descent = GradientDescent(stage, channels, degradations, embedding)
        blocks = nn.Sequential(*(Block(channels, heads, biased=True) for _ in range(count)))
        self.denoiser = nn.ModuleDict({"blocks": blocks})

    def forward(self, x: Tensor, image: Tensor, damage: Tensor) -> Tensor:
        """Features (B, C, H, W), those of the image itself, and (B, embedding), to (B, C, H, W)."""
        return cast(Tensor, self.denoiser["blocks"](self.gradient_descent(x, image, damage)))


class GradientDescent(nn.Module):
    """x - r adjoint(damaged(x) - image), of learnt maps."""

    def __init__(self, stage: int, channels: int, degradations: int, embedding: int) -> None:
        super().__init__()
        told, side = channels // 10 * stage, SIDE // stage
        self.r = nn.Parameter(torch.full((1,), 0.5))
        self.prompt_param = nn.Parameter(torch.rand(1, degradations, told, side, side))
        self.phi = Damaging(channels, told)
        self.phit = Attention(channels, HEADS)
        self.linear = nn.Linear(embedding, degradations)

    def forward(self, x: Tensor, image: Tensor, damage: Tensor) -> Tensor:
        """See `Stage.forward`."""
        shares = self.linear(damage).softmax(-1)[:, :, None, None, None]
        prompt = F.interpolate((shares * self.prompt_param).sum(1).float(), x.shape[-2:], mode="bilinear").to(x.dtype)
        return x - self.r * cast(Tensor, self.phit(self.phi(x, prompt) - image))


class Damaging(nn.Module):
    """Attention between the channels of an image and those of a prompt."""

    def __init__(self, channels: int, told: int) -> None:
        super().__init__()
        self.temperature = nn.Parameter(torch.ones(HEADS, 1, 1))
        self.qv = nn.Conv2d(channels, 2 * channels, 1, bias=False)
        self.qv_dwconv = nn.Conv2d(2 * channels, 2 * channels, 3, padding=1, groups=2 * channels, bias=False)
        self.k = nn.Conv2d(told, channels, 1, bias=False)
        self.k_dwconv = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.project_out = nn.Conv2d(channels, channels, 1, bias=False)

    def forward(self, x: Tensor, prompt: Tensor) -> Tensor:
        """(B, C, H, W) and (B, C', H, W) to (B, C, H, W)."""
        q, v = self.qv_dwconv(self.qv(x)).chunk(2, 1)
        mixed = across_channels(q, self.k_dwconv(self.k(prompt)), v, self.temperature)
        return cast(Tensor, self.project_out(mixed))
