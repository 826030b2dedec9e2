"""Damage that decoders forgive is found, and sound files are never taken for damaged."""

import io
import random
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image

from irsde_cli.errors import InputError
from irsde_cli.images import read_picture
from irsde_cli.images.damage import TAIL, of_jpeg, of_webp
from tests.images.test_read_picture import Pixels, chunk, png, saved, tiff

JPEGS: dict[str, dict[str, Any]] = {
    "plain": {"quality": 85},
    "optimised": {"quality": 70, "optimize": True},
    "fine": {"quality": 95, "subsampling": 0},
    "progressive": {"quality": 85, "progressive": True},
    "restarts": {"quality": 85, "restart_marker_rows": 1},
    "progressive with restarts": {"quality": 85, "progressive": True, "restart_marker_rows": 1},
}


def photo(height: int = 150, width: int = 200, seed: int = 0, noise: float = 8) -> Pixels:
    y, x = np.mgrid[:height, :width]
    smooth = np.stack([128 + 80 * np.sin(x / 9 + seed), 128 + 80 * np.cos(y / 7), 60 + 100 * x / width], -1)
    noisy = smooth + np.random.default_rng(seed).normal(0, noise, smooth.shape)
    return np.asarray(noisy.clip(0, 255), np.uint8)


def begins(data: bytes) -> int:
    """Where the first scan has begun."""
    return data.index(b"\xff\xda") + 14


def half_grey(data: bytes, draw: random.Random) -> bytes:
    """Cut somewhere in the first scan, with an end put to it."""
    end = next(at for at in range(begins(data), len(data)) if data[at] == 0xFF and data[at + 1] >= 0xC0)
    end = end if data[end + 1] < 0xD0 or data[end + 1] > 0xD7 else len(data) - 2
    return data[: draw.randrange(begins(data) + 20, end - 100)].rstrip(b"\xff") + b"\xff\xd9"


def zeros(data: bytes, draw: random.Random) -> bytes:
    """A block of a disk that was never written."""
    at = draw.randrange(begins(data), len(data) - 2000)
    return data[:at] + bytes(1500) + data[at + 1500 :]


def lacking(data: bytes, draw: random.Random) -> bytes:
    """A packet that was lost."""
    at = draw.randrange(begins(data), len(data) - 2000)
    return data[:at].rstrip(b"\xff") + data[at + 1500 :]


@pytest.mark.parametrize("form", JPEGS)
@pytest.mark.parametrize("hurt", [half_grey, zeros, lacking])
def test_jpegs_that_decoders_fill_up_fail(form: str, hurt: Any) -> None:
    """Half a picture, zeros and lost packets are named, or taken with a warning where that is asked for."""
    found = 0
    for seed in range(6):
        data = hurt(saved(photo(seed=seed), "jpeg", **JPEGS[form]), random.Random(seed))
        try:
            read_picture(data, "x.jpg")
        except InputError as error:
            found += "is damaged" in error.message
            if error.hint:  # else the decoder itself gave up
                assert "--allow-truncated" in error.hint
                taken = _taken(data)
                assert taken.startswith("it is damaged") or "is damaged or of" in taken
    # A code that falls into step again after as many blocks as it lost cannot be found, by libjpeg neither.
    assert found == 6 if hurt is half_grey else found >= 4


def _taken(data: bytes) -> str:
    try:
        return read_picture(data, "x.jpg", allow_truncated=True).warnings[0]
    except InputError as error:
        return error.message


def sound_jpegs() -> Iterator[bytes]:
    """Flat, smooth, noisy, grey, of one pixel, of all qualities and kinds."""
    draw = random.Random(0)
    for seed in range(10):
        height, width = draw.randrange(1, 120), draw.randrange(1, 120)
        images = [
            Image.fromarray(photo(height, width, seed, draw.choice([0, 2, 30]))),
            Image.new("RGB", (width, height), (draw.randrange(256), 255, 0)),
            Image.fromarray(photo(height, width, seed)).convert(draw.choice(["L", "CMYK"])),
        ]
        for image in images:
            for options in JPEGS.values():
                quality = draw.choice([1, 20, 60, 90, 100])
                extra = {"restart_marker_blocks": draw.randrange(1, 9)} if draw.random() < 0.3 else {}
                buffer = io.BytesIO()
                try:
                    image.save(buffer, "jpeg", **options | {"quality": quality} | extra)
                except OSError:  # Pillow's buffer is too small for some of them
                    continue
                yield buffer.getvalue()


def test_sound_jpegs_are_sound() -> None:
    """Whatever their encoder chose; a few bytes of padding harm nothing."""
    count = 0
    for data in sound_jpegs():
        assert of_jpeg(data) == ""
        assert of_jpeg(data[:-2] + bytes(TAIL - 1) + data[-2:]) == ""
        count += 1
    assert count > 150


def test_restarts_and_passes_that_are_missing_are_found() -> None:
    """A lost interval shifts all that follow; a lost pass leaves a blur."""
    restarts = saved(photo(), "jpeg", restart_marker_rows=1)
    first, third = restarts.index(b"\xff\xd0"), restarts.index(b"\xff\xd2")
    assert of_jpeg(restarts[:first] + restarts[third:]) == "parts of its pixels are missing"
    passes = saved(photo(), "jpeg", progressive=True)
    last = passes.rindex(b"\xff\xc4")
    assert of_jpeg(passes[:last] + b"\xff\xd9") == "parts of its pixels are missing"


@pytest.mark.parametrize("options", [{"quality": 80}, {"quality": 30, "method": 0}, {"lossless": True}])
@pytest.mark.parametrize("alpha", [False, True])
def test_sound_webps_are_sound(options: dict[str, Any], alpha: bool) -> None:
    """Flat ones and tiny ones too."""
    for seed in range(24):
        draw = random.Random(seed)
        samples = photo(draw.randrange(1, 70), draw.randrange(1, 70), seed, draw.choice([0, 9, 60]))
        if seed == 3:
            samples[:] = 77
        if alpha:
            samples = np.dstack(
                [samples, np.random.default_rng(seed).integers(0, 256, samples.shape[:2]).astype(np.uint8)]
            )
        assert of_webp(saved(samples, "webp", **options)) == ""


def test_webps_with_flipped_bits_fail() -> None:
    """A code that has gone astray ends elsewhere. In lossless ones it does not go astray, and nothing can tell."""
    for seed in range(12):
        draw, hurt = random.Random(seed), bytearray(saved(photo(60, 80, seed), "webp", quality=80))
        for _ in range(3):
            hurt[draw.randrange(300, len(hurt) - 150)] ^= 1 << draw.randrange(8)
        with pytest.raises(InputError, match="is damaged"):
            read_picture(bytes(hurt), "x.webp")
    assert "it is damaged" in read_picture(bytes(hurt), "x.webp", allow_truncated=True).warnings[0]


def test_pngs_whose_rows_end_early_fail() -> None:
    """All checksums are right, and half of the picture is not there."""
    whole = png(photo(20, 30), 2)
    rows = zlib.decompress(whole[whole.index(b"IDAT") + 4 : whole.rindex(b"IEND") - 8])
    for stream, why in (
        (zlib.compress(rows[: len(rows) // 2]), "its pixels end before the picture does"),
        (zlib.compress(rows)[:-4] + b"abcd", "its pixels are no sound stream"),
    ):
        data = whole[: whole.index(b"IDAT") - 4] + chunk(b"IDAT", stream) + chunk(b"IEND", b"")
        with pytest.raises(InputError, match=why):
            read_picture(data, "x.png")
    half = whole[: whole.index(b"IDAT") - 4] + chunk(b"IDAT", zlib.compress(rows[: len(rows) // 2]))
    picture = read_picture(half + chunk(b"IEND", b""), "x.png", allow_truncated=True)
    assert picture.warnings == ("it is damaged: its pixels end before the picture does",)
    np.testing.assert_array_equal(picture.pixels[:10], photo(20, 30)[:10])


@pytest.mark.parametrize("kind", ["rgb", "grey", "palette", "16"])
def test_tiffs_with_flipped_bits_fail(kind: str) -> None:
    """The checksum of deflate is asked for in every kind of picture."""
    samples = photo(40, 50)
    image = Image.fromarray(samples)
    data = {
        "rgb": saved(samples, "tiff", compression="tiff_adobe_deflate"),
        "grey": saved(samples[..., 0], "tiff", compression="tiff_adobe_deflate"),
        "palette": saved(image.quantize(60), "tiff", compression="tiff_adobe_deflate"),
        "16": tiff(samples.astype(np.uint16) * 257, photometric="rgb", compression="zlib"),
    }[kind]
    assert not read_picture(data, "x").warnings
    for seed in range(10):
        draw, hurt = random.Random(seed), bytearray(data)
        place = data.index(b"x") + 200 if kind != "16" else len(data) - 400
        hurt[place + draw.randrange(150)] ^= 1 << draw.randrange(8)
        with pytest.raises(InputError, match="is damaged"):
            read_picture(bytes(hurt), "x.tif")
    if kind != "palette":
        assert "blocks are not whole" in read_picture(bytes(hurt), "x.tif", allow_truncated=True).warnings[0]


def test_jpeg_within_tiff_is_asked_too() -> None:
    """Each strip has its own code."""
    data = saved(photo(64, 200), "tiff", compression="jpeg")
    assert not read_picture(data, "x").warnings
    at = data.index(b"\xff\xda") + 400
    with pytest.raises(InputError, match="is damaged"):
        read_picture(data[:at] + bytes(600) + data[at + 600 :], "x.tif")
