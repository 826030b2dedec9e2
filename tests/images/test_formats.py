"""AVIF, JPEG 2000, HEIC, JPEG XL, OpenEXR and raw: files by other encoders, and what their readers get wrong."""

import base64
import io
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageCms, ImageOps

from irsde_cli.errors import InputError, UsageError
from irsde_cli.images import (
    LIBRARIES,
    Limits,
    Picture,
    encode_picture,
    losses,
    output_format,
    read_picture,
    read_size,
    unknown_format,
)
from irsde_cli.images.decoding import full_range
from irsde_cli.images.formats import heif, jxl
from irsde_cli.images.formats.bmff import boxes
from tests.images.test_read_picture import exif

Samples = NDArray[Any]
HEIGHT, WIDTH = 40, 56
ACROSS, DOWN = np.meshgrid(np.linspace(0, 1, WIDTH), np.linspace(0, 1, HEIGHT))
RAMPS = np.dstack((ACROSS, DOWN, (ACROSS + DOWN) / 2, 1 - ACROSS))
RGBA = (RAMPS * 255).round().astype(np.uint8)
DEEP = (RAMPS * 65535).round().astype(np.uint16)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
LAB = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
XMP = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>"
NEW = ("avif", "jp2", "heic", "jxl")
MODULES = {"heic": "pillow_heif", "jxl": "OpenImageIO", "exr": "OpenImageIO", "raw": "rawpy"}


def need(format: str) -> Any:
    if format not in MODULES:
        return None
    return pytest.importorskip(MODULES[format], reason=f"{format} needs the extra irsde[{LIBRARIES[format].extra}]")


def oiio() -> Any:
    return pytest.importorskip("OpenImageIO", reason="16-bit colour needs the extra irsde[hdr]")


def saved(samples: Samples, format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(samples).save(buffer, format, **options)
    return buffer.getvalue()


def by_openimageio(samples: Samples, suffix: str, folder: Path, **attributes: Any) -> bytes:
    module = oiio()
    samples = samples if samples.ndim == 3 else samples[..., None]
    path = folder / f"x.{suffix}"
    kind = {"float32": "half"}.get(str(samples.dtype), str(samples.dtype))
    spec = module.ImageSpec(samples.shape[1], samples.shape[0], samples.shape[2], kind)
    for name, value in attributes.items():
        spec.attribute(name, value)
    output = module.ImageOutput.create(str(path))
    assert output.open(str(path), spec) and output.write_image(np.ascontiguousarray(samples)) and output.close()
    return path.read_bytes()


def heic(samples: Samples, mode: str, **options: Any) -> bytes:
    module = need("heic")
    buffer = io.BytesIO()
    size = (samples.shape[1], samples.shape[0])
    module.encode(mode, size, np.ascontiguousarray(samples).tobytes(), buffer, quality=-1, chroma=444, **options)
    return buffer.getvalue()


def given(channels: int, depth: int = 8, **changes: Any) -> Picture:
    samples = (
        (RGBA if depth == 8 else DEEP)[..., :channels] if channels > 2 else (RGBA if depth == 8 else DEEP)[..., [0, 3]]
    )
    colours = 1 if channels < 3 else 3
    alpha = np.ascontiguousarray(samples[..., -1]) if channels in (2, 4) else None
    picture = Picture(np.ascontiguousarray(samples[..., :colours]), alpha, name="x.png")
    return replace(picture, **changes)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("format", NEW)
def test_a_format_keeps_all_or_refuses(format: str, depth: int, channels: int) -> None:
    """Pixels, alpha, depth, profile, EXIF and XMP come back, or the error names the way out."""
    need(format)
    if depth == 16 and format == "jp2":
        oiio()
    picture = given(channels, depth, icc=SRGB if channels > 2 else None, exif=exif(), xmp=XMP)
    if depth == 16 and (format in ("avif", "heic") or (format == "jp2" and channels == 2)):
        with pytest.raises(InputError, match=r"'x.png' .* cannot keep") as caught:
            encode_picture(picture, format=format)
        assert "--" in caught.value.hint
        return
    found = read_picture(encode_picture(picture, format=format, quality=100), "y")
    assert (found.format, found.depth, found.size) == (format, depth, picture.size)
    assert found.grey == (picture.grey and not (channels == 2 and format in ("heic", "jxl")))
    near = 0 if format in ("jp2", "jxl") else 4
    assert np.abs(found.pixels.astype(int) - picture.pixels).max() <= near
    assert (found.alpha is None) == (picture.alpha is None)
    if found.alpha is not None and picture.alpha is not None:
        assert np.abs(found.alpha.astype(int) - picture.alpha).max() <= near
    assert (found.icc, found.xmp) == (picture.icc, XMP)
    assert not found.parts and not found.warnings
    assert found.exif is not None
    tags = Image.Exif()
    tags.load(b"Exif\0\0" + found.exif)
    assert tags[ExifTags.Base.Make] == "Camera" and tags.get(ExifTags.Base.Orientation, 1) == 1


@pytest.mark.parametrize("format", NEW)
@pytest.mark.parametrize("size", [(1, 1), (2, 3), (65, 1), (63, 65)])
def test_odd_sizes(format: str, size: tuple[int, int]) -> None:
    """Encoders that work in blocks give back the size, which is known without decoding."""
    need(format)
    pixels = np.full((*size, 3), 90, np.uint8)
    data = encode_picture(Picture(pixels), format=format)
    assert read_picture(data, "x").size == size


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["AVIF", "JPEG2000"])
def test_pictures_are_turned_once(format: str, orientation: int, tmp_path: Path) -> None:
    """AVIF says it in a place of its own, where EXIF's is not followed too; the size is known before."""
    image = Image.fromarray(RGBA[..., :3])
    path = tmp_path / "x"
    if format == "AVIF":
        image.save(path, format, quality=100, subsampling="4:4:4", exif=b"Exif\0\0" + exif(orientation))
    else:
        plain = Picture(RGBA[..., :3], exif=exif(orientation))
        path.write_bytes(encode_picture(plain, format="jp2", quality=100))
    tags = Image.Exif()
    tags[ExifTags.Base.Orientation] = orientation
    turned = Image.fromarray(RGBA[..., :3])
    turned.info["exif"] = tags.tobytes()
    expected = np.asarray(ImageOps.exif_transpose(turned)).astype(int)
    found = read_picture(path, "x")
    assert np.abs(found.pixels - expected).max() <= 4 and found.size == read_size(path, "x")
    again = read_picture(encode_picture(found), "y")
    assert np.abs(again.pixels - expected).max() <= 8


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("mirror", [None, 0, 1])
def test_heic_is_turned_once(turns: int, mirror: int | None, tmp_path: Path) -> None:
    """As its own boxes say, whatever EXIF says besides; what is written is upright and says so."""
    module = need("heic")
    data = heic(RGBA[..., :3], "RGB", exif=exif(6))
    at = data.index(b"irot") + 4 if b"irot" in data else 0
    assert at, "the encoder writes a turn for EXIF's orientation 6"
    data = data[:at] + bytes([turns]) + data[at + 1 :]
    if mirror is not None:  # a box of another kind and the same length
        data = data[: at - 4] + b"imir" + bytes([mirror]) + data[at + 1 :]
        expected = RGBA[:, ::-1, :3] if mirror else RGBA[::-1, :, :3]
    else:
        expected = np.rot90(RGBA[..., :3], turns)
    path = tmp_path / "x.heic"
    path.write_bytes(data)
    found = read_picture(path, "x")
    assert found.size == read_size(path, "x") == expected.shape[:2]
    assert np.abs(found.pixels.astype(int) - expected).max() <= 4
    again = module.open_heif(encode_picture(found, quality=100))
    assert np.abs(np.asarray(again).astype(int) - expected).max() <= 8


def test_deep_heic_is_read_deep_and_white_is_white() -> None:
    """Its library gives 8 bits unless asked, and then 65472 for white; 10 bits go in and out as they are."""
    need("heic")
    found = read_picture(heic(DEEP[..., :3], "RGB;16"), "x.heic")
    assert found.depth == 16 and found.pixels.max() == 65535 and found.pixels.min() == 0
    assert np.abs(found.pixels.astype(int) - DEEP[..., :3]).max() < 3 * 64
    again = read_picture(encode_picture(found, quality=100), "y")
    assert again.depth == 16 and np.abs(again.pixels.astype(int) - found.pixels).max() <= 8 * 64
    oiio()
    assert not losses(found) and not losses(found, "png")


@pytest.mark.parametrize("bits", [9, 10, 12, 15])
def test_fewer_bits_take_the_full_range(bits: int) -> None:
    """Every value comes back by rounding, the least is 0 and the largest 65535."""
    values = np.arange(1 << bits, dtype=np.uint32)
    wide = full_range((values << (16 - bits)).astype(np.uint16), bits)
    assert wide[0] == 0 and wide[-1] == 65535
    np.testing.assert_array_equal((wide.astype(np.uint32) * ((1 << bits) - 1) + 32767) // 65535, values)


@pytest.mark.parametrize("bits", [10, 12, 16])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_deep_jpeg_2000_is_read_exactly(bits: int, channels: int, tmp_path: Path) -> None:
    """Pillow makes 8 bits of its colour, with white that is black in places, and shifts grey of 10 and 12 bits."""
    samples = DEEP[..., :channels]
    data = by_openimageio(samples, "jp2", tmp_path, **{"oiio:BitsPerSample": bits, "oiio:UnassociatedAlpha": 1})
    found = read_picture(data, "x.jp2")
    read = found.pixels if found.alpha is None else np.dstack((found.pixels, found.alpha))
    assert read.dtype == np.uint16 and read.max() == 65535
    assert np.abs(read.astype(int) - samples).max() <= (1 << (16 - bits)) - (bits == 16)


# Colours of 8 x 8 pixels, at each value from black to white, by imagecodecs 2026.3.6 without loss but that of colour.
DEEP_AVIF = {
    10: (
        "AAAAIGZ0eXBhdmlmAAAAAGF2aWZtaWYxbWlhZk1BMUEAAADrbWV0YQAAAAAAAAAhaGRscgAAAAAAAAAAcGljdAAAAAAAAAAAAAAA"
        "AAAAAAAOcGl0bQAAAAAAAQAAAB5pbG9jAAAAAEQAAAEAAQAAAAEAAAETAAAAngAAAChpaW5mAAAAAAABAAAAGmluZmUCAAAAAAEA"
        "AGF2MDFDb2xvcgAAAABqaXBycAAAAEtpcGNvAAAAFGlzcGUAAAAAAAAACAAAAAgAAAAQcGl4aQAAAAADCgoKAAAADGF2MUOBIEAA"
        "AAAAE2NvbHJuY2x4AAIAAgAAgAAAABdpcG1hAAAAAAAAAAEAAQQBAoMEAAAApm1kYXQSAAoIOAi/5wICAJAyjwEQAAD1+ZbnnZVD"
        "g/+k8xhAXtGm6viZAdRG6MH3/cAA/KbFrmqNpBfFYSsBGcbIHEGbRBHb5lwQzr5N2NN5F7VkUKLd/yuZXY2O4cHqPKlEmEaKpSum"
        "ytE8cgJjRZtGf6DV8Z1EMCGLL4BNlAbbqECRcweD1Pg4K+eRq6EpCnPzRbNrg/p0UGfU04eVoZISQA=="
    ),
    12: (
        "AAAAHGZ0eXBhdmlmAAAAAGF2aWZtaWYxbWlhZgAAAOttZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAAAAAAAAAA"
        "AA5waXRtAAAAAAABAAAAHmlsb2MAAAAARAAAAQABAAAAAQAAAQ8AAACfAAAAKGlpbmYAAAAAAAEAAAAaaW5mZQIAAAAAAQAAYXYw"
        "MUNvbG9yAAAAAGppcHJwAAAAS2lwY28AAAAUaXNwZQAAAAAAAAAIAAAACAAAABBwaXhpAAAAAAMMDAwAAAAMYXYxQ4FAYAAAAAAT"
        "Y29scm5jbHgAAgACAACAAAAAF2lwbWEAAAAAAAAAAQABBAECgwQAAACnbWRhdBIACghYCL/jQICAIjKQARAAAPX55PwLSyrv/ACV"
        "T/lAiO5pL+hvXE4b59gErzHAfSRRcTRq3OUqgWE0LAAe+f+qA7iizCai/sN4iRvCB6NpGd5eFi+C6/KQmzb7C8blQA7MmTfm0c9q"
        "rSIQZHmMzdWFpeq4K+sVN68dE1hKyqMhkL0J4HxnlLm2oC7nMR6yLrK9nFzQ5sEboDrYzieApQ=="
    ),
}


@pytest.mark.parametrize("bits", DEEP_AVIF)
def test_what_a_deep_avif_loses_is_named(bits: int) -> None:
    """Pillow reads 8 bits of it, white as white; no format keeps what it does not read."""
    found = read_picture(base64.b64decode(DEEP_AVIF[bits]), "x.avif")
    across = np.arange(64).reshape(8, 8) * 255 / 63
    expected = np.stack([across, across.T, across[::-1]], -1)
    assert (found.format, found.depth) == ("avif", 8) and found.pixels.min() == 0 and found.pixels.max() == 255
    assert np.abs(found.pixels - expected).max() <= 2
    for format in ("avif", "png", "tiff"):
        assert [str(part) for part in losses(found, format)] == [f"more than 8 bits a sample ({bits} bits)"]


@pytest.mark.parametrize("quality", [90, 100])
def test_fine_colour_survives_in_avif(quality: int) -> None:
    """Its encoder halves the resolution of colour at any quality unless told otherwise."""
    pixels = np.zeros((32, 32, 3), np.uint8)
    pixels[:, ::2, 0], pixels[:, 1::2, 2] = 255, 255
    found = read_picture(encode_picture(Picture(pixels), format="avif", quality=quality), "x")
    assert np.abs(found.pixels.astype(int) - pixels).mean() < 12


def test_a_changed_picture_is_what_a_jpeg_xl_holds() -> None:
    """One plugin writes the JPEG that a picture was opened from, whatever was done to it since."""
    need("jxl")
    picture = read_picture(saved(RGBA[..., :3], "jpeg"), "x.jpg")
    changed = replace(picture, pixels=255 - picture.pixels)
    found = read_picture(encode_picture(changed, format="jxl", quality=100), "y")
    np.testing.assert_array_equal(found.pixels, 255 - picture.pixels)


def test_jpeg_xl_with_a_profile_is_written_without_loss() -> None:
    """With loss its encoder would put sRGB in the place of the profile, and leave the pixels as they are."""
    need("jxl")
    picture = given(3, icc=SRGB)
    found = read_picture(encode_picture(picture, format="jxl", quality=50), "y")
    np.testing.assert_array_equal(found.pixels, picture.pixels)
    assert found.icc == picture.icc
    plain = read_picture(encode_picture(replace(picture, icc=None), format="jxl", quality=50), "y")
    assert (plain.pixels != picture.pixels).any() and plain.icc is None


@pytest.mark.parametrize(("height", "width"), [(8, 8), (40, 56), (1, 3000), (256, 256), (1080, 1920), (600, 800)])
def test_a_jpeg_xl_says_its_size(height: int, width: int, tmp_path: Path) -> None:
    """In a few bits, of which usual shapes take fewer."""
    data = by_openimageio(np.zeros((height, width, 3), np.uint8), "jxl", tmp_path)
    assert jxl.read(data).size == (height, width)


@pytest.mark.parametrize("format", ["avif", "heic"])
def test_colours_of_their_own_are_kept_or_refused(format: str) -> None:
    """Primaries and transfer by number, as bright screens have it: kept in AVIF, HEIC and PNG, refused in JPEG."""
    need(format)
    samples = saved(RGBA[..., :3], "avif") if format == "avif" else b""
    if format == "avif":
        data = heif.with_codes(samples, bytes((12, 16, 0, 1)))
    else:
        data = heic(RGBA[..., :3], "RGB", color_primaries=12, transfer_characteristics=16)
    found = read_picture(data, "x")
    assert [part.kind for part in found.parts] == ["png-colour"] and not losses(found) and not losses(found, "png")
    assert [part.kind for part in losses(found, "jpeg")] == ["png-colour"]
    for way in (format, "png"):
        again = read_picture(encode_picture(found, format=way), "y")
        assert [part.data[8:10] for part in again.parts] == [bytes((12, 16))]


def test_a_profile_goes_before_numbers() -> None:
    """A HEIC of a phone has a profile; what is written has it again."""
    module = need("heic")
    file = module.from_bytes("RGB", (WIDTH, HEIGHT), RGBA[..., :3].tobytes())
    file.info["icc_profile"] = SRGB
    buffer = io.BytesIO()
    file.save(buffer)
    found = read_picture(buffer.getvalue(), "x")
    assert found.icc == SRGB and not found.parts
    again = module.open_heif(encode_picture(found))
    assert again.info["icc_profile"] == SRGB


@pytest.mark.parametrize("format", ["avif", "jp2", "heic", "jxl"])
@pytest.mark.parametrize("part", [0.3, 0.7, 0.99])
def test_cut_off_files_fail_by_name(format: str, part: float) -> None:
    """And so do files that are damaged anywhere, in a sentence."""
    need(format)
    data = encode_picture(given(3), format=format)
    with pytest.raises(InputError, match="'x'"):
        read_picture(data[: int(len(data) * part)], "x")


@pytest.mark.parametrize("format", ["avif", "jp2", "heic", "jxl"])
def test_headers_are_untrusted(format: str) -> None:
    """Any byte of a header may be anything: a picture or a sentence, and nothing else."""
    need(format)
    data = encode_picture(given(3, exif=exif(), xmp=XMP), format=format, quality=60)
    random = np.random.default_rng(0)
    for at in random.integers(0, min(len(data), 700), 60):
        broken = data[:at] + bytes([int(random.integers(256))]) + data[at + 1 :]
        try:
            read_picture(broken, "x", limits=Limits(max_pixels=10_000_000))
        except InputError as error:
            assert error.message.startswith("'x' ")


@pytest.mark.parametrize("format", ["avif", "jp2", "heic", "jxl"])
def test_limits_come_before_decoding(format: str) -> None:
    """As for all formats."""
    need(format)
    with pytest.raises(InputError, match="the limit is 100"):
        read_picture(encode_picture(given(3), format=format), "x", limits=Limits(max_pixels=100))


def dng(samples: Samples, *, preview: Samples | None = None, white: int = 1023, black: int = 64) -> bytes:
    """A raw photograph: a mosaic of RGGB, and in front of it, if wanted, a small picture, as cameras have it."""
    matrix = [31338, -16168, -4906, -9787, 19161, 334, 719, -2290, 14052]
    camera: list[Any] = [
        (50706, 1, 4, b"\1\4\0\0", True),
        (50707, 1, 4, b"\1\1\0\0", True),
        (50708, 2, 5, b"Test\0", True),
        (50721, 10, 9, [part for value in matrix for part in (value, 10000)], True),
        (50778, 3, 1, 21, True),
        (50728, 5, 3, (1, 1, 1, 1, 1, 1), True),
        (271, 2, 7, b"Camera\0", True),
    ]
    mosaic: list[Any] = [(33421, 3, 2, (2, 2), True), (33422, 1, 4, b"\0\1\1\2", True)]
    levels: list[Any] = [(50714, 3, 1, black, True), (50717, 4, 1, white, True)]
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as file:
        options: dict[str, Any] = {"metadata": None, "software": False}
        if preview is None:
            file.write(samples, photometric=32803, extratags=[*camera, *mosaic, *levels], **options)
        else:
            file.write(preview, photometric="rgb", subfiletype=1, subifds=1, extratags=camera, **options)
            file.write(samples, photometric=32803, subfiletype=0, extratags=[*mosaic, *levels], **options)
    return buffer.getvalue()


def mosaic(level: int, height: int = 64, width: int = 96) -> Samples:
    return np.full((height, width), level, np.uint16)


def test_raw_is_developed_and_its_preview_is_never_taken() -> None:
    """The small picture in front is red; the photograph is grey, 16 bits deep and as large as the sensor."""
    need("raw")
    red = np.zeros((16, 24, 3), np.uint8)
    red[..., 0] = 255
    found = read_picture(dng(mosaic(500), preview=red), "x.dng")
    assert (found.format, found.depth, found.size) == ("raw", 16, (64, 96))
    middle = found.pixels[20:40, 20:70].reshape(-1, 3).mean(0)
    assert np.ptp(middle) < 600 and 30000 < middle.mean() < 60000
    tags = Image.Exif()
    assert found.exif is not None
    tags.load(b"Exif\0\0" + found.exif)
    assert tags[ExifTags.Base.Make] == "Camera"
    assert output_format(found) == "tiff" and output_format(found, "png", depth=8) == "png"


@pytest.mark.parametrize("level", [200, 700, 800, 900, 1000])
def test_linear_raw_means_the_same_in_every_picture(level: int) -> None:
    """LibRaw would take the brightest pixel for white where it lies above three quarters of the range."""
    need("raw")
    found = read_picture(dng(mosaic(level)), "x.dng", linear=True)
    expected = (level - 64) / (1023 - 64) * 65535
    assert abs(np.median(found.pixels) - expected) < 200
    rendered = read_picture(dng(mosaic(level)), "x.dng")
    light = expected / 65535
    assert abs(np.median(rendered.pixels) / 65535 - (1.055 * light ** (1 / 2.4) - 0.055)) < 0.01


def test_what_is_only_read_is_not_written() -> None:
    """The error says what is; without its library a format's error says what to install."""
    with pytest.raises(UsageError, match="'dng' is read, and not written"):
        raise unknown_format("dng")
    assert "irsde[heif]" in unknown_format("heic").hint and "irsde[" not in unknown_format("nonsense").hint


def test_openexr_becomes_what_a_screen_shows(tmp_path: Path) -> None:
    """Light is coded for the eye; what is brighter than white is lost, and that is refused until it is allowed."""
    light = np.dstack([ACROSS.astype(np.float32)] * 3)
    found = read_picture(by_openimageio(light, "exr", tmp_path), "x.exr")
    expected = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055) * 65535
    assert (found.format, found.depth) == ("exr", 16) and not found.parts
    assert np.abs(found.pixels - expected).max() < 40
    linear = read_picture(by_openimageio(light, "exr", tmp_path), "x.exr", linear=True)
    assert np.abs(linear.pixels - light * 65535).max() < 40
    bright = read_picture(by_openimageio(light * 4, "exr", tmp_path), "x.exr")
    assert [part.kind for part in losses(bright, "tiff")] == ["bright"]


@pytest.mark.parametrize(("format", "suffix"), [("heic", "heic"), ("jxl", "jxl"), ("raw", "dng"), ("exr", "exr")])
def test_without_its_library_a_file_says_what_to_install(
    format: str, suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a sentence with the command."""
    need(format)
    data = {
        "heic": lambda: heic(RGBA[..., :3], "RGB"),
        "jxl": lambda: encode_picture(given(3), format="jxl"),
        "raw": lambda: dng(mosaic(500)),
        "exr": lambda: by_openimageio(np.zeros((4, 4, 3), np.float32), "exr", tmp_path),
    }[format]()
    monkeypatch.setitem(__import__("sys").modules, MODULES[format], None)
    with pytest.raises(InputError, match=r"needs .*is not installed") as caught:
        read_picture(data, f"x.{suffix}")
    assert f"pip install 'irsde[{LIBRARIES[format].extra}]'" in caught.value.hint


def test_further_pictures_of_a_heic_are_named() -> None:
    """A burst, a thumbnail: what is not the picture is counted, but for thumbnails."""
    module = need("heic")
    file = module.from_bytes("RGB", (WIDTH, HEIGHT), RGBA[..., :3].tobytes())
    file.add_frombytes("RGB", (WIDTH, HEIGHT), RGBA[::-1, :, :3].tobytes())
    buffer = io.BytesIO()
    file.save(buffer, quality=-1)
    found = read_picture(buffer.getvalue(), "x")
    assert [str(part) for part in found.parts] == ["further pictures (1)"]
    assert np.abs(found.pixels.astype(int) - RGBA[..., :3]).max() < 60


def test_boxes_that_contradict_themselves_are_damage() -> None:
    """A length shorter than its own header, and too many of them."""
    with pytest.raises(Exception, match="no length"):
        list(boxes(struct.pack(">I4s", 4, b"free")))
    with pytest.raises(Exception, match="too many"):
        list(boxes(struct.pack(">I4s", 8, b"free") * 70000))
