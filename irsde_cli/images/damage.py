"""Damage that decoders forgive: they fill with grey or invent, and say nothing, or say it to nobody.

Huffman and arithmetic codes have no checksum, and decode to something whatever they hold. But a decoder that has gone
astray reaches the end of the picture before or after the end of its data. So what follows the data must not matter, and
the last of them must. Both are asked of the decoder itself, by putting noise there. A code of bits that falls into step
again after as many symbols as it lost cannot be found so, nor by any decoder.
"""

import io
import random
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import JpegImagePlugin, WebPImagePlugin

# More bytes at the end of a code than these, which nothing depends on, are damage; fewer are padding.
TAIL = 8
NOISES = [bytes(random.Random(seed).choices(range(1, 255), k=64)) for seed in range(8)]
MARKER = re.compile(rb"\xff+([^\x00\xff])")
RESTARTS = range(0xD0, 0xD8)
HUFFMAN = {0xC0: False, 0xC1: False, 0xC2: True}
START_OF_SCAN, RESTART_INTERVAL, END = 0xDA, 0xDD, 0xD9


@dataclass(frozen=True)
class _Scan:
    """A pass over the picture.

    Attributes:
        shows: whether other data would be seen: the last bits of mean values would not.
        unit: height and width, in pixels, of what is coded at a time.
        interval: units from one restart to the next; 0 is none.
        pieces: where what lies between restarts begins and ends, without the markers.
    """

    shows: bool
    unit: tuple[int, int]
    interval: int
    pieces: list[tuple[int, int]]


@dataclass
class _Jpeg:
    """The parts of a file that matter here.

    Attributes:
        progressive: whether it is; `None` is a code that is not of Huffman's.
        sampling: for each component, by its number, how many samples it has down and across.
        scans: in order.
        ordered: whether restarts are numbered as they should be, and nothing lies between the scans.
        unfinished: of each component and coefficient, how many bits are still to come.
    """

    progressive: bool | None = None
    sampling: dict[int, tuple[int, int]] = field(default_factory=dict)
    scans: list[_Scan] = field(default_factory=list)
    ordered: bool = True
    unfinished: dict[tuple[int, int], int] = field(default_factory=dict)


def of_jpeg(data: bytes) -> str:
    """Why a JPEG that has an end is damaged, to complete "it is damaged: "; empty where nothing shows it."""
    try:
        parsed = _parse_jpeg(data)
    except (IndexError, KeyError, ValueError, ZeroDivisionError, struct.error):
        return ""  # a header that contradicts itself is the decoder's to refuse
    if parsed.progressive is None or not parsed.scans:
        return ""
    if not parsed.ordered or any(parsed.unfinished.values()):
        return "parts of its pixels are missing"
    whole = _decoded(data)
    ends = [(end, end) for scan in parsed.scans for _, end in scan.pieces]
    if not np.array_equal(whole, _decoded(_spliced(data, ends, NOISES[0]))):
        return "its pixels end before the picture does"
    if any(_goes_on(data, whole, scan) for scan in parsed.scans if scan.shows):
        return "its pixels do not end where the picture does"
    return ""


def _goes_on(data: bytes, whole: NDArray[Any], scan: _Scan) -> bool:
    """Whether there are pieces of a scan whose last bytes nothing depends on."""

    def unmoved(places: list[tuple[int, int]], noise: bytes) -> set[int]:
        """The pieces that look the same with noise in these places."""
        noisy = _decoded(_spliced(data, places, noise))
        if len(scan.pieces) == 1:
            return {0} if np.array_equal(whole, noisy) else set()
        changed = (whole != noisy).reshape(*whole.shape[:2], -1).any(-1)
        return set(np.flatnonzero(~_by_interval(changed, scan)).tolist())

    (height, width), (tall, wide) = whole.shape[:2], scan.unit
    units = -(-height // tall) * -(-width // wide)
    if len(scan.pieces) != -(-units // (scan.interval or units)):
        return True
    left = {index for index, (start, end) in enumerate(scan.pieces) if end - start >= 2 * TAIL}
    for noise in NOISES:  # one may decode to what was there
        if not left:
            return False
        left &= unmoved([_tail(data, *scan.pieces[index]) for index in sorted(left)], noise)
    # Where noise all over a piece changes nothing, its code has no other words, and nothing can be said.
    return bool(left - unmoved([scan.pieces[index] for index in sorted(left)], NOISES[0]))


def _parse_jpeg(data: bytes) -> _Jpeg:
    found, position, interval = _Jpeg(), 2, 0
    while match := MARKER.search(data, position):
        found.ordered &= match.start() == position or not found.scans
        marker, position = match[1][0], match.end()
        if marker == END:
            break
        if marker in RESTARTS or marker in (0x01, 0xD8):
            continue
        length = int.from_bytes(data[position : position + 2], "big")
        body = data[position + 2 : position + length]
        position += max(length, 2)
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            found.progressive = HUFFMAN.get(marker)
            places = range(6, 6 + 3 * body[5], 3)
            found.sampling = {body[at]: (body[at + 1] & 15, body[at + 1] >> 4) for at in places}
        elif marker == RESTART_INTERVAL:
            interval = int.from_bytes(body[:2], "big")
        elif marker == START_OF_SCAN and found.progressive is not None:
            position = _add_scan(found, data, position, body, interval)
    return found


def _add_scan(found: _Jpeg, data: bytes, start: int, body: bytes, interval: int) -> int:
    """Note a scan whose code begins at `start`; where the marker is that ends it."""
    components = body[1 : 1 + 2 * body[0] : 2]
    first, last, precision = body[1 + 2 * body[0] :][:3]
    factors = found.sampling.values()
    tall, wide = (max(factor[axis] for factor in factors) for axis in (0, 1))
    if len(components) == 1:
        own = found.sampling[components[0]]
        tall, wide = tall // own[0], wide // own[1]
    if found.progressive:
        found.unfinished |= {(part, at): precision & 15 for part in components for at in range(first, last + 1)}
    pieces: list[tuple[int, int]] = []
    scan = _Scan(first > 0 or precision < 16, (8 * tall, 8 * wide), interval, pieces)
    found.scans.append(scan)
    for match in MARKER.finditer(data, start):
        pieces.append((start, match.start()))
        if match[1][0] not in RESTARTS:
            return match.start()
        found.ordered &= match[1][0] == RESTARTS[(len(pieces) - 1) % 8]
        start = match.end()
    pieces.append((start, len(data)))
    return len(data)


def _by_interval(changed: NDArray[np.bool_], scan: _Scan) -> NDArray[np.bool_]:
    """Whether anything has changed in each interval of a scan."""
    (height, width), (tall, wide) = changed.shape, scan.unit
    rows, columns = -(-height // tall), -(-width // wide)
    whole = np.zeros((rows * tall, columns * wide), bool)
    whole[:height, :width] = changed & _inner(height, tall)[:, None] & _inner(width, wide)
    units = whole.reshape(rows, tall, columns, wide).any((1, 3)).ravel()
    return np.logical_or.reduceat(units, np.arange(0, len(units), scan.interval or len(units)))


def _inner(length: int, unit: int) -> NDArray[np.bool_]:
    """Which pixels of a row or column lie within their unit: colours of fewer samples are smoothed across borders."""
    place = np.arange(length)
    border = np.isin(place % unit, (0, unit - 1)) & (place < length // unit * unit)
    return ~border | (unit == 8)


def _decoded(data: bytes) -> NDArray[Any]:
    with JpegImagePlugin.JpegImageFile(io.BytesIO(data)) as image:
        return np.array(image)


def _tail(data: bytes, start: int, end: int) -> tuple[int, int]:
    """The last bytes of a piece, without half a stuffed pair."""
    cut = end - TAIL
    return (cut - 1 if data[cut - 1] == 0xFF else cut), end


def _spliced(data: bytes, places: list[tuple[int, int]], noise: bytes) -> bytes:
    """`data` with noise in the place of some parts of it."""
    parts, last = [], 0
    for start, end in places:
        parts += [data[last:start], noise]
        last = end
    return b"".join((*parts, data[last:]))


def of_webp(data: bytes) -> str:
    """The same for WebP, whose decoder complains where its data end too early, and not where they go on."""
    for file, pieces in _webps(data):
        plain = _webp(file)
        for start, end in pieces:
            if end - start >= 2 * TAIL and not any(_matters(file, plain, end - TAIL, noise) for noise in NOISES):
                return "its pixels do not end where the picture does"
    return ""


def _matters(data: bytes, plain: NDArray[Any], start: int, noise: bytes) -> bool:
    """Whether a WebP looks otherwise, or cannot be decoded, with noise from `start` on."""
    try:
        return not np.array_equal(plain, _webp(b"".join((data[:start], noise[:TAIL], data[start + TAIL :]))))
    except OSError:
        return True


def _webp(data: bytes) -> NDArray[Any]:
    with WebPImagePlugin.WebPImageFile(io.BytesIO(data)) as image:
        return np.array(image)


def _webps(data: bytes) -> Iterator[tuple[bytes, list[tuple[int, int]]]]:
    """Files that show all of each code of the first picture, and where the codes begin and end in them."""
    position = 12
    while position + 8 <= len(data):
        kind, length = struct.unpack_from("<4sI", data, position)
        start, end = position + 8, min(position + 8 + length, len(data))
        position += 8 + length + length % 2
        if kind == b"ANMF":
            position = start + 16  # the chunks of the first frame follow
        elif kind == b"ALPH" and end > start and data[start] & 3 == 1:
            yield data, [(start, end)]
        elif kind == b"VP8L":
            yield _riff(kind, data[start:end]), [(20, 20 + end - start)]
            return
        elif kind == b"VP8 " and end - start >= 10:
            code = bytearray(data[start:end])
            # What is coded beyond the border, in units of 16 pixels, would not be seen.
            for at in (6, 8):
                side = struct.unpack_from("<H", code, at)[0]
                whole = min((side & 0x3FFF) + 15 & ~15, 0x3FF0)
                struct.pack_into("<H", code, at, (side & 0xC000) | max(whole, side & 0x3FFF))
            modes = 10 + (int.from_bytes(code[:3], "little") >> 5)
            yield _riff(kind, bytes(code)), [(30, 20 + modes), (20 + modes, 20 + len(code))]
            return


def _riff(kind: bytes, body: bytes) -> bytes:
    """A file of one chunk."""
    padded = body + b"\0" * (len(body) % 2)
    return b"".join((b"RIFF", struct.pack("<I", 12 + len(padded)), b"WEBP", kind, struct.pack("<I", len(body)), padded))
