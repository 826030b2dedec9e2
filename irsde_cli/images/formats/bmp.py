"""BMP files: headers of five lengths."""

import struct

from irsde_cli.images.container import Container, DamagedError, TruncatedError, dpi_of

EMBEDDED_PROFILE = 0x4D424544


def read(data: bytes) -> Container:
    """The container of a BMP file; raises as `formats.inspect` does."""
    try:
        offset, header = struct.unpack_from("<II", data, 10)
        compression, across, down, icc = 0, 0, 0, None
        if header == 12:
            width, height, _, bits = struct.unpack_from("<HHHH", data, 18)
        else:
            width, height, _, bits, compression, _, across, down = struct.unpack_from("<iiHHIIii", data, 18)
        if header >= 124 and struct.unpack_from("<I", data, 14 + 56)[0] == EMBEDDED_PROFILE:
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
        dpi=dpi_of(across, down, 0.0254),
    )
