"""FFDNet: DnCNN's chain on 2x2 pixel blocks, told the noise level.

Zhang, Zuo and Zhang, "FFDNet: Toward a Fast and Flexible Solution for CNN-Based Image Denoising", IEEE TIP 2018.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from irsde_cli.networks.dncnn import chain
from irsde_cli.networks.network import Network


class FFDNet(Network):
    """Takes the degraded image alone; the level belongs to the checkpoint.

    Args:
        depth: convolutions.
        width: channels between them.
        sigma: standard deviation of the noise, in 8-bit units.
    """

    def __init__(self, *, depth: int = 12, width: int = 96, sigma: float = 25.0) -> None:
        super().__init__()
        self.multiple = 2
        self.reach = 2 * depth + 1
        self.working_bytes = 4 * (width + 16)
        self.sigma = sigma
        self.model = chain([13, *[width] * (depth - 1), 12])

    def forward(self, x: Tensor, mu: Tensor, t: Tensor) -> Tensor:
        """See `Network.forward`: what leads from `mu` to the clean image."""
        height, width = mu.shape[-2:]
        blocks = F.pixel_unshuffle(F.pad(mu, (0, width % 2, 0, height % 2), mode="replicate"), 2)
        level = torch.full_like(blocks[:, :1], self.sigma / 255)
        restored = F.pixel_shuffle(self.model(torch.cat((blocks, level), dim=1)), 2)
        return restored[..., :height, :width] - mu
