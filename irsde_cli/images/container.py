"""The outside of a picture file, as every format's reader describes it."""

import zlib
from collections.abc import Iterable
from dataclasses import dataclass

from irsde_cli.images.parts import Part
from irsde_cli.images.tiff import Tiff

MAX_METADATA_BYTES = 16 << 20
STEP = 1 << 20


class TruncatedError(Exception):
    """The file ends before the picture does."""


class DamagedError(Exception):
    """The file cannot hold a picture; the message completes "'x.png' ", and `hint` says what to do."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


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
        turns: whether the file says itself how it is turned, or its decoder turns it, so that EXIF is not asked.
        parts: what else the file holds.
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
    turns: bool = False
    parts: tuple[Part, ...] = ()


def inflated(stream: bytes, most: int = MAX_METADATA_BYTES) -> bytes:
    """What a zlib stream holds.

    Raises:
        ValueError: it is cut off or holds more than `most` bytes.
        zlib.error: it is not a zlib stream.
    """
    inflater = zlib.decompressobj()
    result = inflater.decompress(stream, max(most, 1))
    if not inflater.eof:
        raise ValueError("cut off or too large")
    return result


def aspect_of(across: int, down: int) -> tuple[Part, ...]:
    """What a resolution without a unit says: nothing, but where pixels are no squares."""
    return (Part("aspect", f"{across}:{down}"),) if across > 0 and down > 0 and across != down else ()


def inflated_length(parts: Iterable[bytes | memoryview], most: int) -> int:
    """How many bytes a zlib stream gives, up to `most`; -1 where it has no sound end."""
    inflater, length = zlib.decompressobj(), 0
    try:
        for part in (*parts, b""):
            found = STEP
            while (part or found == STEP) and not inflater.eof and length < most:
                found = len(inflater.decompress(part, STEP))
                length += found
                part = inflater.unconsumed_tail
        return length if inflater.eof or length >= most else -1
    except zlib.error:
        return -1


def dpi_of(across: int, down: int, scale: float | None) -> tuple[float, float] | None:
    """Pixels an inch of a resolution in units of `scale`; `None` where nothing sensible is said."""
    return (across * scale, down * scale) if scale and across > 0 and down > 0 else None
