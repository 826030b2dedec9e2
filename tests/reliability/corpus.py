"""Hundreds of damaged and odd files, made here, each with what must become of it."""

import random
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
from PIL import Image, ImageCms

from tests.images.test_read_picture import (
    Pixels,
    bmp_of,
    bomb,
    chunk,
    exif,
    impossible_bmp,
    impossible_tiff,
    jpeg_of,
    keyed_png,
    png,
    png_of,
    saved,
    see_through_palette,
    tiff,
    tiff_of,
    webp_header,
)
from tests.reliability.holdings import HEIGHT, WIDTH, holdings, raws

UNREADABLE = ("metadata that cannot be read",)
SUFFIXES = {"png": ".png", "jpeg": ".jpg", "webp": ".webp", "tiff": ".tif", "bmp": ".bmp"}
LAB_PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()


@dataclass(frozen=True, eq=False)
class Kept:
    """What a result must be: its height and width upright, its channels and bits, and what is carried over."""

    size: tuple[int, int]
    channels: int = 3
    bits: int = 8
    alpha: Pixels | bool = False
    icc: bytes | None = None
    make: bytes | None = None


@dataclass(frozen=True, eq=False)
class Odd:
    """A file, and what becomes of it: what is kept, or why it fails; with neither, one or the other.

    `lost` are the titles of what its result lacks.
    """

    name: str
    data: bytes
    kept: Kept | None = None
    reason: str = ""
    lost: tuple[str, ...] = ()


def corpus() -> list[Odd]:
    """All files; names are unique."""
    found = [
        *_modes(),
        *_deep(),
        *_turned(),
        *_named(),
        *_profiles(),
        *_truncated(),
        *_flipped(),
        *_forgiven(),
        *_marked_otherwise(),
        *_bombs(),
        *_holding(),
    ]
    found += [*_no_pictures(), *_odd_names()]
    assert len({odd.name for odd in found}) == len(found) >= 400
    return found


def _samples(height: int, width: int, channels: int = 4, seed: int = 0) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


def _image(mode: str, height: int, width: int) -> Image.Image:
    return Image.fromarray(_samples(height, width, 4 if "A" in mode else 3)).convert(mode)


MODES: dict[str, dict[str, tuple[int, bool]]] = {
    "png": {"1": (1, False), "L": (1, False), "LA": (1, True), "P": (3, False), "RGB": (3, False), "RGBA": (3, True)},
    "jpeg": {"L": (1, False), "RGB": (3, False), "CMYK": (3, False), "YCbCr": (3, False)},
    "webp": {"RGB": (3, False), "RGBA": (3, True)},
    "tiff": {
        **{"1": (1, False), "L": (1, False), "LA": (1, True), "P": (3, False), "RGB": (3, False), "RGBA": (3, True)},
        **{"CMYK": (3, False), "YCbCr": (3, False)},
    },
    "bmp": {"1": (1, False), "L": (1, False), "P": (3, False), "RGB": (3, False)},
}


def _modes() -> Iterator[Odd]:
    for form, modes in MODES.items():
        for mode, (channels, alpha) in modes.items():
            for height, width in ((1, 1), (1, 7), (7, 5), (16, 16), (33, 20)):
                image = _image(mode, height, width)
                options: dict[str, Any] = {"lossless": True, "exact": True} if form == "webp" else {}
                carried = np.asarray(image.getchannel("A")) if alpha else False
                yield Odd(
                    f"mode-{form}-{mode}-{height}x{width}{SUFFIXES[form]}",
                    saved(image, form, **options),
                    Kept((height, width), channels, alpha=carried),
                    lost=("CMYK colours",) if mode == "CMYK" else (),
                )
        for height, width in ((1, 20000), (20000, 1)):
            if form != "webp":
                data = saved(_image("RGB", height, width), form)
                yield Odd(f"long-{form}-{height}x{width}{SUFFIXES[form]}", data, Kept((height, width)))


def _deep() -> Iterator[Odd]:
    deep = np.random.default_rng(1).integers(0, 65536, (9, 14, 4), dtype=np.uint16)
    yield Odd("deep-grey.png", png(deep[..., :1], 0), Kept((9, 14), 1, 16))
    yield Odd("deep-grey.tif", tiff(deep[..., 0]), Kept((9, 14), 1, 16))
    for compression in (None, "zlib"):
        data = tiff(deep[..., :3], photometric="rgb", compression=compression)
        yield Odd(f"deep-{compression}.tif", data, Kept((9, 14), 3, 16))
    data = tiff(deep, photometric="rgb", extrasamples=["unassalpha"])
    yield Odd("deep-alpha.tif", data, Kept((9, 14), 3, 16, alpha=deep[..., 3]))
    for kind in ("float32", "float64", "int16", "uint32", "int8"):
        yield Odd(f"kind-{kind}.tif", tiff(deep[..., 0].astype(kind)), reason="is a TIFF with")
    yield Odd("keyed.png", keyed_png(), Kept((6, 9), 3, alpha=True))
    yield Odd("see-through.png", see_through_palette(), Kept((6, 9), 3, alpha=True))


def _turned() -> Iterator[Odd]:
    for form in ("jpeg", "png", "webp", "tiff"):
        for orientation in range(1, 9):
            options: dict[str, Any] = {"exif": b"Exif\0\0" + exif(orientation)}
            if form == "tiff":
                options = {"tiffinfo": {271: "Camera", 274: orientation}}
            size = (10, 20) if orientation < 5 else (20, 10)
            name = f"turned-{form}-{orientation}{SUFFIXES[form]}"
            yield Odd(name, saved(_image("RGB", 10, 20), form, **options), Kept(size, make=b"Camera"))


def _named() -> Iterator[Odd]:
    for form in SUFFIXES:
        data = saved(_image("RGB", 9, 14), form)
        for other in SUFFIXES.values():
            if other != SUFFIXES[form]:
                yield Odd(f"really-{form}{other}", data, Kept((9, 14)))
        yield Odd(f"upper-{form}{SUFFIXES[form].upper()}", data, Kept((9, 14)))


def _profiles() -> Iterator[Odd]:
    for form in ("jpeg", "png", "webp", "tiff"):
        data = saved(_image("RGB", 9, 14), form, icc_profile=LAB_PROFILE)
        yield Odd(f"profile-{form}{SUFFIXES[form]}", data, Kept((9, 14), icc=LAB_PROFILE))
    large = LAB_PROFILE + bytes(200_000)
    large = struct.pack(">I", len(large)) + large[4:]
    yield Odd("profile-large.jpg", saved(_image("RGB", 9, 14), "jpeg", icc_profile=large), Kept((9, 14), icc=large))


def _holding() -> Iterator[Odd]:
    for holding in holdings():
        size = (WIDTH, HEIGHT) if holding.turned else (HEIGHT, WIDTH)
        kept = Kept(size, holding.channels, holding.bits)
        yield Odd(f"holding-{holding.name}", holding.data, kept, lost=holding.lost)
    for name, data in raws().items():
        if find_spec("rawpy") is None:  # else some are developed
            yield Odd(f"raw-{name}.tif", data, reason="is a raw photograph")


def _noise(form: str) -> bytes:
    options: dict[str, Any] = {"compression": "tiff_lzw"} if form == "tiff" else {}
    return saved(_samples(48, 40, 3, 5), form, **options)


def _truncated() -> Iterator[Odd]:
    for form, suffix in SUFFIXES.items():
        data = _noise(form)
        for part in range(20):
            cut = data[: len(data) * part // 20] if part < 19 else data[:-2]
            yield Odd(f"cut-{form}-{part:02}{suffix}", cut, reason=" ")


def _flipped() -> Iterator[Odd]:
    draw = random.Random(0)
    for form, suffix in SUFFIXES.items():
        data = _noise(form)
        for index in range(15):
            flipped = bytearray(data)
            for _ in range(1 + index % 3):
                # Most of a file's meaning lies in its first bytes.
                place = draw.randrange(min(len(data), 400)) if index % 2 else draw.randrange(len(data))
                flipped[place] ^= 1 << draw.randrange(8)
            yield Odd(f"flipped-{form}-{index:02}{suffix}", bytes(flipped))
    for index in range(5):
        wrong = bytearray(_noise("png"))
        wrong[wrong.index(b"IDAT") + 10 + 100 * index] ^= 1
        yield Odd(f"checksum-{index}.png", bytes(wrong), reason="checksum")


def _forgiven() -> Iterator[Odd]:
    """Damage of which decoders say nothing."""
    samples = np.asarray(Image.fromarray(_samples(9, 12, 3, 5)).resize((200, 150), Image.Resampling.BICUBIC))
    kinds: dict[str, dict[str, Any]] = {
        "plain": {},
        "optimised": {"optimize": True},
        "rows": {"restart_marker_rows": 1},
    }
    for name, options in kinds.items():
        data = saved(samples, "jpeg", quality=95, **options)
        half = len(data) // 2
        yield Odd(f"forgiven-half-{name}.jpg", data[:half].rstrip(b"\xff") + b"\xff\xd9", reason="is damaged")
        yield Odd(f"forgiven-zeros-{name}.jpg", data[:half] + bytes(2000) + data[half + 2000 :], reason="is damaged")
        padded = data[:-2] + bytes(4) + data[-2:]
        yield Odd(f"forgiven-padding-{name}.jpg", padded, Kept((150, 200)))
    flipped = bytearray(saved(samples, "webp", quality=90))
    flipped[len(flipped) // 2] ^= 64
    yield Odd("forgiven-flip.webp", bytes(flipped), reason="is damaged")


def _marked_otherwise() -> Iterator[Odd]:
    """TIFFs that are marked one way and filled another."""
    deep = np.random.default_rng(3).integers(0, 65536, (9, 14, 5), dtype=np.uint16)
    for bits, samples in ((16, deep), (8, deep.astype(np.uint8))):
        for planar in (False, True):
            planes = {count: np.moveaxis(samples[..., :count], 2, 0 if planar else 2).copy() for count in (2, 3, 4, 5)}
            way = {"planarconfig": "separate" if planar else "contig"}
            name = f"marked-{bits}-{way['planarconfig']}"
            bands = tiff(planes[3], photometric="minisblack", extrasamples=[0, 0], **way)
            yield Odd(f"{name}-bands.tif", bands, Kept((9, 14), 3, bits))
            alpha = tiff(planes[4], photometric="rgb", extrasamples=["unassalpha"], **way)
            yield Odd(f"{name}-alpha.tif", alpha, Kept((9, 14), 3, bits, alpha=samples[..., 3]))
            grey = tiff(planes[2], photometric="minisblack", extrasamples=["unassalpha"], **way)
            yield Odd(f"{name}-grey-alpha.tif", grey, Kept((9, 14), 1, bits, alpha=samples[..., 1]))
            five = tiff(planes[5], photometric="minisblack", extrasamples=[0] * 4, **way)
            yield Odd(f"{name}-five.tif", five, reason="cannot be told apart")


def _bombs() -> Iterator[Odd]:
    for make, suffix in (
        (png_of, ".png"),
        (jpeg_of, ".jpg"),
        (bmp_of, ".bmp"),
        (tiff_of, ".tif"),
        (webp_header, ".webp"),
    ):
        name = make.__name__.split("_")[0]
        if make is not webp_header:
            yield Odd(f"bomb-{name}{suffix}", make(60000, 60000), reason="the limit is")
            yield Odd(f"flat-{name}{suffix}", make(0, 5), reason="has no pixels")
            yield Odd(f"thin-{name}{suffix}", make(5, 0), reason="has no pixels")
        else:
            yield Odd(f"bomb-{name}{suffix}", make(16000, 16000), reason="the limit is")
    yield Odd("impossible.bmp", impossible_bmp(), reason=" ")
    yield Odd("impossible.tif", impossible_tiff(), reason=" ")
    rgb = _samples(6, 9, 3)
    zeros = bomb(100)
    for name, extra in (
        ("text", chunk(b"zTXt", b"Comment\0\0" + zeros)),
        ("profile", chunk(b"iCCP", b"p\0\0" + zeros)),
        ("xmp", chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zeros)),
        ("exif", chunk(b"eXIf", b"II*\0" + bytes(17 << 20))),
        ("half-a-profile", chunk(b"iCCP", b"no end")),
        ("half-an-xmp", chunk(b"iTXt", b"XML:com.adobe.xmp\0")),
        ("no-exif", chunk(b"eXIf", b"not exif at all")),
        ("many-texts", b"".join(chunk(b"tEXt", b"Comment\0" + bytes([65 + n % 26])) for n in range(5000))),
    ):
        lost = UNREADABLE if name != "many-texts" else ()
        yield Odd(f"metadata-{name}.png", png(rgb, 2, extra), Kept((6, 9)), lost=lost)
    header = struct.pack(">IIBBBBB", 50000, 50000, 1, 0, 0, 0, 0)
    body = (chunk(b"IHDR", header), chunk(b"IDAT", bomb(300)), chunk(b"IEND", b""))
    yield Odd("bomb-real.png", b"\x89PNG\r\n\x1a\n" + b"".join(body), reason="the limit is")
    for body_of_chunk in (b"", b"\0" * 12, b"\xff" * 13):
        data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", body_of_chunk) + chunk(b"IEND", b"")
        yield Odd(f"header-{len(body_of_chunk)}.png", data, reason=" ")
    rows = zlib.compress(b"".join(b"\7" + row.tobytes() for row in rgb))
    header = struct.pack(">IIBBBBB", 9, 6, 8, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    yield Odd("no-such-filter.png", data)


def _no_pictures() -> Iterator[Odd]:
    kinds = {
        "empty": b"",
        "zero": b"\0",
        "zeros": bytes(100_000),
        "text": b"hello, this is text",
        "page": b"<!DOCTYPE html><html><body>404</body></html>",
        "gif": saved(_image("P", 9, 14), "gif"),
        "ppm": saved(_image("RGB", 9, 14), "ppm"),
        "ico": b"\0\0\1\0" + bytes(60),
        "pdf": b"%PDF-1.7\n" + bytes(100),
        "eps": b"%!PS-Adobe-3.0 EPSF-3.0\n",
        "svg": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        "heic": b"\0\0\0\x18ftypheic" + bytes(100),
        "zip": b"PK\3\4" + bytes(100),
        "program": b"\x7fELF" + bytes(100),
        "pickle": b"\x80\4\x95" + bytes(100),
        "noise": np.random.default_rng(2).bytes(50_000),
        "ends-at-once": b"\xff\xd8\xff\xd9",
        "only-marks": b"\xff\xd8\xff" + b"\xff" * 2_000_000,
        "no-tags": b"II*\0\x08\0\0\0\0\0",
        "tags-of-itself": b"II*\0\x08\0\0\0" + b"\1\0" + struct.pack("<HHII", 330, 4, 1, 8) + struct.pack("<I", 8),
        "only-a-name": b"\x89PNG\r\n\x1a\n",
        "only-riff": b"RIFF\x10\0\0\0WEBPVP8 ",
        "only-bm": b"BM",
    }
    for name, data in kinds.items():
        yield Odd(f"no-picture-{name}.png", data, reason=" ")


def _odd_names() -> Iterator[Odd]:
    data = saved(_image("RGB", 9, 14), "png")
    for name in (
        "[red]x[b].png", "[@click=quit].png", "[link=here]x.png", "new\nline.png", "tab\t.png", "\x1b[31m.png",
        "\udcff\udcfe.png", "-rf.png", "--help.png", "\u00e9\u2713.png", "e\u0301.png", "\u202egnp.png",
        " .png", "a b.png", "x" * 251 + ".png", "%s%d.png", "$HOME.png", "`id`.png", "'\".png", "\\.png", "{}.png",
        ";.png", "*.png", "con.png",
    ):  # fmt: skip
        yield Odd(name, data, Kept((9, 14)))
