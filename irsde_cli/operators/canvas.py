"""An image with what lies beyond its border, on a canvas that is a torus."""

import math
from functools import lru_cache
from typing import Literal

import torch
from torch import Tensor

Border = Literal["mirror", "zero", "circular"]


class Canvas:
    """Where an image lies on the torus.

    A filter that reaches as far as the margin sees the continued image from every pixel of the image, and never the
    other side of it.

    Args:
        size: height and width of the image.
        margin: how far the image goes on, at least; there is none where the border is circular.
        border: as what it goes on.
        quickly: whether the canvas may be a little larger, so that it transforms quickly.
        device: of the images.

    Attributes:
        size: height and width of the canvas.
    """

    def __init__(self, size: tuple[int, int], margin: int, border: Border, quickly: bool, device: torch.device) -> None:
        self.image = size
        self.border = border
        self.margin = 0 if border == "circular" else margin
        least = (size[0] + 2 * self.margin, size[1] + 2 * self.margin)
        self.size = (quick(least[0]), quick(least[1])) if quickly and border != "circular" else least
        self._rows, self._columns = (
            _mirrored(side, self.margin, long - side - self.margin).to(device)
            for side, long in zip(size, self.size, strict=True)
        )

    def extended(self, x: Tensor) -> Tensor:
        """Images (..., H, W) on the canvas."""
        if self.border == "circular":
            return x
        if self.border == "zero":
            return self.alone(x)
        (height, width), margin, canvas = self.image, self.margin, x.new_empty(*x.shape[:-2], *self.size)
        self.cut(canvas).copy_(x)
        inside = canvas[..., margin : margin + height, :]
        for beyond in (slice(0, margin), slice(margin + width, None)):
            inside[..., beyond] = x.index_select(-1, self._columns[beyond])
        for beyond in (slice(0, margin), slice(margin + height, None)):
            canvas[..., beyond, :] = inside.index_select(-2, self._rows[beyond])
        return canvas

    def alone(self, x: Tensor) -> Tensor:
        """Images on a canvas that is black elsewhere: the transpose of `cut`."""
        canvas = x.new_zeros(*x.shape[:-2], *self.size)
        self.cut(canvas).copy_(x)
        return canvas

    def beyond(self) -> list[tuple[int, Tensor]]:
        """Axis (0, 1) and indices of the rows and of the columns that are beyond the image, from its far end on."""
        return [
            (axis, (torch.arange(side + self.margin, long + self.margin) % long).to(self._rows.device))
            for axis, (side, long) in enumerate(zip(self.image, self.size, strict=True))
        ]

    def cut(self, canvas: Tensor) -> Tensor:
        """The image of a canvas; a view."""
        (height, width), margin = self.image, self.margin
        return canvas[..., margin : margin + height, margin : margin + width]

    def folded(self, canvas: Tensor) -> Tensor:
        """The transpose of `extended`."""
        if self.border != "mirror":
            return self.cut(canvas)
        height, width = self.image
        folded = canvas.new_zeros(*canvas.shape[:-2], height, canvas.shape[-1])
        folded.index_add_(-2, self._rows, canvas)
        return canvas.new_zeros(*canvas.shape[:-2], height, width).index_add_(-1, self._columns, folded)


def _mirrored(side: int, before: int, after: int) -> Tensor:
    """Indices of `before` + `side` + `after` pixels; reflection goes back and forth where the image is smaller."""
    period = max(2 * (side - 1), 1)
    index = torch.arange(-before, side + after) % period
    return torch.where(index < side, index, period - index)


@lru_cache(maxsize=64)
def quick(side: int) -> int:
    """The least multiple of four that has no prime factor above 13, from `side` on.

    Transforms of such a size are up to ten times as fast as those of the next prime.
    """
    side = math.ceil(side / 4) * 4
    while True:
        rest = side
        for prime in (2, 3, 5, 7, 11, 13):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return side
        side += 4
