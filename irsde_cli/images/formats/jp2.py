"""JPEG 2000 files: boxes around a codestream, or the codestream alone (ISO/IEC 15444-1)."""

import struct
from collections.abc import Iterator

from irsde_cli.images.container import Container, DamagedError, TruncatedError
from irsde_cli.images.formats.bmff import box_of, boxes
from irsde_cli.images.parts import Part, behind, of_bits

STREAM = b"\xff\x4f\xff\x51"
END = b"\xff\xd9"
EXIF = bytes.fromhex("4a706754696666457869662d3e4a5032")  # "JpgTiffExif->JP2"
XMP = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
GEO = bytes.fromhex("b14bf8bd083d4b43a5ae8cd7d5a6ce03")
# Of the decoder; how large it is to be shown; and words about who may use it.
IMPLIED = (b"jP  ", b"ftyp", b"rreq", b"jp2h", b"jp2c", b"free")
SRGB, GREY, SYCC = 16, 17, 18


def read(data: bytes) -> Container:
    """The container of a JPEG 2000 file; raises as `formats.inspect` does."""
    if data.startswith(STREAM):
        height, width, channels, bits = _header(data, 0)
        whole = END in data[-16:]
        return Container(
            "jp2", (height, width), data, complete=whole, depth=bits, channels=channels, parts=of_bits(bits)
        )
    parts, blocks, codes = [], {}, SRGB
    icc, complete, size, end = None, False, (0, 0, 0, 0), len(data)
    for box in boxes(data):
        body = data[box.start : min(box.end, box.start + 24)]
        if box.kind == b"jp2h":
            for inner in boxes(data, box.start, box.end):
                if inner.kind == b"colr" and inner.end - inner.start > 3:
                    method = data[inner.start]
                    if method in (2, 3):
                        icc = data[inner.start + 3 : inner.end]
                    elif method == 1:
                        codes = struct.unpack_from(">I", data, inner.start + 3)[0]
        elif box.kind == b"jp2c" and size == (0, 0, 0, 0):
            size = _header(data, box.start)
            complete, end = box.whole and data[box.start : box.end].rstrip(b"\0").endswith(END), box.end
        elif box.kind == b"jp2c":
            parts.append(Part("pictures", "1"))
        elif box.kind == b"uuid" and body[:16] in (EXIF, XMP):
            blocks[body[:16]] = data[box.start + 16 : box.end]
        elif box.kind == b"uuid" and body[:16] == GEO:
            parts.append(Part("geo"))
        elif box.kind not in IMPLIED and box.kind.isalnum() and box.whole:
            parts.append(Part("foreign", box.kind.decode("latin-1").strip()))
    if size == (0, 0, 0, 0):
        raise TruncatedError
    height, width, channels, bits = size
    if codes not in (SRGB, GREY, SYCC) and icc is None:
        raise DamagedError("is a JPEG 2000 picture whose colours are neither grey nor RGB, which is not supported")
    parts += of_bits(bits)
    return Container(
        "jp2",
        (height, width),
        data,
        complete=complete,
        depth=bits,
        channels=channels,
        icc=icc,
        exif=blocks.get(EXIF),
        xmp=blocks.get(XMP),
        parts=(*parts, *(behind(data[end:]) if end > len(data) else ())),
    )


def _header(data: bytes, start: int) -> tuple[int, int, int, int]:
    """Height, width, components and the most bits of one, from the codestream's own header."""
    if len(data) < start + 42 or data[start : start + 4] != STREAM:
        raise TruncatedError
    right, bottom, left, top = struct.unpack_from(">4I", data, start + 8)
    components = struct.unpack_from(">H", data, start + 40)[0]
    if len(data) < start + 42 + 3 * components or not components:
        raise TruncatedError
    bits = [(data[start + 42 + 3 * index] & 0x7F) + 1 for index in range(components)]
    if any(data[start + 42 + 3 * index] & 0x80 for index in range(components)) or max(bits) > 16:
        raise DamagedError("is a JPEG 2000 picture of signed samples or of more than 16 bits, which is not supported")
    if components > 4:
        raise DamagedError(f"is a JPEG 2000 picture of {components} channels, which is not supported")
    return max(bottom - top, 0), max(right - left, 0), components, max(bits)


def with_boxes(data: bytes, icc: bytes | None, exif: bytes | None, xmp: bytes | None) -> bytes:
    """A file with a profile in the place of the name of its colours, and with EXIF and XMP behind it."""
    result = [*_profiled(data, icc)]
    if exif:
        result.append(box_of(b"uuid", EXIF + exif))
    if xmp:
        result.append(box_of(b"uuid", XMP + xmp))
    return b"".join(result)


def _profiled(data: bytes, icc: bytes | None) -> Iterator[bytes]:
    for box in boxes(data):
        if box.kind == b"jp2h" and icc:
            inner = [
                box_of(b"colr", b"\2\0\0" + icc)
                if part.kind == b"colr"
                else box_of(part.kind, data[part.start : part.end])
                for part in boxes(data, box.start, box.end)
            ]
            yield box_of(b"jp2h", b"".join(inner))
        else:
            yield box_of(box.kind, data[box.start : box.end])
