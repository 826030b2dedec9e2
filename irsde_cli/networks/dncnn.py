"""DnCNN: a plain chain of convolutions that predicts the noise, which is then taken away.

Zhang et al., "Beyond a Gaussian Denoiser", IEEE TIP 2017; the variants without batch normalisation.
"""

from itertools import pairwise

from torch import Tensor, nn

from irsde_cli.networks.facts import Facts
from irsde_cli.networks.network import Mapper
from irsde_cli.randomness import RandnLike


class DnCNN(Mapper):
    """Takes any size; parameters are named as in the authors' later releases.

    Args:
        depth: convolutions.
        width: channels between them.
    """

    def __init__(self, *, depth: int = 20, width: int = 64) -> None:
        super().__init__()
        self.facts = Facts(reach=depth, working_bytes=4 * (3 * width + 16))
        channels = [3, *[width] * (depth - 1), 3]
        self.model = chain(channels)

    def forward(self, image: Tensor, randn_like: RandnLike | None = None) -> Tensor:
        """See `Mapper.forward`."""
        noise: Tensor = self.model(image)
        return image - noise


def chain(channels: list[int]) -> nn.Sequential:
    """3x3 convolutions with ReLU between them."""
    layers: list[nn.Module] = []
    for before, after in pairwise(channels):
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers[:-1])
