"""Images whose holes, as `irsde_cli.images.holes.cut` marks them, are filled from their borders."""

from torch import Tensor

from irsde_cli.images.holes import smoothed


def filled(images: Tensor) -> Tensor:
    """`images` (B, 3, H, W) with each hole, where all channels are 1, as smooth as its border allows."""
    return smoothed(images, (images == 1).all(dim=1, keepdim=True))
