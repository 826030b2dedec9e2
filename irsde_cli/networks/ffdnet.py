"""FFDNet: DnCNN's chain on 2x2 pixel blocks, told the noise level.

Zhang, Zuo and Zhang, "FFDNet: Toward a Fast and Flexible Solution for CNN-Based Image Denoising", IEEE TIP 2018.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from irsde_cli.networks.dncnn import chain, chain_options
from irsde_cli.networks.facts import Facts
from irsde_cli.networks.network import Mapper
from irsde_cli.randomness import RandnLike


class FFDNet(Mapper):
    """The level belongs to the checkpoint; no tensor says it.

    Args:
        depth: convolutions.
        width: channels between them.
        sigma: standard deviation of the noise, in 8-bit units.
        channels: of the image: 3, or 1 for grey.
    """

    untold = ("sigma",)

    def __init__(self, *, depth: int = 12, width: int = 96, sigma: float = 25.0, channels: int = 3) -> None:
        super().__init__()
        self.facts = Facts(
            channels=(channels, channels),
            multiple=2,
            padding="replicate",
            reach=2 * depth + 1,
            working_bytes=4 * (width + 16),
        )
        self.sigma = sigma
        self.model = chain([4 * channels + 1, *[width] * (depth - 1), 4 * channels])

    @classmethod
    def options_from(cls, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
        """See `Network.options_from`; the level leaves no trace."""
        return chain_options(tensors, {(13, 12): 3, (5, 4): 1})

    def forward(self, image: Tensor, randn_like: RandnLike | None = None) -> Tensor:
        """See `Mapper.forward`."""
        height, width = image.shape[-2:]
        blocks = F.pixel_unshuffle(self.padded(image), 2)
        level = torch.full_like(blocks[:, :1], self.sigma / 255)
        return F.pixel_shuffle(self.model(torch.cat((blocks, level), dim=1)), 2)[..., :height, :width]
