"""Photoshop's image resources, in which JPEG and TIFF files keep IPTC."""

import struct
from collections.abc import Iterator

from irsde_cli.images.parts import Part

PREFIX = b"Photoshop 3.0\0"
IPTC = 1028
# What follows from the picture or stands elsewhere in the file (resolution, thumbnails, profile, EXIF, XMP, digests),
# and what a print dialogue showed last.
DERIVED = frozenset(
    {1001, 1002, 1005, 1010, 1011, 1012, 1013, 1014, 1016, 1017, 1019, 1020, 1021, 1026, 1030, 1032, 1033, 1036, 1037}
    | {1039, 1041, 1044, 1049, 1057, 1058, 1059, 1060, 1061, 1062, 1064, 1071, 1082, 1083, 3000, 10000}
)


def parts_of(block: bytes) -> Iterator[Part]:
    """The parts in a block of resources."""
    others = []
    for number, data in _resources(block):
        if number == IPTC and data:
            yield Part("iptc", data=data)
        elif number not in DERIVED:
            others.append(number)
    if others:
        yield Part("photoshop", ", ".join(map(str, sorted(set(others)))))


def block_of(iptc: bytes) -> bytes:
    """A block that holds IPTC alone."""
    return b"8BIM" + struct.pack(">HHI", IPTC, 0, len(iptc)) + iptc + bytes(len(iptc) % 2)


def _resources(block: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 12 <= len(block):
        if block[at : at + 4] not in (b"8BIM", b"MeSa", b"AgHg", b"PHUT", b"DCSR"):
            yield 0, b""  # no resource known to Photoshop: named as one that is not kept
            return
        number = int.from_bytes(block[at + 4 : at + 6], "big")
        name = block[at + 6] + 1
        at += 6 + name + name % 2
        size = int.from_bytes(block[at : at + 4], "big")
        yield number, block[at + 4 : at + 4 + size]
        at += 4 + size + size % 2
