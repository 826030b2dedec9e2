"""The one reader of pictures. Files are untrusted: nothing is decoded before the header has been found acceptable."""

import io
import os
import re
import stat
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    Image,
    ImageCms,
    ImageFile,
    Jpeg2KImagePlugin,
    JpegImagePlugin,
    PngImagePlugin,
    WebPImagePlugin,
)

from irsde_cli.content import kind_of
from irsde_cli.errors import InputError
from irsde_cli.images import damage, decoding, formats, tiff, tiff_samples
from irsde_cli.images.container import Container, DamagedError, TruncatedError
from irsde_cli.images.formats import irc, png
from irsde_cli.images.hdr import openimageio
from irsde_cli.images.parts import Part
from irsde_cli.images.picture import BAND, INSTEAD, READ_HERE, Limits, Picture, Pixels

# (H, W, 1) or (H, W, 3) of 8 bits, of what a codec's file holds; raises a `DamagedError` where that is not possible.
Opener = Callable[[irc.Coded], Pixels]

DECODERS: dict[str, type[ImageFile.ImageFile]] = {
    "jpeg": JpegImagePlugin.JpegImageFile,
    "png": PngImagePlugin.PngImageFile,
    "webp": WebPImagePlugin.WebPImageFile,
    "tiff": tiff.PlainTiffFile,
    "bmp": BmpImagePlugin.BmpImageFile,
    "avif": AvifImagePlugin.AvifImageFile,
    "jp2": Jpeg2KImagePlugin.Jpeg2KImageFile,
}

# What each mode of Pillow becomes. Palettes with transparency become RGBA; 16-bit grey stays as it is.
MODES = {
    "1": "L",
    "L": "L",
    "LA": "LA",
    "La": "LA",
    "P": "RGB",
    "PA": "RGBA",
    "RGB": "RGB",
    "RGBX": "RGB",
    "RGBA": "RGBA",
    "YCbCr": "RGB",
    "CMYK": "RGB",
    "LAB": "RGB",
    "I;16": "I;16",
    "I;16B": "I;16B",
    "I": "I",
}

# Grey on white, grey on black, RGB: photometric interpretations whose 16-bit samples are read exactly.
EXACT_PHOTOMETRIC = (0, 1, 2)
# Samples of palettes, RGB, CMYK, YCbCr and CIELAB; of the others there are as many as are read.
TIFF_COLOURS = {2: 3, 3: 1, 5: 4, 6: 3, 8: 3}
MAX_TIFF_SAMPLES = 6
XMP_ORIENTATION = re.compile(rb"""(tiff:Orientation(?:\s*=\s*["']|>))[2-8]""")


def read_picture(
    source: Path | bytes,
    name: str,
    *,
    limits: Limits = Limits(),  # noqa: B008
    allow_truncated: bool = False,
    depth: int | None = None,
    linear: bool = False,
    opener: Opener | None = None,
) -> Picture:
    """Read a picture by its content, upright, from a regular file or from bytes.

    Safe to call from several threads: no setting of Pillow or of Python's warnings is touched.

    Args:
        source: JPEG, PNG, WebP, TIFF, BMP, AVIF, JPEG 2000, or with their extras HEIC, JPEG XL, OpenEXR and raw
            photographs.
        name: what messages call it.
        limits: what it may cost.
        allow_truncated: take what a file that is cut off still shows. Not possible for WebP.
        depth: bits per sample of the result, 8 or 16; `None` keeps the file's.
        linear: leave raw photographs and OpenEXR as light is; else they become what a screen shows.
        opener: what makes pixels of the file of a codec, which takes the codec's weights; without it that is an error.

    Raises:
        InputError: whatever is wrong with the file; no other exception leaves.
    """
    try:
        data = source if isinstance(source, bytes) else _contents(source, name, limits)
        return _read(data, name, limits, allow_truncated, depth, linear, opener)
    except InputError:
        raise
    except MemoryError:
        raise InputError(f"'{name}' does not fit in memory.") from None
    except OSError as error:
        if error.errno is not None:
            raise InputError(f"'{name}' cannot be read: {error.strerror}.") from None
        raise _damaged(name, error) from None
    except Exception as error:
        raise _damaged(name, error) from None


def read_size(path: Path, name: str, *, limits: Limits = Limits()) -> tuple[int, int]:  # noqa: B008
    """Height and width of an upright picture, without decoding it.

    Raises:
        InputError: it cannot be read.
    """
    try:
        container = _inspected(_contents(path, name, limits), name)
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"'{name}' cannot be read: {error.strerror or error}.") from None
    except Exception as error:
        raise _damaged(name, error) from None
    height, width = container.size
    return (width, height) if container.orientation > 4 else (height, width)


def _damaged(name: str, error: Exception) -> InputError:
    return InputError(f"'{name}' is damaged or of an unsupported kind: {str(error) or type(error).__name__}.")


def _contents(path: Path, name: str, limits: Limits) -> bytes:
    # Before opening: a pipe would be waited for.
    if not stat.S_ISREG(path.stat().st_mode):
        raise InputError(f"'{name}' is not a regular file.")
    with path.open("rb") as file:
        before = os.fstat(file.fileno())
        if before.st_size > limits.max_file_bytes:
            raise InputError(f"'{name}' has {before.st_size} bytes; the limit is {limits.max_file_bytes}.")
        data = file.read(before.st_size + 1)  # so much is allocated at once; the one byte shows that it grew
        after = os.fstat(file.fileno())
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns) or len(data) != after.st_size:
        raise InputError(f"'{name}' changed while it was read.", hint="Run again when it is complete.")
    return data


def _read(
    data: bytes,
    name: str,
    limits: Limits,
    allow_truncated: bool,
    depth: int | None,
    linear: bool,
    opener: Opener | None,
) -> Picture:
    container = _inspected(data, name)
    _check(container, name, limits, depth)
    notes, parts = [], list(container.parts)
    if not container.complete:
        container = _completed(container, name, allow_truncated)
        notes.append("it is truncated; what is missing is black or grey")
    else:
        container = _sound(container, name, notes, allow_truncated)
    try:
        if container.format == "irc":
            pixels, alpha, icc = _opened_by(opener, container), None, container.icc
        else:
            pixels, alpha, icc = _decoded(container, parts, notes, allow_truncated, linear)
    except DamagedError as error:
        raise InputError(f"'{name}' {error}.", hint=error.hint) from None
    if container.tiff and not tiff_samples.is_exact(container.tiff):
        colours = TIFF_COLOURS.get(container.tiff.number(tiff.PHOTOMETRIC), int(pixels.shape[2]))
        further = container.channels - colours - (alpha is not None)
        parts += [Part("channel", str(further))] if further > 0 else []
    exif, packet = container.exif, container.xmp
    if container.orientation > 1:
        pixels = _upright(pixels, container.orientation)
        alpha = None if alpha is None else _upright(alpha, container.orientation)
        exif = tiff.upright(exif) if exif else None
        packet = XMP_ORIENTATION.sub(rb"\g<1>1", packet) if packet else None
        # Turned pixels lie elsewhere on the ground than the tags say.
        parts = [replace(part, data=b"") if part.kind == "geo" else part for part in parts]
    if depth == 8 and pixels.dtype == np.uint16 and container.format not in INSTEAD:
        notes.append("it is reduced from 16 to 8 bits")
    picture = Picture(
        pixels, alpha, container.format, icc, exif, packet, container.dpi, tuple(parts), tuple(notes), name
    )
    return picture if depth is None else picture.to_depth(depth)


def _opened_by(opener: Opener | None, container: Container) -> Pixels:
    if opener is None:
        raise DamagedError(
            "is a file of a restoring codec, and only the command restore opens such files",
            "Open it first: irsde restore FILE.irc FILE.png",
        )
    return opener(irc.parsed(container.essence))


def _inspected(data: bytes, name: str) -> Container:
    if not data:
        raise InputError(f"'{name}' is empty.")
    try:
        container = formats.inspect(data)
    except TruncatedError:
        raise InputError(f"'{name}' is truncated.", hint="Nothing of it can be shown: find another copy.") from None
    except DamagedError as error:
        raise InputError(f"'{name}' {error}.", hint=error.hint) from None
    if container is None:
        kind = kind_of(data)
        reason = "" if kind is None else f": it is {kind.name}"
        raise InputError(
            f"'{name}' is not a supported image ({READ_HERE}){reason}.",
            hint="" if kind is None else kind.hint,
        )
    return container


def _completed(container: Container, name: str, allow_truncated: bool) -> Container:
    if not allow_truncated:
        raise InputError(f"'{name}' is truncated.", hint="--allow-truncated takes what is there.")
    try:
        return replace(container, essence=formats.mended(container))
    except TruncatedError:
        raise InputError(f"'{name}' is truncated, and nothing of it can be shown.") from None


def _sound(container: Container, name: str, notes: list[str], allow_truncated: bool) -> Container:
    """The container, if nothing shows that a decoder would have to invent pixels; else what can be shown of it.

    Raises:
        InputError: it is damaged, and that is not allowed, or nothing of it can be shown.
    """
    essence = container.essence
    why = ""
    if container.format == "jpeg":
        why = damage.of_jpeg(essence)
    elif container.format == "webp":
        why = damage.of_webp(essence)
    elif container.format == "png":
        why = png.damage(container)
    elif container.tiff and container.tiff.number(tiff.COMPRESSION, 1) == tiff.JPEG:
        why = next(filter(None, map(damage.of_jpeg, tiff_samples.jpegs(essence, container.tiff))), "")
    if not why:
        return container
    if not allow_truncated:
        raise InputError(f"'{name}' is damaged: {why}.", hint="--allow-truncated takes what is there.")
    notes.append(f"it is damaged: {why}")
    return _completed(container, name, allow_truncated) if container.format == "png" else container


def _check(container: Container, name: str, limits: Limits, depth: int | None) -> None:
    height, width = container.size
    if not height or not width:
        raise InputError(f"'{name}' has no pixels: it is {width} x {height}.")
    if height * width > limits.max_pixels:
        raise InputError(
            f"'{name}' has {height * width:,} pixels ({width} x {height}); the limit is {limits.max_pixels:,}.",
            hint="--max-pixels raises it.",
        )
    if container.format == "png" and container.depth == 16 and container.channels > 1 and depth != 8:
        # Pillow could be made to read it; the result could not be written, which is better known now.
        openimageio(name)
    if container.format == "jp2" and decoding.needed(container) is not None:
        openimageio(name, "jp2")
    if container.tiff:
        _check_tiff(container.tiff, name, depth)


def _check_tiff(page: tiff.Tiff, name: str, depth: int | None) -> None:
    bits, kinds = set(page.numbers(tiff.BITS, (1,))), set(page.numbers(tiff.SAMPLE_FORMAT, (1,)))
    if len(bits) > 1 or not bits <= {1, 2, 4, 8, 16} or not kinds <= {1}:
        kind = {2: "signed ", 3: "floating-point "}.get(max(kinds), "")
        raise InputError(
            f"'{name}' is a TIFF with {kind}samples of {max(bits)} bits, which are not supported.",
            hint="Convert it to whole numbers of 8 or 16 bits first.",
        )
    if not 0 < page.number(tiff.SAMPLES, 1) <= MAX_TIFF_SAMPLES:
        raise InputError(f"'{name}' is a TIFF with too many samples a pixel; {MAX_TIFF_SAMPLES} are supported.")
    if not 0 < page.blocks_needed() <= len(page.blocks()[0]):
        raise InputError(f"'{name}' is a TIFF that lacks a part of its pixels.")
    photometric = page.number(tiff.PHOTOMETRIC)
    if bits == {16} and photometric not in EXACT_PHOTOMETRIC and not (photometric == 5 and depth == 8):
        raise InputError(
            f"'{name}' is a 16-bit TIFF that is neither grey nor RGB.",
            hint="Convert it to RGB first" + (", or accept 8 bits with --depth 8." if photometric == 5 else "."),
        )


def _decoded(
    container: Container, parts: list[Part], notes: list[str], forgiving: bool, linear: bool
) -> tuple[Pixels, Pixels | None, bytes | None]:
    """Pixels (H, W, C), alpha and colour profile, as stored; what is converted is added to `parts`."""
    page, icc = container.tiff, container.icc
    if page and tiff_samples.is_exact(page):
        pixels, alpha = _exact_tiff(container.essence, page, parts, notes, forgiving)
    elif (decode := decoding.needed(container)) is not None:
        decoded = decode(container, linear)
        pixels, alpha = _apart(decoded.samples)
        icc = decoded.icc
        parts += decoded.parts
        if pixels.shape[:2] != container.size and container.format != "raw":
            raise ValueError("the header contradicts itself about the size")
    elif container.format == "png" and container.depth == 16 and container.channels > 1:
        pixels, alpha = _apart(_sixteen_bit_png(container))
    else:
        if page:
            faults = tiff_samples.checked(container.essence, page, forgiving=forgiving)
            if faults.absent:
                raise DamagedError("is a TIFF that lacks a part of its pixels")
            notes.extend(faults.words())
        with _opened(container) as image:
            image.load()
            mode = "RGBA" if image.mode == "P" and "transparency" in image.info else MODES.get(image.mode)
            if mode is None:
                raise ValueError(f"pixels of mode {image.mode}")
            if image.mode in ("CMYK", "LAB"):
                pixels, alpha = _apart(np.asarray(_as_srgb(image, icc, parts)))
                icc = None
            else:
                upright = image if image.mode == mode else image.convert(mode)
                pixels, alpha = _apart(_samples(upright))
                if container.format == "avif" and container.channels == 1:  # Pillow makes colour of it
                    pixels = np.ascontiguousarray(pixels[..., :1])
        if pixels.dtype != np.uint8:
            pixels = pixels.astype(np.uint16)
    if container.key is not None:
        key = np.array(container.key, np.uint16) * (255 // (2**container.depth - 1) if container.depth < 8 else 1)
        alpha = np.where((pixels == key).all(-1), 0, np.iinfo(pixels.dtype).max).astype(pixels.dtype)
    return pixels, alpha, icc


def _samples(image: Image.Image) -> Pixels:
    """What numpy makes of an image, taken in bands where it is large: at once it takes the memory three times."""
    width, height = image.size
    if height <= BAND:
        return np.asarray(image)
    bands = [(top, min(top + BAND, height)) for top in range(0, height, BAND)]
    samples: Pixels | None = None
    for top, end in bands:
        band = np.asarray(image.crop((0, top, width, end)))
        samples = np.empty((height, *band.shape[1:]), band.dtype) if samples is None else samples
        samples[top:end] = band
    assert samples is not None
    return samples


def _opened(container: Container) -> ImageFile.ImageFile:
    essence = container.essence
    if container.tiff:
        essence = tiff.decoding_only(essence, container.tiff)
    image = DECODERS[container.format](io.BytesIO(essence))
    if (image.height, image.width) != container.size:
        raise ValueError("the header contradicts itself about the size")
    return image


def _apart(samples: Pixels) -> tuple[Pixels, Pixels | None]:
    """Colour (H, W, 1 or 3) and alpha of (H, W) or (H, W, 1 to 4) samples."""
    samples = samples if samples.ndim == 3 else samples[..., None]
    if samples.shape[2] in (2, 4):
        return np.ascontiguousarray(samples[..., :-1]), np.ascontiguousarray(samples[..., -1])
    return samples, None


def _as_srgb(image: Image.Image, icc: bytes | None, parts: list[Part]) -> Image.Image:
    srgb = ImageCms.createProfile("sRGB")
    if image.mode == "LAB":
        parts.append(Part("lab", "converted to sRGB"))
        transform = ImageCms.buildTransform(ImageCms.createProfile("LAB"), srgb, "LAB", "RGB")
        return ImageCms.applyTransform(image, transform) or image
    if icc:
        try:
            converted = ImageCms.profileToProfile(
                image,
                ImageCms.ImageCmsProfile(io.BytesIO(icc)),
                srgb,
                renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
                outputMode="RGB",
                flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
            )
            parts.append(Part("cmyk", "converted to sRGB by its colour profile"))
            return converted or image
        except (ImageCms.PyCMSError, OSError):
            parts.append(Part("unreadable", "its CMYK colour profile is unusable"))
    parts.append(Part("cmyk", "converted to RGB without a colour profile: colours are approximate"))
    return image.convert("RGB")


def _sixteen_bit_png(container: Container) -> Pixels:
    """All samples (H, W, C) of a PNG with 16-bit grey and alpha, RGB, or RGB and alpha, exactly.

    Pillow unpacks one byte of each sample, the high one; asked for the other byte order, it unpacks the low one.
    """
    if container.channels == 2:
        # Two samples of 16 bits have the filters of four of 8 bits.
        header = struct.pack(">IIBB", container.size[1], container.size[0], 8, 6) + container.essence[26:29]
        essence = png.SIGNATURE + png.chunk_of(b"IHDR", header) + container.essence[33:]
        with _opened(replace(container, essence=essence)) as image:
            return np.asarray(image).view(">u2").astype(np.uint16)
    samples = np.zeros((*container.size, container.channels), np.uint16)
    for order, shift in (("B", 8), ("L", 0)):
        with _opened(container) as image:
            image.tile = [tile._replace(args=f"{image.mode};16{order}") for tile in image.tile]
            samples |= np.asarray(image).astype(np.uint16) << np.uint16(shift)
    return samples


def _exact_tiff(
    data: bytes, page: tiff.Tiff, parts: list[Part], notes: list[str], forgiving: bool
) -> tuple[Pixels, Pixels | None]:
    told = tiff_samples.meaning(page)
    samples, faults = tiff_samples.samples(data, page, forgiving=forgiving)
    notes.extend(faults.words())
    if told.guessed:
        notes.append("its three bands are marked as grey; they are taken for red, green and blue")
    if told.unknown:
        parts.append(Part("channel", str(told.unknown)))
    pixels = np.ascontiguousarray(samples[..., : told.colours])
    if page.number(tiff.PHOTOMETRIC) == 0:
        pixels = ~pixels
    if not told.alpha:
        return pixels, None
    alpha = np.ascontiguousarray(samples[..., told.alpha])
    return tiff_samples.straight(pixels, alpha) if told.premultiplied else pixels, alpha


def _upright(samples: Pixels, orientation: int) -> Pixels:
    """Pixels (H, W, ...) turned and mirrored as EXIF's orientation says."""
    if orientation >= 5:
        samples = samples.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        samples = samples[::-1]
    if orientation in (2, 3, 6, 7):
        samples = samples[:, ::-1]
    return np.ascontiguousarray(samples)
