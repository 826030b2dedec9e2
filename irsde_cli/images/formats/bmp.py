"""BMP files: headers of five lengths."""

import struct

from irsde_cli.images.container import Container, DamagedError, TruncatedError, dpi_of
from irsde_cli.images.parts import Part, behind

CALIBRATED, LINKED_PROFILE, EMBEDDED_PROFILE = 0, 0x4C494E4B, 0x4D424544
# Of a screen or of its inverse, as some writers have it, in 1/65536.
USUAL_GAMMAS = (144179, 29789)


def read(data: bytes) -> Container:
    """The container of a BMP file; raises as `formats.inspect` does."""
    try:
        length, _, offset, header = struct.unpack_from("<IIII", data, 2)
        compression, across, down, icc, parts = 0, 0, 0, None, []
        if header == 12:
            width, height, _, bits = struct.unpack_from("<HHHH", data, 18)
        else:
            width, height, _, bits, compression, _, across, down = struct.unpack_from("<iiHHIIii", data, 18)
        space = struct.unpack_from("<I", data, 14 + 56)[0] if header >= 108 else None
        if space == CALIBRATED and not _is_usual(struct.unpack_from("<3I", data, 14 + 96)):
            parts.append(Part("bmp-colour"))
        elif space == LINKED_PROFILE:
            parts.append(Part("foreign", "the name of a colour profile"))
        elif space == EMBEDDED_PROFILE and header >= 124:
            start, size = struct.unpack_from("<II", data, 14 + 112)
            icc = data[14 + start : 14 + start + size]
            length = max(length, 14 + start + size)
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
        dpi=dpi_of(across, down, 0.0254),
        parts=(*parts, *(behind(data[max(length, needed) :]) if length else ())),
    )


def _is_usual(gammas: tuple[int, ...]) -> bool:
    return not any(gammas) or all(min(abs(gamma - usual) for usual in USUAL_GAMMAS) < 4000 for gamma in gammas)
