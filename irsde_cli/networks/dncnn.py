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
        channels: of the image: 3, or 1 for grey.
    """

    def __init__(self, *, depth: int = 20, width: int = 64, channels: int = 3) -> None:
        super().__init__()
        self.facts = Facts(channels=(channels, channels), reach=depth, working_bytes=4 * (3 * width + 16))
        self.model = chain([channels, *[width] * (depth - 1), channels])

    @classmethod
    def options_from(cls, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
        """See `Network.options_from`."""
        return chain_options(tensors, {(3, 3): 3, (1, 1): 1})

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


def chain_options(tensors: Mapping[str, Tensor], known: Mapping[tuple[int, int], int]) -> dict[str, Any]:
    """Depth and width of a chain called `model`, and the channels of the image.

    `known` says these by what goes into a chain and what comes out.

    Raises:
        KeyError: a tensor is missing.
        ValueError: it takes or makes another number of channels.
    """
    places = numbered(tensors, "model.")
    first, last = (tensors[f"model.{place}.weight"] for place in (places[0], places[-1]))
    ends = (first.shape[1], last.shape[0])
    if ends not in known or places != list(range(0, 2 * len(places), 2)):
        raise ValueError("another chain")
    grey = {"channels": 1} if known[ends] == 1 else {}
    return {"depth": len(places), "width": first.shape[0], **grey}
