"""What SwinIR and those after it share: the layers before and behind their body, and how the image is enlarged."""

import math
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from irsde_cli.networks.layers import pixels, plane
from irsde_cli.networks.network import Mapper
from irsde_cli.randomness import RandnLike

MEAN = (0.4488, 0.4371, 0.4040)
FEATURES = 64  # channels before the last layers of "pixelshuffle"

Upsampler = Literal["pixelshuffle", "pixelshuffledirect", "none"]


class SwinFamily(Mapper):
    """Pixels in, one after the other through a body, and pixels out."""

    mean: Tensor

    def lay(self, dim: int, channels: int, upsampler: Upsampler, upscale: int) -> None:
        """Make all layers but those of the body.

        Raises:
            ValueError: the scale is not that of the upsampler.
        """
        if upsampler == "none" and upscale != 1:
            raise ValueError(f"without an upsampler the scale is 1, not {upscale}")
        self.upsampler = upsampler
        self.register_buffer(
            "mean", torch.tensor(MEAN if channels == 3 else (0.0,) * channels).view(1, -1, 1, 1), persistent=False
        )
        self.conv_first = nn.Conv2d(channels, dim, 3, padding=1)
        self.patch_embed = nn.ModuleDict({"norm": nn.LayerNorm(dim)})
        self.norm = nn.LayerNorm(dim)
        self.conv_after_body = nn.Conv2d(dim, dim, 3, padding=1)
        if upsampler == "pixelshuffledirect":
            self.upsample = nn.Sequential(nn.Conv2d(dim, upscale**2 * channels, 3, padding=1), nn.PixelShuffle(upscale))
        elif upsampler == "pixelshuffle":
            self.conv_before_upsample = nn.Sequential(nn.Conv2d(dim, FEATURES, 3, padding=1), nn.LeakyReLU())
            self.upsample = enlarging(upscale, FEATURES)
            self.conv_last = nn.Conv2d(FEATURES, channels, 3, padding=1)
        else:
            self.conv_last = nn.Conv2d(dim, channels, 3, padding=1)

    @staticmethod
    def enlarged(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
        """How a file's network enlarges, of names and shapes."""
        if "conv_before_upsample.0.weight" in tensors:
            grown = [value.shape for name, value in tensors.items() if name.startswith("upsample.") and value.ndim == 4]
            return {
                "upsampler": "pixelshuffle",
                "upscale": math.prod(math.isqrt(shape[0] // shape[1]) for shape in grown),
            }
        if "upsample.0.weight" in tensors:
            channels = tensors["conv_first.weight"].shape[1]
            return {
                "upsampler": "pixelshuffledirect",
                "upscale": math.isqrt(len(tensors["upsample.0.weight"]) // channels),
            }
        return {"upsampler": "none", "upscale": 1}

    def forward(self, image: Tensor, randn_like: RandnLike | None = None) -> Tensor:
        """See `Mapper.forward`."""
        height, width = image.shape[-2:]
        centred = self.padded(image) - self.mean
        shallow = self.conv_first(centred)
        deep = self.conv_after_body(self.body(shallow, randn_like)) + shallow
        if self.upsampler == "pixelshuffledirect":
            restored = self.upsample(deep)
        elif self.upsampler == "pixelshuffle":
            restored = self.conv_last(self.upsample(self.conv_before_upsample(deep)))
        else:
            restored = centred + self.conv_last(deep)
        scale = self.facts.scale
        return cast(Tensor, restored + self.mean)[..., : height * scale, : width * scale]

    def body(self, shallow: Tensor, randn_like: RandnLike | None = None) -> Tensor:
        """Features (B, C, H, W) through all groups."""
        size = (shallow.shape[-2], shallow.shape[-1])
        x = self.through(self.patch_embed["norm"](pixels(shallow)), size, randn_like)
        return plane(self.norm(x), size)

    @abstractmethod
    def through(self, x: Tensor, size: tuple[int, int], randn_like: RandnLike | None) -> Tensor:
        """Features (B, H W, C) through all groups."""


def enlarging(scale: int, channels: int) -> nn.Sequential:
    """Convolutions and shuffles that enlarge 2, 3, 4, 8 ... times, as super-resolution networks have them.

    Raises:
        ValueError: another scale.
    """
    if scale == 3:
        factors = [3]
    elif scale > 1 and scale & (scale - 1) == 0:
        factors = [2] * (scale.bit_length() - 1)
    else:
        raise ValueError(f"the scale is 3 or a power of 2, not {scale}")
    layers: list[nn.Module] = []
    for factor in factors:
        layers += [nn.Conv2d(channels, factor**2 * channels, 3, padding=1), nn.PixelShuffle(factor)]
    return nn.Sequential(*layers)


class ResidualGroup(nn.Module):
    """Blocks and a convolution around which everything is added."""

    def __init__(self, dim: int, blocks: nn.ModuleList) -> None:
        super().__init__()
        self.residual_group = nn.ModuleDict({"blocks": blocks})
        self.conv = nn.Conv2d(dim, dim, 3, padding=1)

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """(B, H W, C) to the same."""
        h = x
        for block in cast(nn.ModuleList, self.residual_group["blocks"]):
            h = block(h, size)
        return pixels(self.conv(plane(h, size))) + x
