"""What a picture file says about itself, read from its structure without decoding a pixel.

Each reader here also returns the file without its metadata: a decoder that never sees EXIF, text or profiles cannot
stumble over them, warn about them or inflate them. What is inflated here has a limit.
"""

import re
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from irsde_cli.images import tiff
from irsde_cli.images.tiff import Tiff

MAX_METADATA_BYTES = 16 << 20
MAX_JPEG_SEGMENTS = 4096
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
PNG_XMP = b"XML:com.adobe.xmp"
PNG_WANTED = frozenset((b"IHDR", b"tRNS", b"iCCP", b"eXIf", b"iTXt", b"pHYs", b"cICP"))
ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
JPEG_MARKER = re.compile(rb"\xff([^\xff])")
JPEG_SEGMENT = re.compile(rb"\xff[^\x00\x01\xd0-\xd9\xff]")
BMP_EMBEDDED_PROFILE = 0x4D424544
JPEG_XMP = b"http://ns.adobe.com/xap/1.0/\0"
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


def inspect(data: bytes) -> Container | None:
    """The container of a picture, by content; `None` is another kind of file.

    Raises:
        TruncatedError: the file ends within its header.
        DamagedError: a sentence about why it cannot be read.
    """
    for magic, reader in READERS:
        if magic.match(data):
            return _with_sane_metadata(reader(data))
    return None


def mended(container: Container) -> bytes:
    """The essence of a truncated file with an end put to it: what is missing becomes black or grey.

    Raises:
        TruncatedError: nothing of this file can be shown.
    """
    if container.format == "jpeg":
        return _mended_jpeg(container.essence)
    if container.format == "png":
        return _mended_png(container)
    if container.format in ("tiff", "bmp"):
        height, width = container.size
        # Rows may be padded, tiles reach over the edge: twice the samples and a page hold any sound layout.
        missing = 2 * height * width * container.channels * container.depth // 8 + 4096
        return container.essence + bytes(missing)
    raise TruncatedError


def _with_sane_metadata(container: Container) -> Container:
    blocks: dict[str, bytes | None] = {"icc": container.icc, "exif": container.exif, "xmp": container.xmp}
    notes = list(container.notes)
    exif = blocks["exif"]
    if exif and exif.startswith(b"Exif\0\0"):
        blocks["exif"] = exif = exif[6:]
    orientation, dpi = 1, container.dpi
    for name, title in (("icc", "colour profile"), ("exif", "EXIF"), ("xmp", "XMP")):
        if len(blocks[name] or b"") > MAX_METADATA_BYTES:
            blocks[name] = None
            notes.append(f"its {title} is larger than {MAX_METADATA_BYTES >> 20} MiB and is dropped")
    if blocks["exif"]:
        try:
            orientation = tiff.orientation(blocks["exif"])
            dpi = dpi or tiff.resolution(tiff.parse(blocks["exif"]))
        except (ValueError, EOFError):
            blocks["exif"] = None
            notes.append("its EXIF is unreadable and is dropped")
    if container.tiff:
        orientation = container.tiff.number(tiff.ORIENTATION, 1)
    return replace(
        container,
        icc=blocks["icc"] or None,
        exif=blocks["exif"] or None,
        xmp=blocks["xmp"] or None,
        dpi=dpi,
        orientation=orientation if 1 <= orientation <= 8 else 1,
        notes=tuple(dict.fromkeys(notes)),
    )


def _jpeg(data: bytes) -> Container:
    kept: list[bytes] = [b"\xff\xd8"]
    notes: list[str] = []
    profile: dict[int, bytes] = {}
    size, channels, parts = (0, 0), 0, 0
    exif: bytes | None = None
    xmp: bytes | None = None
    dpi: tuple[float, float] | None = None
    for marker, start, segment in _jpeg_segments(data):
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
            dpi = _dpi(across, down, {1: 1.0, 2: 2.54}.get(unit))
        elif marker == 0xE1 and segment.startswith(b"Exif\0"):
            exif = segment[6:] if exif is None else exif
        elif marker == 0xE1 and segment.startswith(JPEG_XMP):
            xmp = segment[len(JPEG_XMP) :]
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


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Marker, offset and payload of each segment up to and with the first start of scan."""
    position = 2
    for _ in range(MAX_JPEG_SEGMENTS):
        found = JPEG_MARKER.search(data, position)
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


def _mended_jpeg(essence: bytes) -> bytes:
    position = 2
    while found := JPEG_SEGMENT.search(essence, position):
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


def _png(data: bytes) -> Container:
    kept: list[bytes | memoryview] = [PNG_SIGNATURE]
    notes: list[str] = []
    found: dict[bytes, bytes] = {}
    complete = animated = False
    for kind, chunk, sound in png_chunks(data):
        title = kind.decode("latin-1")
        critical = not kind[0] & 0x20
        if sound is False and critical:
            raise DamagedError(f"is damaged: its {title} chunk has a wrong checksum")
        if sound is False:
            notes.append(f"its {title} chunk has a wrong checksum and is dropped")
        elif critical or (kind == b"tRNS" and found.get(b"IHDR", bytes(10))[9] == 3):
            kept.append(chunk)
        if sound and kind in PNG_WANTED and (kind != b"iTXt" or chunk[8:26] == PNG_XMP + b"\0"):
            found.setdefault(kind, chunk[8:-4].tobytes())
        animated |= kind == b"fdAT"
        complete |= kind == b"IEND" and sound is True
    header = found.get(b"IHDR", b"")
    if len(header) != 13:
        raise DamagedError("is a PNG without a header") if complete else TruncatedError
    width, height, depth, colour = struct.unpack_from(">IIBB", header)
    if depth not in (1, 2, 4, 8, 16) or colour not in PNG_CHANNELS:
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
            flags = found[b"iTXt"][len(PNG_XMP) + 1 :]
            text = flags[2:].split(b"\0", 2)[2]
            xmp = inflated(text) if flags[0] else text
    except (ValueError, IndexError, zlib.error):
        notes.append("its XMP is unreadable or too large and is dropped")
    key = None
    if b"tRNS" in found and colour in (0, 2) and len(found[b"tRNS"]) >= 2 * PNG_CHANNELS[colour]:
        key = struct.unpack_from(f">{PNG_CHANNELS[colour]}H", found[b"tRNS"])
    across, down, unit = struct.unpack(">IIB", found[b"pHYs"]) if len(found.get(b"pHYs", b"")) == 9 else (0, 0, 0)
    return Container(
        "png",
        (height, width),
        b"".join(kept),
        complete=complete,
        depth=depth,
        channels=PNG_CHANNELS[colour],
        key=key,
        icc=icc,
        exif=found.get(b"eXIf"),
        xmp=xmp,
        dpi=_dpi(across, down, {1: 0.0254}.get(unit)),
        notes=tuple(notes),
    )


def png_chunks(data: bytes) -> Iterator[tuple[bytes, memoryview, bool | None]]:
    """Kind, whole bytes and soundness of each chunk up to IEND; `None` stands for a last chunk that is cut off."""
    view, position, kind = memoryview(data), len(PNG_SIGNATURE), b""
    while position + 8 <= len(data) and kind != b"IEND":
        length = int.from_bytes(view[position : position + 4], "big")
        chunk = view[position : position + length + 12]
        kind = chunk[4:8].tobytes()
        whole = len(chunk) == length + 12
        yield kind, chunk, zlib.crc32(chunk[4:-4]) == int.from_bytes(chunk[-4:], "big") if whole else None
        position += length + 12


def png_chunk(kind: bytes, body: bytes) -> bytes:
    """A chunk with its length and checksum."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(body, zlib.crc32(kind)))


def _mended_png(container: Container) -> bytes:
    kept, stream = [PNG_SIGNATURE], []
    interlaced = False
    for kind, chunk, sound in png_chunks(container.essence):
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
    return b"".join((*kept, png_chunk(b"IDAT", filled), png_chunk(b"IEND", b"")))


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


def _webp(data: bytes) -> Container:
    found: dict[bytes, bytes] = {}
    frames, position = 0, 12
    while position + 8 <= len(data):
        kind, length = struct.unpack_from("<4sI", data, position)
        if kind == b"ANMF":
            frames += 1
        elif kind in (b"VP8X", b"VP8 ", b"VP8L"):
            found.setdefault(kind, data[position + 8 : position + 18])
        elif kind in (b"ICCP", b"EXIF", b"XMP "):
            found.setdefault(kind, data[position + 8 : position + 8 + length])
        position += 8 + length + length % 2
    first = data[12:16]
    header = found.get(first, b"")
    if len(header) < (5 if first == b"VP8L" else 10):
        raise TruncatedError
    if first == b"VP8X":
        width, height = (int.from_bytes(header[at : at + 3], "little") + 1 for at in (4, 7))
    elif first == b"VP8L":
        bits = int.from_bytes(header[1:5], "little")
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    else:
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", header, 6))
    return Container(
        "webp",
        (height, width),
        data,
        complete=struct.unpack_from("<I", data, 4)[0] + 8 <= len(data),
        icc=found.get(b"ICCP"),
        exif=found.get(b"EXIF"),
        xmp=found.get(b"XMP "),
        notes=(SEVERAL,) if frames > 1 else (),
    )


def _bmp(data: bytes) -> Container:
    try:
        offset, header = struct.unpack_from("<II", data, 10)
        compression, across, down, icc = 0, 0, 0, None
        if header == 12:
            width, height, _, bits = struct.unpack_from("<HHHH", data, 18)
        else:
            width, height, _, bits, compression, _, across, down = struct.unpack_from("<iiHHIIii", data, 18)
        if header >= 124 and struct.unpack_from("<I", data, 14 + 56)[0] == BMP_EMBEDDED_PROFILE:
            start, length = struct.unpack_from("<II", data, 14 + 112)
            icc = data[14 + start : 14 + start + length]
    except struct.error:
        raise TruncatedError from None
    if bits not in (1, 4, 8, 16, 24, 32):
        raise DamagedError(f"is a BMP of {bits} bits, which is not supported")
    height = abs(height)
    needed = offset + (width * bits + 31) // 32 * 4 * height if compression in (0, 3) else 0
    return Container(
        "bmp",
        (height, max(width, 0)),
        data,
        complete=needed <= len(data),
        channels=-(-bits // 8),
        icc=icc,
        dpi=_dpi(across, down, 0.0254),
    )


def _tiff(data: bytes) -> Container:
    try:
        page = tiff.parse(data)
    except ValueError:
        raise DamagedError("is a TIFF without a picture") from None
    except EOFError:
        raise TruncatedError from None
    notes = [SEVERAL] if page.more else []
    notes += [
        f"its {title} block is not kept"
        for tag, title in ((tiff.IPTC, "IPTC"), (tiff.PHOTOSHOP, "Photoshop"))
        if tag in page.tags
    ]
    height, width = page.number(tiff.HEIGHT), page.number(tiff.WIDTH)
    channels = page.number(tiff.SAMPLES, 1)
    offsets, sizes = page.blocks()
    exif = None
    try:
        exif = tiff.exif_of(page, MAX_METADATA_BYTES)
    except ValueError:
        notes.append(f"its EXIF is larger than {MAX_METADATA_BYTES >> 20} MiB and is dropped")
    return Container(
        "tiff",
        (height, width),
        data,
        complete=all(offset + size <= len(data) for offset, size in zip(offsets, sizes, strict=False)),
        depth=page.number(tiff.BITS, 1),
        channels=channels,
        tiff=page,
        icc=page.raw(tiff.ICC),
        exif=exif,
        xmp=page.raw(tiff.XMP),
        dpi=tiff.resolution(page),
        notes=tuple(notes),
    )


def _dpi(across: int, down: int, scale: float | None) -> tuple[float, float] | None:
    return (across * scale, down * scale) if scale and across > 0 and down > 0 else None


READERS: tuple[tuple[re.Pattern[bytes], Callable[[bytes], Container]], ...] = (
    (re.compile(rb"\xff\xd8\xff"), _jpeg),
    (re.compile(rb"\x89PNG\r\n\x1a\n"), _png),
    (re.compile(rb"RIFF....WEBPVP8[ LX]", re.DOTALL), _webp),
    (re.compile(rb"II[*+]\0|MM\0[*+]"), _tiff),
    (re.compile(rb"BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0", re.DOTALL), _bmp),
)
