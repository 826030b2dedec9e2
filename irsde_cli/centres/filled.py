"""Images whose holes are filled from their borders."""

from torch import Tensor

from irsde_cli.images.holes import smoothed


def filled(images: Tensor, known: Tensor | None) -> Tensor:
    """`images` (B, 3, H, W) with each hole, where `known` (B, 1, H, W) is false, as smooth as its border allows."""
    return images if known is None else smoothed(images, ~known)
