"""JPEG files: segments, what stands in them, and what stands behind the picture."""

import re
import struct
from collections.abc import Iterable, Iterator

from irsde_cli.images import photoshop, tiff
from irsde_cli.images.container import Container, DamagedError, TruncatedError, aspect_of, dpi_of
from irsde_cli.images.parts import GAIN_MAP, Part, behind

MAX_SEGMENTS = 4096
MOST_BYTES = 65533
MARKER = re.compile(rb"\xff([^\xff])")
SEGMENT = re.compile(rb"\xff[^\x00\x01\xd0-\xd9\xff]")
# Within and behind a scan: what ends it, a table, a comment, or the next scan.
IN_SCAN = re.compile(rb"\xff([\xc4\xcc\xd9\xda\xdb\xdc\xdd\xe0-\xef\xfe])")
XMP = b"http://ns.adobe.com/xap/1.0/\0"
EXTENDED_XMP = b"http://ns.adobe.com/xmp/extension/\0"
PROFILE, INDEX = b"ICC_PROFILE\0", b"MPF\0"
# Of the decoder, a thumbnail, or what an encoder was told.
IMPLIED = (b"JFIF\0", b"JFXX\0", b"Adobe", b"Ducky")


def read(data: bytes) -> Container:
    """The container of a JPEG file; raises as `formats.inspect` does."""
    kept: list[bytes] = [b"\xff\xd8"]
    parts: list[Part] = []
    profile: dict[int, bytes] = {}
    size, channels, count = (0, 0), 0, 0
    exif: bytes | None = None
    xmp: bytes | None = None
    dpi: tuple[float, float] | None = None
    resources, index, end = b"", (0, b""), 0
    for marker, start, segment in _segments(data):
        if marker == 0xDA:
            end = _end(data, start)
            parts += _comments(data, start, end)
            kept.append(data[start : end or len(data)])
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
            parts += aspect_of(across, down) if unit == 0 else ()
        elif marker == 0xE1 and segment.startswith(b"Exif\0") and exif is None:
            exif = segment[6:]
        elif marker == 0xE1 and segment.startswith(XMP) and xmp is None:
            xmp = segment[len(XMP) :]
        elif marker == 0xE1 and segment.startswith(EXTENDED_XMP):
            parts.append(Part("xmp"))
        elif marker == 0xE2 and segment.startswith(PROFILE) and len(segment) >= 14:
            profile[segment[12]] = segment[14:]
            count = segment[13]
        elif marker == 0xE2 and segment.startswith(INDEX):
            index = start + 8, segment[4:]
        elif marker == 0xED and segment.startswith(photoshop.PREFIX):
            resources += segment[len(photoshop.PREFIX) :]
        elif marker == 0xFE and segment:
            parts.append(Part("jpeg-comment", data=segment))
        elif 0xE0 <= marker <= 0xEF and not segment.startswith(IMPLIED):
            parts.append(_foreign(marker, segment))
    icc = b"".join(profile[number] for number in sorted(profile)) or None
    if profile and sorted(profile) != list(range(1, count + 1)):
        icc = None
        parts.append(Part("unreadable", "its colour profile is incomplete"))
    parts += photoshop.parts_of(resources)
    parts += _behind(data, end, *index) if end else []
    return Container(
        "jpeg",
        size,
        b"".join(kept),
        complete=end > 0,
        channels=channels,
        icc=icc,
        exif=exif,
        xmp=xmp,
        dpi=dpi,
        parts=tuple(parts),
    )


def _foreign(marker: int, segment: bytes) -> Part:
    """An application's segment that is not kept."""
    if GAIN_MAP.match(segment):
        return Part("gain-map")
    if marker == 0xEB and b"c2pa" in segment:
        return Part("credentials")
    name = re.match(rb"[\x20-\x7e]{0,40}", segment)
    return Part("foreign", f"APP{marker - 0xE0} {name[0].decode() if name else ''}".rstrip())


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


def _end(data: bytes, start: int) -> int:
    """Where the picture ends whose first scan starts there; 0 where it does not.

    An end that stands in a table between two scans is none. Where tables do not lead to one, as in a damaged file, the
    first is taken that is there.
    """
    position = start
    while found := IN_SCAN.search(data, position):
        if found[1] == b"\xd9":
            return found.end()
        position = found.end() + max(int.from_bytes(data[found.end() : found.end() + 2], "big"), 2)
    end = data.find(b"\xff\xd9", start)
    return end + 2 if end >= 0 else 0


def _comments(data: bytes, start: int, end: int) -> Iterator[Part]:
    """Comments that stand between the scans of a picture."""
    position = start
    while (found := IN_SCAN.search(data, position, end)) and found[1] != b"\xd9":
        position = found.end() + max(int.from_bytes(data[found.end() : found.end() + 2], "big"), 2)
        if found[1] == b"\xfe" and position <= end:
            yield Part("jpeg-comment", data=data[found.end() + 2 : position])


def _behind(data: bytes, end: int, origin: int, index: bytes) -> Iterator[Part]:
    """What stands behind the picture: what a multi-picture index names, but for thumbnails, and the rest."""
    rest = bytearray(data[end:])
    further = 0
    for kind, start, size in _entries(index):
        start += origin
        if start < end:  # the picture itself
            continue
        if GAIN_MAP.search(data, start, min(start + size, start + MOST_BYTES)):
            yield Part("gain-map")
        elif kind >> 16 != 1:
            further += 1
        rest[start - end : start - end + size] = bytes(len(rest[start - end : start - end + size]))
    if further:
        yield Part("pictures", str(further))
    yield from behind(bytes(rest))


def _entries(index: bytes) -> list[tuple[int, int, int]]:
    """Kind, offset from the index and size of each picture that a multi-picture index names."""
    try:
        entries = tiff.parse(index).raw(0xB002) or b""
    except (ValueError, EOFError):
        return []
    order = "<" if index[:2] == b"II" else ">"
    found = [struct.unpack_from(order + "3I", entries, at) for at in range(0, len(entries) - 15, 16)]
    return [(attributes & 0xFFFFFF, start, size) for attributes, size, start in found]


def with_segments(data: bytes, parts: Iterable[Part]) -> bytes:
    """A JPEG file with the parts that have a place in it, behind its own application segments."""
    added = [
        (0xFE, part.data) if part.kind == "jpeg-comment" else (0xED, photoshop.PREFIX + photoshop.block_of(part.data))
        for part in parts
        if part.fits("jpeg")
    ]
    if not added:
        return data
    place = next(start for marker, start, _ in _segments(data) if not 0xE0 <= marker <= 0xEF)
    segments = b"".join(struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body for marker, body in added)
    return data[:place] + segments + data[place:]
