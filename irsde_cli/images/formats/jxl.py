"""JPEG XL files: a codestream, bare or in boxes (ISO/IEC 18181)."""

from irsde_cli.images.container import Container, TruncatedError
from irsde_cli.images.formats.bmff import box_of, boxes
from irsde_cli.images.parts import Part, of_bits

BARE = b"\xff\x0a"
RATIOS = ((1, 1), (1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))  # width to height; the first is unused
CODED = (b"jxlc", b"jxlp")
IMPLIED = (b"JXL ", b"ftyp", b"jxll", b"jxli", *CODED)


class _Bits:
    """Numbers of a codestream, the lowest bit of each byte first."""

    def __init__(self, data: bytes) -> None:
        self._number = int.from_bytes(data, "little")
        self._left = 8 * len(data)

    def take(self, count: int) -> int:
        """The next bits as a number.

        Raises:
            TruncatedError: there are not so many.
        """
        if count > self._left:
            raise TruncatedError
        value = self._number & ((1 << count) - 1)
        self._number >>= count
        self._left -= count
        return value

    def choose(self, *rows: tuple[int, int]) -> int:
        """One of four, each a number and how many bits are added to it."""
        base, count = rows[self.take(2)]
        return base + self.take(count)


def read(data: bytes) -> Container:
    """The container of a JPEG XL file; raises as `formats.inspect` does.

    Its decoder turns the picture as the file says, so the size is that of what is seen; EXIF's orientation is not
    followed.
    """
    parts: list[Part] = []
    exif = xmp = None
    whole, stream = True, b""
    if data.startswith(BARE):
        stream = data[2:66]
    else:
        for box in boxes(data):
            whole &= box.whole
            if box.kind in CODED and not stream:
                start = box.start + (4 if box.kind == b"jxlp" else 0)
                stream = data[start + 2 : min(start + 66, box.end)]
            elif box.kind == b"Exif" and box.end - box.start > 4:
                skip = int.from_bytes(data[box.start : box.start + 4], "big")
                exif = data[box.start + 4 + skip : box.end]
            elif box.kind == b"xml ":
                xmp = data[box.start : box.end]
            elif box.kind == b"brob":
                title = data[box.start : box.start + 4].decode("latin-1").strip()
                parts.append(Part("unreadable", f"its {title} is compressed with Brotli"))
            elif box.kind == b"jumb":
                parts.append(Part("credentials"))
            elif box.kind == b"jhgm":
                parts.append(Part("gain-map"))
            elif box.kind == b"jbrd":
                parts.append(Part("foreign", "what a JPEG can be rebuilt of"))
            elif box.kind not in IMPLIED:
                parts.append(Part("foreign", box.kind.decode("latin-1").strip()))
    height, width, bits, animated = _header(_Bits(stream))
    if animated:
        parts.append(Part("frames"))
    parts += of_bits(bits)
    return Container(
        "jxl", (height, width), data, complete=whole, depth=bits, exif=exif, xmp=xmp, turns=True, parts=tuple(parts)
    )


def _header(bits: _Bits) -> tuple[int, int, int, bool]:
    """Height and width as seen, bits of a sample (32 where it is a fraction), and whether it moves."""
    height, width = _size(bits)
    depth, animated, orientation = 8, False, 1
    if not bits.take(1):
        if bits.take(1):
            orientation = 1 + bits.take(3)
            if bits.take(1):
                _size(bits)
            if bits.take(1):
                _preview(bits)
            animated = bool(bits.take(1))
            if animated:
                bits.choose((100, 0), (1000, 0), (1, 10), (1, 30))
                bits.choose((1, 0), (1001, 0), (1, 8), (1, 10))
                bits.choose((0, 0), (0, 3), (0, 16), (0, 32))
                bits.take(1)
        depth = 32 if bits.take(1) else bits.choose((8, 0), (10, 0), (12, 0), (1, 6))
    return (width, height, depth, animated) if orientation > 4 else (height, width, depth, animated)


def _side(bits: _Bits) -> int:
    return bits.choose((1, 9), (1, 13), (1, 18), (1, 30))


def _size(bits: _Bits) -> tuple[int, int]:
    small = bits.take(1)
    height = 8 * (1 + bits.take(5)) if small else _side(bits)
    across, down = RATIOS[ratio] if (ratio := bits.take(3)) else (0, 0)
    if ratio:
        return height, height * across // down
    return height, 8 * (1 + bits.take(5)) if small else _side(bits)


def _preview(bits: _Bits) -> None:
    """Read over the size of a thumbnail."""
    eighths = bits.take(1)
    rows = ((16, 0), (32, 0), (1, 5), (33, 9)) if eighths else ((1, 6), (65, 8), (321, 10), (1345, 12))
    bits.choose(*rows)
    if not bits.take(3):
        bits.choose(*rows)


def with_boxes(data: bytes, exif: bytes | None, xmp: bytes | None) -> bytes:
    """A file in boxes with EXIF and XMP behind its pixels, and without what its encoder says of itself."""
    if not data.startswith(BARE):
        kept = (box for box in boxes(data) if box.kind in IMPLIED)
        data = b"".join(box_of(box.kind, data[box.start : box.end]) for box in kept)
    added = (box_of(b"Exif", bytes(4) + exif) if exif else b"") + (box_of(b"xml ", xmp) if xmp else b"")
    if data.startswith(BARE):
        data = box_of(b"JXL ", b"\r\n\x87\n") + box_of(b"ftyp", b"jxl \0\0\0\0jxl ") + box_of(b"jxlc", data)
    return data + added
