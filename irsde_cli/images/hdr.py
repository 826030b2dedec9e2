"""16-bit colour in PNG, which the extra `irsde[hdr]` adds."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from irsde_cli.errors import InputError


def openimageio(name: str) -> Any:
    """The module OpenImageIO.

    Raises:
        InputError: it is not installed, or is and does not load.
    """
    try:
        import OpenImageIO
    except Exception as error:
        missing = isinstance(error, ModuleNotFoundError)
        reason = "is not installed" if missing else f"does not load here ({error})"
        raise InputError(
            f"'{name}' is a PNG with 16-bit colour, which needs OpenImageIO, and that {reason}.",
            hint="Run: pip install 'irsde[hdr]'. Or accept 8 bits with --depth 8.",
        ) from None
    return OpenImageIO


def encode_png(samples: NDArray[np.uint16], name: str) -> bytes:
    """A PNG of (H, W, C) samples: grey and alpha, RGB, or RGB and alpha that is not premultiplied.

    Raises:
        InputError: OpenImageIO is missing or refuses.
    """
    oiio = openimageio(name)
    height, width, channels = samples.shape
    spec = oiio.ImageSpec(width, height, channels, "uint16")
    spec.attribute("png:compressionLevel", 1)
    spec.attribute("oiio:UnassociatedAlpha", 1)
    if channels in (2, 4):
        spec.alpha_channel = channels - 1
    # Its Python interface writes to named files only.
    with tempfile.TemporaryDirectory(prefix="irsde-") as folder:
        path = Path(folder) / "picture.png"
        output = oiio.ImageOutput.create(str(path))
        written = (
            output is not None
            and output.open(str(path), spec)
            and output.write_image(np.ascontiguousarray(samples))
            and output.close()
        )
        if not written:
            reason = output.geterror() if output else oiio.geterror()
            raise InputError(f"'{name}' cannot be written as a 16-bit PNG: {reason}")
        return path.read_bytes()
