"""An image's noise and damage depend on the run's seed and its own name, and on nothing else.

Folder, order, shard, batch and device change nothing: the noise is drawn on the CPU, image by image.
"""

import hashlib
import os
import unicodedata
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Protocol

import torch
from torch import Tensor

from irsde_cli import room

GENERATOR = "torch.Generator cpu (mt19937), torch.randn float32, key blake2b-64 of seed and path, version 1"


# Noise of more elements than this is neither drawn ahead nor held as a whole.
LARGE = 1 << 25
PIECE = 1 << 20


class RandnLike(Protocol):
    """Draws standard normal noise of a tensor's shape, dtype and device."""

    def __call__(self, x: Tensor, /) -> Tensor: ...


def add_noise(x: Tensor, std: Tensor | float, randn_like: RandnLike) -> Tensor:
    """`x` with noise; where that is large and no gradients are recorded, `x` itself takes it, piece by piece."""
    noise = randn_like.source if isinstance(randn_like, Prefetched) else randn_like
    large = x.numel() > LARGE and x.is_contiguous() and not torch.is_grad_enabled()
    if large and isinstance(noise, ImageNoise) and noise.sizes is None and not isinstance(std, Tensor):
        noise.add_to(x, std)
        return x
    return x + std * randn_like(x)


def generator_for(seed: int, name: bytes) -> torch.Generator:
    """The generator of one image; `name` is its path relative to the input, `/`-separated."""
    return generator_from(seed.to_bytes(8, "little", signed=True) + name)


def damage_for(seed: int, key: str) -> torch.Generator:
    """The generator of the damage that is made to one image, apart from that of its noise.

    `key` is its relative path without suffix; composed and decomposed letters are one, so that a copy made by another
    system has the same damage.
    """
    return generator_from(seed.to_bytes(8, "little", signed=True) + _bytes(key), b"damage")


def generator_from(key: bytes, use: bytes = b"") -> torch.Generator:
    """The generator that belongs to a key; uses of one key, of at most 16 bytes, are told apart."""
    digest = hashlib.blake2b(key, digest_size=8, person=use).digest()
    return torch.Generator("cpu").manual_seed(int.from_bytes(digest, "little") >> 1)


def _bytes(key: str) -> bytes:
    return os.fsencode(unicodedata.normalize("NFC", key))


def draw_key(key: bytes, draw: int) -> bytes:
    """The name of an image's `draw`-th restoration; the first is the plain one, and no file name holds a zero byte."""
    return key if draw == 0 else key + b"\0" + str(draw).encode()


class ImageNoise:
    """Noise for a batch, one generator an image.

    The images of a batch may be smaller than the batch's canvas: `sizes` holds each one's (height, width); noise is
    drawn at that size and lies in the upper left corner, so that the canvas does not change it.

    `pulse` is called between the pieces of large noise; what it raises ends the drawing.
    """

    def __init__(
        self,
        generators: Sequence[torch.Generator],
        sizes: Sequence[tuple[int, int]] | None = None,
        pulse: Callable[[], None] = lambda: None,
    ) -> None:
        self.generators = generators
        self.sizes = sizes
        self.pulse = pulse

    def __call__(self, x: Tensor, /) -> Tensor:
        pinned = x.device.type == "cuda"
        return self.draw(x, pinned=pinned).to(device=x.device, dtype=x.dtype, non_blocking=pinned)

    def draw(self, x: Tensor, *, pinned: bool = False) -> Tensor:
        """Noise of the shape of `x` on the CPU, in float32; `pinned` in memory that a GPU reads by itself."""
        fresh = torch.empty if self.sizes is None else torch.zeros
        noise = fresh(x.shape, pin_memory=pinned)

        def fill(index: int) -> None:
            generator = self.generators[index]
            if self.sizes is None:
                noise[index].normal_(generator=generator)
            else:
                height, width = self.sizes[index]
                noise[index, :, :height, :width] = torch.randn((x.shape[1], height, width), generator=generator)

        count = min(len(self.generators), torch.get_num_threads())
        if count == 1 or noise[0].numel() < PIECE:
            for index in range(len(self.generators)):
                fill(index)
        else:
            with ThreadPoolExecutor(count, "draw") as threads:  # each image has a generator of its own
                deque(threads.map(fill, range(len(self.generators))), 0)
        return noise

    def add_to(self, x: Tensor, std: float) -> None:
        """Add noise to the contiguous `x`, in pieces that together are what `draw` gives.

        A generator fills sixteen numbers at a time, so that each piece but the last has a multiple of these, and the
        last no fewer.
        """
        for image, generator in zip(x.view(len(x), -1), self.generators, strict=True):
            count = len(image) // PIECE
            for piece in (*image[: count * PIECE].split(PIECE)[:-1], image[max(count - 1, 0) * PIECE :]):
                self.pulse()
                noise = torch.randn(len(piece), generator=generator)
                piece.add_(noise.to(device=x.device, dtype=x.dtype).mul_(std))
                room.rest()


class Prefetched:
    """Noise drawn one call ahead by a thread, while a network is at work; what is drawn stays the same.

    All calls must be for tensors of one shape, as those of a sampler are. Large ones are not drawn ahead.

    Attributes:
        source: what is drawn from.
    """

    def __init__(self, noise: ImageNoise) -> None:
        self.source = noise
        self._thread = ThreadPoolExecutor(1, "noise")
        self._next: Future[Tensor] | None = None

    def __enter__(self) -> "Prefetched":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.shutdown(wait=True, cancel_futures=True)

    def __call__(self, x: Tensor, /) -> Tensor:
        like, pinned = torch.empty(x.shape, device="meta"), x.device.type == "cuda"
        drawn = self.source.draw(like, pinned=pinned) if self._next is None else self._next.result()
        if x.numel() <= LARGE:
            self._next = self._thread.submit(self.source.draw, like, pinned=pinned)
        return drawn.to(device=x.device, dtype=x.dtype, non_blocking=pinned)
