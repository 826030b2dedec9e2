"""Files are made here, by encoders other than ours, and read back."""

import io
import itertools
import os
import struct
import sys
import tracemalloc
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps, PngImagePlugin

from irsde_cli.errors import InputError
from irsde_cli.images import Limits, Part, Picture, losses, read_picture
from irsde_cli.images.picture import READ_HERE

Pixels = NDArray[Any]

HEIGHT, WIDTH = 6, 9
RNG = np.random.default_rng(7)
RGB = RNG.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
ALPHA = RNG.integers(0, 256, (HEIGHT, WIDTH), dtype=np.uint8)
GREY = RGB[..., 0]
RGBA = np.dstack((RGB, ALPHA))
DEEP = RNG.integers(0, 65536, (HEIGHT, WIDTH, 4), dtype=np.uint16)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
SUPPORTED = f"is not a supported image ({READ_HERE})"


def saved(image: Image.Image | Pixels, format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(buffer, format, **options)
    return buffer.getvalue()


def lost(picture: Picture, **more: Any) -> list[str]:
    """The kinds of what a file will lack."""
    return [part.kind for part in losses(picture, **more)]


def tiff(samples: Pixels, **options: Any) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, samples, metadata=None, **options)
    return buffer.getvalue()


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def miscounted(data: bytes) -> bytes:
    """A chunk with another checksum than its own, whatever that is: profiles hold the time at which they were made."""
    return data[:-1] + bytes([data[-1] ^ 1])


def png(samples: Pixels, colour: int, *extra: bytes) -> bytes:
    """A PNG without filters; `samples` (H, W, C), `extra` are chunks before the pixels."""
    height, width = samples.shape[:2]
    deep = samples.astype(samples.dtype.newbyteorder(">"))
    rows = b"".join(b"\0" + row.tobytes() for row in deep)
    header = struct.pack(">IIBBBBB", width, height, 8 * samples.dtype.itemsize, colour, 0, 0, 0)
    body = (chunk(b"IHDR", header), *extra, chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(body)


def exif(orientation: int = 1, order: str = "<", camera: bytes = b"Camera\0") -> bytes:
    """An EXIF block with a maker and an orientation."""
    head = {"<": b"II", ">": b"MM"}[order] + struct.pack(order + "HIH", 42, 8, 2)
    make = struct.pack(order + "HHII", 271, 2, len(camera), 8 + 2 + 24 + 4)
    turned = struct.pack(order + "HHIHH", 274, 3, 1, orientation, 0)
    return head + make + turned + bytes(4) + camera


def deep_png_module() -> Any:
    return pytest.importorskip("OpenImageIO", reason="16-bit colour in PNG needs the extra irsde[hdr]")


def grey_palette() -> Image.Image:
    return Image.fromarray(RGB).quantize(16)


def see_through_palette() -> bytes:
    image = grey_palette()
    return saved(image, "png", transparency=bytes(range(0, 160, 10)))


def keyed_png() -> bytes:
    key = struct.pack(">3H", *(int(value) for value in RGB[2, 3]))
    return png(RGB, 2, chunk(b"tRNS", key))


@pytest.mark.parametrize(
    ("data", "channels", "alpha", "expected"),
    [
        pytest.param(saved(Image.fromarray(GREY > 99), "png"), 1, False, (GREY > 99) * 255, id="1"),
        pytest.param(saved(GREY, "png"), 1, False, GREY, id="L"),
        pytest.param(saved(np.dstack((GREY, ALPHA)), "png"), 1, True, GREY, id="LA"),
        pytest.param(saved(grey_palette(), "png"), 3, False, np.asarray(grey_palette().convert("RGB")), id="P"),
        pytest.param(see_through_palette(), 3, True, np.asarray(grey_palette().convert("RGB")), id="P+tRNS"),
        pytest.param(saved(RGB, "png"), 3, False, RGB, id="RGB"),
        pytest.param(keyed_png(), 3, True, RGB, id="RGB+tRNS"),
        pytest.param(saved(RGBA, "png"), 3, True, RGB, id="RGBA"),
        pytest.param(saved(RGB, "bmp"), 3, False, RGB, id="bmp"),
        pytest.param(saved(GREY, "bmp"), 1, False, GREY, id="bmp-L"),
        pytest.param(saved(grey_palette(), "bmp"), 3, False, np.asarray(grey_palette().convert("RGB")), id="bmp-P"),
        pytest.param(saved(RGB, "webp", lossless=True), 3, False, RGB, id="webp"),
        pytest.param(saved(RGBA, "webp", lossless=True, exact=True), 3, True, RGB, id="webp-RGBA"),
        pytest.param(saved(RGB, "tiff", compression="tiff_lzw"), 3, False, RGB, id="tiff-lzw"),
        pytest.param(saved(RGBA, "tiff"), 3, True, RGB, id="tiff-RGBA"),
        pytest.param(saved(Image.fromarray(GREY > 99), "tiff", compression="group4"), 1, False, None, id="tiff-fax"),
        pytest.param(tiff(255 - GREY, photometric="miniswhite"), 1, False, GREY, id="tiff-white-is-zero"),
        pytest.param(tiff(RGB, bigtiff=True), 3, False, RGB, id="bigtiff"),
        pytest.param(
            tiff(np.moveaxis(RGB, 2, 0), planarconfig="separate", photometric="rgb"), 3, False, RGB, id="planar"
        ),
        pytest.param(saved(Image.fromarray(RGB).convert("YCbCr"), "tiff"), 3, False, None, id="tiff-YCbCr"),
        pytest.param(saved(GREY, "jpeg"), 1, False, None, id="jpeg-L"),
        pytest.param(saved(RGB, "jpeg", progressive=True), 3, False, None, id="jpeg-progressive"),
    ],
)
def test_every_eight_bit_mode_has_its_place(data: bytes, channels: int, alpha: bool, expected: Pixels | None) -> None:
    """A mode of Pillow becomes grey or RGB, with or without alpha, and is never taken for another."""
    picture = read_picture(data, "x")
    assert picture.pixels.shape == (HEIGHT, WIDTH, channels)
    assert picture.depth == 8
    assert (picture.alpha is not None) == alpha
    assert not picture.warnings
    if expected is not None:
        np.testing.assert_array_equal(picture.pixels.squeeze(), expected)


def test_transparency_is_read_exactly() -> None:
    """Alpha comes from a channel, from a palette or from a colour that stands for it."""
    np.testing.assert_array_equal(read_picture(saved(RGBA, "png"), "x").alpha, ALPHA)
    indices = np.asarray(grey_palette())
    np.testing.assert_array_equal(read_picture(see_through_palette(), "x").alpha, indices * 10)
    np.testing.assert_array_equal(read_picture(keyed_png(), "x").alpha == 0, (RGB[2, 3] == RGB).all(-1))
    deep = DEEP[..., :1]
    key = chunk(b"tRNS", struct.pack(">H", int(deep[1, 1, 0])))
    np.testing.assert_array_equal(read_picture(png(deep, 0, key), "x").alpha == 0, (deep == deep[1, 1]).all(-1))


@pytest.mark.parametrize("colour", ["P;1", "L;1", "L;2", "L;4"])
def test_samples_of_few_bits_are_spread(colour: str) -> None:
    """Grey of 1, 2 or 4 bits reaches from black to white, and its transparent colour is found."""
    bits = int(colour[-1])
    values = np.arange(2**bits, dtype=np.uint8)
    packed = b"\0" + np.packbits(np.unpackbits(values[:, None], axis=1)[:, 8 - bits :].ravel()).tobytes()
    header = struct.pack(">IIBBBBB", 2**bits, 1, bits, 3 if colour[0] == "P" else 0, 0, 0, 0)
    extra = chunk(b"PLTE", b"\1\2\3\4\5\6") if colour[0] == "P" else chunk(b"tRNS", struct.pack(">H", 1))
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra
    picture = read_picture(data + chunk(b"IDAT", zlib.compress(packed)) + chunk(b"IEND", b""), "x")
    if colour[0] == "P":
        assert picture.pixels.tolist() == [[[1, 2, 3], [4, 5, 6]]]
    else:
        np.testing.assert_array_equal(picture.pixels.ravel(), values * (255 // (2**bits - 1)))
        assert picture.alpha is not None
        np.testing.assert_array_equal(picture.alpha.ravel() == 0, values == 1)


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("layout", ["contig", "separate", "tiles", "strips", "big-endian", "bigtiff"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_sixteen_bit_tiff_is_exact(compression: str | None, layout: str, channels: int) -> None:
    """16-bit grey, RGB and RGBA TIFF is read to the last bit, however it is laid out."""
    samples = RNG.integers(0, 65536, (37, 50, channels), dtype=np.uint16)
    options: dict[str, Any] = {"photometric": "rgb" if channels > 1 else "minisblack", "compression": compression}
    if compression == "zlib":
        options["predictor"] = True
    if channels == 4:
        options["extrasamples"] = ["unassalpha"]
    layouts: dict[str, dict[str, Any]] = {
        "contig": {"planarconfig": "contig"},
        "separate": {"planarconfig": "separate", "rowsperstrip": 8},
        "tiles": {"tile": (16, 32)},
        "strips": {"rowsperstrip": 5},
        "big-endian": {"byteorder": ">"},
        "bigtiff": {"bigtiff": True},
    }
    options |= layouts[layout]
    separate = layout == "separate" and channels > 1
    if not separate:
        options.pop("planarconfig", None)
    data = tiff(np.moveaxis(samples, 2, 0) if separate else samples.squeeze(), **options)
    picture = read_picture(data, "x")
    np.testing.assert_array_equal(picture.pixels, samples[..., :3])
    if channels == 4:
        np.testing.assert_array_equal(picture.alpha, samples[..., 3])
    assert not picture.warnings


@pytest.mark.parametrize("compression", ["lzw", "packbits", "zip", "none"])
@pytest.mark.parametrize("tile", [0, 16])
def test_sixteen_bit_tiff_of_another_writer_is_exact(tmp_path: Path, compression: str | None, tile: int) -> None:
    """The compressions that photo editors choose, with their predictors, need no further package."""
    oiio = deep_png_module()
    samples = RNG.integers(0, 65536, (40, 30, 3), dtype=np.uint16) // 7
    spec = oiio.ImageSpec(30, 40, 3, "uint16")
    spec.attribute("compression", compression)
    spec.tile_width = spec.tile_height = tile
    path = str(tmp_path / "x.tif")
    output = oiio.ImageOutput.create(path)
    assert output.open(path, spec) and output.write_image(samples) and output.close()
    np.testing.assert_array_equal(read_picture(tmp_path / "x.tif", "x").pixels, samples)


def test_sixteen_bit_tiff_with_lzw_is_exact() -> None:
    """Pillow's own 16-bit grey is read as it was written."""
    image = Image.fromarray(DEEP[..., 0])
    np.testing.assert_array_equal(read_picture(saved(image, "tiff", compression="tiff_lzw"), "x").pixels, DEEP[..., :1])


def test_meaning_of_extra_tiff_channels() -> None:
    """Premultiplied alpha is undone; a channel that nobody names is dropped with a warning."""
    opaque = np.full((HEIGHT, WIDTH, 1), 32768, np.uint16)
    half = (DEEP[..., :3].astype(np.uint64) * 32768 // 65535).astype(np.uint16)
    premultiplied = tiff(np.concatenate((half, opaque), 2), photometric="rgb", extrasamples=["assocalpha"])
    picture = read_picture(premultiplied, "x")
    assert np.abs(picture.pixels.astype(int) - DEEP[..., :3]).max() <= 2
    for samples in (DEEP, RGBA):
        picture = read_picture(tiff(samples, photometric="rgb", extrasamples=["unspecified"]), "x")
        np.testing.assert_array_equal(picture.pixels, samples[..., :3])
        assert picture.alpha is None
        assert lost(picture) == ["channel"]


def test_sixteen_bit_grey_png_is_exact() -> None:
    """16-bit grey needs no extra."""
    picture = read_picture(saved(DEEP[..., 0], "png"), "x")
    np.testing.assert_array_equal(picture.pixels, DEEP[..., :1])


@pytest.mark.parametrize(("colour", "channels"), [(2, 3), (6, 4), (4, 2)])
def test_sixteen_bit_colour_png_is_exact_with_the_extra(colour: int, channels: int) -> None:
    """With OpenImageIO, 16-bit RGB, RGBA and grey with alpha come to the last bit."""
    deep_png_module()
    samples = DEEP[..., -channels:]
    picture = read_picture(png(samples, colour), "x")
    colours = channels - (colour & 4 > 0)
    np.testing.assert_array_equal(picture.pixels, samples[..., :colours])
    if colour & 4:
        np.testing.assert_array_equal(picture.alpha, samples[..., -1])


@pytest.mark.parametrize(("colour", "channels"), [(2, 3), (6, 4), (4, 2)])
def test_sixteen_bit_colour_png_without_the_extra(monkeypatch: pytest.MonkeyPatch, colour: int, channels: int) -> None:
    """Without OpenImageIO such a file fails and names the extra, unless 8 bits were asked for."""
    monkeypatch.setitem(sys.modules, "OpenImageIO", None)
    samples = DEEP[..., -channels:]
    with pytest.raises(InputError) as caught:
        read_picture(png(samples, colour), "x.png")
    assert "irsde[hdr]" in caught.value.hint and "--depth 8" in caught.value.hint
    picture = read_picture(png(samples, colour), "x.png", depth=8)
    assert picture.warnings == ("it is reduced from 16 to 8 bits",)
    colours = channels - (colour & 4 > 0)
    np.testing.assert_array_equal(picture.pixels, np.rint(samples[..., :colours] * (255 / 65535)).astype(np.uint8))


def test_more_depth_can_be_asked_for() -> None:
    """8 bits become 16 without a loss."""
    picture = read_picture(saved(RGBA, "png"), "x", depth=16)
    np.testing.assert_array_equal(picture.pixels, RGB.astype(np.uint16) * 257)
    np.testing.assert_array_equal(picture.alpha, ALPHA.astype(np.uint16) * 257)


@pytest.mark.parametrize("samples", [np.float32, np.float64, np.uint32, np.int16])
def test_other_numbers_fail_with_the_way_out(samples: Any) -> None:
    """Floating point and 32 bits are refused, not clipped."""
    with pytest.raises(InputError, match=r"'x.tif' is a TIFF with .*samples of") as caught:
        read_picture(tiff(np.ones((HEIGHT, WIDTH, 3), samples), photometric="rgb"), "x.tif")
    assert "8 or 16 bits" in caught.value.hint


def test_cmyk_is_converted_by_its_profile_or_with_a_warning() -> None:
    """CMYK, inverted or not, becomes RGB and says so; its profile does not stay."""
    white, dark = (0, 0, 0, 0), (0, 0, 0, 230)
    image = Image.new("CMYK", (16, 16), white)
    image.paste(dark, (8, 0, 16, 16))
    for data in (saved(image, "jpeg", quality=95), saved(image, "tiff"), saved(image, "tiff", compression="tiff_lzw")):
        picture = read_picture(data, "x")
        assert picture.pixels.shape == (16, 16, 3)
        assert picture.pixels[8, 2].min() > 240 and picture.pixels[8, 13].max() < 60
        assert lost(picture) == ["cmyk"]
    unusable = read_picture(saved(image, "jpeg", icc_profile=SRGB), "x")
    assert unusable.icc is None
    assert unusable.parts[0].detail == "its CMYK colour profile is unusable"


def test_cielab_is_converted() -> None:
    """CIELAB is never taken for RGB."""
    lab = ImageCms.profileToProfile(
        Image.new("RGB", (4, 4), (200, 100, 50)),
        ImageCms.createProfile("sRGB"),
        ImageCms.createProfile("LAB"),
        outputMode="LAB",
    )
    assert lab is not None
    picture = read_picture(saved(lab, "tiff"), "x")
    assert np.abs(picture.pixels[0, 0].astype(int) - (200, 100, 50)).max() <= 3
    assert lost(picture) == ["lab"]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["jpeg", "png", "webp", "tiff", "tiff-16", "png-16"])
def test_pictures_come_upright(orientation: int, form: str) -> None:
    """Pixels and alpha are turned as EXIF says, and EXIF then says that nothing is to be turned."""
    upright = np.zeros((8, 16, 4), np.uint16 if "16" in form else np.uint8)
    upright[..., 3] = 200
    upright[:, 8:, 0] = upright[4:, :, 1] = upright[4:, 8:, 2] = upright[:4, :8, 3] = np.iinfo(upright.dtype).max
    # The transformation that undoes Pillow's own for this orientation is looked up by trying all.
    stored = next(
        candidate
        for turn, flip in itertools.product(range(4), (False, True))
        for candidate in [np.rot90(upright[:, ::-1] if flip else upright, turn)]
        if np.array_equal(_upright_by_pillow(candidate, orientation), upright.astype(np.uint8))
    )
    stored = np.ascontiguousarray(stored)
    block = exif(orientation)
    if form == "tiff-16":
        data = tiff(stored, photometric="rgb", extrasamples=["unassalpha"], extratags=[(274, 3, 1, orientation, True)])
    elif form == "png-16":
        deep_png_module()
        data = png(stored, 6, chunk(b"eXIf", block))
    elif form == "tiff":
        data = saved(stored, "tiff", tiffinfo={274: orientation})
    else:
        options: dict[str, Any] = {"quality": 100, "subsampling": 0} if form == "jpeg" else {}
        if form == "webp":
            options = {"lossless": True, "exact": True}
        data = saved(stored[..., :3] if form == "jpeg" else stored, form, exif=b"Exif\0\0" + block, **options)
    picture = read_picture(data, "x")
    assert picture.size == (8, 16)
    np.testing.assert_allclose(
        picture.pixels.astype(int), upright[..., :3].astype(int), atol=3 if form == "jpeg" else 0
    )
    if form != "jpeg":
        np.testing.assert_array_equal(picture.alpha, upright[..., 3])
    if "tiff" not in form:
        assert picture.exif == exif(1)


def _upright_by_pillow(stored: Pixels, orientation: int) -> Pixels:
    image = Image.fromarray(np.ascontiguousarray(stored).astype(np.uint8))
    image.getexif()[274] = orientation
    return np.asarray(ImageOps.exif_transpose(image))


def test_resolution_is_taken_from_exif_where_the_format_has_none() -> None:
    """Printing size survives from a WebP into other formats."""
    block = Image.Exif()
    block[282], block[283], block[296] = 240.0, 120.0, 2
    assert read_picture(saved(RGB, "webp", exif=block), "x").dpi == (240, 120)


@pytest.mark.parametrize("order", ["<", ">"])
def test_orientation_is_reset_in_xmp_too(order: str) -> None:
    """A second place that says how to turn the picture would turn it again."""
    packet = b'<x tiff:Orientation="6" a="6"/><tiff:Orientation>6</tiff:Orientation>'
    data = saved(RGB, "jpeg", exif=b"Exif\0\0" + exif(6, order), xmp=packet)
    picture = read_picture(data, "x")
    assert picture.xmp == packet.replace(b'Orientation="6"', b'Orientation="1"').replace(b">6<", b">1<")
    assert picture.exif == exif(1, order)


@pytest.mark.parametrize("form", ["jpeg", "png", "webp", "tiff"])
def test_metadata_come_byte_for_byte(form: str) -> None:
    """Profile, EXIF and XMP are those of the file."""
    packet = b"<x:xmpmeta>" + bytes(range(32, 127)) + b"</x:xmpmeta>"
    options: dict[str, Any] = {"icc_profile": SRGB, "exif": b"Exif\0\0" + exif(1)}
    if form == "png":
        text = PngImagePlugin.PngInfo()
        text.add_itxt("XML:com.adobe.xmp", packet.decode(), zip=True)
        options["pnginfo"] = text
    elif form == "tiff":
        options = {"icc_profile": SRGB, "tiffinfo": {271: "Camera", 700: packet}}
    else:
        options["xmp"] = packet
    if form != "webp":
        options["dpi"] = (300, 200)
    picture = read_picture(saved(RGB, form, **options), "x")
    assert picture.icc == SRGB
    assert picture.xmp == packet
    assert picture.exif is not None
    exif_there = Image.Exif()
    exif_there.load(b"Exif\0\0" + picture.exif)
    assert exif_there[271] == "Camera"
    assert form == "tiff" or picture.exif == exif(1)
    if form != "webp":
        assert picture.dpi == pytest.approx((300, 200), abs=0.02)
    assert not picture.warnings


def test_large_profile_in_several_segments() -> None:
    """A profile beyond 64 KiB is put together, and is dropped with a warning where a part is missing."""
    profile = SRGB + RNG.bytes(150_000)
    data = saved(RGB, "jpeg", icc_profile=profile)
    assert read_picture(data, "x").icc == profile
    start = data.index(b"\xff\xe2")
    length = struct.unpack_from(">H", data, start + 2)[0]
    picture = read_picture(data[:start] + data[start + 2 + length :], "x")
    assert picture.icc is None and "incomplete" in picture.parts[0].detail


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(b"not exif at all", "its EXIF is damaged", id="junk"),
        pytest.param(b"II*\0\xff\xff\xff\x7f", "its EXIF is damaged", id="points-nowhere"),
        pytest.param(b"Exif\0\0" + exif(1), "", id="prefixed"),
        pytest.param(exif(77), "", id="impossible-orientation"),
        pytest.param(b"", "", id="empty"),
    ],
)
def test_unreadable_exif_is_named(body: bytes, expected: str) -> None:
    """What cannot be read is dropped, said, and stops nothing."""
    picture = read_picture(png(RGB, 2, chunk(b"eXIf", body)), "x")
    np.testing.assert_array_equal(picture.pixels, RGB)
    assert [part.detail for part in picture.parts] == ([expected] if expected else [])


def bomb(megabytes: int) -> bytes:
    packer = zlib.compressobj(9)
    zeros = bytes(1 << 20)
    return b"".join(packer.compress(zeros) for _ in range(megabytes)) + packer.flush()


@pytest.mark.parametrize(
    ("extra", "named"),
    [
        (chunk(b"zTXt", b"Comment\0\0" + bomb(100)), "Comment"),
        (chunk(b"iCCP", b"p\0\0" + bomb(50)), "colour profile"),
        (chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + bomb(50)), "XMP"),
        (chunk(b"eXIf", b"II*\0" + bytes(17 << 20)), "EXIF"),
        (chunk(b"iCCP", b"no end"), "colour profile"),
        (chunk(b"iTXt", b"XML:com.adobe.xmp\0"), "XMP"),
        (miscounted(chunk(b"iCCP", b"p\0\0" + zlib.compress(SRGB))), "checksum"),
    ],
    ids=["text", "profile", "xmp", "exif", "cut-profile", "cut-xmp", "checksum"],
)
def test_metadata_bombs_cost_little(extra: bytes, named: str) -> None:
    """Metadata that would fill the memory are dropped; the picture is read."""
    data = png(RGB, 2, extra)
    tracemalloc.start()
    try:
        picture = read_picture(data, "x")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    np.testing.assert_array_equal(picture.pixels, RGB)
    assert lost(picture) == ["unreadable"] and named in picture.parts[0].detail
    assert peak < 80 << 20


def webp_header(width: int, height: int) -> bytes:
    body = (
        b"WEBPVP8X"
        + struct.pack("<IB3x", 10, 0)
        + (width - 1).to_bytes(3, "little")
        + (height - 1).to_bytes(3, "little")
    )
    return b"RIFF" + struct.pack("<I", len(body)) + body


def jpeg_of(width: int, height: int) -> bytes:
    data = bytearray(saved(RGB, "jpeg"))
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def bmp_of(width: int, height: int) -> bytes:
    data = bytearray(saved(RGB, "bmp"))
    data[18:26] = struct.pack("<ii", width, height)
    return bytes(data)


def tiff_of(width: int, height: int) -> bytes:
    data = bytearray(saved(RGB, "tiff"))
    start = struct.unpack_from("<I", data, 4)[0]
    for at in range(start + 2, start + 2 + 12 * struct.unpack_from("<H", data, start)[0], 12):
        tag = struct.unpack_from("<H", data, at)[0]
        if tag in (256, 257):
            struct.pack_into("<HII", data, at + 2, 4, 1, width if tag == 256 else height)
    return bytes(data)


def png_of(width: int, height: int) -> bytes:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("header", [png_of, jpeg_of, bmp_of, tiff_of, webp_header])
def test_huge_pictures_are_refused_by_their_header(header: Callable[[int, int], bytes]) -> None:
    """3,600 megapixels in a few bytes cost no memory."""
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match="3,600,000,000 pixels") as caught:
            read_picture(header(60000, 60000), "bomb")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert "--max-pixels" in caught.value.hint
    assert peak < 1 << 20


def impossible_bmp() -> bytes:
    data = bytearray(saved(RGB, "bmp"))
    data[28:30] = b"\xff\xff"
    return bytes(data)


def impossible_tiff() -> bytes:
    data = tiff(DEEP[..., :3], photometric="rgb", tile=(16, 16), compression="zlib")
    tile = struct.pack("<HHII", 322, 4, 1, 16)
    assert tile in data
    return data.replace(tile, struct.pack("<HHII", 322, 4, 1, 1 << 24))


@pytest.mark.parametrize("data", [impossible_bmp(), impossible_tiff()], ids=["bmp", "tiff"])
def test_impossible_layouts_allocate_nothing(data: bytes) -> None:
    """Bits and tiles that no small picture has are refused, not filled up."""
    tracemalloc.start()
    try:
        with pytest.raises(InputError):
            read_picture(data, "x", allow_truncated=True)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("header", [png_of, jpeg_of, bmp_of, tiff_of])
@pytest.mark.parametrize("size", [(0, 5), (5, 0)])
def test_no_pixels_are_refused(header: Callable[[int, int], bytes], size: tuple[int, int]) -> None:
    """A width or height of zero is said."""
    with pytest.raises(InputError, match="has no pixels"):
        read_picture(header(*size), "x")


def test_limits_are_ours_and_not_those_of_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow's own limit neither refuses nor warns."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1)
    for data in (saved(RGB, "png"), saved(RGB, "jpeg"), saved(RGB, "bmp"), saved(RGB, "tiff"), tiff(DEEP[..., :3])):
        assert read_picture(data, "x").size == (HEIGHT, WIDTH)
    with pytest.raises(InputError, match="the limit is 53"):
        read_picture(saved(RGB, "png"), "x", limits=Limits(max_pixels=53))


@pytest.mark.parametrize("size", [(1, 1), (16383, 1), (1, 16383), (5, 7)])
@pytest.mark.parametrize("form", ["png", "jpeg", "tiff", "bmp", "webp"])
def test_odd_sizes(form: str, size: tuple[int, int]) -> None:
    """A single pixel and a single line, as long as WebP takes it, are pictures."""
    assert read_picture(saved(np.zeros((*size, 3), np.uint8), form), "x").size == size


def test_several_pictures_in_a_file() -> None:
    """The first is taken, and the others are counted."""
    frames = [Image.fromarray(RGB), Image.fromarray(RGB[::-1].copy()), Image.fromarray(RGB)]
    options = {"save_all": True, "append_images": frames[1:]}
    files = {form: saved(frames[0], form, **options) for form in ("png", "tiff", "mpo")}
    files["webp"] = saved(frames[0], "webp", lossless=True, **options)
    kinds = {"png": "frames", "webp": "frames", "tiff": "pages", "mpo": "pictures"}
    for form, data in files.items():
        picture = read_picture(data, "x")
        assert picture.parts == (Part(kinds[form], "2"),) and not picture.warnings
        if form == "mpo":
            assert picture.format == "jpeg"
        else:
            np.testing.assert_array_equal(picture.pixels, RGB)


def test_thumbnails_of_phones_are_no_second_picture() -> None:
    """A multi-picture file whose others are thumbnails is a JPEG like any other."""
    frames = [Image.fromarray(RGB), Image.fromarray(GREY)]
    data = bytearray(saved(frames[0], "mpo", save_all=True, append_images=frames[1:]))
    at = data.index(b"MPF\0") + 4
    index = bytes(data[at:])
    entries = struct.unpack_from("<I", index, index.index(struct.pack("<HHI", 0xB002, 7, 32)) + 8)[0]
    struct.pack_into("<I", data, at + entries + 16, 0x010001)
    assert not read_picture(bytes(data), "x").parts


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty"),
        (b"\0", f"{SUPPORTED}: it is nothing but zero bytes."),
        (b"hello, this is text", f"{SUPPORTED}: it is text."),
        (b"<html><body>404</body></html>", f"{SUPPORTED}: it is a web page (HTML)."),
        (b"GIF89a" + bytes(40), f"{SUPPORTED}: it is a GIF picture."),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", SUPPORTED),
        (b"\xff\xd8\xff\xd9", "without a picture"),
        (b"\xff\xd8\xff" + b"\xff" * 10_000_000, "truncated"),
        (b"II*\0\x08\0\0\0\0\0", "no pixels"),
        (b"\x89PNG\r\n\x1a\n", "truncated"),
        (b"RIFF\x10\0\0\0WEBPVP8 ", "truncated"),
    ],
)
def test_what_is_no_picture(data: bytes, message: str) -> None:
    """One sentence names the file and what is wrong."""
    with pytest.raises(InputError) as caught:
        read_picture(data, "x.png")
    assert caught.value.message.startswith("'x.png' ") and message in caught.value.message


def test_wrong_checksum_fails() -> None:
    """A PNG whose pixels changed on the way is damaged."""
    data = bytearray(saved(RGB, "png"))
    data[data.index(b"IDAT") + 10] ^= 1
    with pytest.raises(InputError, match="IDAT chunk has a wrong checksum"):
        read_picture(bytes(data), "x")


def noise(format: str) -> bytes:
    samples = np.random.default_rng(3).integers(0, 256, (64, 48, 3), dtype=np.uint8)
    options: dict[str, Any] = {"compression": "tiff_lzw"} if format == "tiff" else {"progressive": format == "jpeg"}
    return saved(samples, "jpeg" if format == "baseline" else format, **options)


@pytest.mark.parametrize("tenth", range(10))
@pytest.mark.parametrize("form", ["jpeg", "baseline", "png", "webp", "tiff", "bmp", "raw-tiff"])
def test_truncated_files_fail(form: str, tenth: int) -> None:
    """Wherever a file is cut, it fails; where that is allowed, it gives a picture of its size or fails."""
    data = saved(RGB.repeat(8, 0), "tiff") if form == "raw-tiff" else noise(form)
    whole = read_picture(data, "x")
    cut = data[: max(len(data) * tenth // 10, 1)] if tenth < 9 else data[:-2]
    with pytest.raises(InputError):
        read_picture(cut, "x")
    try:
        picture = read_picture(cut, "x", allow_truncated=True)
    except InputError:
        assert tenth <= 3 or form in ("webp", "tiff")
    else:
        assert picture.size == whole.size
        assert "truncated" in picture.warnings[0]
        if form in ("png", "baseline", "raw-tiff") and tenth >= 5:
            np.testing.assert_array_equal(picture.pixels[:8], whole.pixels[:8])


def test_truncated_interlaced_and_deep_png() -> None:
    """Passes of an interlaced file and samples of 16 bits are completed too."""
    deep = saved(RNG.integers(0, 65536, (40, 40), dtype=np.uint16), "png")
    whole = read_picture(deep, "x").pixels
    cut = read_picture(deep[: len(deep) * 3 // 4], "x", allow_truncated=True).pixels
    np.testing.assert_array_equal(cut[:20], whole[:20])
    assert not cut[-1].any()


def test_reading_in_threads_shares_no_setting() -> None:
    """Eight threads that allow and forbid truncation at once do not disturb each other."""
    whole, cut = noise("baseline"), noise("baseline")[:-900]
    png_cut = noise("png")[:-3000]

    def attempt(number: int) -> bool:
        data = (whole, cut, png_cut)[number % 3]
        allowed = number % 2 == 0
        if data is whole or allowed:
            return bool(read_picture(data, "x", allow_truncated=allowed).warnings) == (data is not whole)
        with pytest.raises(InputError, match="truncated"):
            read_picture(data, "x")
        return True

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(attempt, range(120)))


@pytest.mark.parametrize("form", ["jpeg", "png", "webp", "tiff", "bmp"])
def test_flipped_bytes_never_break_out(form: str) -> None:
    """Whatever the bytes, there is a picture or an InputError."""
    data = noise(form)
    rng = np.random.default_rng(11)
    for trial in range(60):
        damaged = bytearray(data)
        span = 400 if trial % 2 else len(data)
        for at in rng.integers(4, min(span, len(data)), 4):
            damaged[at] = rng.integers(256)
        try:
            picture = read_picture(bytes(damaged), "x", limits=Limits(max_pixels=10**6), allow_truncated=trial % 3 == 0)
        except InputError:
            continue
        assert picture.pixels.dtype in (np.uint8, np.uint16)


def test_files_are_read_by_content(tmp_path: Path) -> None:
    """The name says nothing about the format."""
    path = tmp_path / "x.jpg"
    path.write_bytes(saved(RGB, "png"))
    assert read_picture(path, "x.jpg").format == "png"


def test_unreadable_paths(tmp_path: Path) -> None:
    """A missing file, a folder, a pipe and a file beyond the limit fail in one sentence."""
    with pytest.raises(InputError, match=r"'a.png' cannot be read: No such file"):
        read_picture(tmp_path / "a.png", "a.png")
    with pytest.raises(InputError, match="not a regular file"):
        read_picture(tmp_path, "folder")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.png")
        with pytest.raises(InputError, match="not a regular file"):
            read_picture(tmp_path / "pipe.png", "pipe.png")
    (tmp_path / "b.png").write_bytes(saved(RGB, "png"))
    with pytest.raises(InputError, match="the limit is 10"):
        read_picture(tmp_path / "b.png", "b.png", limits=Limits(max_file_bytes=10))


def test_memory_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """An allocation that fails is that picture's failure."""

    def refuse(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("irsde_cli.images.reading._decoded", refuse)
    with pytest.raises(InputError, match="does not fit in memory"):
        read_picture(saved(RGB, "png"), "x")


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_tall_pictures_are_read_in_bands_exactly(mode: str) -> None:
    """Taller than a band, of any mode: the samples that numpy takes at once."""
    from irsde_cli.images.picture import BAND
    from irsde_cli.images.reading import _samples

    noise = np.random.default_rng(0).integers(0, 255, (2 * BAND + 37, 11, 4), dtype=np.uint8)
    image = Image.fromarray(noise)
    if mode == "I;16":
        image = Image.fromarray(noise[..., :2].copy().view(np.uint16)[..., 0])
    elif mode != "RGBA":
        image = image.convert("L").convert(mode) if mode == "P" else image.convert(mode)
    found = _samples(image)
    assert found.dtype == np.asarray(image).dtype and np.array_equal(found, np.asarray(image))
