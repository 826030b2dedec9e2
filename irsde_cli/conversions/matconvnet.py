"""DnCNN as its authors first released it: a chain of MatConvNet's layers in a `.mat` file.

`net.layers` is a row of structs; a convolution's `weights` are its kernel, (height, width, in, out), and its bias.
MatConvNet correlates as torch does. MATLAB drops last sides of 1, so that the bias says how many channels go out.
"""

import struct
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from irsde_cli import extras
from irsde_cli.errors import WeightsError
from irsde_cli.storage.weight_files import check_regular

HEADER, TAG, COMPRESSED = 128, 8, 15
# Numbers of weights hardly shrink; what says that it holds far more than its bytes is no set of weights.
MOST_INFLATED = 8
ROOM = 1 << 16  # for small files, whose structure shrinks well
WITHOUT_NUMBERS = ("relu", "loss")


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a released file, by the names of `irsde_cli.networks.dncnn.DnCNN`.

    Raises:
        WeightsError: the file is missing, damaged, or something else.
        MissingError: SciPy, which reads it, is not installed.
    """
    check_regular(path)
    io = extras.load("mat", f"'{path}' is a MATLAB file: it", "scipy.io")
    try:
        _check_size(path.read_bytes())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of other variables
            held = io.loadmat(path, appendmat=False, variable_names=["net"], simplify_cells=True)
        layers = [layer for layer in held["net"]["layers"] if layer["type"] not in WITHOUT_NUMBERS]
        return {name: tensor for place, layer in enumerate(layers) for name, tensor in _convolution(2 * place, layer)}
    except Exception as error:  # the library has no errors of its own for damaged files
        raise WeightsError(
            f"'{path}' holds no chain of MatConvNet's layers that can be read: {type(error).__name__}, {error}.",
            hint="'net.layers' of a DnCNN is expected, saved with -v7 or older, and with batch normalisation merged.",
        ) from None


def _convolution(place: int, layer: dict[str, Any]) -> list[tuple[str, Tensor]]:
    if layer["type"] != "conv":
        raise ValueError(f"a layer is '{layer['type']}'")
    kernel, bias = (np.asarray(values, np.float32) for values in layer["weights"])
    kernel = kernel.reshape(*kernel.shape[:2], -1, bias.size).transpose(3, 2, 0, 1)
    return [
        (f"model.{place}.weight", torch.from_numpy(kernel.copy())),
        (f"model.{place}.bias", torch.from_numpy(bias.reshape(-1).copy())),
    ]


def _check_size(data: bytes) -> None:
    """Whether what is compressed stays near what is there: memory is taken before anything is compared."""
    order = "<" if data[126:128] == b"IM" else ">"
    place, room = HEADER, ROOM + MOST_INFLATED * len(data)
    while place + TAG <= len(data):
        kind, size = struct.unpack_from(f"{order}II", data, place)
        place += TAG
        if kind == COMPRESSED:
            inflating = zlib.decompressobj()
            room -= len(inflating.decompress(data[place : place + size], max(room, 1)))
            if inflating.unconsumed_tail:
                raise ValueError("it would take far more memory than its size")
        place += size
