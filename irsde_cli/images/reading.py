"""The one reader of pictures. Files are untrusted: nothing is decoded before the header has been found acceptable."""

import io
import os
import re
import stat
import struct
from pathlib import Path

import numpy as np
from PIL import BmpImagePlugin, Image, ImageCms, ImageFile, JpegImagePlugin, PngImagePlugin, WebPImagePlugin

from irsde_cli.errors import InputError
from irsde_cli.images import containers, tiff
from irsde_cli.images.containers import Container
from irsde_cli.images.hdr import openimageio
from irsde_cli.images.picture import Limits, Picture, Pixels

DECODERS: dict[str, type[ImageFile.ImageFile]] = {
    "jpeg": JpegImagePlugin.JpegImageFile,
    "png": PngImagePlugin.PngImageFile,
    "webp": WebPImagePlugin.WebPImageFile,
    "tiff": tiff.PlainTiffFile,
    "bmp": BmpImagePlugin.BmpImageFile,
}

# What each mode of Pillow becomes. Palettes with transparency become RGBA; 16-bit grey stays as it is.
MODES = {
    "1": "L",
    "L": "L",
    "LA": "LA",
    "La": "LA",
    "P": "RGB",
    "PA": "RGBA",
    "RGB": "RGB",
    "RGBX": "RGB",
    "RGBA": "RGBA",
    "YCbCr": "RGB",
    "CMYK": "RGB",
    "LAB": "RGB",
    "I;16": "I;16",
    "I;16B": "I;16B",
    "I": "I",
}

XMP_ORIENTATION = re.compile(rb"""(tiff:Orientation(?:\s*=\s*["']|>))[2-8]""")


def read_picture(
    source: Path | bytes,
    name: str,
    *,
    limits: Limits = Limits(),  # noqa: B008
    allow_truncated: bool = False,
    strict: bool = False,
    depth: int | None = None,
) -> Picture:
    """Read a picture by its content, upright, from a regular file or from bytes.

    Safe to call from several threads: no setting of Pillow or of Python's warnings is touched.

    Args:
        source: JPEG, PNG, WebP, TIFF or BMP.
        name: what messages call it.
        limits: what it may cost.
        allow_truncated: take what a file that is cut off still shows. Not possible for WebP.
        strict: fail where there would be a warning.
        depth: bits per sample of the result, 8 or 16; `None` keeps the file's.

    Raises:
        InputError: whatever is wrong with the file; no other exception leaves.
    """
    try:
        data = source if isinstance(source, bytes) else _contents(source, name, limits)
        return _read(data, name, limits, allow_truncated, strict, depth)
    except InputError:
        raise
    except MemoryError:
        raise InputError(f"'{name}' does not fit in memory.") from None
    except OSError as error:
        if error.errno is not None:
            raise InputError(f"'{name}' cannot be read: {error.strerror}.") from None
        raise _damaged(name, error) from None
    except Exception as error:
        raise _damaged(name, error) from None


def _damaged(name: str, error: Exception) -> InputError:
    return InputError(f"'{name}' is damaged or of an unsupported kind: {str(error) or type(error).__name__}.")


def _contents(path: Path, name: str, limits: Limits) -> bytes:
    # Before opening: a pipe would be waited for.
    if not stat.S_ISREG(path.stat().st_mode):
        raise InputError(f"'{name}' is not a regular file.")
    with path.open("rb") as file:
        before = os.fstat(file.fileno())
        if before.st_size > limits.max_file_bytes:
            raise InputError(f"'{name}' has {before.st_size} bytes; the limit is {limits.max_file_bytes}.")
        data = file.read(limits.max_file_bytes + 1)
        after = os.fstat(file.fileno())
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns) or len(data) != after.st_size:
        raise InputError(f"'{name}' changed while it was read.", hint="Run again when it is complete.")
    return data


def _read(data: bytes, name: str, limits: Limits, allow_truncated: bool, strict: bool, depth: int | None) -> Picture:
    truncated = InputError(f"'{name}' is truncated.", hint="--allow-truncated takes what is there.")
    if not data:
        raise InputError(f"'{name}' is empty.")
    try:
        container = containers.inspect(data)
    except containers.Truncated:
        raise InputError(f"'{name}' is truncated.", hint="Nothing of it can be shown; find another copy.") from None
    except containers.Damaged as error:
        raise InputError(f"'{name}' {error}.") from None
    if container is None:
        raise InputError(f"'{name}' is not a supported image (JPEG, PNG, WebP, TIFF, BMP).")
    _check(container, name, limits, depth)
    notes = list(container.notes)
    essence = container.essence
    if not container.complete:
        if not allow_truncated:
            raise truncated
        try:
            essence = containers.mended(container)
        except containers.Truncated:
            raise InputError(f"'{name}' is truncated; a file of this kind cannot be read in part.") from None
        notes.append("it is truncated; what is missing is black or grey")
    icc = container.icc
    if container.format == "tiff" and container.depth == 16 and _photometric(container) in (0, 1, 2):
        pixels, alpha = _sixteen_bit_tiff(container, essence)
    elif container.format == "png" and container.depth == 16 and container.channels > 1:
        pixels, alpha = _apart(_sixteen_bit_png(container, essence))
    else:
        pixels, alpha, icc = _eight_bit_or_grey(container, essence, notes)
    if container.tiff and 0 in container.tiff.numbers(tiff.EXTRA_SAMPLES):
        notes.append("a channel of unstated meaning is not kept")
    if container.key is not None:
        alpha = _keyed(pixels, container)
    if strict and notes:
        raise InputError(f"'{name}': {notes[0]}.", hint="Without --strict this is a warning.")
    exif, xmp = container.exif, container.xmp
    if container.orientation > 1:
        pixels = _upright(pixels, container.orientation)
        alpha = None if alpha is None else _upright(alpha, container.orientation)
        exif = tiff.upright(exif) if exif else None
        xmp = XMP_ORIENTATION.sub(rb"\g<1>1", xmp) if xmp else None
    picture = Picture(pixels, alpha, container.format, icc, exif, xmp, container.dpi, name=name)
    if depth == 8 and picture.depth == 16:
        notes.append("it is reduced from 16 to 8 bits")
    picture = picture if depth is None else picture.to_depth(depth)
    return Picture(**{**vars(picture), "warnings": tuple(notes)})
