"""TIFF files that are marked one way and filled another are read as what they are, or refused in a sentence."""

import struct
from typing import Any

import numpy as np
import pytest

from irsde_cli.errors import InputError
from irsde_cli.images import read_picture, tiff
from tests.images.test_read_picture import Pixels, saved
from tests.images.test_read_picture import tiff as written

UNSPECIFIED, PREMULTIPLIED, STRAIGHT = 0, 1, 2
DRAW = np.random.default_rng(11)
EIGHT = DRAW.integers(0, 256, (37, 50, 6), dtype=np.uint8)
SIXTEEN = DRAW.integers(0, 65536, (37, 50, 6), dtype=np.uint16)
LAYOUTS: dict[str, dict[str, Any]] = {
    "strips": {"rowsperstrip": 8},
    "one strip": {},
    "tiles": {"tile": (16, 32)},
    "deflate": {"compression": "zlib", "predictor": True, "rowsperstrip": 5},
    "big-endian": {"byteorder": ">"},
    "bigtiff": {"bigtiff": True},
}


def of(bands: int, deep: bool, planar: bool, layout: str, **options: Any) -> tuple[bytes, Pixels]:
    samples = (SIXTEEN if deep else EIGHT)[..., :bands]
    options |= LAYOUTS[layout]
    if planar:
        return written(np.moveaxis(samples, 2, 0).copy(), planarconfig="separate", **options), samples
    return written(samples, planarconfig="contig", **options), samples


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("planar", [False, True])
@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize(
    ("bands", "photometric", "extra", "colours", "alpha", "said"),
    [
        (3, "rgb", [], 3, None, ""),
        (4, "rgb", [STRAIGHT], 3, 3, ""),
        (4, "rgb", [UNSPECIFIED], 3, None, "further channels"),
        (5, "rgb", [UNSPECIFIED, STRAIGHT], 3, 4, "further channels"),
        (2, "minisblack", [STRAIGHT], 1, 1, ""),
        (2, "minisblack", [UNSPECIFIED], 1, None, "further channels"),
        (3, "minisblack", [UNSPECIFIED] * 2, 3, None, "taken for red, green and blue"),
        (4, "minisblack", [UNSPECIFIED, UNSPECIFIED, STRAIGHT], 3, 3, "taken for red, green and blue"),
    ],
)
def test_samples_are_what_they_are_filled_with(
    bands: int, photometric: str, extra: list[int], colours: int, alpha: int | None, said: str, deep: bool,
    planar: bool, layout: str,
) -> None:  # fmt: skip
    """Every band is a colour, alpha, or named as left out, at both depths and in every layout."""
    data, samples = of(bands, deep, planar, layout, photometric=photometric, extrasamples=extra)
    picture = read_picture(data, "x")
    np.testing.assert_array_equal(picture.pixels, samples[..., :colours])
    if alpha is None:
        assert picture.alpha is None
    else:
        np.testing.assert_array_equal(picture.alpha, samples[..., alpha])
    assert said in " ".join([*picture.warnings, *(part.title for part in picture.parts)])
    assert bool(picture.warnings or picture.parts) == bool(said)


@pytest.mark.parametrize("bands", [5, 6])
def test_bands_that_cannot_be_told_apart_are_refused(bands: int) -> None:
    """Nobody knows which of five is red."""
    data, _ = of(bands, True, False, "strips", photometric="minisblack", extrasamples=[UNSPECIFIED] * (bands - 1))
    with pytest.raises(InputError, match="bands that are marked as grey"):
        read_picture(data, "x.tif")


@pytest.mark.parametrize("deep", [False, True])
def test_premultiplied_colours_are_divided(deep: bool) -> None:
    """To within what was lost in multiplying."""
    samples = (SIXTEEN if deep else EIGHT)[..., :4].copy()
    most = np.iinfo(samples.dtype).max
    samples[..., 3] = most // 2
    half = samples.copy()
    half[..., :3] = samples[..., :3].astype(np.uint64) * (most // 2) // most
    picture = read_picture(written(half, photometric="rgb", extrasamples=[PREMULTIPLIED]), "x")
    assert np.abs(picture.pixels.astype(int) - samples[..., :3]).max() <= 2


def without_block(data: bytes, index: int) -> bytes:
    """A file that never stored a block: neither place nor size."""
    hurt = bytearray(data)
    count = struct.unpack_from("<H", data, 8)[0]
    for at in range(10, 10 + 12 * count, 12):
        tag, kind, number, value = struct.unpack_from("<HHII", data, at)
        if tag in (tiff.STRIP_OFFSETS, tiff.STRIP_BYTES, tiff.TILE_OFFSETS, tiff.TILE_BYTES):
            size = tiff.TYPE_BYTES[kind]
            place = value if number * size > 4 else at + 8
            hurt[place + index * size : place + (index + 1) * size] = bytes(size)
    return bytes(hurt)


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("layout", ["strips", "tiles", "deflate"])
def test_blocks_that_were_never_stored_are_zeros(layout: str, deep: bool) -> None:
    """As the programs that leave them out mean it; nothing is read from the start of the file, and it is said."""
    data, samples = of(3, deep, False, layout, photometric="rgb")
    picture = read_picture(without_block(data, 1), "x")
    hole = {
        "strips": (slice(8, 16), slice(None)),
        "deflate": (slice(5, 10), slice(None)),
        "tiles": (slice(0, 16), slice(32, 64)),
    }
    expected = samples.copy()
    expected[hole[layout]] = 0
    np.testing.assert_array_equal(picture.pixels, expected)
    assert "blocks are not stored" in picture.warnings[0]
    everything = data
    for index in range(8):
        everything = without_block(everything, index)
    with pytest.raises(InputError, match=r"never stored|lacks"):
        read_picture(everything, "x.tif")


def test_absent_blocks_of_what_others_decode_are_refused() -> None:
    """Palettes are decoded by a library that would read them from the start of the file."""
    data = written(EIGHT[..., 0], photometric="palette", colormap=np.zeros((3, 256), np.uint16), rowsperstrip=8)
    assert read_picture(data, "x").size == (37, 50)
    with pytest.raises(InputError, match="lacks a part of its pixels"):
        read_picture(without_block(data, 2), "x.tif")


def test_a_block_that_is_too_short_is_damaged() -> None:
    """The next one's bytes are not taken for it."""
    data = bytearray(of(3, False, False, "strips", photometric="rgb")[0])
    at = (
        data.index(struct.pack("<HHI", tiff.STRIP_BYTES, 3, 5))
        if struct.pack("<HHI", tiff.STRIP_BYTES, 3, 5) in data
        else data.index(struct.pack("<HHI", tiff.STRIP_BYTES, 4, 5))
    )
    kind = struct.unpack_from("<H", data, at + 2)[0]
    place = struct.unpack_from("<I", data, at + 8)[0]
    struct.pack_into("<H" if kind == 3 else "<I", data, place, 100)
    with pytest.raises(InputError, match="is damaged: its pixels from row 0") as caught:
        read_picture(bytes(data), "x.tif")
    assert "--allow-truncated" in caught.value.hint
    picture = read_picture(bytes(data), "x.tif", allow_truncated=True)
    np.testing.assert_array_equal(picture.pixels[8:], EIGHT[8:, :, :3])


def test_bits_in_the_other_order() -> None:
    """A fill order of 2 turns each byte."""
    samples = EIGHT[..., :3].copy()
    turned = np.packbits(np.unpackbits(samples.ravel()).reshape(-1, 8)[:, ::-1].ravel()).reshape(samples.shape)
    data = written(turned, photometric="rgb")
    data = tiff.with_directory(data, tiff.parse(data).tags | {tiff.FILL_ORDER: tiff.integers("<", 2)}, "<")
    np.testing.assert_array_equal(read_picture(data, "x").pixels, samples)


def test_lzw_and_packbits_are_read_exactly() -> None:
    """Through libtiff, block by block."""
    for compression in ("tiff_lzw", "packbits", "tiff_adobe_deflate"):
        data = saved(EIGHT[..., :3], "tiff", compression=compression)
        np.testing.assert_array_equal(read_picture(data, "x").pixels, EIGHT[..., :3])
