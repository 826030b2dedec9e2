"""What picture files hold beside pixels, profile, EXIF and XMP, and which formats have a place for it.

A reader makes a part of all that it finds; a writer takes those that its format keeps. What is left is lost, and said.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

Metadata = Literal["keep", "strip"]


@dataclass(frozen=True)
class Kind:
    """A row of `KINDS`.

    Attributes:
        title: what people call it.
        formats: those that keep it.
        describes: whether it is metadata, which `strip` is meant to leave out.
        decides_colour: whether the same samples have other colours without it.
        implied: whether its absence says the same.
    """

    title: str
    formats: tuple[str, ...] = ()
    describes: bool = False
    decides_colour: bool = False
    implied: bool = False


KINDS = {
    "pages": Kind("further pages"),
    "frames": Kind("further frames"),
    "pictures": Kind("further pictures"),
    "reduced": Kind("reduced copies"),
    "masks": Kind("a mask of transparency"),
    "film": Kind("a film behind the picture"),
    "gain-map": Kind("a gain map for bright screens"),
    "behind": Kind("data behind the picture"),
    "layers": Kind("layers"),
    "channel": Kind("further channels"),
    "cmyk": Kind("CMYK colours"),
    "lab": Kind("CIELAB colours"),
    "aspect": Kind("the shape of its pixels"),
    "bits": Kind("fewer than 16 bits a sample", ("heic",), implied=True),
    "deep": Kind("more than 8 bits a sample"),
    "bright": Kind("light brighter than white", decides_colour=True),
    "significant": Kind("the number of significant bits"),
    "credentials": Kind("content credentials"),
    "foreign": Kind("data of other programs"),
    "unreadable": Kind("metadata that cannot be read"),
    "png-colour": Kind("colours of its own (gAMA, cHRM, cICP)", ("png", "avif", "heic"), decides_colour=True),
    "png-srgb": Kind("sRGB by name", ("png",), implied=True),
    "png-background": Kind("a background colour", ("png",)),
    "png-text": Kind("comments", ("png",), describes=True),
    "png-other": Kind("data of other programs", ("png",), describes=True),
    "tiff-colour": Kind("colours of its own (primaries, transfer function)", ("tiff",), decides_colour=True),
    "bmp-colour": Kind("colours of its own (primaries, gamma)"),
    "geo": Kind("geographic tags", ("tiff",)),
    "jpeg-comment": Kind("comments", ("jpeg",), describes=True),
    "iptc": Kind("IPTC", ("jpeg", "tiff"), describes=True),
    "photoshop": Kind("Photoshop resources", describes=True),
    "xmp": Kind("extended XMP", describes=True),
    "description": Kind("a description of planes", describes=True),
    "links": Kind("the tie to its other names (hard links)"),
    "owner": Kind("its owner or group"),
}  # fmt: skip


@dataclass(frozen=True)
class Part:
    """Something in a file.

    Attributes:
        kind: a row of `KINDS`.
        detail: how many or which.
        data: what a writer needs to keep it; without it no format can.
    """

    kind: str
    detail: str = ""
    data: bytes = b""

    @property
    def title(self) -> str:
        """Its kind, for people; the same in every file."""
        return KINDS[self.kind].title

    def __str__(self) -> str:
        return f"{self.title} ({self.detail})" if self.detail else self.title

    def fits(self, format: str) -> bool:
        """Whether a format keeps it."""
        # Of the chunks of PNG that say what colours mean, AVIF and HEIC have a place for one.
        here = self.kind != "png-colour" or format == "png" or self.data[4:8] == b"cICP"
        return bool(self.data) and format in KINDS[self.kind].formats and here


def lost(parts: Iterable[Part], format: str, metadata: Metadata = "keep") -> tuple[Part, ...]:
    """The parts that a file of that format will lack, but for those that are to be left out."""
    return tuple(
        part
        for part in parts
        if not (part.fits(format) or KINDS[part.kind].implied or (metadata == "strip" and KINDS[part.kind].describes))
    )


FILM = re.compile(rb"....ftyp[A-Za-z0-9 ]{4}", re.DOTALL)
GAIN_MAP = re.compile(rb"ns\.adobe\.com/hdr-gain-map/|urn:iso:std:iso:ts:21496:|hdrgainmap", re.IGNORECASE)
PADDING = b"\0\xff\r\n\t "


def of_bits(bits: int) -> tuple[Part, ...]:
    """What says that samples kept in 16 bits hold fewer, where they do."""
    return (Part("bits", str(bits), bytes((bits,))),) if 8 < bits < 16 else ()


def behind(data: bytes) -> Iterator[Part]:
    """The parts that stand behind the end of a picture, of whatever kind."""
    if not data.strip(PADDING):
        return
    film = FILM.search(data)
    if film:
        yield Part("film", f"{len(data) - film.start()} bytes")
        data = data[: film.start()]
    if data.lstrip(PADDING).startswith(b"\xff\xd8\xff") or b"\xff\xd8\xff" in data:
        yield Part("gain-map" if GAIN_MAP.search(data) else "pictures")
    elif not film:
        yield Part("behind", f"{len(data)} bytes")
