"""What OpenImageIO reads and writes: 16 bits of colour in PNG and JPEG 2000, JPEG XL and OpenEXR."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from irsde_cli import extras
from irsde_cli.errors import InputError

WHAT = {
    "png": "a PNG with 16-bit colour",
    "jp2": "a JPEG 2000 picture of more than 8 bits",
    "jxl": "a JPEG XL picture",
    "exr": "an OpenEXR picture",
}


def openimageio(name: str, format: str = "png") -> Any:
    """The module OpenImageIO.

    Raises:
        InputError: it is not installed, or is and does not load.
    """
    extra = "jxl" if format == "jxl" else "hdr"
    try:
        return extras.load(extra)
    except extras.MissingError as error:
        eight = "" if format in ("jxl", "exr") else " Or accept 8 bits with --depth 8."
        raise InputError(
            f"'{name}' is {WHAT[format]}, which needs {error.package}, and that {error.reason}.",
            hint=f"Run: {extras.how(extra)}.{eight}",
        ) from None


def encode(
    samples: NDArray[Any], format: str, name: str, settings: Mapping[str, Any], icc: bytes | None = None
) -> bytes:
    """A file of (H, W, C) samples of 8 or 16 bits: grey, RGB, and either with alpha that is not premultiplied.

    Args:
        samples: the picture.
        format: `png`, `jp2` or `jxl`.
        name: what messages call it.
        settings: attributes, as OpenImageIO names them.
        icc: a colour profile that the encoder is told of.

    Raises:
        InputError: OpenImageIO is missing or refuses.
    """
    oiio = openimageio(name, format)
    height, width, channels = samples.shape
    spec = oiio.ImageSpec(width, height, channels, str(samples.dtype))
    for key, value in settings.items():
        spec.attribute(key, value)
    spec.attribute("oiio:UnassociatedAlpha", 1)
    if icc:
        spec.attribute("ICCProfile", oiio.TypeDesc(f"uint8[{len(icc)}]"), np.frombuffer(icc, np.uint8))
    if channels in (2, 4):
        spec.alpha_channel = channels - 1
    # Its Python interface writes to named files only.
    with tempfile.TemporaryDirectory(prefix="irsde-") as folder:
        path = Path(folder) / f"picture.{format}"
        output = oiio.ImageOutput.create(str(path))
        written = (
            output is not None
            and output.open(str(path), spec)
            and output.write_image(np.ascontiguousarray(samples))
            and output.close()
        )
        if not written:
            reason = output.geterror() if output else oiio.geterror()
            raise InputError(f"'{name}' cannot be written as {format.upper()} by OpenImageIO: {reason}")
        return path.read_bytes()


def decode(data: bytes, format: str, kind: str) -> tuple[NDArray[Any], bytes | None]:
    """(H, W, C) samples of a file, alpha not premultiplied, and its colour profile.

    Args:
        data: the file.
        format: its suffix, without a dot.
        kind: of the samples: `uint8`, `uint16` or `float`.

    Raises:
        ValueError: OpenImageIO cannot read it.
    """
    oiio = openimageio("", format)
    asked = oiio.ImageSpec()
    asked.attribute("oiio:UnassociatedAlpha", 1)
    with tempfile.TemporaryDirectory(prefix="irsde-") as folder:
        path = Path(folder) / f"picture.{format}"
        path.write_bytes(data)
        source = oiio.ImageInput.open(str(path), asked)
        if source is None:
            raise ValueError(oiio.geterror() or "the decoder gives no reason")
        try:
            samples = source.read_image(kind)
            if samples is None:
                raise ValueError(source.geterror() or "the decoder gives no reason")
            profile = source.spec().getattribute("ICCProfile")
        finally:
            source.close()
    return samples, None if profile is None else bytes(profile)
