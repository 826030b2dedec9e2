"""The samples of TIFF files, block by block: to the last bit, whatever the layout, and none that is not there.

Pillow keeps 8 bits of 16-bit colour and knows few combinations of channels, and its libtiff forgives a block that is
damaged or was never stored.
"""

import io
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from irsde_cli.images import tiff
from irsde_cli.images.container import DamagedError
from irsde_cli.images.tiff import Tiff

JPEG_TABLES = 347
PART = 1 << 16
NONE, DEFLATE = 1, (8, 32946)
REVERSED = bytes(int(f"{value:08b}"[::-1], 2) for value in range(256))
HINT = "--allow-truncated takes what is there."
UNSPECIFIED, PREMULTIPLIED, STRAIGHT = 0, 1, 2
MOST_BANDS = 4


@dataclass(frozen=True)
class Meaning:
    """What the samples of a pixel are.

    Attributes:
        colours: 1 or 3; they come first.
        alpha: the index of the sample that is alpha; 0 is none.
        premultiplied: whether the colours are.
        unknown: how many samples nobody names.
        guessed: whether the three colours are marked as grey and two more.
    """

    colours: int
    alpha: int = 0
    premultiplied: bool = False
    unknown: int = 0
    guessed: bool = False


@dataclass(frozen=True)
class Faults:
    """Blocks that are not what the directory says.

    Attributes:
        blocks: how many there are.
        absent: those that were never stored, which stand for zeros.
        damaged: those that cannot be read to their end, or hold something else.
    """

    blocks: int
    absent: int = 0
    damaged: int = 0

    def words(self) -> list[str]:
        """A sentence for each kind."""
        found = []
        if self.absent:
            found.append(f"{self.absent} of its {self.blocks} blocks are not stored and taken for zeros")
        if self.damaged:
            found.append(f"it is damaged: {self.damaged} of its {self.blocks} blocks are not whole")
        return found


def is_exact(page: Tiff) -> bool:
    """Whether `samples` reads a page: grey or RGB of 8 or 16 bits, in a compression of bytes."""
    bits = page.number(tiff.BITS, 1)
    plain = page.number(tiff.PHOTOMETRIC, -1) in (0, 1, 2) and bits in (8, 16)
    return plain and (bits == 16 or page.number(tiff.COMPRESSION, 1) in tiff.LOSSLESS)


def meaning(page: Tiff) -> Meaning:
    """What the samples of a page of grey or RGB are.

    Raises:
        DamagedError: nobody can say.
    """
    photometric, count = page.number(tiff.PHOTOMETRIC), page.number(tiff.SAMPLES, 1)
    colours = 3 if photometric == 2 else 1
    if count < colours:
        raise DamagedError("is a TIFF with too few samples a pixel")
    extra = page.numbers(tiff.EXTRA_SAMPLES)
    if not extra and count == colours + 1:
        extra = (STRAIGHT,)  # files older than the tag
    kinds = (*extra, *(UNSPECIFIED,) * count)[: count - colours]
    guessed = colours == 1 and kinds[:2] == (UNSPECIFIED, UNSPECIFIED)
    if guessed:
        if photometric != 1 or count > MOST_BANDS:
            raise DamagedError(f"is a TIFF of {count} bands that are marked as grey, and cannot be told apart")
        colours, kinds = 3, kinds[2:]
    found = [index for index, kind in enumerate(kinds) if kind in (PREMULTIPLIED, STRAIGHT)]
    if not found:
        return Meaning(colours, unknown=len(kinds), guessed=guessed)
    first = found[0]
    return Meaning(colours, colours + first, kinds[first] == PREMULTIPLIED, len(kinds) - 1, guessed)


def samples(data: bytes, page: Tiff, *, forgiving: bool = False) -> tuple[NDArray[Any], Faults]:
    """All samples of a page that `is_exact`, (H, W, S), uint8 or uint16.

    Args:
        data: the file.
        page: the directory.
        forgiving: take what a damaged block still gives; the rest is zero.

    Raises:
        DamagedError: a block is damaged, or the compression is not known.
    """
    deep = page.number(tiff.BITS, 1) == 16
    compression, predictor = page.number(tiff.COMPRESSION, 1), page.number(tiff.PREDICTOR, 1)
    if compression not in tiff.LOSSLESS or predictor not in (1, 2):
        text = f"compression {compression} with predictor {predictor}"
        raise DamagedError(f"is a TIFF with {text}, which is not supported for {16 if deep else 8} bits")
    height, width, count = page.number(tiff.HEIGHT), page.number(tiff.WIDTH), page.number(tiff.SAMPLES, 1)
    result = np.zeros((height, width, count), np.uint16 if deep else np.uint8)
    stored = np.dtype(page.order + "u2" if deep else "u1")
    each = 1 if _separate(page) else count
    tally = _Tally(forgiving)
    for block in _blocks(page):
        raw = tally.take(data, page, block)
        if not raw:
            continue
        values = np.frombuffer(raw, stored).reshape(block.rows, block.columns, each)
        if predictor == 2:
            values = np.cumsum(values, axis=1, dtype=result.dtype)
        planes = slice(block.plane, block.plane + 1) if each != count else slice(None)
        into = result[block.top : block.top + block.rows, block.left : block.left + block.columns, planes]
        into[...] = values[: into.shape[0], : into.shape[1]]
    return result, tally.faults()


def checked(data: bytes, page: Tiff, *, forgiving: bool = False) -> Faults:
    """What is wrong with the blocks of a page that another reader decodes, in a compression of bytes.

    Raises:
        DamagedError: a block is damaged.
    """
    tally = _Tally(forgiving)
    known = page.number(tiff.COMPRESSION, 1) in tiff.LOSSLESS
    for block in _blocks(page):
        if known or tally.is_absent(block):
            tally.take(data, page, block)
        else:
            tally.blocks += 1
    return tally.faults()


def jpegs(data: bytes, page: Tiff) -> Iterator[bytes]:
    """The blocks of a page that is compressed as JPEG, each as a file with the tables of the page."""
    tables = page.raw(JPEG_TABLES) or b""
    for block in _blocks(page):
        yield b"\xff\xd8" + tables[2:-2] + data[block.offset : block.offset + (block.size or 0)][2:]


@dataclass(frozen=True)
class _Block:
    """A strip or tile: where it lies in the picture and in the file, and how many bytes its samples take.

    Attributes:
        needed: bytes that cover the picture.
        most: bytes of a whole block: the last strip may be a whole one.
    """

    plane: int
    top: int
    left: int
    rows: int
    columns: int
    offset: int
    size: int | None
    needed: int
    most: int


class _Tally:
    """Decodes blocks, and counts what is wrong with them."""

    def __init__(self, forgiving: bool) -> None:
        self._forgiving = forgiving
        self.blocks = self._absent = self._damaged = 0

    def is_absent(self, block: _Block) -> bool:
        """Whether a block was never stored: a sparse file has neither a place nor a size for it."""
        return not block.offset and not block.size

    def take(self, data: bytes, page: Tiff, block: _Block) -> bytes | memoryview:
        """The bytes of a block's samples; empty where it was never stored."""
        self.blocks += 1
        if self.is_absent(block):
            self._absent += 1
            return b""
        size = block.size or (block.needed if page.number(tiff.COMPRESSION, 1) == NONE else len(data))
        raw: bytes | memoryview = memoryview(data)[block.offset : block.offset + size]
        if page.number(tiff.FILL_ORDER, 1) == 2:
            raw = bytes(raw).translate(REVERSED)
        found, sound = _decompressed(raw, page.number(tiff.COMPRESSION, 1), block)
        if not sound:
            self._damaged += 1
            if not self._forgiving:
                raise DamagedError(
                    f"is damaged: its pixels from row {block.top} on end too early or are no sound stream", HINT
                )
        return found if len(found) == block.needed else bytes(found).ljust(block.needed, b"\0")[: block.needed]

    def faults(self) -> Faults:
        """What was found.

        Raises:
            DamagedError: not one block is there.
        """
        if self._absent == self.blocks:
            raise DamagedError("is a TIFF whose pixels were never stored")
        return Faults(self.blocks, self._absent, self._damaged)


def _separate(page: Tiff) -> bool:
    return page.number(tiff.PLANAR, 1) == 2 and page.number(tiff.SAMPLES, 1) > 1


def _blocks(page: Tiff) -> Iterator[_Block]:
    height, width, count = page.number(tiff.HEIGHT), page.number(tiff.WIDTH), page.number(tiff.SAMPLES, 1)
    planes = count if _separate(page) else 1
    tall = page.number(tiff.TILE_HEIGHT) if page.tiled else min(page.number(tiff.ROWS_PER_STRIP, height), height)
    wide = page.number(tiff.TILE_WIDTH) if page.tiled else width
    row_bytes = (wide * page.number(tiff.BITS, 1) * count // planes + 7) // 8
    offsets, sizes = page.blocks()
    index = 0
    for plane in range(planes):
        for top in range(0, height, tall):
            for left in range(0, width, wide):
                rows = tall if page.tiled else min(tall, height - top)
                size = sizes[index] if index < len(sizes) else None
                yield _Block(
                    plane, top, left, rows, wide, offsets[index], size, rows * row_bytes, max(rows, tall) * row_bytes
                )
                index += 1


def _decompressed(raw: bytes | memoryview, compression: int, block: _Block) -> tuple[bytes | memoryview, bool]:
    """The bytes of a block, as many as there are, and whether they are what it should hold, as far as can be known.

    Deflate has a checksum, which libtiff never reaches; what other compressions say is libtiff's.
    """
    if compression == NONE:
        return raw[: block.needed], len(raw) >= block.needed
    if compression in DEFLATE:
        inflater, found = zlib.decompressobj(), bytearray()
        try:
            for at in range(0, len(raw), PART):  # in parts, so that what comes before the damage is kept
                found += inflater.decompress(raw[at : at + PART], block.most + 1 - len(found))
                if inflater.eof or len(found) > block.most:
                    break
        except zlib.error:
            return bytes(found[: block.needed]), False
        return bytes(found[: block.needed]), inflater.eof and block.needed <= len(found) <= block.most
    inflated = _by_libtiff(raw, compression, block.needed)
    return inflated, len(inflated) == block.needed


def _by_libtiff(raw: bytes | memoryview, compression: int, size: int) -> bytes:
    """`size` bytes of a compressed stream, presented as a picture of one row; empty where there are fewer."""
    layout = {
        tiff.WIDTH: size,
        tiff.HEIGHT: 1,
        tiff.BITS: 8,
        tiff.COMPRESSION: compression,
        tiff.PHOTOMETRIC: 1,
        tiff.SAMPLES: 1,
        tiff.ROWS_PER_STRIP: 1,
        tiff.STRIP_OFFSETS: 8,
        tiff.STRIP_BYTES: len(raw),
    }
    tags: tiff.Directory = {tag: tiff.integers("<", number) for tag, number in layout.items()}
    try:
        with tiff.PlainTiffFile(io.BytesIO(tiff.with_directory(b"".join((bytes(8), raw)), tags, "<"))) as image:
            return bytes(np.ascontiguousarray(image).data)
    except (OSError, ValueError, SyntaxError):
        return b""


def straight(pixels: NDArray[Any], alpha: NDArray[Any]) -> NDArray[Any]:
    """Colours (H, W, C) of what was multiplied by alpha (H, W), which may be rounded, to the nearest."""
    most = int(np.iinfo(pixels.dtype).max)
    opacity = np.maximum(alpha, 1)[..., None].astype(np.uint64)
    divided = (pixels * np.uint64(most) + opacity // 2) // opacity
    return np.asarray(np.minimum(divided, most), pixels.dtype)
