"""Darkness: how bright the brighter parts of a picture are."""

from torch import Tensor

from irsde_cli.needs.planes import luma, quantile


def brightness(picture: Tensor) -> float:
    """The luma, in [0, 1], that a tenth of the pixels of (3, H, W) exceed."""
    return quantile(luma(picture), 0.9)
