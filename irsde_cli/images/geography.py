"""Where on the ground a TIFF file's pixels lie: GeoTIFF's tags and those of GDAL."""

import re

import numpy as np
from numpy.typing import NDArray

from irsde_cli.images import tiff
from irsde_cli.images.tiff import Directory, Value

PIXEL_SCALE, TIE_POINTS, TRANSFORMATION, KEYS = 33550, 33922, 34264, 34735
GDAL_METADATA, RATIONAL_POLYNOMIAL = 42112, 50844
TAGS = frozenset(
    {PIXEL_SCALE, TIE_POINTS, TRANSFORMATION, KEYS, 34736, 34737, GDAL_METADATA, 42113, RATIONAL_POLYNOMIAL}
)
RASTER_TYPE, PIXEL_IS_POINT = 1025, 2
STATISTICS = re.compile(rb"\s*<Item name=\"STATISTICS_[^>]*>[^<]*</Item>")
DOUBLE = 12


def block_of(tags: Directory, order: str) -> bytes:
    """The tags as a block, without the statistics of pixels that will be others; empty where they are BigTIFF's."""
    kept = dict(tags)
    remarks = kept.get(GDAL_METADATA)
    if isinstance(remarks, Value):
        kept[GDAL_METADATA] = Value(2, STATISTICS.sub(b"", bytes(remarks.raw)))
    return tiff.with_directory(bytes(8), kept, order) if all(map(tiff.is_classic, kept.values())) else b""


def resized(block: bytes, down: float, across: float) -> bytes:
    """The tags for a picture with `down` times the rows and `across` times the columns; the ground stays."""
    page = tiff.parse(block)
    # A coordinate counts from the corner of the first pixel, or from its centre, which moves.
    at_centres = _is_point(page)
    scale = np.array([across, down])
    shift = (scale - 1) / 2 if at_centres else np.zeros(2)
    changed = dict(page.tags)

    def change(tag: int, values: NDArray[np.float64]) -> None:
        changed[tag] = Value(DOUBLE, values.astype(page.order + "f8").tobytes())

    pixel = _doubles(page, PIXEL_SCALE)
    if pixel.size >= 2:
        pixel[:2] /= scale
        change(PIXEL_SCALE, pixel)
    points = _doubles(page, TIE_POINTS)
    if points.size and points.size % 6 == 0:
        points.reshape(-1, 6)[:, :2] = points.reshape(-1, 6)[:, :2] * scale + shift
        change(TIE_POINTS, points)
    matrix = _doubles(page, TRANSFORMATION)
    if matrix.size == 16:
        rows = matrix.reshape(4, 4)
        rows[:, :2] /= scale
        rows[:, 3] -= rows[:, :2] @ shift
        change(TRANSFORMATION, matrix)
    polynomial = _doubles(page, RATIONAL_POLYNOMIAL)
    if polynomial.size >= 9:
        # Errors, then offsets and scales: lines, samples. These coordinates count from the centre of the first pixel.
        polynomial[2:4] = polynomial[2:4] * scale[::-1] + (scale[::-1] - 1) / 2
        polynomial[7:9] *= scale[::-1]
        change(RATIONAL_POLYNOMIAL, polynomial)
    return tiff.with_directory(bytes(8), changed, page.order)


def _doubles(page: tiff.Tiff, tag: int) -> NDArray[np.float64]:
    value = page.tags.get(tag)
    if not isinstance(value, Value) or value.type != DOUBLE:
        return np.empty(0)
    return np.frombuffer(value.raw, page.order + "f8").astype(np.float64)


def _is_point(page: tiff.Tiff) -> bool:
    keys = page.numbers(KEYS)
    entries = zip(keys[4::4], keys[5::4], keys[7::4], strict=False)
    return any(key == RASTER_TYPE and where == 0 and value == PIXEL_IS_POINT for key, where, value in entries)
