"""How a network is evaluated on a canvas: whole, in overlapping tiles, or on images of unequal size.

A system never calls its network itself; it is handed one of these. Tiles are cut inside each step and their predictions
blended, so that one state, one noise field and one solver step belong to the whole image.
"""

import math
import operator
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import EllipsisType
from typing import Protocol

import torch
from torch import Tensor

from irsde_cli import room
from irsde_cli.networks.facts import Facts
from irsde_cli.networks.network import pad_to


class Evaluable(Protocol):
    """A network, or what reads its output without looking beyond a pixel; see `Network`."""

    @property
    def facts(self) -> Facts: ...

    def __call__(self, /, *inputs: Tensor) -> Tensor: ...


@dataclass(frozen=True, eq=False)
class Evaluated:
    """A function of images whose facts are those of the network in it."""

    facts: Facts
    function: Callable[..., Tensor]

    def __call__(self, /, *inputs: Tensor) -> Tensor:
        return self.function(*inputs)


class Evaluate(Protocol):
    """Evaluates `network(*inputs)`, a new tensor. Inputs (B, C, H, W) share one canvas; others belong to all of it."""

    def __call__(self, network: Evaluable, /, *inputs: Tensor) -> Tensor: ...


def whole(network: Evaluable, /, *inputs: Tensor) -> Tensor:
    """The network on the whole canvas at once."""
    prediction: Tensor = network(*inputs)
    return prediction


def on_canvas(change: Callable[[Tensor], Tensor], inputs: Sequence[Tensor]) -> Iterator[Tensor]:
    """The inputs of an evaluation, with `change` to each that lies on the canvas."""
    return (change(one) if one.ndim == 4 else one for one in inputs)


class Reduced:
    """The network in half precision; what it returns, and everything around it, is float32."""

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype

    def __call__(self, network: Evaluable, /, *inputs: Tensor) -> Tensor:
        with torch.autocast(inputs[0].device.type, self.dtype):
            return whole(network, *inputs).float()


class Float32:
    """The network in the float32 of its inputs, with all digits: GPUs would take ten bits of them in convolutions."""

    def __call__(self, network: Evaluable, /, *inputs: Tensor) -> Tensor:
        products, convolutions = torch.backends.cuda.matmul, torch.backends.cudnn
        before = products.allow_tf32, convolutions.allow_tf32
        products.allow_tf32 = convolutions.allow_tf32 = False
        try:
            return whole(network, *inputs)
        finally:
            products.allow_tf32, convolutions.allow_tf32 = before


Watch = Callable[[int, int], None]


def unwatched(over: int, count: int) -> None:
    """Nobody looks."""


class Tiles:
    """The network on tiles that overlap, blended with a smooth window; both lengths are of what comes out.

    Predictions are worst at the border of a tile, where half of what they depend on is missing; there the window is
    nearly zero.

    Tiles start at multiples of the network's `multiple`, so that its strided layers sample the grid of the whole image.

    `watch` is told before each tile how many are over, and how many there are; what it raises ends the evaluation.
    """

    def __init__(self, tile: int, overlap: int, evaluate: Evaluate = whole, watch: Watch = unwatched) -> None:
        if not 0 <= overlap < tile:
            raise ValueError(f"overlap {overlap} must be at least 0 and below the tile size {tile}")
        self.tile = tile
        self.overlap = overlap
        self.evaluate = evaluate
        self.watch = watch

    def pixels(self, height: int, width: int, facts: Facts) -> int:
        """How many pixels come out of all tiles of an image that comes in, those that overlap counted each time."""
        rows, columns = (
            sum(facts.scale * (int(span.stop) - int(span.start)) for span in self._spans(side, facts))
            for side in (height, width)
        )
        return rows * columns

    def __call__(self, network: Evaluable, /, *inputs: Tensor) -> Tensor:
        x, scale = next(one for one in inputs if one.ndim == 4), network.facts.scale
        rows = self._spans(x.shape[-2], network.facts)
        columns = self._spans(x.shape[-1], network.facts)
        if len(rows) == len(columns) == 1:
            return self.evaluate(network, *inputs)
        blended: Tensor | None = None
        over, count = 0, len(rows) * len(columns)
        for down, height in zip(rows, self._windows(_times(rows, scale), x), strict=True):
            for across, width in zip(columns, self._windows(_times(columns, scale), x), strict=True):
                self.watch(over, count)
                over += 1
                cut = operator.itemgetter(_area(down, across))
                prediction = self.evaluate(network, *on_canvas(cut, inputs))
                if blended is None:
                    size = (scale * x.shape[-2], scale * x.shape[-1])
                    blended = room.zeros((*prediction.shape[:-2], *size), prediction)
                blended[_area(*_times((down, across), scale))].addcmul_(prediction, height[:, None] * width)
                room.rest()
        assert blended is not None
        return blended

    def _spans(self, size: int, facts: Facts) -> list[slice]:
        """What each tile takes of one side of what comes in: equally spread, from the network's grid on."""
        tile, overlap, multiple = max(self.tile // facts.scale, 1), self.overlap // facts.scale, facts.multiple
        if size <= tile:
            return [slice(0, size)]
        stride = max(tile - overlap - multiple, 1)
        last = -(-(size - tile) // stride)
        starts = [round(index * (size - tile) / last) // multiple * multiple for index in range(last)]
        starts.append(-(-(size - tile) // multiple) * multiple)
        return [slice(start, min(start + tile, size)) for start in starts]

    def _windows(self, spans: Sequence[slice], like: Tensor) -> list[Tensor]:
        """The weight of each tile along one side: all together they are one, so no map of their sums is kept."""
        size = spans[-1].stop
        like = like if like.is_floating_point() else like.new_empty(0, dtype=torch.float32)
        windows = [self._window(span, size, like) for span in spans]
        total = like.new_zeros(size)
        for span, window in zip(spans, windows, strict=True):
            total[span] += window
        return [window / total[span] for span, window in zip(spans, windows, strict=True)]

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


def _area(down: slice, across: slice) -> tuple[EllipsisType, slice, slice]:
    return (..., down, across)


def _times(spans: Sequence[slice], scale: int) -> list[slice]:
    return [slice(scale * span.start, scale * span.stop) for span in spans]


def shrunk(evaluate: Evaluate, factor: int) -> Evaluate:
    """The same way for canvases so many times smaller than the images that it was meant for, as latents are."""
    if not isinstance(evaluate, Tiles):
        return evaluate
    return Tiles(max(evaluate.tile // factor, 1), evaluate.overlap // factor, evaluate.evaluate, evaluate.watch)


class Ragged:
    """A batch of images of unequal size on one canvas, each in the upper left corner.

    Each image is padded anew before each evaluation, as the network would pad it alone, so that what lies on the rest
    of the canvas never reaches it. All images must have the padded size of the canvas.
    """

    def __init__(self, sizes: Sequence[tuple[int, int]], evaluate: Evaluate = whole) -> None:
        self.sizes = sizes
        self.evaluate = evaluate

    def __call__(self, network: Evaluable, /, *inputs: Tensor) -> Tensor:
        def padded(canvas: Tensor) -> Tensor:
            size = (canvas.shape[-2], canvas.shape[-1])
            return torch.cat(
                [
                    pad_to(canvas[index : index + 1, :, :height, :width], size, network.facts.padding)
                    for index, (height, width) in enumerate(self.sizes)
                ]
            )

        return self.evaluate(network, *on_canvas(padded, inputs))
