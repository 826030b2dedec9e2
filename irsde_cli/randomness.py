"""An image's noise depends on the run's seed and its own name, and on nothing else.

Folder, order, shard, batch and device change nothing: the noise is drawn on the CPU, image by image.
"""

import hashlib
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

GENERATOR = "torch.Generator cpu (mt19937), torch.randn float32, key blake2b-64 of seed and path, version 1"


class RandnLike(Protocol):
    """Draws standard normal noise of a tensor's shape, dtype and device."""

    def __call__(self, x: Tensor, /) -> Tensor: ...


def generator_for(seed: int, name: bytes) -> torch.Generator:
    """The generator of one image; `name` is its path relative to the input, `/`-separated."""
    key = hashlib.blake2b(seed.to_bytes(8, "little", signed=True) + name, digest_size=8).digest()
    return torch.Generator("cpu").manual_seed(int.from_bytes(key, "little") >> 1)


class ImageNoise:
    """Noise for a batch, one generator an image.

    The images of a batch may be smaller than the batch's canvas: `sizes` holds each one's (height, width); noise is
    drawn at that size and lies in the upper left corner, so that the canvas does not change it.
    """

    def __init__(self, generators: Sequence[torch.Generator], sizes: Sequence[tuple[int, int]] | None = None) -> None:
        self.generators = generators
        self.sizes = sizes

    def __call__(self, x: Tensor, /) -> Tensor:
        noise = torch.zeros(x.shape, dtype=torch.float32)
        for index, generator in enumerate(self.generators):
            height, width = self.sizes[index] if self.sizes else (x.shape[-2], x.shape[-1])
            noise[index, :, :height, :width] = torch.randn((x.shape[1], height, width), generator=generator)
        return noise.to(device=x.device, dtype=x.dtype)
