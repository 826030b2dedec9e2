"""DnCNN: a plain chain of convolutions that predicts the noise, here with the sign of a residual.

Zhang et al., "Beyond a Gaussian Denoiser", IEEE TIP 2017; the variants without batch normalisation.
"""

from itertools import pairwise

from torch import Tensor, nn

from irsde_cli.networks.network import Network


class DnCNN(Network):
    """Takes the degraded image alone, of any size; parameters are named as in the authors' later releases.

    Args:
        depth: convolutions.
        width: channels between them.
    """

    def __init__(self, *, depth: int = 20, width: int = 64) -> None:
        super().__init__()
        self.reach = depth
        self.working_bytes = 4 * (3 * width + 16)
        channels = [3, *[width] * (depth - 1), 3]
        self.model = chain(channels)

    def forward(self, x: Tensor, mu: Tensor, t: Tensor) -> Tensor:
        """See `Network.forward`: minus the noise in `mu`."""
        noise: Tensor = self.model(mu)
        return -noise


def chain(channels: list[int]) -> nn.Sequential:
    """3x3 convolutions with ReLU between them."""
    layers: list[nn.Module] = []
    for before, after in pairwise(channels):
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers[:-1])
