"""How a network is evaluated on a canvas: whole, in overlapping tiles, or on images of unequal size.

A system never calls its network itself; it is handed one of these. Tiles are cut inside each step and their predictions
blended, so that one state, one noise field and one solver step belong to the whole image.
"""

import math
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from irsde_cli.networks.network import Network, pad_to


class Evaluate(Protocol):
    """Evaluates `network(x, mu, t)` on `x` and `mu` of shape (B, C, H, W), `t` of shape (B,)."""

    def __call__(self, network: Network, x: Tensor, mu: Tensor, t: Tensor, /) -> Tensor: ...


def whole(network: Network, x: Tensor, mu: Tensor, t: Tensor, /) -> Tensor:
    """The network on the whole canvas at once."""
    prediction: Tensor = network(x, mu, t)
    return prediction


class Reduced:
    """The network in half precision; what it returns, and everything around it, is float32."""

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype

    def __call__(self, network: Network, x: Tensor, mu: Tensor, t: Tensor, /) -> Tensor:
        with torch.autocast(x.device.type, self.dtype):
            return whole(network, x, mu, t).float()


class Tiles:
    """The network on tiles of `tile` pixels a side that overlap by `overlap`, blended with a smooth window.

    Predictions are worst at the border of a tile, where half of what they depend on is missing; there the window is
    nearly zero.

    Tiles start at multiples of the network's `multiple`, so that its strided layers sample the grid of the whole image.
    """

    def __init__(self, tile: int, overlap: int, evaluate: Evaluate = whole) -> None:
        if not 0 <= overlap < tile:
            raise ValueError(f"overlap {overlap} must be at least 0 and below the tile size {tile}")
        self.tile = tile
        self.overlap = overlap
        self.evaluate = evaluate

    def __call__(self, network: Network, x: Tensor, mu: Tensor, t: Tensor, /) -> Tensor:
        height, width = x.shape[-2:]
        rows = _starts(height, self.tile, self.overlap, network.multiple)
        columns = _starts(width, self.tile, self.overlap, network.multiple)
        if len(rows) == len(columns) == 1:
            return self.evaluate(network, x, mu, t)
        blended: Tensor | None = None
        weights = x.new_zeros(1, 1, height, width)
        for top in rows:
            for left in columns:
                area = (..., slice(top, min(top + self.tile, height)), slice(left, min(left + self.tile, width)))
                prediction = self.evaluate(network, x[area], mu[area], t)
                if blended is None:
                    blended = prediction.new_zeros(*prediction.shape[:-2], height, width)
                window = self._window(area[1], height, x)[:, None] * self._window(area[2], width, x)
                blended[area] += prediction * window
                weights[area] += window
        assert blended is not None
        return blended / weights

    def _window(self, span: slice, size: int, like: Tensor) -> Tensor:
        """Ones, with a ramp on each side that meets another tile; never zero, so that sums can be divided by."""
        length = span.stop - span.start
        window = torch.ones(length, device=like.device, dtype=like.dtype)
        depth = torch.arange(min(self.overlap, length), device=like.device, dtype=like.dtype) + 1
        ramp = torch.sin(depth / (self.overlap + 1) * (math.pi / 2)) ** 6 + 1e-6
        if span.start > 0:
            window[: len(ramp)] = torch.minimum(window[: len(ramp)], ramp)
        if span.stop < size:
            window[length - len(ramp) :] = torch.minimum(window[length - len(ramp) :], ramp.flip(0))
        return window


def shrunk(evaluate: Evaluate, factor: int) -> Evaluate:
    """The same way for canvases so many times smaller than the images that it was meant for, as latents are."""
    if not isinstance(evaluate, Tiles):
        return evaluate
    return Tiles(max(evaluate.tile // factor, 1), evaluate.overlap // factor, evaluate.evaluate)


def _starts(size: int, tile: int, overlap: int, multiple: int) -> list[int]:
    """The first pixel of each tile along one side, equally spread and snapped down to the network's grid."""
    if size <= tile:
        return [0]
    stride = max(tile - overlap - multiple, 1)
    count = -(-(size - tile) // stride) + 1
    return [round(index * (size - tile) / (count - 1)) // multiple * multiple for index in range(count - 1)] + [
        -(-(size - tile) // multiple) * multiple
    ]


class Ragged:
    """A batch of images of unequal size on one canvas, each in the upper left corner.

    Each image is padded anew before each evaluation, as the network would pad it alone, so that what lies on the rest
    of the canvas never reaches it. All images must have the padded size of the canvas.
    """

    def __init__(self, sizes: Sequence[tuple[int, int]], evaluate: Evaluate = whole) -> None:
        self.sizes = sizes
        self.evaluate = evaluate

    def __call__(self, network: Network, x: Tensor, mu: Tensor, t: Tensor, /) -> Tensor:
        return self.evaluate(network, self._padded(network, x), self._padded(network, mu), t)

    def _padded(self, network: Network, canvas: Tensor) -> Tensor:
        size = (canvas.shape[-2], canvas.shape[-1])
        return torch.cat(
            [
                pad_to(canvas[index : index + 1, :, :height, :width], size, network.padding)
                for index, (height, width) in enumerate(self.sizes)
            ]
        )
