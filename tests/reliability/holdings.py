"""Files that hold more than a picture, made here, each with what its result lacks."""

import io
import itertools
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import tifffile
from PIL import Image

from tests.images.test_read_picture import Pixels, chunk, exif, saved, tiff

HEIGHT, WIDTH = 24, 36
FILM = struct.pack(">I", 24) + b"ftypmp42" + bytes(range(256)) * 12
RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
CAMERA = "http://ns.google.com/photos/1.0/camera/"
GAIN_MAP = "http://ns.adobe.com/hdr-gain-map/1.0/"


@dataclass(frozen=True, eq=False)
class Holding:
    """A file, the titles of what its result lacks in its own format, and what no result of it may say."""

    name: str
    data: bytes
    lost: tuple[str, ...] = ()
    stale: tuple[bytes, ...] = ()
    channels: int = 3
    bits: int = 8
    turned: bool = False


def photo(seed: int = 0, channels: int = 3) -> Pixels:
    """A picture that no network makes flat."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    planes = [128 + 90 * np.sin((x * (1 + index) + y) / 9 + seed + index) for index in range(channels)]
    return np.stack(planes, -1).astype(np.uint8)


def jpeg_with(*segments: tuple[int, bytes], behind: bytes = b"", **options: Any) -> bytes:
    """A JPEG with segments in front of its tables, and bytes behind its end."""
    data = saved(photo(), "jpeg", quality=92, **options)
    parts = b"".join(struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body for marker, body in segments)
    return data[:2] + parts + data[2:] + behind


def png_with(*chunks: bytes, behind: bytes = b"", samples: Pixels | None = None) -> bytes:
    """A PNG with chunks in front of its pixels, and bytes behind its end."""
    data = saved(photo() if samples is None else samples, "png")
    return data[:33] + b"".join(chunks) + data[33:] + behind


def webp_with(*chunks: tuple[bytes, bytes], behind: bytes = b"") -> bytes:
    """An extended WebP with chunks behind its pixels."""
    data = saved(photo(), "webp", lossless=True, icc_profile=b"")
    body = data[12:]
    head = (
        struct.pack("<4sIB3x", b"VP8X", 10, 0) + (WIDTH - 1).to_bytes(3, "little") + (HEIGHT - 1).to_bytes(3, "little")
    )
    more = b"".join(kind + struct.pack("<I", len(raw)) + raw + bytes(len(raw) % 2) for kind, raw in chunks)
    whole = b"WEBP" + head + body + more
    return b"RIFF" + struct.pack("<I", len(whole)) + whole + behind


def packet(*properties: tuple[str, str, str], nested: bool = False) -> bytes:
    """XMP with properties (namespace, name, value) as attributes or as elements."""
    spaces = "".join(f" xmlns:n{index}='{uri}'" for index, (uri, _, _) in enumerate(properties))
    if nested:
        inner = "".join(f"<n{i}:{name}>{value}</n{i}:{name}>" for i, (_, name, value) in enumerate(properties))
        body = f"<rdf:Description rdf:about=''{spaces}>{inner}</rdf:Description>"
    else:
        inner = "".join(f" n{i}:{name}='{value}'" for i, (_, name, value) in enumerate(properties))
        body = f"<rdf:Description rdf:about=''{spaces}{inner}/>"
    return (
        "<?xpacket begin='\ufeff' id='W5M0MpCehiHzreSzNTczkc9d'?><x:xmpmeta xmlns:x='adobe:ns:meta/'>"
        f"<rdf:RDF xmlns:rdf='{RDF}'>{body}</rdf:RDF></x:xmpmeta><?xpacket end='w'?>"
    ).encode()


def exif_with_thumbnail(order: str = "<", orientation: int = 1, *, last: bool = True) -> tuple[bytes, bytes]:
    """An EXIF block that names a size of 4000 x 3000 and holds a thumbnail, and that thumbnail."""
    thumbnail = saved(photo()[::2, ::2].copy(), "jpeg")
    mark = {"<": b"II", ">": b"MM"}[order]
    inner = 8 + 2 + 24 + 4
    size = struct.pack(order + "HHHIIHHIII", 2, 40962, 4, 1, 4000, 40963, 4, 1, 3000, 0)
    at = inner + len(size)
    first = struct.pack(order + "HHHIHH", 2, 274, 3, 1, orientation, 0) + struct.pack(
        order + "HHII", 34665, 4, 1, inner
    )
    second = (
        struct.pack(order + "HHHII", 2, 513, 4, 1, at + 30)
        + struct.pack(order + "HHII", 514, 4, 1, len(thumbnail))
        + bytes(4)
    )
    block = mark + struct.pack(order + "HI", 42, 8) + first + struct.pack(order + "I", at) + size + second + thumbnail
    return block + (b"" if last else b"more of a maker"), thumbnail


@cache
def holdings() -> list[Holding]:
    """All files; names are unique."""
    found = [*_jpeg(), *_png(), *_webp(), *_tiff(), *_promises()]
    assert len({holding.name for holding in found}) == len(found)
    return found


def _jpeg() -> Iterator[Holding]:
    further = saved(photo(1), "jpeg")
    behind = {
        "film": (FILM, ("a film behind the picture",)),
        "film-quicktime": (struct.pack(">I", 20) + b"ftypqt  " + bytes(900), ("a film behind the picture",)),
        "film-samsung": (b"\0\0\x30\x0aMotionPhoto_Data" + FILM + b"SEFH\0\0SEFT", ("a film behind the picture",)),
        "picture": (further, ("further pictures",)),
        "gain-map": (jpeg_with((0xE1, b"http://ns.adobe.com/xap/1.0/\0" + packet((GAIN_MAP, "Version", "1.0")))),
                     ("a gain map for bright screens",)),
        "picture-and-film": (further + FILM, ("a film behind the picture", "further pictures")),
        "archive": (b"PK\3\4" + bytes(range(200)), ("data behind the picture",)),
        "padding": (bytes(4096), ()),
        "line-end": (b"\r\n", ()),
    }  # fmt: skip
    for name, (data, lost) in behind.items():
        yield Holding(f"behind-{name}.jpg", jpeg_with(behind=data), lost)
        yield Holding(f"behind-{name}-progressive.jpg", jpeg_with(behind=data, progressive=True), lost)
    frames = [Image.fromarray(photo(seed)) for seed in range(3)]
    yield Holding("mpo.jpg", saved(frames[0], "mpo", save_all=True, append_images=frames[1:]), ("further pictures",))
    iptc = b"\x1c\x02\x78\0\x07caption"
    resource = b"8BIM" + struct.pack(">HHI", 1028, 0, len(iptc)) + iptc
    path = b"8BIM" + struct.pack(">HHI", 2000, 0, 26) + bytes(26)
    digest = b"8BIM" + struct.pack(">HHI", 1061, 0, 16) + bytes(16)
    photoshop = b"Photoshop 3.0\0"
    segments: dict[str, tuple[list[tuple[int, bytes]], tuple[str, ...]]] = {
        "comment": ([(0xFE, b"made by hand")], ()),
        "iptc": ([(0xED, photoshop + resource + digest)], ()),
        "iptc-split": ([(0xED, photoshop + resource[:14]), (0xED, photoshop + resource[14:])], ()),
        "paths": ([(0xED, photoshop + path + resource)], ("Photoshop resources",)),
        "extended-xmp": ([(0xE1, b"http://ns.adobe.com/xmp/extension/\0" + bytes(80))], ("extended XMP",)),
        "iso-gain-map": ([(0xE2, b"urn:iso:std:iso:ts:21496:-1\0" + bytes(8))], ("a gain map for bright screens",)),
        "anamorphic": ([(0xE0, b"JFIF\0\1\2\0" + struct.pack(">HHBB", 2, 1, 0, 0))], ("the shape of its pixels",)),
        "thermal": ([(0xE1, b"FLIR\0" + bytes(100))], ("data of other programs",)),
        "stereo": ([(0xE3, b"_JPSJPS_" + bytes(30))], ("data of other programs",)),
        "credentials": ([(0xEB, b"JP\0\1\0\0\0\1" + b"jumbc2pa" + bytes(30))], ("content credentials",)),
        "second-exif": ([(0xE1, b"Exif\0\0" + exif()), (0xE1, b"Exif\0\0" + bytes(40))], ("data of other programs",)),
        "save-for-web": ([(0xEC, b"Ducky\0\1\0\4\0\0\0\x50\0\0")], ()),
        "half-a-profile": ([(0xE2, b"ICC_PROFILE\0\1\2" + bytes(200))], ("metadata that cannot be read",)),
    }  # fmt: skip
    for name, (parts, lost) in segments.items():
        yield Holding(f"segment-{name}.jpg", jpeg_with(*parts), lost)
    yield Holding("cmyk.jpg", saved(Image.fromarray(photo(channels=4), "CMYK"), "jpeg"), ("CMYK colours",))


def _png() -> Iterator[Holding]:
    frames = [Image.fromarray(photo(seed)) for seed in range(3)]
    for default in (False, True):
        data = saved(frames[0], "png", save_all=True, append_images=frames[1:], default_image=default)
        yield Holding(f"animated-{default}.png", data, ("further frames",))
    one = struct.pack(">IIIIIHHBB", 0, WIDTH, HEIGHT, 0, 0, 1, 10, 0, 0)
    yield Holding("animated-alone.png", png_with(chunk(b"acTL", struct.pack(">II", 1, 0)), chunk(b"fcTL", one)))
    gamma, primaries = chunk(b"gAMA", struct.pack(">I", 100000)), chunk(b"cHRM", struct.pack(">8I", *range(1, 9)))
    pq, mastering = chunk(b"cICP", b"\x09\x10\0\1"), chunk(b"mDCV", bytes(range(24)))
    light = chunk(b"cLLI", bytes(range(8)))
    for count in range(1, 6):
        for chosen in itertools.combinations((gamma, primaries, pq, mastering, light), count):
            names = "-".join(piece[4:8].decode() for piece in chosen)
            yield Holding(f"colour-{names}.png", png_with(*chosen))
    zipped = zlib.compress(b"x" * 2000)
    chunks: dict[str, tuple[bytes, tuple[str, ...]]] = {
        "text": (chunk(b"tEXt", b"Comment\0by hand"), ()),
        "zipped-text": (chunk(b"zTXt", b"Comment\0\0" + zipped), ()),
        "worldwide-text": (chunk(b"iTXt", "Title\0\0\0de\0Titel\0Gr\u00fc\u00dfe".encode()), ()),
        "workflow": (chunk(b"tEXt", b"parameters\0" + b"a cat, " * 9000), ()),
        "significant": (chunk(b"sBIT", b"\5\6\5"), ("the number of significant bits",)),
        "all-significant": (chunk(b"sBIT", b"\x08\x08\x08"), ()),
        "background": (chunk(b"bKGD", struct.pack(">3H", 1, 2, 3)), ()),
        "anamorphic": (chunk(b"pHYs", struct.pack(">IIB", 2, 1, 0)), ("the shape of its pixels",)),
        "time": (chunk(b"tIME", bytes(7)), ()),
        "page": (chunk(b"vpAg", bytes(9)), ()),
        "calibration": (chunk(b"pCAL", b"x\0" + bytes(12)), ("data of other programs",)),
        "layers": (chunk(b"mkBF", bytes(72)) + chunk(b"mkTS", bytes(300)), ("layers",)),
        "credentials": (chunk(b"caBX", bytes(50)), ("content credentials",)),
        "checksum": (chunk(b"tEXt", b"Comment\0by hand")[:-1] + b"?", ("metadata that cannot be read",)),
        "bomb": (chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(40 << 20))), ("metadata that cannot be read",)),
    }  # fmt: skip
    for name, (body, lost) in chunks.items():
        yield Holding(f"chunk-{name}.png", png_with(body), lost)
    for name, data, lost in (
        ("archive", b"PK\3\4" + bytes(range(99)), ("data behind the picture",)),
        ("film", FILM, ("a film behind the picture",)),
        ("zeros", bytes(99), ()),
    ):
        yield Holding(f"behind-{name}.png", png_with(behind=data), lost)


def _webp() -> Iterator[Holding]:
    frames = [Image.fromarray(photo(seed)) for seed in range(3)]
    data = saved(frames[0], "webp", save_all=True, append_images=frames[1:], lossless=True)
    yield Holding("animated.webp", data, ("further frames",))
    yield Holding("chunk.webp", webp_with((b"ABCD", b"odd")), ("data of other programs",))
    yield Holding("behind.webp", webp_with(behind=FILM), ("a film behind the picture",))
    yield Holding("plain.webp", webp_with())


def _tiff() -> Iterator[Holding]:
    def several(*pages: tuple[Pixels, dict[str, Any]], **options: Any) -> bytes:
        buffer = io.BytesIO()
        with tifffile.TiffWriter(buffer, **options) as writer:
            for samples, more in pages:
                writer.write(samples, photometric="rgb" if samples.ndim == 3 else "minisblack", metadata=None, **more)
        return buffer.getvalue()

    whole, small = photo(), photo()[::4, ::4].copy()
    for order, big in itertools.product("<>", (False, True)):
        data = several(*((photo(seed), {}) for seed in range(3)), byteorder=order, bigtiff=big)
        yield Holding(f"pages-{'II' if order == '<' else 'MM'}-{big}.tif", data, ("further pages",))
    pages: dict[str, tuple[bytes, tuple[str, ...]]] = {
        "thumbnail-first": (several((small, {"subfiletype": 1}), (whole, {"subfiletype": 0})), ("reduced copies",)),
        "unmarked-thumbnail-first": (several((small, {}), (whole, {})), ("further pages",)),
        "overviews": (several((whole, {}), (small, {"subfiletype": 1})), ("reduced copies",)),
        "inner-overviews": (several((whole, {"subifds": 1}), (small, {"subfiletype": 1})), ("reduced copies",)),
        "mask": (_masked(several((whole, {}), (small[..., 0].copy(), {"subfiletype": 1}))),
                 ("a mask of transparency",)),
        "layers": (tiff(whole, photometric="rgb", extratags=[(37724, 7, 30, bytes(30), True)]), ("layers",)),
        "foreign": (tiff(whole, photometric="rgb", extratags=[(65000, 2, 4, "abc", True)]),
                    ("data of other programs",)),
        "iptc": (tiff(whole, photometric="rgb", extratags=[(33723, 7, 12, b"\x1c\2\x78\0\7caption", True)]), ()),
        "geo": (tiff(whole, photometric="rgb", extratags=[(33550, 12, 3, (2.0, 2.0, 0.0), True),
                                                          (42113, 2, 2, "0", True)]), ()),
        "channel": (tiff(photo(channels=4), photometric="rgb", extrasamples=["unspecified"]),
                    ("further channels",)),
        "stack": (saved_by(np.stack([whole[..., 0].astype(np.uint16) * 200] * 5), imagej=True), ("further pages",)),
        "stack-one-directory": (saved_by(np.stack([whole[..., 0]] * 5), photometric="minisblack", truncate=True),
                                ("further pages",)),
        "ome": (saved_by(np.stack([whole[..., 0]] * 3), photometric="minisblack", ome=True),
                ("further pages", "a description of planes")),
        "shaped": (saved_by(whole, photometric="rgb"), ()),
        "dangling": (_dangling(several((whole, {}))), ("further pages",)),
    }  # fmt: skip
    stale = {
        "stack": (b"images=", b"channels="),
        "stack-one-directory": (b"shape",),
        "ome": (b"OME",),
        "shaped": (b"shape",),
    }
    for name, (data, lost) in pages.items():
        grey = name.startswith(("stack", "ome"))
        yield Holding(f"{name}.tif", data, lost, stale.get(name, ()), 1 if grey else 3, 16 if name == "stack" else 8)


def saved_by(samples: Pixels, **options: Any) -> bytes:
    """A TIFF with the description that tifffile gives it."""
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, samples, **options)
    return buffer.getvalue()


def _dangling(data: bytes) -> bytes:
    """A file whose only page says that another follows, far away."""
    start = struct.unpack_from("<I", data, 4)[0]
    link = start + 2 + 12 * struct.unpack_from("<H", data, start)[0]
    return data[:link] + struct.pack("<I", 1 << 30) + data[link + 4 :]


def _masked(data: bytes) -> bytes:
    """The same with the reduced copy marked as a mask."""
    marked = struct.pack("<HHI", 254, 4, 1)
    assert data.count(marked + b"\1") == 1
    return data.replace(marked + b"\1", marked + b"\4")


def _promises() -> Iterator[Holding]:
    for nested in (False, True):
        said = packet(
            (CAMERA, "MotionPhoto", "1"), (CAMERA, "MicroVideoOffset", "4000"), (GAIN_MAP, "Version", "1.0"),
            ("http://ns.adobe.com/xmp/note/", "HasExtendedXMP", "0123456789ABCDEF"),
            ("http://ns.adobe.com/exif/1.0/", "PixelXDimension", "4000"),
            ("http://purl.org/dc/elements/1.1/", "creator", "me"), nested=nested,
        )  # fmt: skip
        stale = (b"MotionPhoto", b"MicroVideo", b"hdr-gain-map", b"HasExtendedXMP", b"4000")
        yield Holding(f"promises-{nested}.jpg", saved(photo(), "jpeg", xmp=said), (), stale)
        yield Holding(f"promises-{nested}.webp", saved(photo(), "webp", xmp=said, lossless=True), (), stale)
        text = chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + said)
        yield Holding(f"promises-{nested}.png", png_with(text), (), stale)
    for order, orientation in itertools.product("<>", (1, 6)):
        block, thumbnail = exif_with_thumbnail(order, orientation)
        name = f"thumbnail-{'II' if order == '<' else 'MM'}-{orientation}"
        sizes = (struct.pack(order + "I", 4000), struct.pack(order + "I", 3000))
        yield Holding(f"{name}.jpg", saved(photo(), "jpeg", exif=b"Exif\0\0" + block), (), (thumbnail, *sizes),
                      turned=orientation == 6)  # fmt: skip
        data = png_with(chunk(b"eXIf", block))
        yield Holding(f"{name}.png", data, (), (thumbnail, *sizes), turned=orientation == 6)
        raw = b"\nexif\n%8d\n" % (len(block) + 6) + (b"Exif\0\0" + block).hex().encode()
        data = png_with(chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(raw)))
        yield Holding(f"{name}-text.png", data, (), (thumbnail, b"Raw profile", *sizes), turned=orientation == 6)


def raws() -> dict[str, bytes]:
    """Photographs of sensor values, as cameras lay them out; none of them may be taken for its preview."""
    sensor = np.random.default_rng(0).integers(200, 12000, (48, 64)).astype(np.uint16)
    preview = photo()[:12, :16].copy()
    pattern = [(33421, 3, 2, (2, 2), False), (33422, 1, 4, (0, 1, 1, 2), False)]
    version = (50706, 1, 4, (1, 4, 0, 0), False)

    def written(first: dict[str, Any], second: dict[str, Any], order: Any = "<") -> bytes:
        buffer = io.BytesIO()
        with tifffile.TiffWriter(buffer, byteorder=order) as writer:
            writer.write(preview, photometric="rgb", metadata=None, **first)
            writer.write(sensor, metadata=None, **second)
        return buffer.getvalue()

    whole = io.BytesIO()
    tifffile.imwrite(whole, sensor, photometric=32803, metadata=None, extratags=[version, *pattern])
    linear = io.BytesIO()
    tifffile.imwrite(linear, photo().astype(np.uint16) * 9, photometric=34892, metadata=None, extratags=[version])
    cr2 = bytearray(tiff(preview, photometric="rgb"))
    start = struct.unpack_from("<I", cr2, 4)[0]
    body = bytes(cr2[start:])
    return {
        "adobe.dng": written(
            {"subfiletype": 1, "subifds": 1, "extratags": [version]},
            {"subfiletype": 0, "photometric": 32803, "extratags": pattern},
        ),
        "nikon.nef": written(
            {"subfiletype": 1, "subifds": 1}, {"subfiletype": 0, "photometric": 32803, "extratags": pattern}, ">"
        ),
        "sony.arw": written({"subfiletype": 1, "subifds": 1}, {"subfiletype": 0, "photometric": "minisblack"}),
        "phone.dng": whole.getvalue(),
        "linear.dng": linear.getvalue(),
        "pentax.pef": written({}, {"photometric": 32803, "extratags": pattern}),
        "canon.cr2": b"II*\0\x10\0\0\0CR\2\0\0\0\0\0" + _moved(body, start, 16),
    }


def _moved(directory: bytes, start: int, to: int) -> bytes:
    """A directory of inline values and pixels behind it, at another offset."""
    moved = bytearray(directory)
    for at in range(2, 2 + 12 * struct.unpack_from("<H", directory)[0], 12):
        tag, kind, number, value = struct.unpack_from("<HHII", directory, at)
        if tag == 273 or {2: 1, 3: 2, 4: 4, 5: 8}.get(kind, 1) * number > 4:
            struct.pack_into("<I", moved, at + 8, value - start + to)
    return bytes(moved)
