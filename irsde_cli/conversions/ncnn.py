"""Real-ESRGAN's networks as ncnn keeps them: a `.param` file that names the layers, and their numbers in a `.bin`.

Layers have numbers for names, but their order is that of the calls, and so that of our parameters.
"""

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from irsde_cli.conversions import official
from irsde_cli.errors import WeightsError
from irsde_cli.networks.network import Network
from irsde_cli.networks.rrdbnet import RRDBNet
from irsde_cli.networks.srvgg import SRVGG
from irsde_cli.storage.weight_files import check_regular

MAGIC = "7767517"
LAYERS, NUMBERS = ".param", ".bin"
HALF, FULL = 0x01306B47, 0  # what stands before the weights of a convolution, and how they are stored
WITHOUT_NUMBERS = {"Input", "Split", "Concat", "Eltwise", "BinaryOp", "Interp", "PixelShuffle"}
DENSE = 15  # convolutions of a residual block
AROUND = 6  # before and after the blocks


@dataclass(frozen=True)
class Layer:
    """A line of a `.param` file: the kind, its name, and numbers by the number of what they are."""

    kind: str
    name: str
    options: dict[int, str]

    def count(self, key: int, default: int | None = None) -> int:
        """A whole number that is not negative."""
        number = int(self.options[key] if default is None else self.options.get(key, default))
        if number < 0:
            raise ValueError(f"'{self.name}' has {number} as its number {key}")
        return number


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a released file, by the names of `RRDBNet` or `SRVGG`.

    Args:
        path: one of ncnn's two files, with the other beside it; or the authors' `.pth`.

    Raises:
        WeightsError: a file is missing, damaged, or something else.
    """
    if path.suffix not in (LAYERS, NUMBERS):
        return official.read_tensors(path)
    files = [path.with_suffix(suffix) for suffix in (LAYERS, NUMBERS)]
    for file in files:
        if not file.exists() and path.exists():
            raise WeightsError(f"'{path}' is one of two files: '{file.name}' should lie beside it.")
        check_regular(file)
    try:
        layers = list(_layers(files[0].read_text(encoding="utf-8")))
        tensors = list(_tensors(layers, files[1].read_bytes()))
        with torch.device("meta"):
            expected = _network(layers).state_dict()
        if [tensor.numel() for tensor in tensors] != [tensor.numel() for tensor in expected.values()]:
            raise ValueError("its layers are those of another network")
    except OSError as error:
        raise WeightsError(f"'{path}': {error.strerror or error}.") from None
    except (ValueError, KeyError, IndexError, ZeroDivisionError, struct.error) as error:
        raise WeightsError(
            f"'{path}' is no whole file of Real-ESRGAN's: {error}.", hint="Its networks are RRDBNet and SRVGG."
        ) from None
    return {name: tensor.reshape(like.shape) for tensor, (name, like) in zip(tensors, expected.items(), strict=True)}


def _layers(text: str) -> Iterator[Layer]:
    lines = text.split("\n")
    if lines[0].strip() != MAGIC:
        raise ValueError(f"it begins with '{lines[0][:20]}' instead of {MAGIC}")
    for line in lines[2:]:
        if not (words := line.split()):
            continue
        kind, name, inputs, outputs = words[0], words[1], int(words[2]), int(words[3])
        pairs = (word.split("=", 1) for word in words[4 + inputs + outputs :])
        yield Layer(kind, name, {int(pair[0]): pair[-1] for pair in pairs})


def _tensors(layers: list[Layer], data: bytes) -> Iterator[Tensor]:
    place = 0

    def numbers(count: int, kind: str) -> Tensor:
        nonlocal place
        size = count * np.dtype(kind).itemsize
        if place + size > len(data):
            raise ValueError(f"it ends within '{layer.name}'")
        values = np.frombuffer(data, kind, count, place).astype(np.float32)
        place += -(-size // 4) * 4
        return torch.from_numpy(values)

    for layer in layers:
        if layer.kind == "PReLU":
            yield numbers(layer.count(0), "<f4")
        elif layer.kind == "Convolution":
            (tag,) = struct.unpack_from("<I", data, place)
            place += 4
            if tag not in (HALF, FULL) or not layer.count(5, 0):
                raise ValueError(f"'{layer.name}' is stored in a way that is not known here")
            yield numbers(layer.count(6), "<f2" if tag == HALF else "<f4")
            yield numbers(layer.count(0), "<f4")
        elif layer.kind not in WITHOUT_NUMBERS:
            raise ValueError(f"it has a layer '{layer.kind}'")
    if place != len(data):
        raise ValueError(f"{len(data) - place} bytes are left over")


def _network(layers: list[Layer]) -> Network:
    """The network that has these layers, if one has."""
    convolutions = [layer for layer in layers if layer.kind == "Convolution"]
    first, last = convolutions[0], convolutions[-1]
    width = first.count(0)
    if any(layer.kind == "PReLU" for layer in layers):
        return SRVGG(scale=math.isqrt(last.count(0) // 3), width=width, depth=len(convolutions) - 2)
    channels = first.count(6) // (9 * width)
    blocks, rest = divmod(len(convolutions) - AROUND, DENSE)
    if rest or blocks < 1:
        raise ValueError("its layers are those of another network")
    return RRDBNet(scale=4 // math.isqrt(channels // 3), width=width, growth=convolutions[1].count(0), blocks=blocks)
