"""Faces in one step of a latent diffusion model (OSDFace, CVPR 2025).

A vector-quantised encoder looks at the degraded face; the 77 codes that it is surest of are the prompt. Stable
Diffusion 2.1's U-Net is asked once, at t = 399, as if the degraded latent were a noisy one. U-Net and autoencoder are
those of `diffusers`, the extra `irsde[flux]`; the parts of the encoder have the names of the released files.
"""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from irsde_cli.extras import load
from irsde_cli.networks.facts import Facts
from irsde_cli.networks.network import Mapper
from irsde_cli.randomness import RandnLike

TOKENS = 77
TIME = 399
FIRST, LAST, STEPS = 0.00085, 0.012, 1000  # of the noise schedule: beta, whose root rises evenly
SEEN = 512  # side of the faces that the encoder learnt
# Stable Diffusion 2.1 base.
UNET: dict[str, Any] = {
    "in_channels": 4,
    "out_channels": 4,
    "block_out_channels": (320, 640, 1280, 1280),
    "down_block_types": (*("CrossAttnDownBlock2D",) * 3, "DownBlock2D"),
    "up_block_types": ("UpBlock2D", *("CrossAttnUpBlock2D",) * 3),
    "cross_attention_dim": 1024,
    "attention_head_dim": (5, 10, 20, 20),
    "use_linear_projection": True,
}
VAE: dict[str, Any] = {
    "block_out_channels": (128, 256, 512, 512),
    "layers_per_block": 2,
    "latent_channels": 4,
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "scaling_factor": 0.18215,
}


class OSDFace(Mapper):
    """Restores an aligned face; every pixel depends on all of it, and on the seed, by the autoencoder's noise.

    Args:
        unet: settings of the `UNet2DConditionModel`, in the place of those of Stable Diffusion 2.1.
        vae: of the `AutoencoderKL`, likewise.
        widths: of the encoder's levels, by its first.
        width: of the first.
        attended: levels with attention.
        codes: in its book.
        code_width: of each, a multiple of 32 like all widths.
        side: to which faces are brought before the encoder sees them.

    Raises:
        MachineError: diffusers is missing, or does not load.
    """

    def __init__(
        self,
        *,
        unet: Mapping[str, Any] | None = None,
        vae: Mapping[str, Any] | None = None,
        widths: Sequence[int] = (1, 2, 2, 2, 4, 8),
        width: int = 64,
        attended: Sequence[int] = (5,),
        codes: int = 1024,
        code_width: int = 512,
        side: int = SEEN,
    ) -> None:
        super().__init__()
        diffusers = load("flux", "the network 'osdface'")
        asked, autoencoder = {**UNET, **(unet or {})}, {**VAE, **(vae or {})}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of the package about its own parts
            self.unet = diffusers.UNet2DConditionModel(**asked)
            self.vae = diffusers.AutoencoderKL(**autoencoder)
        self.side = side
        self.embedder = Embedder(width, widths, attended, codes, code_width)
        self.projection = Projection(code_width, asked["cross_attention_dim"])
        self.latent_scale = float(autoencoder["scaling_factor"])
        levels = len(autoencoder["block_out_channels"]) + len(asked["block_out_channels"]) - 2
        widest = max(autoencoder["block_out_channels"][:2])
        self.facts = Facts(multiple=2**levels, working_bytes=4 * (8 * widest + 8), half=(), draws=True)

    def forward(self, image: Tensor, randn_like: RandnLike | None = None) -> Tensor:
        """See `Mapper.forward`; without a source of noise, of the mean of the autoencoder."""
        height, width = image.shape[-2:]
        prompt = self.prompt(image)
        padded = 2 * self.padded(image) - 1
        found = self.vae.encode(padded).latent_dist
        latent = found.mean if randn_like is None else found.mean + found.std * randn_like(found.mean)
        latent = self.latent_scale * latent
        time = torch.full((len(image),), TIME, device=image.device)
        noise = self.unet(latent, time, encoder_hidden_states=prompt).sample
        restored: Tensor = (self.vae.decode(clean_of(latent, noise) / self.latent_scale).sample + 1) / 2
        return restored.clamp(0, 1)[..., :height, :width]

    def prompt(self, image: Tensor) -> Tensor:
        """What the U-Net is told of images (B, 3, H, W) in [0, 1]: (B, 77, C)."""
        size = (self.side, self.side)
        if image.shape[-2:] != size:
            image = F.interpolate(image, size, mode="bilinear", antialias=True)
        # The encoder was used on pictures that were normalised twice.
        prompt: Tensor = self.projection(self.embedder((2 * image - 1 - 0.5) / 0.5))
        return prompt


def clean_of(latent: Tensor, noise: Tensor) -> Tensor:
    """The clean latent, if `latent` is what it became at t = 399 with that noise; none is ever added."""
    betas = torch.linspace(FIRST**0.5, LAST**0.5, STEPS, dtype=torch.float64) ** 2
    kept = float((1 - betas).cumprod(0)[TIME])
    clean: Tensor = (latent - (1 - kept) ** 0.5 * noise) / kept**0.5
    return clean


class Embedder(nn.Module):
    """The codes that an encoder is surest of.

    Args:
        width: of the first level.
        widths: of the levels, by that.
        attended: levels with attention.
        codes: in the book.
        code_width: of each.
    """

    def __init__(
        self,
        width: int = 64,
        widths: Sequence[int] = (1, 2, 2, 2, 4, 8),
        attended: Sequence[int] = (5,),
        codes: int = 1024,
        code_width: int = 512,
    ) -> None:
        super().__init__()
        self.encoder = Encoder(width, widths, attended, code_width)
        self.quant_conv = nn.Conv2d(code_width, code_width, 1)
        self.quantize = nn.ModuleDict({"embedding": nn.Embedding(codes, code_width)})

    def features(self, x: Tensor) -> Tensor:
        """(B, 3, H, W), normalised, to (B, code_width, h, w)."""
        features: Tensor = self.quant_conv(self.encoder(x))
        return features

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W), normalised, to (B, 77, code_width)."""
        book = self.quantize["embedding"].weight
        assert isinstance(book, Tensor)
        return torch.stack([chosen(found, book)[0] for found in self.features(x)])


def chosen(features: Tensor, book: Tensor) -> tuple[Tensor, list[int]]:
    """The first 77 different codes of features (C, h, w), by how near they are; and their numbers.

    Args:
        features: of one image.
        book: all codes, (N, C).

    Returns:
        (77, C), with zeros where there are fewer; and up to 77 numbers.
    """
    places = features.flatten(1).T
    squares = places.square().sum(1, keepdim=True) + book.square().sum(1) - 2 * places @ book.T
    apart, nearest = squares.min(1)
    numbers = list(dict.fromkeys(nearest[apart.argsort(stable=True)].tolist()))[:TOKENS]
    tokens = book.new_zeros(TOKENS, book.shape[1])
    tokens[: len(numbers)] = book[numbers]
    return tokens, numbers


class Projection(nn.Module):
    """Codes to what the U-Net's attention takes."""

    def __init__(self, code_width: int = 512, channels: int = 1024) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(code_width, code_width // 2, 1)
        self.conv2 = nn.Conv1d(code_width // 2, channels, 1)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, T, C) to (B, T, C')."""
        told: Tensor = F.silu(self.conv2(F.silu(self.conv1(tokens.mT)))).mT
        return told


class Encoder(nn.Module):
    """VQGAN's, with attention as RestoreFormer has it."""

    def __init__(self, width: int, widths: Sequence[int], attended: Sequence[int], out: int) -> None:
        super().__init__()
        self.conv_in = nn.Conv2d(3, width, 3, padding=1)
        self.down = nn.ModuleList()
        before = width
        for level, times in enumerate(widths):
            here = width * times
            parts: dict[str, nn.Module] = {"block": nn.ModuleList([Residual(before, here), Residual(here, here)])}
            if level in attended:
                parts["attn"] = nn.ModuleList([Attention(here), Attention(here)])
            if level + 1 < len(widths):
                parts["downsample"] = Halving(here)
            self.down.append(nn.ModuleDict(parts))
            before = here
        self.mid = nn.ModuleDict(
            {"block_1": Residual(before, before), "attn_1": Attention(before), "block_2": Residual(before, before)}
        )
        self.norm_out = normalisation(before)
        self.conv_out = nn.Conv2d(before, out, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, out, h, w)."""
        x = self.conv_in(x)
        for level in self.down:
            assert isinstance(level, nn.ModuleDict)
            for index in range(2):
                x = level.get_submodule(f"block.{index}")(x)
                if "attn" in level:
                    x = level.get_submodule(f"attn.{index}")(x)
            if "downsample" in level:
                x = level["downsample"](x)
        for part in self.mid.values():
            x = part(x)
        encoded: Tensor = self.conv_out(F.silu(self.norm_out(x)))
        return encoded


class Residual(nn.Module):
    """Two convolutions beside the identity."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.norm1 = normalisation(channels)
        self.conv1 = nn.Conv2d(channels, out, 3, padding=1)
        self.norm2 = normalisation(out)
        self.conv2 = nn.Conv2d(out, out, 3, padding=1)
        self.nin_shortcut = nn.Conv2d(channels, out, 1) if channels != out else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C', H, W)."""
        inner = self.conv2(F.silu(self.norm2(self.conv1(F.silu(self.norm1(x))))))
        features: Tensor = self.nin_shortcut(x) + inner
        return features


class Attention(nn.Module):
    """Each place looks at all. `norm2` is for what others ask, and nobody does here."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm1 = normalisation(channels)
        self.norm2 = normalisation(channels)
        for name in ("q", "k", "v", "proj_out"):
            self.add_module(name, nn.Conv2d(channels, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        seen = self.norm1(x)
        q, k, v = (self.get_submodule(name)(seen).flatten(2).mT for name in "qkv")
        mixed = torch.unflatten(F.scaled_dot_product_attention(q, k, v).mT, 2, x.shape[-2:])
        features: Tensor = x + self.get_submodule("proj_out")(mixed)
        return features


class Halving(nn.Module):
    """Half the size, padded below and to the right."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, 2)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C, H / 2, W / 2)."""
        halved: Tensor = self.conv(F.pad(x, (0, 1, 0, 1)))
        return halved


def normalisation(channels: int) -> nn.GroupNorm:
    """In groups, 32 of them."""
    return nn.GroupNorm(32, channels, eps=1e-6)
