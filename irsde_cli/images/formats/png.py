"""PNG files: chunks, and what stands in them."""

import struct
import zlib
from collections.abc import Iterator

from irsde_cli.images.container import SEVERAL, Container, DamagedError, TruncatedError, dpi_of, inflated

SIGNATURE = b"\x89PNG\r\n\x1a\n"
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
XMP = b"XML:com.adobe.xmp"
WANTED = frozenset((b"IHDR", b"tRNS", b"iCCP", b"eXIf", b"iTXt", b"pHYs", b"cICP"))
ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def read(data: bytes) -> Container:
    """The container of a PNG file; raises as `formats.inspect` does."""
    kept: list[bytes | memoryview] = [SIGNATURE]
    notes: list[str] = []
    found: dict[bytes, bytes] = {}
    complete = animated = False
    for kind, chunk, sound in chunks(data):
        title = kind.decode("latin-1")
        critical = not kind[0] & 0x20
        if sound is False and critical:
            raise DamagedError(f"is damaged: its {title} chunk has a wrong checksum")
        if sound is False:
            notes.append(f"its {title} chunk has a wrong checksum and is dropped")
        elif critical or (kind == b"tRNS" and found.get(b"IHDR", bytes(10))[9] == 3):
            kept.append(chunk)
        if sound and kind in WANTED and (kind != b"iTXt" or chunk[8:26] == XMP + b"\0"):
            found.setdefault(kind, chunk[8:-4].tobytes())
        animated |= kind == b"fdAT"
        complete |= kind == b"IEND" and sound is True
    header = found.get(b"IHDR", b"")
    if len(header) != 13:
        raise DamagedError("is a PNG without a header") if complete else TruncatedError
    width, height, depth, colour = struct.unpack_from(">IIBB", header)
    if depth not in (1, 2, 4, 8, 16) or colour not in CHANNELS:
        raise DamagedError("is a PNG of an unknown kind")
    if animated:
        notes.append(SEVERAL)
    if b"cICP" in found:
        notes.append("its cICP colour description is not kept")
    icc = xmp = None
    try:
        if b"iCCP" in found:
            icc = inflated(found[b"iCCP"].split(b"\0", 1)[1][1:])
    except (ValueError, IndexError, zlib.error):
        notes.append("its colour profile is unreadable or too large and is dropped")
    try:
        if b"iTXt" in found:
            flags = found[b"iTXt"][len(XMP) + 1 :]
            text = flags[2:].split(b"\0", 2)[2]
            xmp = inflated(text) if flags[0] else text
    except (ValueError, IndexError, zlib.error):
        notes.append("its XMP is unreadable or too large and is dropped")
    key = None
    if b"tRNS" in found and colour in (0, 2) and len(found[b"tRNS"]) >= 2 * CHANNELS[colour]:
        key = struct.unpack_from(f">{CHANNELS[colour]}H", found[b"tRNS"])
    across, down, unit = struct.unpack(">IIB", found[b"pHYs"]) if len(found.get(b"pHYs", b"")) == 9 else (0, 0, 0)
    return Container(
        "png",
        (height, width),
        b"".join(kept),
        complete=complete,
        depth=depth,
        channels=CHANNELS[colour],
        key=key,
        icc=icc,
        exif=found.get(b"eXIf"),
        xmp=xmp,
        dpi=dpi_of(across, down, {1: 0.0254}.get(unit)),
        notes=tuple(notes),
    )


def chunks(data: bytes) -> Iterator[tuple[bytes, memoryview, bool | None]]:
    """Kind, whole bytes and soundness of each chunk up to IEND; `None` stands for a last chunk that is cut off."""
    view, position, kind = memoryview(data), len(SIGNATURE), b""
    while position + 8 <= len(data) and kind != b"IEND":
        length = int.from_bytes(view[position : position + 4], "big")
        chunk = view[position : position + length + 12]
        kind = chunk[4:8].tobytes()
        whole = len(chunk) == length + 12
        yield kind, chunk, zlib.crc32(chunk[4:-4]) == int.from_bytes(chunk[-4:], "big") if whole else None
        position += length + 12


def chunk_of(kind: bytes, body: bytes) -> bytes:
    """A chunk with its length and checksum."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(body, zlib.crc32(kind)))


def mended(container: Container) -> bytes:
    """The essence of a file that is cut off, with its rows filled up by zeros."""
    kept, stream = [SIGNATURE], []
    interlaced = False
    for kind, chunk, sound in chunks(container.essence):
        interlaced |= kind == b"IHDR" and chunk[20] == 1
        if kind == b"IDAT":
            stream.append(chunk[8:-4] if sound else chunk[8:])
        elif sound:
            kept.append(chunk.tobytes())
    height, width = container.size
    expected = 0
    for left, top, across, down in ADAM7 if interlaced else ((0, 0, 1, 1),):
        rows, columns = -(-(height - top) // down), -(-(width - left) // across)
        if rows > 0 and columns > 0:
            expected += rows * (1 + -(-columns * container.depth * container.channels // 8))
    try:
        rows_there = zlib.decompressobj().decompress(b"".join(stream), expected)
    except zlib.error:
        raise TruncatedError from None
    filled = zlib.compress(rows_there.ljust(expected, b"\0"), 1)
    return b"".join((*kept, chunk_of(b"IDAT", filled), chunk_of(b"IEND", b"")))
