"""PNG files: chunks, and what stands in them."""

import re
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping

from irsde_cli.images.container import (
    MAX_METADATA_BYTES,
    Container,
    DamagedError,
    TruncatedError,
    aspect_of,
    dpi_of,
    inflated,
    inflated_length,
)
from irsde_cli.images.parts import Part, behind

SIGNATURE = b"\x89PNG\r\n\x1a\n"
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
XMP = b"XML:com.adobe.xmp"
WANTED = frozenset((b"IHDR", b"PLTE", b"tRNS", b"iCCP", b"eXIf", b"pHYs", b"acTL", b"sBIT", b"bKGD"))
COLOURS = (b"gAMA", b"cHRM", b"sRGB", b"cICP", b"mDCV", b"cLLI", b"mDCv", b"cLLi")
TEXTS = (b"tEXt", b"zTXt", b"iTXt")
# Of frames, which are counted; of the palette; when pixels were last changed; and how a decoder may divide its work.
IMPLIED = frozenset((b"fcTL", b"fdAT", b"hIST", b"tIME", b"iDOT"))
LAYERS = frozenset((b"prVW", b"mkBF", b"mkTS", b"mkBS", b"mkBT"))
MAX_TEXT_BYTES = 1 << 20  # as other readers have it
ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
RAW_PROFILE = re.compile(rb"Raw profile type (exif|app1|xmp|icc|icm)\Z", re.IGNORECASE)
EXIF_PREFIX, XMP_PREFIX = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"
SRGB_GAMMA = 45455
SRGB_PRIMARIES = (31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
SRGB_CODES = (b"\1\r\0\1", b"\1\1\0\1", b"\1\6\0\1")


def read(data: bytes) -> Container:
    """The container of a PNG file; raises as `formats.inspect` does."""
    kept: list[bytes | memoryview] = [SIGNATURE]
    parts: list[Part] = []
    found: dict[bytes, bytes] = {}
    texts: list[bytes] = []
    colours: dict[bytes, bytes] = {}
    others: dict[bytes, None] = {}
    complete, end, frames_before = False, len(SIGNATURE), False
    for kind, chunk, sound in chunks(data):
        end += len(chunk)
        critical = not kind[0] & 0x20
        title = kind.decode("latin-1")
        if sound is False and critical:
            raise DamagedError(f"is damaged: its {title} chunk has a wrong checksum")
        if sound is False:
            parts.append(Part("unreadable", f"its {title} chunk has a wrong checksum"))
        elif critical or (kind == b"tRNS" and found.get(b"IHDR", bytes(10))[9] == 3):
            kept.append(chunk)
        complete |= kind == b"IEND" and sound is True
        frames_before |= kind == b"fcTL" and b"IDAT" not in found
        if not sound:
            continue
        if kind in WANTED or kind == b"IDAT":
            found.setdefault(kind, b"" if kind == b"IDAT" else chunk[8:-4].tobytes())
        elif kind in COLOURS:
            colours.setdefault(kind, chunk.tobytes())
        elif kind in TEXTS:
            texts.append(chunk.tobytes())
        elif not critical and kind[3] & 0x20:  # the format's own mark of what survives a change of pixels
            parts.append(Part("png-other", title, chunk.tobytes()))
        elif not critical and kind not in IMPLIED:
            others[kind] = None
    header = found.get(b"IHDR", b"")
    if len(header) != 13:
        raise DamagedError("is a PNG without a header") if complete else TruncatedError
    width, height, depth, colour = struct.unpack_from(">IIBB", header)
    if depth not in (1, 2, 4, 8, 16) or colour not in CHANNELS:
        raise DamagedError("is a PNG of an unknown kind")
    described, more = _texts(texts)
    parts += more
    if b"eXIf" in found:
        if described.get(b"exif", found[b"eXIf"]) != found[b"eXIf"]:
            parts.append(Part("foreign", "a second EXIF"))
        described[b"exif"] = found[b"eXIf"]
    try:
        if b"iCCP" in found:
            described[b"icc"] = inflated(found[b"iCCP"].split(b"\0", 1)[1][1:])
    except (ValueError, IndexError, zlib.error):
        parts.append(Part("unreadable", "its colour profile is damaged or too large"))
    key = None
    if b"tRNS" in found and colour in (0, 2) and len(found[b"tRNS"]) >= 2 * CHANNELS[colour]:
        key = struct.unpack_from(f">{CHANNELS[colour]}H", found[b"tRNS"])
    across, down, unit = struct.unpack(">IIB", found[b"pHYs"]) if len(found.get(b"pHYs", b"")) == 9 else (0, 0, 0)
    parts += aspect_of(across, down) if not unit else ()
    parts += _frames(found, before=frames_before)
    parts += _colours(colours, profile=b"icc" in described)
    parts += _samples(found, depth, colour)
    parts += _others(others)
    return Container(
        "png",
        (height, width),
        b"".join(kept),
        complete=complete,
        depth=depth,
        channels=CHANNELS[colour],
        key=key,
        icc=described.get(b"icc"),
        exif=described.get(b"exif"),
        xmp=described.get(b"xmp"),
        dpi=dpi_of(across, down, {1: 0.0254}.get(unit)),
        parts=(*parts, *(behind(data[end:]) if complete else ())),
    )


def _texts(texts: Iterable[bytes]) -> tuple[dict[bytes, bytes], list[Part]]:
    """EXIF, XMP and profile that stand in text chunks, and parts of all others."""
    described: dict[bytes, bytes] = {}
    parts: list[Part] = []
    found: set[bytes] = set()
    room = MAX_METADATA_BYTES
    for chunk in texts:
        keyword, _, rest = chunk[8:-4].partition(b"\0")
        raw, is_xmp = RAW_PROFILE.match(keyword), keyword == XMP
        try:
            text = _text(chunk[4:8], rest, min(room, MAX_METADATA_BYTES if raw or is_xmp else MAX_TEXT_BYTES))
            room -= len(text)
            name, body = (b"xmp", text) if is_xmp else _raw_profile(raw[1].lower(), text) if raw else (b"", b"")
        except (ValueError, IndexError, zlib.error):
            title = "XMP" if is_xmp else f"text '{keyword[:79].decode('latin-1')}'"
            parts.append(Part("unreadable", f"its {title} is damaged or too large"))
            continue
        if not name:
            parts.append(Part("png-text", data=chunk))
        elif is_xmp and name not in found:
            found.add(name)
            described[name] = body
        elif described.setdefault(name, body) != body:
            parts.append(Part("foreign", f"a second {name.decode().upper()}"))
    return described, parts


def _text(kind: bytes, rest: bytes, most: int) -> bytes:
    """The text of a chunk, behind its keyword.

    Raises:
        ValueError, IndexError, zlib.error: there is none, or more than so many bytes.
    """
    if kind == b"tEXt":
        return rest
    if kind == b"zTXt":
        return inflated(rest[1:], most)
    text = rest[2:].split(b"\0", 2)[2]
    return inflated(text, most) if rest[0] else text


def _raw_profile(name: bytes, text: bytes) -> tuple[bytes, bytes]:
    """What a text in hexadecimal digits holds: its name, and how long it is, stand in lines before them.

    Raises:
        ValueError: it holds something else.
    """
    body = bytes.fromhex(b"".join(text.split()[2:]).decode("ascii"))
    if body.startswith(XMP_PREFIX):
        return b"xmp", body[len(XMP_PREFIX) :]
    if name in (b"xmp", b"icc", b"icm"):
        return name.replace(b"icm", b"icc"), body
    return b"exif", body.removeprefix(EXIF_PREFIX)


def _frames(found: Mapping[bytes, bytes], *, before: bool) -> Iterator[Part]:
    """The frames of an animation, of which the picture may be the first."""
    count = int.from_bytes(found.get(b"acTL", b"")[:4], "big") - before
    if count > 0:
        yield Part("frames", str(count))


def _colours(colours: Mapping[bytes, bytes], *, profile: bool) -> Iterator[Part]:
    """The chunks that say how colours look, each as it is."""
    if b"cICP" in colours:
        usual = colours[b"cICP"][8:-4] in SRGB_CODES
    elif profile or b"sRGB" in colours:
        usual = True
    else:
        gamma = int.from_bytes(colours.get(b"gAMA", bytes(12))[8:-4], "big")
        primaries = colours.get(b"cHRM", bytes(12))[8:-4]
        usual = (not gamma or abs(gamma - SRGB_GAMMA) < SRGB_GAMMA // 40) and (
            len(primaries) != 32
            or all(abs(a - b) < 500 for a, b in zip(struct.unpack(">8I", primaries), SRGB_PRIMARIES, strict=True))
        )
    if colours:
        names = ", ".join(kind.decode() for kind in colours)
        yield Part("png-srgb" if usual else "png-colour", names, b"".join(colours[kind] for kind in colours))


def _samples(found: Mapping[bytes, bytes], depth: int, colour: int) -> Iterator[Part]:
    """How many bits are significant, where that is fewer than there are, and the colour to show behind the picture."""
    significant = found.get(b"sBIT", b"")
    if significant and min(significant) < (8 if colour == 3 else depth):
        yield Part("significant", ", ".join(map(str, significant)))
    background = found.get(b"bKGD", b"")
    palette = found.get(b"PLTE", b"")
    if colour == 3 and background and 3 * background[0] + 3 <= len(palette):
        shown = [257 * value for value in palette[3 * background[0] : 3 * background[0] + 3]]
    elif colour != 3 and len(background) == (6 if colour & 2 else 2):
        most = 2**depth - 1
        shown = [min(value, most) * 65535 // most for (value,) in struct.iter_unpack(">H", background)]
    else:
        return
    yield Part("png-background", data=struct.pack(">3H", *(shown * 3)[:3]))


def _others(kinds: Iterable[bytes]) -> Iterator[Part]:
    """Chunks that nobody knows here and that belong to the pixels as they were."""
    names = set(kinds)
    if b"caBX" in names:
        yield Part("credentials")
    if names & LAYERS:
        yield Part("layers")
    if rest := sorted(names - LAYERS - {b"caBX"}):
        yield Part("foreign", ", ".join(kind.decode("latin-1") for kind in rest))


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
    for kind, chunk, sound in chunks(container.essence):
        if kind == b"IDAT":
            stream.append(chunk[8:-4] if sound else chunk[8:])
        elif sound and kind != b"IEND":
            kept.append(chunk.tobytes())
    expected = _row_bytes(container)
    try:
        rows_there = zlib.decompressobj().decompress(b"".join(stream), expected)
    except zlib.error:
        raise TruncatedError from None
    filled = zlib.compress(rows_there.ljust(expected, b"\0"), 1)
    return b"".join((*kept, chunk_of(b"IDAT", filled), chunk_of(b"IEND", b"")))


def damage(container: Container) -> str:
    """Why the pixels of a file with sound checksums cannot be whole; empty where they are."""
    parts = [chunk[8:-4] for kind, chunk, _ in chunks(container.essence) if kind == b"IDAT"]
    expected = _row_bytes(container)
    length = inflated_length(parts, expected + 1)
    if length < 0:
        return "its pixels are no sound stream"
    return "its pixels end before the picture does" if length < expected else ""


def _row_bytes(container: Container) -> int:
    """The bytes of all rows, with the filter in front of each."""
    height, width = container.size
    expected = 0
    for left, top, across, down in ADAM7 if container.essence[28] == 1 else ((0, 0, 1, 1),):
        rows, columns = -(-(height - top) // down), -(-(width - left) // across)
        if rows > 0 and columns > 0:
            expected += rows * (1 + -(-columns * container.depth * container.channels // 8))
    return expected


def added(parts: Iterable[Part], depth: int, *, grey: bool) -> list[bytes]:
    """The chunks of the parts that have a place in PNG, in front of the pixels."""
    colours, others = [], []
    for part in parts:
        if not part.fits("png"):
            continue
        if part.kind in ("png-colour", "png-srgb"):
            colours.append(part.data)
        elif part.kind == "png-background":
            shown = [value if depth == 16 else value // 257 for value in struct.unpack(">3H", part.data)]
            others.append(chunk_of(b"bKGD", struct.pack(">H", shown[0]) if grey else struct.pack(">3H", *shown)))
        else:
            others.append(part.data)
    return colours + others
