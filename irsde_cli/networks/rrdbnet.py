"""RRDBNet: dense blocks within residual blocks, the network of ESRGAN and Real-ESRGAN.

Wang et al., "ESRGAN", ECCV workshops 2018, and "Real-ESRGAN", ICCV workshops 2021. Names of parameters are those of
Real-ESRGAN's files.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from irsde_cli.networks.facts import Facts
from irsde_cli.networks.network import Mapper, count_modules
from irsde_cli.randomness import RandnLike

ENLARGED = 4
# Its textures depend on all that it sees, hundreds of pixels away: no overlap that is worth its time changes that.
OVERLAP = 32
RESIDUAL = 0.2


class RRDBNet(Mapper):
    """Enlarges four times inside; for smaller scales the image is first folded into blocks of pixels.

    Args:
        scale: 4, 2 or 1.
        width: channels between the blocks.
        growth: channels that each convolution of a dense block adds.
        blocks: residual blocks of three dense ones.
    """

    def __init__(self, *, scale: int = 4, width: int = 64, growth: int = 32, blocks: int = 23) -> None:
        super().__init__()
        if scale not in (1, 2, 4):
            raise ValueError(f"an RRDBNet enlarges 1, 2 or 4 times, not {scale}")
        self.folded = ENLARGED // scale
        self.facts = Facts(
            scale=scale,
            multiple=self.folded,
            reach=self.folded * (15 * blocks + 4),
            overlap=OVERLAP,
            working_bytes=4 * (3 * width + 10 * growth // ENLARGED + 32),
        )
        self.conv_first = nn.Conv2d(3 * self.folded**2, width, 3, padding=1)
        self.body = nn.Sequential(*(Residual(width, growth) for _ in range(blocks)))
        self.conv_body = nn.Conv2d(width, width, 3, padding=1)
        self.conv_up1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv_up2 = nn.Conv2d(width, width, 3, padding=1)
        self.conv_hr = nn.Conv2d(width, width, 3, padding=1)
        self.conv_last = nn.Conv2d(width, 3, 3, padding=1)

    @classmethod
    def options_from(cls, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
        """See `Network.options_from`."""
        width, channels = tensors["conv_first.weight"].shape[:2]
        scales = {3 * (ENLARGED // scale) ** 2: scale for scale in (1, 2, 4)}
        if channels not in scales:
            raise ValueError(f"a first layer of {channels} channels")
        return {
            "scale": scales[channels],
            "width": width,
            "growth": len(tensors["body.0.rdb1.conv1.weight"]),
            "blocks": count_modules(tensors, "body."),
        }

    def forward(self, image: Tensor, randn_like: RandnLike | None = None) -> Tensor:
        """See `Mapper.forward`."""
        height, width = (side * self.facts.scale for side in image.shape[-2:])
        first = self.conv_first(F.pixel_unshuffle(self.padded(image), self.folded))
        x = first + self.conv_body(self.body(first))
        for layer in (self.conv_up1, self.conv_up2):
            x = _leaky(layer(F.interpolate(x, scale_factor=2)))
        restored: Tensor = self.conv_last(_leaky(self.conv_hr(x)))
        return restored[..., :height, :width]


class Residual(nn.Module):
    """Three dense blocks, of whose sum a fifth is added."""

    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        self.rdb1 = Dense(width, growth)
        self.rdb2 = Dense(width, growth)
        self.rdb3 = Dense(width, growth)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        return torch.add(x, self.rdb3(self.rdb2(self.rdb1(x))), alpha=RESIDUAL)


class Dense(nn.Module):
    """Five convolutions, each of which sees all before it."""

    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, growth, 3, padding=1)
        self.conv2 = nn.Conv2d(width + growth, growth, 3, padding=1)
        self.conv3 = nn.Conv2d(width + 2 * growth, growth, 3, padding=1)
        self.conv4 = nn.Conv2d(width + 3 * growth, growth, 3, padding=1)
        self.conv5 = nn.Conv2d(width + 4 * growth, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        seen = x
        for layer in (self.conv1, self.conv2, self.conv3, self.conv4):
            seen = torch.cat((seen, _leaky(layer(seen))), 1)
        return torch.add(x, self.conv5(seen), alpha=RESIDUAL)


def _leaky(x: Tensor) -> Tensor:
    return F.leaky_relu(x, 0.2, inplace=not x.requires_grad)
