"""Boxes, of which AVIF, HEIC, JPEG 2000 and JPEG XL files are made."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from irsde_cli.images.container import DamagedError

MAX_BOXES = 65536


@dataclass(frozen=True)
class Box:
    """A box; `start` and `end` are those of its body, and `whole` says whether its end is in the file."""

    kind: bytes
    start: int
    end: int
    whole: bool = True


def boxes(data: bytes, start: int = 0, end: int | None = None) -> Iterator[Box]:
    """The boxes of a file or of another box's body, in order.

    Raises:
        DamagedError: a box contradicts itself.
    """
    last = len(data) if end is None else end
    for _ in range(MAX_BOXES):
        if start + 8 > last:
            return
        size, kind = struct.unpack_from(">I4s", data, start)
        body = start + 8
        if size == 1:
            if start + 16 > last:
                return
            size, body = struct.unpack_from(">Q", data, start + 8)[0], start + 16
        stop = last if size == 0 else start + size
        if stop < body:
            raise DamagedError("is damaged: a part of it has no length")
        yield Box(kind, body, min(stop, last), stop <= last)
        start = stop
    raise DamagedError("is damaged: it has too many parts")


def box_of(kind: bytes, body: bytes) -> bytes:
    """A box as bytes."""
    return struct.pack(">I4s", 8 + len(body), kind) + body
