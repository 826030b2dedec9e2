"""What a picture file says about itself, read from its structure without decoding a pixel.

Each reader here also returns the file without its metadata: a decoder that never sees EXIF, text or profiles cannot
stumble over them, warn about them or inflate them. What is inflated here has a limit.
"""

import re
from collections.abc import Callable
from dataclasses import replace

from irsde_cli.images import tiff, xmp
from irsde_cli.images.container import MAX_METADATA_BYTES, Container, TruncatedError
from irsde_cli.images.formats import bmp, exr, heif, irc, jp2, jpeg, jxl, png, raw, tiff_file, webp
from irsde_cli.images.parts import Part


def inspect(data: bytes) -> Container | None:
    """The container of a picture, by content; `None` is another kind of file.

    Raises:
        TruncatedError: the file ends within its header.
        DamagedError: a sentence about why it cannot be read.
    """
    for magic, reader in READERS:
        if magic.match(data):
            return _with_sane_metadata(reader(data))
    return None


def mended(container: Container) -> bytes:
    """The essence of a truncated file with an end put to it: what is missing becomes black or grey.

    Raises:
        TruncatedError: nothing of this file can be shown.
    """
    if container.format == "jpeg":
        return jpeg.mended(container.essence)
    if container.format == "png":
        return png.mended(container)
    if container.format in ("tiff", "bmp"):
        height, width = container.size
        # Rows may be padded, tiles reach over the edge: twice the samples and a page hold any sound layout.
        missing = 2 * height * width * container.channels * container.depth // 8 + 4096
        return container.essence + bytes(missing)
    raise TruncatedError


def _with_sane_metadata(container: Container) -> Container:
    blocks: dict[str, bytes | None] = {"icc": container.icc, "exif": container.exif, "xmp": container.xmp}
    parts = list(container.parts)
    exif = blocks["exif"]
    if exif and exif.startswith(b"Exif\0\0"):
        blocks["exif"] = exif = exif[6:]
    orientation, dpi = 1, container.dpi
    for name, title in (("icc", "colour profile"), ("exif", "EXIF"), ("xmp", "XMP")):
        if len(blocks[name] or b"") > MAX_METADATA_BYTES:
            blocks[name] = None
            parts.append(Part("unreadable", f"its {title} is larger than {MAX_METADATA_BYTES >> 20} MiB"))
    if blocks["exif"]:
        try:
            if container.turns:
                blocks["exif"] = tiff.upright(blocks["exif"])
            orientation = tiff.orientation(blocks["exif"])
            dpi = dpi or tiff.resolution(tiff.parse(blocks["exif"]))
        except (ValueError, EOFError):
            blocks["exif"] = None
            parts.append(Part("unreadable", "its EXIF is damaged"))
    if blocks["xmp"]:
        try:
            blocks["xmp"] = xmp.honest(blocks["xmp"])
        except ValueError:
            blocks["xmp"] = None
            parts.append(Part("unreadable", "its XMP is damaged"))
    if container.turns:
        orientation = container.orientation
    if container.tiff:
        orientation = container.tiff.number(tiff.ORIENTATION, 1)
    return replace(
        container,
        icc=blocks["icc"] or None,
        exif=blocks["exif"] or None,
        xmp=blocks["xmp"] or None,
        dpi=dpi,
        orientation=orientation if 1 <= orientation <= 8 else 1,
        parts=tuple(dict.fromkeys(parts)),
    )


READERS: tuple[tuple[re.Pattern[bytes], Callable[[bytes], Container]], ...] = (
    (re.compile(rb"\xff\xd8\xff"), jpeg.read),
    (re.compile(rb"\x89PNG\r\n\x1a\n"), png.read),
    (re.compile(rb"RIFF....WEBPVP8[ LX]", re.DOTALL), webp.read),
    (re.compile(rb"II[*+]\0|MM\0[*+]"), tiff_file.read),
    (re.compile(rb"BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0", re.DOTALL), bmp.read),
    (re.compile(rb"....ftypcrx |FUJIFILMCCD-RAW|IIU\0|II(?:RO|RS)|MMOR|\0MRM|FOVb", re.DOTALL), raw.read),
    (re.compile(rb"....ftyp(?:avi[fs]|he[iv][cmsx]|mif1|msf1)", re.DOTALL), heif.read),
    (re.compile(rb"\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51"), jp2.read),
    (re.compile(rb"\0\0\0\x0cJXL \r\n\x87\n|\xff\x0a"), jxl.read),
    (re.compile(rb"\x76\x2f\x31\x01"), exr.read),
    (re.compile(re.escape(irc.MAGIC)), irc.read),
)
