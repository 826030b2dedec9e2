"""What is written is read back, by our reader and by others."""

import io
import sys
from dataclasses import replace
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageCms, JpegImagePlugin

from irsde_cli.errors import InputError, UsageError
from irsde_cli.images import (
    SUFFIXES,
    WRITTEN,
    Metadata,
    Picture,
    encode_picture,
    looks_like_picture,
    output_format,
    read_picture,
    suffix_for,
    to_tensor,
    with_restored,
)

Pixels = NDArray[Any]

RNG = np.random.default_rng(5)
RGB = RNG.integers(0, 256, (10, 14, 3), dtype=np.uint8)
DEEP = RNG.integers(0, 65536, (10, 14, 4), dtype=np.uint16)
FORMATS = ["png", "jpeg", "webp", "tiff", "bmp"]
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
LAB = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/">\xc3\xa9</x:xmpmeta>'


def camera_exif(order: str = "<") -> bytes:
    block = Image.Exif()
    block.endian = order
    block[ExifTags.Base.Make] = "Camera"
    block[ExifTags.Base.Orientation] = 1
    block[ExifTags.Base.DateTime] = "2024:05:06 07:08:09"
    block.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.ExposureTime] = 0.01
    block.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.UserComment] = bytes(range(200))
    block.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitude] = (52.0, 31.0, 12.0)
    return block.tobytes()[6:]


EXIF = camera_exif()


def picture(**changes: Any) -> Picture:
    return replace(Picture(RGB, name="x.png"), **changes)


def with_alpha(samples: Pixels) -> dict[str, Any]:
    return {"pixels": np.ascontiguousarray(samples[..., :-1]), "alpha": np.ascontiguousarray(samples[..., -1])}


@pytest.mark.parametrize("metadata", ["keep", "strip"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("format", FORMATS)
def test_a_format_keeps_all_or_refuses(format: str, depth: int, channels: int, metadata: Metadata) -> None:
    """Pixels, alpha, depth and metadata come back as they were, or the error names the way out."""
    if depth == 16 and format == "png" and channels > 1:
        pytest.importorskip("OpenImageIO", reason="16-bit colour in PNG needs the extra irsde[hdr]")
    samples = DEEP[..., :channels] if depth == 16 else (DEEP[..., :channels] >> 8).astype(np.uint8)
    given = picture(
        **(with_alpha(samples) if channels in (2, 4) else {"pixels": samples}),
        icc=LAB,
        exif=EXIF,
        xmp=XMP,
        dpi=(300.0, 200.0),
    )
    refused = (
        (format in ("jpeg", "bmp") and given.alpha is not None)
        or (depth == 16 and format not in ("png", "tiff"))
        or format == "bmp"
    )
    if refused:
        with pytest.raises(InputError) as caught:
            encode_picture(given, format=format, metadata=metadata)
        assert "'x.png' " in caught.value.message and "--" in caught.value.hint
        return
    found = read_picture(encode_picture(given, format=format, metadata=metadata, quality=100), "y")
    assert found.format == format and not found.warnings
    assert found.depth == depth
    assert found.grey == (given.grey and format != "webp")
    if format == "jpeg":
        assert np.abs(found.pixels.astype(int) - given.pixels).max() < 16
    else:
        np.testing.assert_array_equal(found.pixels, np.broadcast_to(given.pixels, found.pixels.shape))
    if given.alpha is None:
        assert found.alpha is None
    else:
        np.testing.assert_array_equal(found.alpha, given.alpha)
    assert found.icc == LAB
    if metadata == "strip":
        assert (found.exif, found.xmp, found.dpi) == (None, None, None)
        return
    assert found.xmp == XMP
    if format != "webp":
        assert found.dpi == pytest.approx((300, 200), abs=0.02)
    assert found.exif is not None
    assert _tags(found.exif) == _tags(EXIF)
    if format != "tiff":
        assert found.exif == EXIF


def _tags(exif: bytes) -> dict[str, Any]:
    block = Image.Exif()
    block.load(b"Exif\0\0" + exif)
    pointers = (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo, ExifTags.Base.Orientation)
    own = {tag: value for tag, value in block.items() if tag not in pointers}
    return {"": own, "exif": block.get_ifd(ExifTags.IFD.Exif), "gps": block.get_ifd(ExifTags.IFD.GPSInfo)}


@pytest.mark.parametrize("order", ["<", ">"])
def test_tiff_tags_are_those_that_others_read(order: str) -> None:
    """Pillow and tifffile find pixels, EXIF, GPS, XMP and profile in our TIFF files, in either byte order."""
    exif = EXIF if order == "<" else camera_exif(order)
    data = encode_picture(picture(pixels=DEEP[..., :3], exif=exif, xmp=XMP, icc=SRGB), format="tiff")
    np.testing.assert_array_equal(tifffile.imread(io.BytesIO(data)), DEEP[..., :3])
    with Image.open(io.BytesIO(data)) as image:
        assert image.info["icc_profile"] == SRGB
        assert image.info["xmp"] == XMP
        found = image.getexif()
        assert found[ExifTags.Base.Make] == "Camera"
        assert found.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.UserComment] == bytes(range(200))
        assert found.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitude] == (52.0, 31.0, 12.0)


def test_deep_png_is_what_others_read(tmp_path: Path) -> None:
    """OpenImageIO finds the samples, not premultiplied, and the profile."""
    oiio = pytest.importorskip("OpenImageIO", reason="16-bit colour in PNG needs the extra irsde[hdr]")
    path = tmp_path / "x.png"
    path.write_bytes(encode_picture(picture(**with_alpha(DEEP), icc=SRGB)))
    config = oiio.ImageSpec()
    config.attribute("oiio:UnassociatedAlpha", 1)
    opened = oiio.ImageInput.open(str(path), config)
    np.testing.assert_array_equal(opened.read_image("uint16"), DEEP)
    assert bytes(opened.spec().getattribute("ICCProfile")) == SRGB
    opened.close()


def test_deep_png_without_the_extra_fails_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """The planned format is checked without encoding; TIFF and 8 bits are ways out."""
    monkeypatch.setitem(sys.modules, "OpenImageIO", None)
    deep = picture(pixels=DEEP[..., :3])
    with pytest.raises(InputError, match="OpenImageIO") as caught:
        output_format(deep)
    assert "irsde[hdr]" in caught.value.hint
    assert output_format(deep, "tiff") == "tiff"
    assert output_format(deep, depth=8) == "png"
    found = read_picture(encode_picture(deep, depth=8), "y")
    np.testing.assert_array_equal(found.pixels, np.rint(DEEP[..., :3] / 257).astype(np.uint8))


def test_formats_are_named_by_name_suffix_or_not_at_all() -> None:
    """`None` and `keep` are the picture's own format; a wrong name lists the known ones."""
    assert output_format(picture(format="webp")) == output_format(picture(format="webp"), "keep") == "webp"
    assert output_format(picture(), "jpg") == "jpeg" and output_format(picture(), "tif") == "tiff"
    with pytest.raises(UsageError, match="unknown format 'gif'"):
        output_format(picture(), "gif")


@pytest.mark.parametrize(
    ("format", "changes"),
    [
        ("jpeg", {"exif": EXIF + bytes(65536)}),
        ("jpeg", {"xmp": bytes(65536)}),
        ("jpeg", {"pixels": np.zeros((1, 65501, 1), np.uint8)}),
        ("webp", {"pixels": np.zeros((16384, 1, 3), np.uint8)}),
        ("webp", {"icc": LAB[:16] + b"GRAY" + LAB[20:]}),
        ("bmp", {"exif": EXIF}),
        ("bmp", {"icc": LAB}),
    ],
)
def test_limits_of_formats_are_known_beforehand(format: str, changes: dict[str, Any]) -> None:
    """What does not fit into a format is an error with a hint, and fits into PNG."""
    with pytest.raises(InputError) as caught:
        output_format(picture(**changes), format)
    assert "--format png" in caught.value.hint
    assert output_format(picture(**changes), "png") == "png"


def test_stripping_keeps_colours() -> None:
    """A profile goes only where its absence means the same."""
    for icc, left in ((SRGB, None), (LAB, LAB), (b"junk", b"junk")):
        data = encode_picture(picture(icc=icc, exif=EXIF, xmp=XMP), metadata="strip")
        found = read_picture(data, "y")
        assert (found.icc, found.exif, found.xmp) == (left, None, None)
    assert output_format(picture(icc=SRGB, exif=EXIF), "bmp", metadata="strip") == "bmp"


def test_quality() -> None:
    """JPEG keeps colour at full resolution from 90 on; WebP at 100 is lossless."""
    for quality, sampling in ((95, (1, 1)), (80, (2, 2))):
        with Image.open(io.BytesIO(encode_picture(picture(), format="jpeg", quality=quality))) as image:
            assert isinstance(image, JpegImagePlugin.JpegImageFile)
            assert image.layer[0][1:3] == sampling
    np.testing.assert_array_equal(read_picture(encode_picture(picture(), format="webp", quality=100), "y").pixels, RGB)


@pytest.mark.parametrize("size", [(1, 1), (16383, 1), (1, 16383)])
@pytest.mark.parametrize("format", FORMATS)
def test_odd_sizes_are_written(format: str, size: tuple[int, int]) -> None:
    """A single pixel and a single line, as long as WebP takes it, can be written."""
    data = encode_picture(picture(pixels=np.zeros((*size, 3), np.uint8)), format=format)
    assert read_picture(data, "y").size == size


def test_a_failing_encoder_names_the_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever an encoder raises is that picture's failure."""

    def refuse(*_: Any, **__: Any) -> None:
        raise ValueError("no")

    monkeypatch.setattr(Image.Image, "save", refuse)
    with pytest.raises(InputError, match=r"'x.png' cannot be written as PNG: no"):
        encode_picture(picture())


@pytest.mark.parametrize("samples", [RGB, RGB[..., :1], DEEP[..., :3], DEEP[..., :1]])
def test_tensors_and_back(samples: Pixels) -> None:
    """A picture becomes (3, H, W) in [0, 1] and comes back to the last bit, grey as grey."""
    given = picture(pixels=samples, icc=SRGB)
    tensor = to_tensor(given)
    assert tensor.shape == (3, 10, 14) and tensor.dtype == torch.float32 and tensor.is_contiguous()
    assert tensor.min() >= 0 and tensor.max() <= 1
    back = with_restored(given, tensor)
    np.testing.assert_array_equal(back.pixels, samples)
    assert back.pixels.dtype == samples.dtype and back.icc == SRGB


def test_rounding_is_that_of_the_reference() -> None:
    """Values are clamped, and rounded half to even."""
    tensor = (torch.tensor([-3.0, 0.5, 1.5, 2.5, 254.6, 300.0]) / 255).expand(3, 1, 6)
    assert with_restored(picture(), tensor).pixels[0, :, 0].tolist() == [0, 0, 2, 2, 255, 255]


def test_alpha_follows_the_size() -> None:
    """Alpha is untouched at the same size, and grows with a larger picture at its own depth."""
    for samples in (DEEP, (DEEP >> 8).astype(np.uint8)):
        given = picture(**with_alpha(samples))
        same = with_restored(given, to_tensor(given))
        np.testing.assert_array_equal(same.alpha, given.alpha)
        larger = with_restored(replace(given, alpha=np.full_like(samples[..., 3], 77)), torch.rand(3, 20, 28))
        assert larger.alpha is not None and larger.alpha.dtype == samples.dtype
        assert larger.size == larger.alpha.shape == (20, 28) and set(larger.alpha.ravel()) == {77}
        other = with_restored(given, to_tensor(given), depth=24 - given.depth)
        assert other.alpha is not None
        assert other.depth == 24 - given.depth == 8 * other.alpha.dtype.itemsize


def test_suffixes() -> None:
    """Folders are walked by suffix, in either case."""
    assert {suffix_for(format) for format in WRITTEN} >= {".jpg", ".png", ".webp", ".tif", ".bmp", ".avif", ".jp2"}
    assert all(SUFFIXES[suffix_for(format)] == format for format in FORMATS)
    assert looks_like_picture(PurePath("a/B.JPG")) and looks_like_picture(PurePath("b.tiff"))
    assert not looks_like_picture(PurePath("jpg")) and not looks_like_picture(PurePath("a.gif"))


def test_a_level_makes_a_png_smaller_and_leaves_its_pixels() -> None:
    slope = (np.add.outer(np.arange(64), np.arange(64))[..., None] * np.array([1, 2, 3]) % 251).astype(np.uint8)
    fast, small = (encode_picture(Picture(slope), format="png", png_level=level) for level in (0, 9))
    assert len(small) < len(fast) / 2
    assert all(np.array_equal(read_picture(data, "a").pixels, slope) for data in (fast, small))
    pytest.importorskip("OpenImageIO", reason="16-bit colour in PNG needs the extra irsde[hdr]")
    deep = slope.astype(np.uint16) * np.uint16(257)
    fast, small = (encode_picture(Picture(deep), format="png", png_level=level) for level in (0, 9))
    assert len(small) < len(fast) / 2
