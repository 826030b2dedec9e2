"""The outside of a picture file, as every format's reader describes it."""

import zlib
from dataclasses import dataclass

from irsde_cli.images.tiff import Tiff

MAX_METADATA_BYTES = 16 << 20
SEVERAL = "it holds several pictures; the first is taken"


class TruncatedError(Exception):
    """The file ends before the picture does."""


class DamagedError(Exception):
    """The file cannot hold a picture; the message completes "'x.png' "."""


@dataclass(frozen=True)
class Container:
    """The outside of a picture file.

    Attributes:
        format: as in `Picture`.
        size: (H, W) as stored, before the orientation is applied.
        essence: the file without metadata and further pictures, for a decoder; TIFF and WebP still have theirs.
        complete: whether the end of the picture is there.
        depth: bits per sample.
        channels: samples per pixel, as stored.
        key: the samples of the colour that stands for transparent, in `depth` bits (PNG).
        tiff: the directory of a TIFF file.
        icc, exif, xmp, dpi: as in `Picture`, but for the orientation that EXIF still holds.
        orientation: 1 to 8, as EXIF numbers them.
        notes: what could not be read and will be lost.
    """

    format: str
    size: tuple[int, int]
    essence: bytes
    complete: bool = True
    depth: int = 8
    channels: int = 3
    key: tuple[int, ...] | None = None
    tiff: Tiff | None = None
    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    dpi: tuple[float, float] | None = None
    orientation: int = 1
    notes: tuple[str, ...] = ()


def inflated(stream: bytes) -> bytes:
    """What a zlib stream holds.

    Raises:
        ValueError: it is cut off or holds more than `MAX_METADATA_BYTES`.
        zlib.error: it is not a zlib stream.
    """
    inflater = zlib.decompressobj()
    result = inflater.decompress(stream, MAX_METADATA_BYTES)
    if not inflater.eof:
        raise ValueError("cut off or too large")
    return result


def dpi_of(across: int, down: int, scale: float | None) -> tuple[float, float] | None:
    """Pixels an inch of a resolution in units of `scale`; `None` where nothing sensible is said."""
    return (across * scale, down * scale) if scale and across > 0 and down > 0 else None
