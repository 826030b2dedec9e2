"""A codec that restores, as a system of one pass, and the latents of its files.

What a decoder computes of what it has read must be the same numbers that the encoder had: the prior runs on the CPU in
float64, standard deviations are numbers of a table, and a checksum of all whole numbers stands before them.
"""

import math
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from irsde_cli import extras
from irsde_cli.errors import InputError
from irsde_cli.images.container import DamagedError
from irsde_cli.networks.codec import (
    LEVELS,
    NARROWEST,
    WIDEST,
    Cumulative,
    RestoringCodec,
    gaussian,
    levels_of,
    scales_of,
)
from irsde_cli.networks.facts import round_up
from irsde_cli.systems.one_pass import OnePass, OnePassConfig

HEAD = struct.Struct(">HHHI")  # the largest number of each of the three parts, and the checksum
LARGEST = 4095
TABLE = 1 << 20
SCALES = np.array(
    [NARROWEST * math.exp(level * math.log(WIDEST / NARROWEST) / (LEVELS - 1)) for level in range(LEVELS)]
)
Numbers = NDArray[np.int32]


class Codec(OnePass):
    """Restores as the file of the best quality would show it; `coded` makes a file's latent, and `opened` opens it."""

    network: RestoringCodec
    codes = True

    def __init__(self, config: OnePassConfig) -> None:
        super().__init__(config)
        self.evaluated = ()
        if not isinstance(self.network, RestoringCodec):
            raise ValueError(f"the network '{config.network.name}' is no codec")
        if config.scale != 1 or config.centre != "degraded":
            raise ValueError("a codec sees pictures as they are: 'scale' must be 1, and 'centre' 'degraded'")

    def coded(self, image: Tensor, quality: int) -> bytes:
        """See `Restorer.coded`."""
        writer = _Writer()
        self._sent(image, quality, writer.table, writer.normal)
        return writer.packed()

    def estimated_bits(self, image: Tensor, quality: int) -> float:
        """How long the latent of an image is by the probabilities alone; arguments as of `coded`."""
        bits = 0.0

        def table(numbers: Tensor, chance: Callable[[Tensor], Tensor]) -> None:
            nonlocal bits
            reach = _reach(numbers.numpy())
            counts = torch.from_numpy(_tables(reach, len(numbers), chance))
            shares = counts / counts.sum(1, keepdim=True)
            bits -= float(shares.gather(1, numbers.flatten(1) + reach).log2().sum())

        def normal(numbers: Tensor, levels: Tensor) -> None:
            nonlocal bits
            bits -= float((gaussian(numbers.double(), scales_of(levels)) + 2**-24).log2().sum())

        self._sent(image, quality, table, normal)
        return bits

    def _sent(self, image: Tensor, quality: int, table: Any, normal: Any) -> None:
        """Give the whole numbers of an image to what takes them: the hyper-latent, and the squares of either colour."""
        network, told = self.network, torch.tensor([quality], device=image.device)
        with torch.no_grad():
            found = network.latent(image[None].float(), told)
            coarse = network.hyper_latent(found).double().round().cpu()
            latent = found.double().cpu()
            wide = network.wide()
            table(coarse[0].long(), wide["bit_estimator_z"].chance)

            def values(scale: Tensor, step: Tensor, mean: Tensor, squares: Tensor) -> Tensor:
                numbers = (latent / step - mean).round() * squares
                here = squares[0] > 0
                normal(numbers[0][here].long(), levels_of(scale[0][here]))
                return numbers

            network.rebuilt(coarse, (latent.shape[-2], latent.shape[-1]), values, wide)

    def opened(self, latent: bytes, quality: int, size: tuple[int, int]) -> Tensor:
        """See `Restorer.opened`."""
        network = self.network
        device = network.refine.weight.device
        multiple = network.facts.multiple
        height, width = (round_up(side, multiple) // multiple for side in size)
        reader = _Reader(latent)
        with torch.no_grad():
            wide = network.wide()
            shape = (network.bit_estimator_z.channels, round_up(height, 4) // 4, round_up(width, 4) // 4)
            estimator = wide["bit_estimator_z"]
            assert isinstance(estimator, Cumulative), "a copy of the network's"
            coarse = reader.table(shape, estimator.chance)

            def values(scale: Tensor, step: Tensor, mean: Tensor, squares: Tensor) -> Tensor:
                here = squares[0] > 0
                numbers = torch.zeros_like(mean)
                numbers[0][here] = reader.normal(levels_of(scale[0][here]))
                return numbers

            rebuilt = network.rebuilt(coarse[None], (height, width), values, wide)
            reader.check()
            told = torch.tensor([quality], device=device)
            return network.shown(rebuilt.float().to(device), told, size)[0]


def _tables(reach: int, channels: int, chance: Callable[[Tensor], Tensor]) -> NDArray[np.float64]:
    """How likely each number from -`reach` to `reach` is, for each channel: whole parts of `TABLE`, none of them 0."""
    numbers = torch.arange(-reach, reach + 1, dtype=torch.float64).expand(1, channels, 1, -1)
    counts: NDArray[np.float64] = (chance(numbers)[0, :, 0] * TABLE).round().numpy() + 1
    return counts


def _reach(numbers: NDArray[Any]) -> int:
    """The largest of whole numbers, whatever their sign; at least 1."""
    return max(1, int(np.abs(numbers).max(initial=0)))


class _Writer:
    """Whole numbers in the order in which they are coded."""

    def __init__(self) -> None:
        self._coding = extras.load("codec", "the format irc").stream
        self._encoder = self._coding.queue.RangeEncoder()
        self._reaches: list[int] = []
        self._sum = 0

    def table(self, numbers: Tensor, chance: Callable[[Tensor], Tensor]) -> None:
        """The hyper-latent (Z, h, w)."""
        found = self._noted(numbers)
        reach = self._reaches[-1]
        for channel, counts in zip(found, _tables(reach, len(found), chance), strict=True):
            model = self._coding.model.Categorical(counts / counts.sum(), perfect=False)
            self._encoder.encode((channel.ravel() + reach).astype(np.int32), model)

    def normal(self, numbers: Tensor, levels: Tensor) -> None:
        """The numbers of a pass, and the levels of their standard deviations."""
        found = self._noted(numbers)
        self._sum = zlib.crc32(levels.numpy().astype(np.uint8).tobytes(), self._sum)
        if len(found):
            reach = self._reaches[-1]
            model = self._coding.model.QuantizedGaussian(-reach, reach)
            self._encoder.encode(found, model, np.zeros(len(found)), SCALES[levels.numpy()])

    def _noted(self, numbers: Tensor) -> Numbers:
        found = numbers.numpy().astype(np.int32)
        reach = _reach(found)
        if reach > LARGEST:
            raise InputError("its latent is too large to be coded.", hint="Take a smaller --quality.")
        self._reaches.append(reach)
        self._sum = zlib.crc32(np.ascontiguousarray(found).tobytes(), self._sum)
        return found

    def packed(self) -> bytes:
        """All that was given."""
        words: NDArray[np.uint32] = self._encoder.get_compressed()
        return HEAD.pack(*self._reaches, self._sum) + words.astype("<u4").tobytes()


class _Reader:
    """The same, read back."""

    def __init__(self, latent: bytes) -> None:
        self._coding = extras.load("codec", "the format irc").stream
        if len(latent) < HEAD.size or (len(latent) - HEAD.size) % 4:
            raise DamagedError("is damaged: its latent is cut off", "Find another copy.")
        *self._reaches, self._wanted = HEAD.unpack_from(latent)
        if not all(1 <= reach <= LARGEST for reach in self._reaches):
            raise DamagedError("is damaged: its latent begins with numbers that cannot be", "Find another copy.")
        words = np.frombuffer(latent, "<u4", offset=HEAD.size).astype(np.uint32)
        self._decoder = self._coding.queue.RangeDecoder(words)
        self._sum = 0

    def table(self, shape: tuple[int, int, int], chance: Callable[[Tensor], Tensor]) -> Tensor:
        """The hyper-latent of that shape, in float64."""
        reach, count = self._reaches.pop(0), shape[1] * shape[2]
        channels = []
        for counts in _tables(reach, shape[0], chance):
            model = self._coding.model.Categorical(counts / counts.sum(), perfect=False)
            channels.append(self._decoded(model, count) - reach)
        found = np.stack(channels).astype(np.int32)
        self._sum = zlib.crc32(found.tobytes(), self._sum)
        return torch.from_numpy(found.astype(np.float64)).view(shape)

    def normal(self, levels: Tensor) -> Tensor:
        """The numbers of a pass, in float64, for the levels of their standard deviations."""
        reach = self._reaches.pop(0)
        found = np.zeros(0, np.int32)
        if len(levels):
            model = self._coding.model.QuantizedGaussian(-reach, reach)
            found = self._decoded(model, np.zeros(len(levels)), SCALES[levels.numpy()])
        self._sum = zlib.crc32(found.tobytes(), self._sum)
        self._sum = zlib.crc32(levels.numpy().astype(np.uint8).tobytes(), self._sum)
        return torch.from_numpy(found.astype(np.float64))

    def check(self) -> None:
        """Compare the checksum.

        Raises:
            DamagedError: other numbers were written.
        """
        if self._sum != self._wanted:
            raise self._other()

    def _decoded(self, *model: Any) -> Numbers:
        try:
            found: Numbers = self._decoder.decode(*model)
        except AssertionError:  # how the coder says that no such numbers can have been written
            raise self._other() from None
        return found.astype(np.int32)

    def _other(self) -> DamagedError:
        return DamagedError(
            "does not give back the numbers that were written",
            "Open it on the machine that wrote it: where float64 comes out otherwise, it cannot be read.",
        )
