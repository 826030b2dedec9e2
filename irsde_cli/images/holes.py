"""How holes in images are marked."""

from torch import Tensor

# The largest float32 below 1: what is known may be white, and then is no hole.
WHITEST = 1 - 2**-24


def cut(images: Tensor, known: Tensor) -> Tensor:
    """`images` (..., 3, H, W) in [0, 1] with holes where `known`, which broadcasts, is false.

    Holes are white, as the published networks learnt them, and nothing else is quite 1.
    """
    return images.clamp(max=WHITEST).masked_fill_(~known, 1.0)
