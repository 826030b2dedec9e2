"""WebP files: chunks of RIFF."""

import struct

from irsde_cli.images.container import Container, TruncatedError
from irsde_cli.images.parts import Part, behind

PICTURE = (b"VP8X", b"VP8 ", b"VP8L", b"ALPH", b"ANIM", b"ANMF")


def read(data: bytes) -> Container:
    """The container of a WebP file; raises as `formats.inspect` does."""
    found: dict[bytes, bytes] = {}
    frames, position = 0, 12
    others: dict[bytes, None] = {}
    size = struct.unpack_from("<I", data, 4)[0] + 8
    end = size + size % 2
    while position + 8 <= min(size, len(data)):
        kind, length = struct.unpack_from("<4sI", data, position)
        if kind == b"ANMF":
            frames += 1
        elif kind in (b"VP8X", b"VP8 ", b"VP8L"):
            found.setdefault(kind, data[position + 8 : position + 18])
        elif kind in (b"ICCP", b"EXIF", b"XMP "):
            found.setdefault(kind, data[position + 8 : position + 8 + length])
        elif kind not in PICTURE:
            others[kind] = None
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
        complete=size <= len(data),
        icc=found.get(b"ICCP"),
        exif=found.get(b"EXIF"),
        xmp=found.get(b"XMP "),
        parts=(
            *([Part("frames", str(frames - 1))] if frames > 1 else []),
            *([Part("foreign", ", ".join(kind.decode("latin-1") for kind in others))] if others else []),
            *behind(data[end:]),
        ),
    )
