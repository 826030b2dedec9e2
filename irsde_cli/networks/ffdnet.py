"""FFDNet: DnCNN's chain on 2x2 pixel blocks, told the noise level.

Zhang, Zuo and Zhang, "FFDNet: Toward a Fast and Flexible Solution for CNN-Based Image Denoising", IEEE TIP 2018.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from irsde_cli.networks.dncnn import chain, chain_options
from irsde_cli.networks.facts import Facts
from irsde_cli.networks.network import ToldMapper
from irsde_cli.randomness import RandnLike


class FFDNet(ToldMapper):
    """The level belongs to the checkpoint, unless it is told with the image; no tensor says it.

    Args:
        depth: convolutions.
        width: channels between them.
        sigma: standard deviation of the noise, in 8-bit units.
        channels: of the image: 3, or 1 for grey.
    """

    untold = ("sigma",)
    most_noise: ClassVar[float] = 75.0

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
        return self.told(image, self.sigma)

    def told(self, image: Tensor, level: float) -> Tensor:
        """See `ToldMapper.told`."""
        height, width = image.shape[-2:]
        blocks = F.pixel_unshuffle(self.padded(image), 2)
        plane = torch.full_like(blocks[:, :1], level / 255)
        return F.pixel_shuffle(self.model(torch.cat((blocks, plane), dim=1)), 2)[..., :height, :width]
