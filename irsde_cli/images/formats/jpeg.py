"""JPEG files: segments, and what stands in them."""

import re
import struct
from collections.abc import Iterator

from irsde_cli.images import tiff
from irsde_cli.images.container import SEVERAL, Container, DamagedError, TruncatedError, dpi_of

MAX_SEGMENTS = 4096
MARKER = re.compile(rb"\xff([^\xff])")
SEGMENT = re.compile(rb"\xff[^\x00\x01\xd0-\xd9\xff]")
XMP = b"http://ns.adobe.com/xap/1.0/\0"


def read(data: bytes) -> Container:
    """The container of a JPEG file; raises as `formats.inspect` does."""
    kept: list[bytes] = [b"\xff\xd8"]
    notes: list[str] = []
    profile: dict[int, bytes] = {}
    size, channels, parts = (0, 0), 0, 0
    exif: bytes | None = None
    xmp: bytes | None = None
    dpi: tuple[float, float] | None = None
    for marker, start, segment in _segments(data):
        if marker == 0xDA:
            kept.append(data[start:])
            break
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            precision, height, width, channels = struct.unpack_from(">BHHB", segment)
            size = height, width
            if precision != 8:
                raise DamagedError(f"is a JPEG of {precision} bits, which is not supported")
        if marker in (0xE0, 0xEE) or not (0xE0 <= marker <= 0xEF or marker == 0xFE):
            kept.append(data[start : start + 4 + len(segment)])
        if marker == 0xE0 and segment.startswith(b"JFIF\0") and len(segment) >= 12:
            unit, across, down = struct.unpack_from(">BHH", segment, 7)
            dpi = dpi_of(across, down, {1: 1.0, 2: 2.54}.get(unit))
        elif marker == 0xE1 and segment.startswith(b"Exif\0"):
            exif = segment[6:] if exif is None else exif
        elif marker == 0xE1 and segment.startswith(XMP):
            xmp = segment[len(XMP) :]
        elif marker == 0xE1 and segment.startswith(b"http://ns.adobe.com/xmp/extension/"):
            notes.append("its extended XMP is not kept")
        elif marker == 0xE2 and segment.startswith(b"ICC_PROFILE\0") and len(segment) >= 14:
            profile[segment[12]] = segment[14:]
            parts = segment[13]
        elif marker == 0xE2 and segment.startswith(b"MPF\0") and _has_further_pictures(segment[4:]):
            notes.append(SEVERAL)
        elif marker == 0xED and segment.startswith(b"Photoshop 3.0\0"):
            notes.append("its IPTC and Photoshop block is not kept")
    icc = b"".join(profile[number] for number in sorted(profile)) or None
    if profile and sorted(profile) != list(range(1, parts + 1)):
        icc = None
        notes.append("its colour profile is incomplete and is dropped")
    return Container(
        "jpeg",
        size,
        b"".join(kept),
        complete=kept[-1].find(b"\xff\xd9") >= 0,
        channels=channels,
        icc=icc,
        exif=exif,
        xmp=xmp,
        dpi=dpi,
        notes=tuple(notes),
    )


def _segments(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Marker, offset and payload of each segment up to and with the first start of scan."""
    position = 2
    for _ in range(MAX_SEGMENTS):
        found = MARKER.search(data, position)
        if not found:
            raise TruncatedError
        marker, position = found[1][0], found.end()
        if marker == 0xD9:
            raise DamagedError("is a JPEG without a picture")
        if marker in (0x00, 0x01) or 0xD0 <= marker <= 0xD8:
            continue
        length = int.from_bytes(data[position : position + 2], "big")
        segment = data[position + 2 : position + length]
        if len(segment) + 2 < length or position + 2 > len(data):
            raise TruncatedError
        yield marker, position - 2, segment
        position += max(length, 2)
    raise DamagedError("is a JPEG with too many segments")


def mended(essence: bytes) -> bytes:
    """A file that is cut off, with an end put to it."""
    position = 2
    while found := SEGMENT.search(essence, position):
        position = found.end() + max(int.from_bytes(essence[found.end() : found.end() + 2], "big"), 2)
        if position > len(essence):
            # A table between scans that is cut off would swallow the end that is put here.
            essence = essence[: found.start()]
    return essence.rstrip(b"\xff") + b"\xff\xd9"


def _has_further_pictures(index: bytes) -> bool:
    """Whether a multi-picture index names more than one picture and its thumbnails."""
    try:
        entries = tiff.parse(index).raw(0xB002) or b""
        order = "<" if index[:2] == b"II" else ">"
    except (ValueError, EOFError):
        return False
    kinds = [struct.unpack_from(order + "I", entries, at)[0] & 0xFFFFFF for at in range(0, len(entries) - 15, 16)]
    return any(kind >> 16 != 1 for kind in kinds[1:])
