"""EDSR: residual blocks without normalisation, and pixel shuffling at the end.

Lim et al., "Enhanced Deep Residual Networks for Single Image Super-Resolution", CVPR workshops 2017. Names of
parameters are those of the authors' files in PyTorch.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from irsde_cli.networks.facts import Facts
from irsde_cli.networks.network import Mapper
from irsde_cli.randomness import RandnLike

RANGE = 255.0
# Of DIV2K, in [0, 1].
MEAN = (0.4488, 0.4371, 0.4040)
# The authors' large networks add a tenth of each block, as they would not learn else.
LARGE, LARGE_RESIDUAL = 256, 0.1


class EDSR(Mapper):
    """Takes any size.

    Args:
        scale: 2, 3, 4 or 8.
        width: channels of the body.
        blocks: residual blocks.
        residual: the share of each block that is added; 0 for the one that the authors took at this width.
    """

    def __init__(self, *, scale: int = 4, width: int = 64, blocks: int = 16, residual: float = 0.0) -> None:
        super().__init__()
        steps = {2: (2,), 3: (3,), 4: (2, 2), 8: (2, 2, 2)}
        if scale not in steps:
            raise ValueError(f"an EDSR enlarges 2, 3, 4 or 8 times, not {scale}")
        # The last stage works at the full size: its input is unfolded from four times as many channels.
        self.facts = Facts(scale=scale, reach=2 * blocks + 5, working_bytes=4 * (3 * width + 16))
        share = residual or (LARGE_RESIDUAL if width >= LARGE else 1.0)
        self.sub_mean = Shift(-1)
        self.add_mean = Shift(1)
        self.head = nn.Sequential(nn.Conv2d(3, width, 3, padding=1))
        self.body = nn.Sequential(*(Block(width, share) for _ in range(blocks)), nn.Conv2d(width, width, 3, padding=1))
        upsampling: list[nn.Module] = []
        for factor in steps[scale]:
            upsampling += [nn.Conv2d(width, width * factor**2, 3, padding=1), nn.PixelShuffle(factor)]
        self.tail = nn.Sequential(nn.Sequential(*upsampling), nn.Conv2d(width, 3, 3, padding=1))

    @classmethod
    def options_from(cls, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
        """See `Network.options_from`."""
        width, channels = tensors["head.0.weight"].shape[:2]
        stages = sum(name.startswith("tail.0.") and name.endswith(".weight") for name in tensors)
        factor = {4: 2, 9: 3}[len(tensors["tail.0.0.weight"]) // width]
        blocks = sum(name.endswith(".body.0.weight") for name in tensors)
        if channels != 3:
            raise ValueError(f"an EDSR of {channels} channels")
        return {"scale": factor**stages, "width": width, "blocks": blocks}

    def forward(self, image: Tensor, randn_like: RandnLike | None = None) -> Tensor:
        """See `Mapper.forward`."""
        first = self.head(self.sub_mean(RANGE * image))
        restored: Tensor = self.add_mean(self.tail(first + self.body(first)))
        return restored / RANGE


class Shift(nn.Conv2d):
    """The mean colour taken away or added: a convolution in the authors' files, whose numbers nobody learns."""

    def __init__(self, sign: int) -> None:
        super().__init__(3, 3, 1)
        self.weight = nn.Parameter(torch.eye(3)[..., None, None], requires_grad=False)
        self.bias = nn.Parameter(sign * RANGE * torch.tensor(MEAN), requires_grad=False)


class Block(nn.Module):
    """Two convolutions beside the identity."""

    def __init__(self, width: int, share: float) -> None:
        super().__init__()
        self.share = share
        self.body = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, width, 3, padding=1)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        return torch.add(x, self.body(x), alpha=self.share)
