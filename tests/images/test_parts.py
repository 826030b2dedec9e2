"""What belongs to a picture beside its pixels: carried to the byte, corrected, or named."""

import io
import itertools
import json
import struct
import zlib
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from PIL import ExifTags, Image

from irsde_cli.errors import InputError
from irsde_cli.images import Part, encode_picture, losses, read_picture, to_tensor, with_restored
from irsde_cli.images import tiff as structure
from irsde_cli.images.parts import KINDS
from tests.images.test_read_picture import Pixels, chunk, png, saved, tiff
from tests.reliability.holdings import (
    CAMERA,
    GAIN_MAP,
    HEIGHT,
    WIDTH,
    exif_with_thumbnail,
    holdings,
    jpeg_with,
    packet,
    photo,
    png_with,
    saved_by,
)


def again(data: bytes, scale: int = 1, **options: Any) -> bytes:
    """The file that becomes of a file when nothing is restored, or each pixel becomes several."""
    picture = read_picture(data, "x")
    image = to_tensor(picture)
    return encode_picture(
        with_restored(picture, image.repeat_interleave(scale, 1).repeat_interleave(scale, 2)), **options
    )


def chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    found, at = [], 8
    while at < len(data):
        length = struct.unpack_from(">I", data, at)[0]
        found.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += length + 12
    return found


def test_every_kind_of_part_is_met() -> None:
    """Each row of the table but those of files themselves is found in a file that is made here."""
    met = {part.kind for holding in holdings() for part in read_picture(holding.data, "x").parts}
    met |= {part.kind for part in read_picture(srgb_png(), "x").parts} | {"tiff-colour", "bmp-colour", "lab"}
    elsewhere = {"bits", "deep", "bright"}  # in tests of formats that their own libraries read
    assert met == set(KINDS) - {"links", "owner"} - elsewhere


def srgb_png() -> bytes:
    return png_with(chunk(b"gAMA", struct.pack(">I", 45455)), chunk(b"sRGB", b"\0"))


COLOURS = (
    chunk(b"gAMA", struct.pack(">I", 100000)),
    chunk(b"cHRM", struct.pack(">8I", 34567, 35850, 73470, 26530, 11500, 82600, 15700, 1800)),
    chunk(b"cICP", b"\x09\x10\0\1"),
    chunk(b"mDCV", bytes(range(24))),
    chunk(b"cLLI", bytes(range(8))),
    chunk(b"iCCP", b"p\0\0" + zlib.compress(bytes(200))),
)


@pytest.mark.parametrize("samples", [photo(), photo()[..., :1], photo(channels=4)], ids=["rgb", "grey", "rgba"])
def test_png_colours_stay_byte_for_byte(samples: Pixels) -> None:
    """gAMA, cHRM, cICP, mDCV and cLLI in any company, each once and in front of the pixels."""
    colour = {1: 0, 3: 2, 4: 6}[samples.shape[2]]
    for count in range(len(COLOURS) + 1):
        for chosen in itertools.combinations(COLOURS, count):
            data = png(samples, colour, *chosen)
            found = chunks(again(data))
            before = [kind for kind, _ in itertools.takewhile(lambda one: one[0] != b"IDAT", found)]
            for wanted in chosen:
                kind, body = wanted[4:8], wanted[8:-4]
                assert before.count(kind) == 1 and (kind == b"iCCP" or (kind, body) in found)
            assert sum(kind in before for kind in (b"gAMA", b"cHRM", b"cICP", b"mDCV", b"cLLI", b"iCCP")) == count


@pytest.mark.parametrize(
    ("chosen", "decides"),
    [
        ([chunk(b"gAMA", struct.pack(">I", 45455))], False),
        ([chunk(b"gAMA", struct.pack(">I", 45000)), chunk(b"sRGB", b"\0")], False),
        ([chunk(b"gAMA", struct.pack(">I", 100000)), COLOURS[-1]], False),
        ([chunk(b"cICP", b"\x01\x0d\0\1")], False),
        ([chunk(b"gAMA", struct.pack(">I", 100000))], True),
        ([COLOURS[1]], True),
        ([chunk(b"cICP", b"\x09\x10\0\1"), COLOURS[-1], chunk(b"sRGB", b"\0")], True),
    ],
)
def test_colours_that_are_those_of_srgb_may_go(chosen: list[bytes], decides: bool) -> None:
    """cICP is believed before a profile, a profile before sRGB, that before gAMA and cHRM."""
    lost = losses(read_picture(png_with(*chosen), "x"), "jpeg")
    assert any(KINDS[part.kind].decides_colour for part in lost) == decides


def test_png_backgrounds_follow_the_kind_of_pixels() -> None:
    """Of a palette, of few bits, of grey and of colour: the same colour in the result."""
    palette = Image.fromarray(photo()).quantize(8)
    index = chunk(b"bKGD", b"\3")
    data = saved(palette, "png")
    at = data.index(b"IDAT") - 4
    shown = palette.getpalette()
    assert shown is not None
    assert (b"bKGD", struct.pack(">3H", *shown[9:12])) in chunks(again(data[:at] + index + data[at:]))
    grey = png(photo()[..., :1], 0, chunk(b"bKGD", struct.pack(">H", 77)))
    assert (b"bKGD", struct.pack(">H", 77)) in chunks(again(grey))
    assert (b"bKGD", struct.pack(">H", 77 * 257)) in chunks(again(grey, depth=16))


def test_texts_stay_byte_for_byte() -> None:
    """Plain, zipped and in any language; but for those that are EXIF, XMP or a profile in other clothes."""
    texts = [
        chunk(b"tEXt", b"Comment\0one"),
        chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"two" * 99)),
        chunk(b"iTXt", b"Title\0\1\0de\0Titel\0" + zlib.compress("Gr\u00fc\u00dfe".encode())),
        chunk(b"tEXt", b"Raw profile type iptc\0\niptc\n       4\n38424d\n"),
    ]
    out = again(png_with(*texts))
    assert all(text in out for text in texts)
    assert not any(text in again(png_with(*texts), metadata="strip") for text in texts)


@pytest.mark.parametrize("kind", [b"tEXt", b"zTXt", b"iTXt"])
@pytest.mark.parametrize("name", [b"exif", b"APP1"])
def test_exif_in_png_text_is_exif(kind: bytes, name: bytes) -> None:
    """Wherever it stands, with the orientation done; a chunk of its own comes first."""
    block = Image.Exif()
    block[271], block[274] = "Camera", 6
    text = b"\n%s\n%8d\n%s\n" % (name, len(block.tobytes()), block.tobytes().hex().encode())
    raw = {b"tEXt": b"\0" + text, b"zTXt": b"\0\0" + zlib.compress(text), b"iTXt": bytes(5) + text}[kind]
    data = png_with(chunk(kind, b"Raw profile type " + name + raw))
    out = again(data)
    with Image.open(io.BytesIO(out)) as image:
        assert image.getexif()[271] == "Camera" and image.getexif()[274] == 1 and image.size == (HEIGHT, WIDTH)
    assert b"Raw profile" not in out and not losses(read_picture(data, "x"))
    other = Image.Exif()
    other[271] = "Other"
    both = png_with(chunk(b"eXIf", other.tobytes()[6:]), chunk(kind, b"Raw profile type " + name + raw))
    assert b"Other" in again(both) and b"Camera" not in again(both)
    assert read_picture(both, "x").parts == (Part("foreign", "a second EXIF"),)


def test_comments_and_iptc_stay_in_jpeg() -> None:
    """Each comment, and IPTC in a block of its own; Pillow finds them."""
    iptc = b"\x1c\x02\x78\0\x07caption"
    resource = b"8BIM" + struct.pack(">HHI", 1028, 0, len(iptc)) + iptc
    thumbnail = b"8BIM" + struct.pack(">HHI", 1036, 0, 28) + bytes(28)
    data = jpeg_with((0xFE, b"one"), (0xFE, b"two"), (0xED, b"Photoshop 3.0\0" + thumbnail + resource))
    out = again(data)
    with Image.open(io.BytesIO(out)) as image:
        assert image.app["COM"] == b"two" and out.count(b"\xff\xfe\0\5one") == 1  # type: ignore[attr-defined]
        assert image.info["photoshop"] == {1028: iptc}
    tif = read_picture(again(data, format="tiff"), "x")
    assert [part.data for part in tif.parts if part.kind == "iptc"] == [iptc]
    assert [part.kind for part in losses(read_picture(data, "x"), "png")] == ["jpeg-comment", "jpeg-comment", "iptc"]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize("form", ["jpeg", "png", "webp"])
@pytest.mark.parametrize("scale", [1, 4])
def test_sizes_and_thumbnails_in_exif_are_those_of_the_result(order: str, last: bool, form: str, scale: int) -> None:
    """No thumbnail of another picture, the sizes that are there, and every other byte as it was."""
    block, thumbnail = exif_with_thumbnail(order, 6, last=last)
    options: dict[str, Any] = {"lossless": True} if form == "webp" else {}
    out = again(saved(photo(), form, exif=b"Exif\0\0" + block, **options), scale, quality=100)
    found = read_picture(out, "x").exif
    assert found is not None and thumbnail not in out
    with Image.open(io.BytesIO(out)) as image:
        inner = image.getexif().get_ifd(ExifTags.IFD.Exif)
        assert (inner[40962], inner[40963]) == image.size == (HEIGHT * scale, WIDTH * scale)
        assert not image.getexif().get_ifd(ExifTags.IFD.IFD1)
    assert found.endswith(b"more of a maker") == (not last)
    assert len(found) == len(block) - (len(thumbnail) if last else 0)


@pytest.mark.parametrize("start", [0, 8, 20, 60, 1 << 31])
def test_thumbnails_that_lie_anywhere_break_nothing(start: int) -> None:
    """An offset into the directories, or beyond the end: the block still says what it said."""
    block, _ = exif_with_thumbnail()
    at = block.index(struct.pack("<HHI", 513, 4, 1)) + 8
    wrong = block[:at] + struct.pack("<I", start) + block[at + 4 :]
    out = read_picture(again(saved(photo(), "jpeg", exif=b"Exif\0\0" + wrong)), "x").exif
    assert out is not None and structure.parse(out).number(structure.ORIENTATION) == 1


@pytest.mark.parametrize("nested", [False, True])
def test_xmp_says_what_is_there(nested: bool) -> None:
    """What is gone is not spoken of, sizes are right, the rest stays; a packet that is true stays byte for byte."""
    said = packet(
        (CAMERA, "MotionPhoto", "1"),
        (CAMERA, "BurstID", "7"),
        (GAIN_MAP, "GainMapMax", "3"),
        ("http://ns.adobe.com/exif/1.0/", "PixelXDimension", "4000"),
        ("http://ns.adobe.com/exif/1.0/", "PixelYDimension", "3000"),
        ("http://ns.adobe.com/tiff/1.0/", "ImageWidth", "4000"),
        ("http://purl.org/dc/elements/1.1/", "creator", "m\u00e9"),
        nested=nested,
    )
    out = read_picture(again(saved(photo(), "jpeg", xmp=said), 4), "x").xmp
    assert out is not None and b"MotionPhoto" not in out and b"hdr-gain-map" not in out
    assert b"BurstID" in out and "m\u00e9".encode() in out and b"<?xpacket begin" in out
    sizes = {b"PixelXDimension": WIDTH * 4, b"PixelYDimension": HEIGHT * 4, b"ImageWidth": WIDTH * 4}
    for name, side in sizes.items():
        assert (b"%s>%d<" if nested else b'%s="%d"') % (name, side) in out
    true = packet(("http://purl.org/dc/elements/1.1/", "creator", "me"), nested=nested)
    assert read_picture(again(saved(photo(), "jpeg", xmp=true)), "x").xmp == true


def test_containers_of_further_pictures_leave_xmp() -> None:
    """The directory of an Ultra HDR or Motion Photo goes as a whole, with its namespaces."""
    said = b"""<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
    <rdf:Description xmlns:Container="http://ns.google.com/photos/1.0/container/" xmlns:dc="http://purl.org/dc/elements/1.1/"
     xmlns:Item="http://ns.google.com/photos/1.0/container/item/" dc:format="image/jpeg"><Container:Directory><rdf:Seq>
    <rdf:li rdf:parseType="Resource"><Container:Item Item:Semantic="Primary" Item:Mime="image/jpeg"/></rdf:li>
    <rdf:li rdf:parseType="Resource"><Container:Item Item:Semantic="GainMap" Item:Length="99"/></rdf:li>
    </rdf:Seq></Container:Directory></rdf:Description></rdf:RDF></x:xmpmeta>"""
    out = read_picture(saved(photo(), "jpeg", xmp=said), "x").xmp
    assert out is not None and b"ontainer" not in out and b"Item" not in out and b'dc:format="image/jpeg"' in out


@pytest.mark.parametrize(
    "said",
    [
        b"<x xmlns:h='http://ns.adobe.com/hdr-gain-map/1.0/' h:Version='1'",
        b"<!DOCTYPE x [<!ENTITY a 'aaaa'>]><x xmlns:h='http://ns.adobe.com/hdr-gain-map/1.0/' h:Version='&a;'/>",
        b"<h:x xmlns:h='http://ns.adobe.com/hdr-gain-map/1.0/'>" + b"<h:y>" * 3000 + b"</h:y>" * 3000 + b"</h:x>",
    ],
    ids=["cut", "entities", "deep"],
)
def test_promises_in_damaged_xmp_are_not_carried(said: bytes) -> None:
    """A packet that speaks of what is gone and cannot be read is named, and left out."""
    picture = read_picture(saved(photo(), "webp", xmp=said, lossless=True), "x")
    if picture.xmp is None:
        assert picture.parts == (Part("unreadable", "its XMP is damaged"),)
    else:
        assert b"hdr-gain-map" not in picture.xmp or b"h:Version" not in picture.xmp


def geo_tags(samples: Pixels, *tags: tuple[int, Any, int, Any], **options: Any) -> bytes:
    return tiff(samples, photometric="rgb", extratags=[(*tag, True) for tag in tags], **options)


def place_of(data: bytes, column: float, row: float) -> Any:
    """Where on the ground a pixel's coordinate lies, by GeoTIFF's rules."""
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        tags = file.pages[0].tags  # type: ignore[union-attr]
        if 34264 in tags:
            return (np.array(tags[34264].value).reshape(4, 4) @ (column, row, 0, 1))[:2]
        scale, point = np.array(tags[33550].value), np.array(tags[33922].value).reshape(-1, 6)[-1]
        return point[3:5] + (np.array((column, row)) - point[:2]) * scale[:2] * (1, -1)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", ["area", "point"])
@pytest.mark.parametrize("way", ["scale", "matrix"])
def test_the_ground_stays_where_it_is(order: str, kind: str, way: str) -> None:
    """With four times the pixels the corners of the picture lie where they lay, whichever way a file says it."""
    keys = (1, 1, 0, 2, 1024, 0, 1, 1, 1025, 0, 1, 1 if kind == "area" else 2)
    matrix = (2.0, 0.25, 0.0, 500.0, 0.125, -3.0, 0.0, 900.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0)
    tags: list[tuple[int, Any, int, Any]] = [(34735, 3, len(keys), keys), (42113, 2, 2, "0")]
    if way == "matrix":
        tags.append((34264, 12, 16, matrix))
    else:
        tags += [
            (33550, 12, 3, (2.0, 3.0, 0.0)),
            (33922, 12, 12, (0.0, 0.0, 0.0, 500.0, 900.0, 0.0, 5.0, 7.0, 0.0, 510.0, 879.0, 0.0)),
        ]
    items = '<Item name="AREA">x</Item>\n  <Item name="STATISTICS_MEAN" sample="0">7</Item>'
    said = f"<GDALMetadata>\n  {items}\n</GDALMetadata>"
    tags.append((42112, 2, len(said) + 1, said))
    data = geo_tags(photo(), *tags, byteorder=order)
    assert not losses(read_picture(data, "x"))
    shift = 0.0 if kind == "area" else 0.5
    for scale in (1, 4):
        out = again(data, scale)
        for column, row in ((0, 0), (WIDTH, 0), (0, HEIGHT), (WIDTH, HEIGHT), (5.5, 7.25)):
            before = place_of(data, column - shift, row - shift)
            after = place_of(out, column * scale - shift, row * scale - shift)
            np.testing.assert_allclose(after, before, atol=1e-9)
        with tifffile.TiffFile(io.BytesIO(out)) as file:
            found = file.pages[0].tags  # type: ignore[union-attr]
            assert found[34735].value == keys and found[42113].value == "0"
            assert "AREA" in found[42112].value and "STATISTICS" not in found[42112].value


def test_polynomials_follow_the_size() -> None:
    """Line and sample of the centre of a pixel give the same normalised coordinates."""
    values = [float(value) for value in range(1, 93)]
    data = geo_tags(photo(), (50844, 12, 92, tuple(values)))
    with tifffile.TiffFile(io.BytesIO(again(data, 4))) as file:
        found = file.pages[0].tags[50844].value  # type: ignore[union-attr]
    for offset, scale in ((2, 7), (3, 8)):
        before = (10 - values[offset]) / values[scale]
        after = (10 * 4 + 1.5 - found[offset]) / found[scale]
        assert after == pytest.approx(before)
    assert [value for index, value in enumerate(found) if index not in (2, 3, 7, 8)] == [
        value for index, value in enumerate(values) if index not in (2, 3, 7, 8)
    ]


def test_turned_pixels_take_no_ground_with_them() -> None:
    """Tags that would lie after turning are named as lost."""
    data = geo_tags(photo(), (33550, 12, 3, (2.0, 3.0, 0.0)), (274, 3, 1, 6))
    picture = read_picture(data, "x")
    assert [part.title for part in losses(picture)] == ["geographic tags"] and picture.size == (WIDTH, HEIGHT)


def test_colours_of_tiff_stay() -> None:
    """White point and primaries, as they were."""
    white = tuple(value for pair in ((31270, 100000), (32900, 100000)) for value in pair)
    data = tiff(photo(), photometric="rgb", extratags=[(318, 5, 2, white, True)])
    with tifffile.TiffFile(io.BytesIO(again(data))) as file:
        assert file.pages[0].tags[318].value == white  # type: ignore[union-attr]
    lost = losses(read_picture(data, "x"), "png")
    assert [KINDS[part.kind].decides_colour for part in lost] == [True]


def test_colours_of_bmp_are_named() -> None:
    """A gamma that is not usual; a usual one says nothing."""
    plain = saved(photo(), "bmp")
    for gamma, kinds in ((1 << 16, ["bmp-colour"]), (144179, []), (29789, []), (0, [])):
        header = struct.pack("<I", 108) + plain[18:54] + struct.pack("<4I", 0, 0, 0, 0) + struct.pack("<I", 0)
        header += bytes(36) + struct.pack("<3I", *(gamma,) * 3)
        start = 14 + len(header)
        data = b"BM" + struct.pack("<IHHI", start + len(plain) - 54, 0, 0, start) + header + plain[54:]
        assert [part.kind for part in read_picture(data, "x").parts] == kinds


@pytest.mark.parametrize("order", ["<", ">"])
def test_descriptions_of_planes(order: Any) -> None:
    """ImageJ's counts, tifffile's shape and OME go; what else was said stays."""
    grey = photo()[..., 0].astype(np.uint16)
    said = {"min": 3.0, "unit": "um"}
    data = saved_by(np.stack([grey] * 5), imagej=True, metadata={**said, "axes": "ZYX"}, byteorder=order)
    with tifffile.TiffFile(io.BytesIO(again(data, 4))) as file:
        text = file.pages[0].description  # type: ignore[union-attr]
        assert len(file.pages) == 1 and "images" not in text and "slices" not in text
        assert "unit=um" in text and file.asarray().shape == (HEIGHT * 4, WIDTH * 4)
    data = saved_by(photo(), photometric="rgb", metadata={"subject": "cat"}, byteorder=order)
    with tifffile.TiffFile(io.BytesIO(again(data, 4))) as file:
        assert json.loads(file.pages[0].description) == {"subject": "cat"}  # type: ignore[union-attr]
        assert file.asarray().shape == (HEIGHT * 4, WIDTH * 4, 3)


@pytest.mark.parametrize("first", [True, False])
def test_the_largest_page_that_is_no_copy_is_the_picture(first: bool) -> None:
    """Wherever it stands, with what the first page says of the photograph."""
    small = np.full((400, 500, 3), 9, np.uint8)
    pages = [(small, 1), (photo()[:9, :9].copy(), 0), (photo(), 0), (photo(1), 0)]
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        for index, (samples, kind) in enumerate(pages if first else pages[::-1]):
            writer.write(samples, photometric="rgb", subfiletype=kind, metadata=None,
                         extratags=[(271, 2, 7, "Camera", True)] if index == 0 else [])  # fmt: skip
    picture = read_picture(buffer.getvalue(), "x")
    np.testing.assert_array_equal(picture.pixels, photo() if first else photo(1))
    assert picture.exif is not None and b"Camera" in picture.exif
    assert set(picture.parts) == {Part("pages", "2"), Part("reduced", "1")}


def test_loops_of_pages_end() -> None:
    """Directories that name each other are counted once."""
    data = bytearray(saved(Image.fromarray(photo()), "tiff"))
    start = struct.unpack_from("<I", data, 4)[0]
    struct.pack_into("<I", data, start + 2 + 12 * struct.unpack_from("<H", data, start)[0], start)
    assert not read_picture(bytes(data), "x").parts


def test_a_raw_photograph_is_no_tiff() -> None:
    """Whatever picture stands first in it: it is developed, or refused with what would do that."""
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, photo(), photometric="rgb", extratags=[(50706, 1, 4, (1, 4, 0, 0), False)], metadata=None)
    with pytest.raises(InputError, match=r"^'x' is a raw photograph") as caught:
        read_picture(buffer.getvalue(), "x")
    assert find_spec("rawpy") or "irsde[raw]" in caught.value.hint


def test_restored_pictures_keep_their_parts() -> None:
    """They follow the picture, not the file."""
    picture = read_picture(srgb_png(), "x")
    assert with_restored(picture, torch.rand(3, 7, 5)).parts == picture.parts


def test_further_channels_are_counted() -> None:
    """Those beyond colour and the first alpha, whatever they are called."""
    samples = np.random.default_rng(1).integers(0, 65536, (9, 8, 6), dtype=np.uint16)
    for count, kinds, further in ((5, ["unassalpha", "unassalpha"], 1), (6, ["assocalpha", "unspecified", 0], 2)):
        data = tiff(samples[..., :count], photometric="rgb", extrasamples=kinds)
        assert read_picture(data, "x").parts == (Part("channel", str(further)),)
    cmyk = tiff((samples[..., :4] >> 8).astype(np.uint8), photometric="separated")
    assert [part.kind for part in read_picture(cmyk, "x").parts] == ["cmyk"]


def test_comments_between_scans_stay() -> None:
    """Of a progressive JPEG, in front of a later scan."""
    data = saved(photo(), "jpeg", progressive=True)
    second = data.index(b"\xff\xda", data.index(b"\xff\xda") + 2)
    out = again(data[:second] + b"\xff\xfe\0\x0abetween!" + data[second:])
    assert out.count(b"\xff\xfe\0\x0abetween!") == 1


def test_pixels_that_are_no_squares_are_named() -> None:
    """A TIFF's resolution without a unit; one with a unit is kept."""
    for unit, kinds in ((1, ["aspect"]), (2, [])):
        data = tiff(photo(), photometric="rgb", resolution=(2, 1), resolutionunit=unit)
        assert [part.kind for part in read_picture(data, "x").parts] == kinds


def test_planes_that_imagej_counts_by_their_sort_are_counted() -> None:
    """Without `images`, channels times slices times frames; they stand behind the only directory."""
    data = tiff(photo()[..., 0].copy(), description="ImageJ=1.53k\nchannels=2\nslices=3\nunit=um\n")
    picture = read_picture(data, "x")
    assert picture.parts == (Part("pages", "5"),) and picture.exif is not None
    assert b"unit=um" in picture.exif and b"slices" not in picture.exif and b"channels" not in picture.exif


@pytest.mark.parametrize("nested", [False, True])
def test_panoramas_stay_whole(nested: bool) -> None:
    """Four times the pixels of the picture are four times those of the whole sphere, and lie as far from its border."""
    space = "http://ns.google.com/photos/1.0/panorama/"
    sizes = {"CroppedAreaImageWidthPixels": WIDTH, "FullPanoWidthPixels": 100, "CroppedAreaLeftPixels": 31}
    said = packet(*((space, name, str(value)) for name, value in sizes.items()), nested=nested)
    for scale in (1, 4):
        out = read_picture(again(saved(photo(), "jpeg", xmp=said), scale), "x").xmp
        assert out is not None and (scale > 1 or out == said)
        assert all((b"%s>%d<" if nested else b"%s='%d'") % (name.encode(), value * scale) in out
                   for name, value in sizes.items())  # fmt: skip


def test_promises_are_found_in_any_clothes() -> None:
    """In UTF-16, and in names without a prefix."""
    said = packet((CAMERA, "MicroVideoOffset", "4000"), ("u:a", "note", "m\u00e9")).decode().encode("utf-16")
    out = read_picture(saved(photo(), "webp", xmp=said, lossless=True), "x").xmp
    assert out is not None and b"MicroVideo" not in out and "m\u00e9".encode() in out
    bare = b"<r><d><Thumbnails xmlns='http://ns.adobe.com/xap/1.0/'><i>AAAA</i></Thumbnails></d></r>"
    out = read_picture(saved(photo(), "webp", xmp=bare, lossless=True), "x").xmp
    assert out is not None and b"Thumbnails" not in out


def test_a_second_packet_is_named() -> None:
    """The first is kept, the other is said to be lost; the same twice is once."""
    texts = [chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + packet(("u:a", "b", value))) for value in ("one", "two")]
    picture = read_picture(png_with(*texts), "x")
    assert picture.xmp is not None and b"one" in picture.xmp
    assert picture.parts == (Part("foreign", "a second XMP"),)
    assert not read_picture(png_with(texts[0], texts[0]), "x").parts
