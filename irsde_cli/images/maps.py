"""Maps: grey pictures that say how much, where."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from irsde_cli.errors import InputError
from irsde_cli.images.picture import Limits, Picture
from irsde_cli.images.reading import read_picture

HOW = "A map is a grey picture: black is 0 and white is 1."
MOST_COLOUR = 2


def read_map(path: Path, picture: str, size: tuple[int, int], limits: Limits | None = None) -> NDArray[np.float32]:
    """(H, W) in [0, 1], of the map of a picture with that name, height and width.

    Raises:
        InputError: there is none, or it does not look like one.
    """
    found = read_picture(path, str(path), limits=limits or Limits())
    if found.size != size:
        (height, width), (rows, columns) = found.size, size
        raise InputError(f"the map '{path}' is {width} x {height}, but '{picture}' is {columns} x {rows}.")
    return _amounts(found)


def _amounts(found: Picture) -> NDArray[np.float32]:
    top = np.iinfo(found.pixels.dtype).max
    if found.alpha is not None and found.alpha.min() < found.alpha.max():
        raise InputError(f"the map '{found.name}' is transparent in parts.", hint=HOW)
    colour = (found.pixels.max(-1).astype(np.int64) - found.pixels.min(-1)).max() * 255 / top
    if colour > MOST_COLOUR:
        raise InputError(f"the map '{found.name}' has colours.", hint=HOW)
    amounts: NDArray[np.float32] = (found.pixels.mean(-1, dtype=np.float64) / top).astype(np.float32)
    return amounts
