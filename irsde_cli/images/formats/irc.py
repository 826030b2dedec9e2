"""Files of codecs that restore: what `irsde restore --format irc` writes.

A header of 32 bytes, chunks as in RIFF but without padding, and a checksum of all that stands before it.
"""

import struct
import zlib
from dataclasses import dataclass

from irsde_cli.images.container import Container, DamagedError, TruncatedError, inflated
from irsde_cli.images.parts import Part

MAGIC = b"\x89IRC"
VERSION = 1
QUALITIES = 64
HEAD = struct.Struct(">4sBBBxII16s")  # magic, version, quality, whether it is grey; height, width; of the weights
CHUNK = struct.Struct(">4sI")
LATENT, NAME, ICC, EXIF, XMP = b"DATA", b"NAME", b"ICCP", b"EXIF", b"XMP "
MOST_NAME = 200


@dataclass(frozen=True)
class Coded:
    """A picture as a codec has it.

    Attributes:
        quality: from 0 to 63.
        grey: whether it has one channel.
        size: (H, W).
        weights: the first 16 bytes of the SHA-256 of the codec's weights.
        name: what those weights are called.
        latent: what the codec made of it.
    """

    quality: int
    grey: bool
    size: tuple[int, int]
    weights: bytes
    name: str
    latent: bytes


def written(coded: Coded, icc: bytes | None, exif: bytes | None, xmp: bytes | None) -> bytes:
    """The file."""
    head = HEAD.pack(MAGIC, VERSION, coded.quality, coded.grey, *coded.size, coded.weights)
    blocks = {LATENT: coded.latent, NAME: coded.name.encode()[:MOST_NAME]}
    blocks |= {kind: zlib.compress(block, 9) for kind, block in ((ICC, icc), (EXIF, exif), (XMP, xmp)) if block}
    body = head + b"".join(CHUNK.pack(kind, len(block)) + block for kind, block in blocks.items())
    return body + struct.pack(">I", zlib.crc32(body))


def read(data: bytes) -> Container:
    """The container of such a file; raises as `formats.inspect` does."""
    chunks, parts = _chunks(data), []
    coded = parsed(data)
    blocks: dict[bytes, bytes | None] = {}
    for kind, title in ((ICC, "colour profile"), (EXIF, "EXIF"), (XMP, "XMP")):
        try:
            blocks[kind] = inflated(chunks[kind]) if kind in chunks else None
        except (ValueError, zlib.error):
            parts.append(Part("unreadable", f"its {title} is damaged"))
    others = [kind.decode("latin-1") for kind in chunks if kind not in (LATENT, NAME, ICC, EXIF, XMP)]
    parts += [Part("foreign", ", ".join(others))] if others else []
    return Container(
        "irc",
        coded.size,
        data,
        channels=1 if coded.grey else 3,
        icc=blocks.get(ICC),
        exif=blocks.get(EXIF),
        xmp=blocks.get(XMP),
        parts=tuple(parts),
    )


def parsed(data: bytes) -> Coded:
    """What a codec is to open.

    Raises:
        TruncatedError: the file is cut off.
        DamagedError: its checksum is another, or it is of a later version.
    """
    chunks = _chunks(data)
    _, _, quality, grey, height, width, weights = HEAD.unpack_from(data)
    return Coded(
        quality, bool(grey), (height, width), weights, chunks.get(NAME, b"").decode(errors="replace"), chunks[LATENT]
    )


def _chunks(data: bytes) -> dict[bytes, bytes]:
    if len(data) < HEAD.size + 4:
        raise TruncatedError
    if data[4] != VERSION:
        raise DamagedError(f"is of version {data[4]} of this format, which a later irsde writes", "Update irsde.")
    found: dict[bytes, bytes] = {}
    place = HEAD.size
    while place + 4 < len(data):
        if place + CHUNK.size + 4 > len(data):
            raise TruncatedError
        kind, length = CHUNK.unpack_from(data, place)
        place += CHUNK.size
        if place + length + 4 > len(data):
            raise TruncatedError
        found.setdefault(kind, data[place : place + length])
        place += length
    if struct.unpack_from(">I", data, place)[0] != zlib.crc32(data[:place]):
        raise DamagedError("is damaged: its checksum is that of other bytes", "Find another copy.")
    if LATENT not in found or data[5] >= QUALITIES or data[6] > 1:
        raise DamagedError("is damaged: it says what cannot be", "Find another copy.")
    return found
