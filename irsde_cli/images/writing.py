"""The writer of pictures. What a format cannot keep is an error with the way out, never a silent loss."""

import io
import struct
import zlib
from dataclasses import replace
from typing import Any

import numpy as np
from PIL import Image, ImageCms

from irsde_cli.errors import InputError, UsageError
from irsde_cli.images import hdr, libraries, tiff, xmp
from irsde_cli.images.container import DamagedError
from irsde_cli.images.formats import heif, irc, jp2, jpeg, jxl, png
from irsde_cli.images.parts import KINDS, Metadata, Part, lost
from irsde_cli.images.picture import INSTEAD, SUFFIXES, WRITTEN, Picture, Pixels

MAX_SIDE = {"jpeg": 65500, "webp": 16383, "avif": 65536, "heic": 8192}
DEEP = ("png", "tiff", "jp2", "jxl")  # formats of 16 bits; 10 bits of HEIC stay 10 bits
HEIC_BITS = 10
# A JPEG segment holds 65533 bytes, less the label of each kind; a profile may take 255 segments.
MAX_JPEG_BYTES = {"exif": 65527, "xmp": 65533 - len(jpeg.XMP), "icc": 255 * 65519}
PNG_LEVEL = 1  # the highest makes photographs an eighth smaller, and takes three times as long
TITLES = {"icc": "colour profile", "exif": "EXIF", "xmp": "XMP"}


def output_format(
    picture: Picture, asked: str | None = None, *, metadata: Metadata = "keep", depth: int | None = None
) -> str:
    """The format that `encode_picture` will write, checked: call it before any work is spent on the picture.

    Args:
        picture: what is to be written; a restored picture may be larger, and is checked again.
        asked: a row of `WRITTEN`, or a suffix of theirs; `None` or `keep` is the picture's own, or TIFF for what is
            only read.
        metadata: as `encode_picture` takes it.
        depth: as `encode_picture` takes it.

    Raises:
        UsageError: there is no such format.
        InputError: the format cannot keep something of this picture.
    """
    known = {"keep": picture.format} | {suffix[1:]: format for suffix, format in SUFFIXES.items()}
    if (asked or "keep") not in known:
        raise unknown_format(str(asked))
    format, name = known[asked or "keep"], f"'{picture.name}'"
    if asked in (None, "keep") or format not in WRITTEN:
        format = INSTEAD.get(format, format)
    if format in libraries.LIBRARIES and format != "jxl":
        _loaded(format, name)
    if picture.alpha is not None and format in ("jpeg", "bmp", "irc"):
        raise InputError(f"{name} is transparent, which {format.upper()} cannot keep.", hint="Take --format png.")
    deep = (depth or picture.depth) == 16
    ten = any(part.kind == "bits" and part.data == bytes((HEIC_BITS,)) for part in picture.parts)
    if deep and format not in DEEP and not (format == "heic" and ten):
        raise InputError(
            f"{name} has 16 bits a sample, which {format.upper()} cannot keep.",
            hint="Take --format tiff or png, or accept 8 bits with --depth 8.",
        )
    coloured = not picture.grey or picture.alpha is not None
    if format == "jxl" or (deep and coloured and format in ("png", "jp2")):
        hdr.openimageio(picture.name, format)
    if deep and format == "jp2" and picture.grey and picture.alpha is not None:
        raise InputError(
            f"{name} is 16-bit grey with transparency, which JP2 cannot keep here.", hint="Take --format png."
        )
    if max(picture.size) > MAX_SIDE.get(format, 1 << 31):
        raise InputError(
            f"{name} is larger than the {MAX_SIDE[format]} pixels a side of {format.upper()}.",
            hint="Take --format png or tiff.",
        )
    for kind, block in _metadata(picture, metadata).items():
        if block is not None:
            _check_block(picture, format, kind, block)
    return format


def unknown_format(asked: str) -> UsageError:
    """The error for a format that is not written, with what would make it one."""
    format = next((name for name, row in libraries.LIBRARIES.items() if f".{asked}" in row.suffixes), None)
    known = f"Known: keep, {', '.join(WRITTEN)}."
    if format in INSTEAD and format not in WRITTEN:
        return UsageError(f"'{asked}' is read, and not written.", hint=known)
    more = "" if format is None else f" For {asked} run: {libraries.LIBRARIES[format].how}."
    return UsageError(f"unknown format '{asked}'.", hint=known + more)


def no_codec() -> UsageError:
    """The error for the format of codecs where other weights are at work."""
    return UsageError("irc is written by the weights of a codec.", hint="Name some with --model.")


def _loaded(format: str, name: str) -> Any:
    try:
        return libraries.load(format, f"is to be written as {format.upper()}")
    except DamagedError as error:
        raise InputError(f"{name} {error}.", hint=error.hint) from None


def losses(
    picture: Picture, asked: str | None = None, *, metadata: Metadata = "keep", depth: int | None = None
) -> tuple[Part, ...]:
    """The parts that `encode_picture`, given the same, will leave out without having been told to."""
    return lost(picture.parts, output_format(picture, asked, metadata=metadata, depth=depth), metadata)


def _check_block(picture: Picture, format: str, kind: str, block: bytes) -> None:
    limit = {"bmp": 0, "jpeg": MAX_JPEG_BYTES[kind]}.get(format, len(block))
    if len(block) > limit:
        raise InputError(
            f"'{picture.name}' has {TITLES[kind]} of {len(block)} bytes, which {format.upper()} cannot keep.",
            hint="Take --format png" + ("." if kind == "icc" else ", or --metadata strip."),
        )
    if kind == "icc" and format == "webp" and block[16:20] == b"GRAY":
        raise InputError(
            f"'{picture.name}' has a grey colour profile, which WebP, always in colour, cannot keep.",
            hint="Take --format png.",
        )


def encode_picture(
    picture: Picture,
    *,
    format: str | None = None,
    quality: int = 95,
    png_level: int = PNG_LEVEL,
    metadata: Metadata = "keep",
    depth: int | None = None,
    coded: irc.Coded | None = None,
) -> bytes:
    """The bytes of a picture file; parts that its format has no place for are left out, and `losses` names them.

    Args:
        picture: what is to be written.
        format: as `output_format` takes it.
        quality: 1 to 100, of formats with loss; JPEG, AVIF and HEIC keep colour at full resolution from 90 on; WebP,
            JPEG 2000 and JPEG XL are lossless at 100, JPEG 2000 and JPEG XL always at 16 bits.
        png_level: 0 to 9: how hard zlib tries to make a PNG small; its pixels stay the same.
        metadata: `keep`, or `strip` EXIF, XMP, comments and the resolution. A colour profile other than sRGB then
            stays: without it the same pixels would have other colours.
        depth: bits per sample, 8 or 16; `None` is the picture's.
        coded: what a codec made of the picture, for its format `irc`.

    Raises:
        UsageError: there is no such format, or it is a codec's, and none is at work.
        InputError: the format cannot keep something of this picture, or its encoder fails.
    """
    chosen = output_format(picture, format, metadata=metadata, depth=depth)
    keep = metadata == "keep"
    blocks = _metadata(picture, metadata)
    blocks["exif"] = tiff.settled(blocks["exif"], picture.size) if blocks["exif"] else None
    blocks["xmp"] = xmp.settled(blocks["xmp"], picture.size) if blocks["xmp"] else None
    stripped = replace(
        picture if depth is None else picture.to_depth(depth),
        dpi=picture.dpi if keep else None,
        parts=tuple(part for part in picture.parts if keep or not KINDS[part.kind].describes),
        **blocks,
    )
    try:
        if chosen == "irc":
            if coded is None:
                raise no_codec()
            return irc.written(coded, stripped.icc, stripped.exif, stripped.xmp)
        if chosen == "png":
            return _png(stripped, png_level)
        if chosen == "tiff":
            return _tiff(stripped)
        if chosen == "jp2":
            return _jp2(stripped, quality)
        if chosen == "jxl":
            return _jxl(stripped, quality)
        if chosen == "heic":
            return _heic(stripped, quality)
        return _by_pillow(stripped, chosen, quality)
    except (InputError, UsageError):
        raise
    except MemoryError:
        raise InputError(f"'{picture.name}' cannot be encoded: not enough memory.") from None
    except Exception as error:
        raise InputError(f"'{picture.name}' cannot be written as {chosen.upper()}: {error}") from None


def _metadata(picture: Picture, metadata: Metadata) -> dict[str, Any]:
    if metadata == "keep":
        return {"icc": picture.icc, "exif": picture.exif, "xmp": picture.xmp}
    return {"icc": None if picture.icc and _is_srgb(picture.icc) else picture.icc, "exif": None, "xmp": None}


def _is_srgb(icc: bytes) -> bool:
    try:
        return "sRGB" in ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(icc)))
    except (ImageCms.PyCMSError, OSError):
        return False


def _samples(picture: Picture) -> Pixels:
    """(H, W, C), or (H, W) for grey alone."""
    if picture.alpha is not None:
        return np.concatenate((picture.pixels, picture.alpha[..., None]), axis=2)
    return picture.pixels[..., 0] if picture.grey else picture.pixels


def _by_pillow(picture: Picture, format: str, quality: int) -> bytes:
    options: dict[str, Any] = {"dpi": picture.dpi} if picture.dpi and format != "webp" else {}
    if picture.icc:
        options["icc_profile"] = picture.icc
    if picture.exif:
        options["exif"] = b"Exif\0\0" + picture.exif
    if picture.xmp:
        options["xmp"] = picture.xmp
    if format == "jpeg":
        options |= {"quality": quality, "subsampling": 0 if quality >= 90 else 2}
    elif format == "webp":
        options |= {"quality": quality, "lossless": quality == 100, "exact": True}
    elif format == "avif":
        # Its encoder halves colour at any quality, and makes colour of grey, unless told otherwise.
        sampling = "4:0:0" if picture.grey else "4:4:4" if quality >= 90 else "4:2:0"
        options |= {"quality": quality, "subsampling": sampling}
    buffer = io.BytesIO()
    # An image made of samples has no format and no info: some writers copy their source instead.
    Image.fromarray(_samples(picture)).save(buffer, format, **options)
    data = buffer.getvalue()
    if format == "jpeg":
        return jpeg.with_segments(data, picture.parts)
    codes = _codes(picture, format)
    return heif.with_codes(data, codes) if codes else data


def _codes(picture: Picture, format: str) -> bytes | None:
    """The four bytes of cICP, where a picture has them and the format keeps them."""
    found = (part.data for part in picture.parts if part.kind == "png-colour" and part.fits(format))
    chunks = next(found, None) if format in ("avif", "heic") and not picture.icc else None
    return None if chunks is None else chunks[8:12]


def _jp2(picture: Picture, quality: int) -> bytes:
    samples = _samples(picture)
    if samples.dtype == np.uint16 and samples.ndim == 3:
        plain = hdr.encode(samples, "jp2", picture.name, {"jpeg2000:lossless": 1})
    else:
        # Without loss at 100; below, each five steps are 1.5 dB, and 95 is 48.5 dB.
        lossy = {"irreversible": True, "quality_mode": "dB", "quality_layers": [20 + 0.3 * quality]}
        buffer = io.BytesIO()
        Image.fromarray(samples).save(buffer, "JPEG2000", **({} if quality == 100 or picture.depth == 16 else lossy))
        plain = buffer.getvalue()
    return jp2.with_boxes(plain, picture.icc, picture.exif, picture.xmp)


def _jxl(picture: Picture, quality: int) -> bytes:
    samples = _samples(picture)
    samples = samples if samples.ndim == 3 else samples[..., None]
    if samples.shape[2] == 2:  # its encoder refuses grey with alpha
        samples = np.concatenate((samples[..., :1],) * 3 + (samples[..., 1:],), axis=2)
    # With loss it would write sRGB in the place of the profile, and leave the pixels as they are.
    exact = quality == 100 or picture.icc is not None or picture.depth == 16
    settings = {"compression": f"jpegxl:{100 if exact else quality}"}
    plain = hdr.encode(samples, "jxl", picture.name, settings, picture.icc)
    return jxl.with_boxes(plain, picture.exif, picture.xmp)


def _heic(picture: Picture, quality: int) -> bytes:
    pillow_heif = _loaded("heic", f"'{picture.name}'")
    samples = _samples(picture)
    mode = {1: "L", 3: "RGB", 4: "RGBA"}[1 if samples.ndim == 2 else samples.shape[2] if samples.shape[2] != 2 else 4]
    if samples.ndim == 3 and samples.shape[2] == 2:
        samples = np.concatenate((samples[..., :1],) * 3 + (samples[..., 1:],), axis=2)
    if samples.dtype == np.uint16:  # it takes the high bits, and would round down
        most = (1 << HEIC_BITS) - 1
        ten = (samples.astype(np.uint32) * most + 32767) // 65535
        samples = (ten << (16 - HEIC_BITS)).astype(np.uint16)
        mode = "I;16" if mode == "L" else f"{mode};16"
    height, width = picture.size
    file = pillow_heif.from_bytes(mode, (width, height), np.ascontiguousarray(samples).tobytes())
    options: dict[str, Any] = {"quality": quality, "chroma": 444 if quality >= 90 else 420}
    if picture.icc:
        file.info["icc_profile"], file.info["icc_profile_type"] = picture.icc, "prof"
    codes = _codes(picture, "heic")
    if codes:
        options |= {"color_primaries": codes[0], "transfer_characteristics": codes[1]}
    if picture.exif:
        options["exif"] = b"Exif\0\0" + picture.exif
    if picture.xmp:
        options["xmp"] = picture.xmp
    buffer = io.BytesIO()
    file.save(buffer, **options)
    return buffer.getvalue()


def _png(picture: Picture, level: int) -> bytes:
    samples = _samples(picture)
    if samples.dtype == np.uint16 and samples.ndim == 3:
        plain = hdr.encode(samples, "png", picture.name, {"png:compressionLevel": level})
    else:
        buffer = io.BytesIO()
        Image.fromarray(samples).save(buffer, "png", compress_level=level)
        plain = buffer.getvalue()
    added = png.added(picture.parts, picture.depth, grey=picture.grey)
    if picture.icc:
        added.append(png.chunk_of(b"iCCP", b"ICC Profile\0\0" + zlib.compress(picture.icc)))
    if picture.dpi:
        across, down = (round(value / 0.0254) for value in picture.dpi)
        added.append(png.chunk_of(b"pHYs", struct.pack(">IIB", across, down, 1)))
    if picture.exif:
        added.append(png.chunk_of(b"eXIf", picture.exif))
    if picture.xmp:
        added.append(png.chunk_of(b"iTXt", png.XMP + bytes(5) + picture.xmp))
    # An encoder's own remarks about time, software and gamma go; what is kept byte for byte takes their place.
    header, *rest = (chunk for kind, chunk, _ in png.chunks(plain) if not kind[0] & 0x20)
    return b"".join((png.SIGNATURE, header, *added, *rest))


def _tiff(picture: Picture) -> bytes:
    import tifffile

    options: dict[str, Any] = {"extratags": []}
    if picture.alpha is not None:
        options["extrasamples"] = ["unassalpha"]
    if picture.xmp:
        options["extratags"].append((tiff.XMP, 1, len(picture.xmp), picture.xmp, True))
    if picture.dpi:
        options |= {"resolution": picture.dpi, "resolutionunit": 2}
    blocks = [picture.exif] if picture.exif else []
    for part in picture.parts:
        if part.kind == "iptc" and part.data:
            options["extratags"].append((tiff.IPTC, 7, len(part.data), part.data, True))
        elif part.fits("tiff"):
            blocks.append(part.data)
    buffer = io.BytesIO()
    tifffile.imwrite(
        buffer,
        _samples(picture),
        byteorder=">" if any(block.startswith(b"MM") for block in blocks) else "<",
        photometric="minisblack" if picture.grey else "rgb",
        planarconfig="contig",
        compression="zlib",
        compressionargs={"level": 1},
        predictor=True,
        iccprofile=picture.icc,
        metadata=None,
        software=False,
        **options,
    )
    data = buffer.getvalue()
    for block in blocks:
        data = tiff.with_tags(data, block)
    return data
