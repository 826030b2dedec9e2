"""DnCNN: a plain chain of convolutions that predicts the noise, which is then taken away.

Zhang et al., "Beyond a Gaussian Denoiser", IEEE TIP 2017; the variants without batch normalisation.
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from torch import Tensor, nn

from irsde_cli.networks.facts import Facts
from irsde_cli.networks.network import Mapper, numbered
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

    @classmethod
    def options_from(cls, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
        """See `Network.options_from`."""
        return chain_options(tensors, 3, 3)

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


def chain_options(tensors: Mapping[str, Tensor], incoming: int, outgoing: int) -> dict[str, Any]:
    """Depth and width of a chain called `model`.

    Raises:
        KeyError: a tensor is missing.
        ValueError: it takes or makes another number of channels.
    """
    places = numbered(tensors, "model.")
    first, last = (tensors[f"model.{place}.weight"] for place in (places[0], places[-1]))
    if (first.shape[1], last.shape[0]) != (incoming, outgoing) or places != list(range(0, 2 * len(places), 2)):
        raise ValueError("another chain")
    return {"depth": len(places), "width": first.shape[0]}
