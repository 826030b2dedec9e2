"""OpenEXR files: light as fractions, of which a picture keeps what lies between black and white."""

import struct

from irsde_cli.images.container import Container, DamagedError, TruncatedError
from irsde_cli.images.parts import Part

MAGIC = b"\x76\x2f\x31\x01"
DEEP, MULTIPART = 0x800, 0x1000
MAX_ATTRIBUTES = 4096
COLOURS = ({"R", "G", "B"}, {"R", "G", "B", "A"}, {"Y"}, {"Y", "A"})


def read(data: bytes) -> Container:
    """The container of an OpenEXR file; raises as `formats.inspect` does."""
    try:
        flags = struct.unpack_from("<I", data, 4)[0]
        attributes = _attributes(data)
        left, top, right, bottom = struct.unpack_from("<4i", attributes[b"dataWindow"])
        channels = _channels(attributes[b"channels"])
    except (struct.error, ValueError):
        raise TruncatedError from None
    except KeyError:
        raise DamagedError("is damaged: it says no size or no channels") from None
    if flags & DEEP:
        raise DamagedError("is an OpenEXR picture of depths, which is not supported")
    if set(channels) not in COLOURS:
        raise DamagedError(
            f"is an OpenEXR picture with the channels {', '.join(channels[:8])}; R, G, B or Y, and A are supported"
        )
    parts = [Part("pages")] if flags & MULTIPART else []
    size = max(bottom - top + 1, 0), max(right - left + 1, 0)
    return Container("exr", size, data, depth=16, channels=len(channels), parts=tuple(parts))


def _attributes(data: bytes) -> dict[bytes, bytes]:
    """The values of the first header, by name."""
    found: dict[bytes, bytes] = {}
    position = 8
    for _ in range(MAX_ATTRIBUTES):
        end = data.index(b"\0", position)
        if end == position:
            return found
        kind = data.index(b"\0", end + 1)
        size = struct.unpack_from("<i", data, kind + 1)[0]
        if size < 0 or kind + 5 + size > len(data):
            raise ValueError
        found[data[position:end]] = data[kind + 5 : kind + 5 + size]
        position = kind + 5 + size
    raise ValueError


def _channels(listed: bytes) -> list[str]:
    """Names of channels."""
    names, position = [], 0
    while position < len(listed) and listed[position]:
        end = listed.index(b"\0", position)
        names.append(listed[position:end].decode("latin-1"))
        position = end + 17
    return names
