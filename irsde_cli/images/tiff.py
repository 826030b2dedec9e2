"""The structure of TIFF files, which is also that of EXIF: directories of tagged values."""

import struct
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from PIL import Image, TiffImagePlugin

TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
INTEGERS = {1: "u1", 3: "u2", 4: "u4", 13: "u4", 16: "u8", 18: "u8"}

JPEG = 7
WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, FILL_ORDER = 256, 257, 258, 259, 262, 266
STRIP_OFFSETS, SAMPLES, ROWS_PER_STRIP, STRIP_BYTES = 273, 277, 278, 279
ORIENTATION, X_RESOLUTION, Y_RESOLUTION, PLANAR, RESOLUTION_UNIT, PREDICTOR = 274, 282, 283, 284, 296, 317
TILE_WIDTH, TILE_HEIGHT, TILE_OFFSETS, TILE_BYTES, EXTRA_SAMPLES, SAMPLE_FORMAT = 322, 323, 324, 325, 338, 339
DESCRIPTION, SUB_IFDS = 270, 330
XMP, IPTC, PHOTOSHOP, ICC, EXIF_IFD, GPS_IFD, INTEROP_IFD = 700, 33723, 34377, 34675, 34665, 34853, 40965

CHILDREN = (EXIF_IFD, GPS_IFD, INTEROP_IFD)
MAX_PAGES = 65536
MAX_TILE_PIXELS = 2048 * 2048
# What a decoder needs: the tags of baseline TIFF that describe samples, fax options, colour map, JPEG and YCbCr.
DECODING = frozenset(
    {WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, FILL_ORDER, STRIP_OFFSETS, SAMPLES, ROWS_PER_STRIP, STRIP_BYTES}
    | {PLANAR, 292, 293, PREDICTOR, 320, TILE_WIDTH, TILE_HEIGHT, TILE_OFFSETS, TILE_BYTES, EXTRA_SAMPLES}
    | {SAMPLE_FORMAT, 347, *range(512, 522), 529, 530, 531, 532}
)
# What EXIF has beside its own directories: names, dates, makers, copyright, ratings, and the Windows titles.
DESCRIBING = frozenset(
    {269, DESCRIPTION, 271, 272, 285, 305, 306, 315, 316, 33432, 18246, 18249, 40091, 40092, 40093, 40094, 40095}
)
# Byte streams that libtiff gives back as they were, whatever the samples in them mean.
LOSSLESS = {1, 5, 8, 32773, 32946, 34925, 50000}


@dataclass(frozen=True)
class Value:
    """The raw bytes of one tag, in the file's byte order."""

    type: int
    raw: bytes | memoryview


Directory: TypeAlias = dict[int, "Value | Directory"]


@dataclass(frozen=True)
class Tiff:
    """A directory of a file; `order` is `<` or `>`, `inner` whether another one holds it."""

    order: str
    tags: Directory
    inner: bool = False

    def numbers(self, tag: int, default: tuple[int, ...] = ()) -> tuple[int, ...]:
        """The integers of a tag; `default` where it is absent or not of integers."""
        value = self.tags.get(tag)
        if not isinstance(value, Value) or value.type not in INTEGERS:
            return default
        return tuple(np.frombuffer(value.raw, self.order + INTEGERS[value.type]).tolist()) or default

    def number(self, tag: int, default: int = 0) -> int:
        """The first of `numbers`."""
        return self.numbers(tag, (default,))[0]

    @property
    def tiled(self) -> bool:
        """Whether the pixels lie in tiles, not in strips."""
        return TILE_OFFSETS in self.tags

    def blocks(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Offsets and sizes in bytes of the strips or tiles."""
        if self.tiled:
            return self.numbers(TILE_OFFSETS), self.numbers(TILE_BYTES)
        return self.numbers(STRIP_OFFSETS), self.numbers(STRIP_BYTES)

    def blocks_needed(self) -> int:
        """How many strips or tiles cover the picture; 0 where the layout is impossible, or its tiles absurdly large."""
        height, width = self.number(HEIGHT), self.number(WIDTH)
        rows = self.number(TILE_HEIGHT) if self.tiled else min(self.number(ROWS_PER_STRIP, height), height)
        columns = self.number(TILE_WIDTH) if self.tiled else width
        if not rows or not columns or rows * columns > 4 * height * width + MAX_TILE_PIXELS:
            return 0
        return -(-height // rows) * -(-width // columns) * (self.number(SAMPLES, 1) if self.number(PLANAR) == 2 else 1)

    def ratio(self, tag: int) -> float:
        """The first fraction of a tag; 0 where it is absent or nothing."""
        value = self.tags.get(tag)
        if not isinstance(value, Value) or value.type != 5:
            return 0.0
        numerator, denominator = struct.unpack_from(self.order + "2I", value.raw)
        return float(numerator / denominator) if denominator else 0.0

    def raw(self, tag: int) -> bytes | None:
        """The bytes of a tag."""
        value = self.tags.get(tag)
        return bytes(value.raw) if isinstance(value, Value) else None


def parse(data: bytes) -> Tiff:
    """The first directory of a TIFF or BigTIFF file or of an EXIF block.

    Raises:
        ValueError: there is no such directory.
        EOFError: it lies beyond the end.
    """
    order, start, big = _header(data)
    return Tiff(order, _directory(memoryview(data), order, start, big, CHILDREN)[0])


def pages(data: bytes) -> list[Tiff]:
    """All directories of a file: the first, those that follow it, and behind each its inner ones.

    Another one that cannot be read is one without tags.

    Raises:
        ValueError: there is no first directory.
        EOFError: it lies beyond the end.
    """
    order, start, big = _header(data)
    found: list[Tiff] = []
    seen: set[int] = set()
    waiting = deque([(start, False)])
    while waiting and len(found) < MAX_PAGES:
        place, inner = waiting.popleft()
        if place in seen:
            continue
        seen.add(place)
        try:
            tags, following = _directory(memoryview(data), order, place, big, CHILDREN)
        except (ValueError, EOFError):
            if not found:
                raise
            tags, following = {}, 0
        page = Tiff(order, tags, inner)
        found.append(page)
        if following:
            waiting.append((following, inner))
        waiting.extendleft((place, True) for place in reversed(page.numbers(SUB_IFDS)))
    return found


def _header(data: bytes) -> tuple[str, int, bool]:
    """Byte order, place of the first directory, and whether it is BigTIFF's."""
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    if order is None or len(data) < 8:
        raise ValueError("no TIFF header")
    version, start = struct.unpack_from(order + "HI", data, 2)
    if version == 43 and len(data) >= 16:
        return order, struct.unpack_from(order + "Q", data, 8)[0], True
    if version != 42:
        raise ValueError("no TIFF header")
    return order, start, False


def _directory(data: memoryview, order: str, start: int, big: bool, children: tuple[int, ...]) -> tuple[Directory, int]:
    counter, entry, offset, inline = ("Q", "HHQ", "Q", 8) if big else ("H", "HHI", "I", 4)
    try:
        count = struct.unpack_from(order + counter, data, start)[0]
        start += struct.calcsize(order + counter)
        length = struct.calcsize(order + entry) + inline
        if count > 65535:
            raise ValueError("no TIFF directory")
        if start + count * length > len(data):
            raise EOFError("the directory is cut off")
        tags: Directory = {}
        for at in range(start, start + count * length, length):
            tag, kind, number = struct.unpack_from(order + entry, data, at)
            size = TYPE_BYTES.get(kind, 0) * number
            place = at + length - inline
            if size > inline:
                place = struct.unpack_from(order + offset, data, place)[0]
            if not size or place + size > len(data):
                continue
            value = Value(kind, data[place : place + size])
            if tag not in children:
                tags[tag] = value
            elif kind in INTEGERS and size >= 4:
                where = int(np.frombuffer(value.raw, order + INTEGERS[kind])[0])
                try:
                    tags[tag] = _directory(data, order, where, big, (INTEROP_IFD,) if tag == EXIF_IFD else ())[0]
                except (ValueError, EOFError):
                    continue
        end = start + count * length
        # EXIF writers have been seen to leave the last link out.
        following = struct.unpack_from(order + offset, data, end)[0] if end + inline <= len(data) else 0
    except struct.error:
        raise EOFError("the directory is cut off") from None
    return tags, following


def integers(order: str, *values: int) -> Value:
    """A tag of 32-bit integers."""
    return Value(4, struct.pack(f"{order}{len(values)}I", *values))


def pack(tags: Mapping[int, "Value | Directory"], order: str, start: int) -> bytes:
    """A classic directory, its children and its values, to stand at the even offset `start` of a file."""
    values = {tag: tags[tag] for tag in sorted(tags)}
    entries = struct.pack(order + "H", len(values))
    body = bytearray()
    body_start = start + 2 + 12 * len(values) + 4
    for tag, value in values.items():
        here = body_start + len(body)
        if isinstance(value, dict):
            body += pack(value, order, here)
            entries += struct.pack(order + "HHII", tag, 4, 1, here)
        else:
            raw = bytes(value.raw)
            entries += struct.pack(order + "HHI", tag, value.type, len(raw) // TYPE_BYTES[value.type])
            if len(raw) <= 4:
                entries += raw.ljust(4, b"\0")
            else:
                entries += struct.pack(order + "I", here)
                body += raw
        body += b"\0" * (len(body) % 2)
    return entries + bytes(4) + bytes(body)


def weight(tags: Mapping[int, "Value | Directory"]) -> int:
    """Bytes of all values: what `pack` would take, but for a few an entry."""
    return sum(weight(value) if isinstance(value, dict) else len(value.raw) for value in tags.values())


def with_directory(data: bytes, tags: Mapping[int, "Value | Directory"], order: str) -> bytes:
    """`data` as a one-page classic TIFF file with these tags; what they point to stays where it is."""
    start = len(data) + len(data) % 2
    header = {"<": b"II", ">": b"MM"}[order] + struct.pack(order + "HI", 42, start)
    return b"".join((header, memoryview(data)[8:], b"\0" * (start - len(data)), pack(tags, order, start)))


def decoding_only(data: bytes, tiff: Tiff) -> bytes:
    """A page of a file with the tags that a decoder needs, and no others."""
    tags: Directory = {}
    for tag in DECODING & tiff.tags.keys():
        value = tiff.tags[tag]
        big = isinstance(value, Value) and value.type in (16, 18)
        tags[tag] = integers(tiff.order, *tiff.numbers(tag)) if big else value
    return with_directory(data, tags, tiff.order)


def exif_of(tiff: Tiff, max_bytes: int) -> bytes | None:
    """What describes the photograph in a TIFF file, as an EXIF block.

    Raises:
        ValueError: it would be larger than `max_bytes`.
    """
    wanted = DESCRIBING | {EXIF_IFD, GPS_IFD}
    tags = {tag: value for tag, value in tiff.tags.items() if tag in wanted and is_classic(value)}
    if weight(tags) > max_bytes:
        raise ValueError("too large")
    return with_directory(bytes(8), tags, tiff.order) if tags else None


def with_tags(data: bytes, block: bytes) -> bytes:
    """A TIFF file of ours with the tags of a block of the same byte order; those of the file come first."""
    own, other = parse(data), parse(block)
    assert own.order == other.order
    kept = {tag: value for tag, value in other.tags.items() if tag not in DECODING and tag != SUB_IFDS}
    return with_directory(data, kept | own.tags, own.order)


def is_classic(value: "Value | Directory") -> bool:
    """Whether a value has a place in a file that is not BigTIFF."""
    return isinstance(value, dict) or value.type < 16


def orientation(exif: bytes) -> int:
    """1 to 8; 1 where nothing valid is said.

    Raises:
        ValueError, EOFError: this is no EXIF block.
    """
    if 43 in exif[2:4]:
        raise ValueError("BigTIFF is not used for EXIF")
    value = parse(exif).number(ORIENTATION, 1)
    return value if 1 <= value <= 8 else 1


def upright(exif: bytes) -> bytes:
    """The block with orientation 1 and every other byte as it was."""
    order = parse(exif).order
    start = struct.unpack_from(order + "I", exif, 4)[0]
    count = struct.unpack_from(order + "H", exif, start)[0]
    patched = bytearray(exif)
    for at in range(start + 2, start + 2 + 12 * count, 12):
        if struct.unpack_from(order + "H", exif, at)[0] == ORIENTATION:
            struct.pack_into(order + "HIHH", patched, at + 2, 3, 1, 1, 0)
    return bytes(patched)


def settled(exif: bytes, size: tuple[int, int]) -> bytes:
    """The block without a thumbnail and with the picture's (H, W) where it names one; every other byte as it was."""
    order, first, _ = _header(exif)
    patched = bytearray(exif)
    height, width = size
    named = {
        0: {WIDTH: width, HEIGHT: height},
        EXIF_IFD: {40962: width, 40963: height},
        INTEROP_IFD: {4097: width, 4098: height},
    }
    waiting, seen = [(0, first)], set()
    while waiting:
        parent, start = waiting.pop()
        if start in seen:
            continue
        seen.add(start)
        for at, tag, value in _entries(exif, order, start):
            if tag in (EXIF_IFD, INTEROP_IFD) and tag != parent:
                waiting.append((tag, value))
            elif tag in named[parent]:
                struct.pack_into(order + "HII", patched, at + 2, 4, 1, named[parent][tag])
    link = first + 2 + 12 * len(list(_entries(exif, order, first)))
    if link + 4 > len(exif) or not any(exif[link : link + 4]):
        return bytes(patched)
    thumbnail = {tag: value for _, tag, value in _entries(exif, order, struct.unpack_from(order + "I", exif, link)[0])}
    patched[link : link + 4] = bytes(4)
    start = thumbnail.get(513, thumbnail.get(STRIP_OFFSETS, 0))
    end = min(start + thumbnail.get(514, thumbnail.get(STRIP_BYTES, 0)), len(exif))
    if start < 8 or end <= start or (start < link + 4 and first < end):
        return bytes(patched)
    patched[start:end] = bytes(end - start)
    return bytes(patched[:start] if end >= len(exif) - 1 else patched)


def _entries(exif: bytes, order: str, start: int) -> Iterator[tuple[int, int, int]]:
    """Offset, tag and value or its place for each entry of a directory that is there."""
    if start + 2 > len(exif):
        return
    count = struct.unpack_from(order + "H", exif, start)[0]
    for at in range(start + 2, min(start + 2 + 12 * count, len(exif) - 11), 12):
        tag, kind, _, value = struct.unpack_from(order + "HHII", exif, at)
        yield at, tag, value if kind != 3 else struct.unpack_from(order + "H", exif, at + 8)[0]


def resolution(tiff: Tiff) -> tuple[float, float] | None:
    """Pixels an inch, where the file gives them."""
    across, down = tiff.ratio(X_RESOLUTION), tiff.ratio(Y_RESOLUTION)
    scale = {2: 1.0, 3: 2.54}.get(tiff.number(RESOLUTION_UNIT, 2))
    return (across * scale, down * scale) if scale and across and down else None


class PlainTiffFile(TiffImagePlugin.TiffImageFile):
    """Pillow's reader without its pixel limit, which is global and which our own, enforced beforehand, replaces."""

    def load_prepare(self) -> None:
        """Allocate the picture."""
        if self._im is None:
            self.im = Image.new(self.mode, self.size, None).im
        super().load_prepare()
