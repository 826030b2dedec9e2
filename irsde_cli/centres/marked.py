"""Images whose holes are filled from their borders, and marked, so that a network can tell them from smooth places."""

import torch
from torch import Tensor

from irsde_cli.centres.filled import filled

MARK = 0.1  # more than texture has at the finest scale, and little beside what bfloat16 can hold


def marked(images: Tensor, known: Tensor | None) -> Tensor:
    """What `filled` makes of images (B, 3, H, W), with a chequerboard on the holes, where `known` is false.

    It goes `MARK` up and down from pixel to pixel. Its mean is nothing, and one convolution sees it and takes it away.
    """
    surface = filled(images, known)
    if known is None or bool(known.all()):
        return surface
    rows, columns = (torch.arange(size, device=images.device) for size in images.shape[-2:])
    board = MARK * (1 - 2 * ((rows[:, None] + columns) % 2)).to(images.dtype)
    return surface.add_(board.masked_fill(known, 0))
