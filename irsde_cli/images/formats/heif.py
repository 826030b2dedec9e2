"""AVIF and HEIC files: the picture that is meant, what belongs to it, and what else there is (ISO/IEC 23008-12)."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from irsde_cli.images.container import Container, DamagedError, TruncatedError
from irsde_cli.images.formats.bmff import Box, boxes
from irsde_cli.images.formats.png import SRGB_CODES, chunk_of
from irsde_cli.images.parts import Part

AVIF_BRANDS = (b"avif", b"avis")
SEQUENCES = (b"avis", b"msf1", b"hevc", b"hevx")
# EXIF's orientation for a quarter turn against the clock so often, and for the same after a mirror from left to right.
TURNED = (1, 8, 3, 6)
MIRRORED = (2, 7, 4, 5)
ALPHA = (b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha", b"urn:mpeg:hevc:2015:auxid:1")
GAIN_MAPS = (b"urn:com:apple:photo:2020:aux:hdrgainmap",)
XMP_TYPE = b"application/rdf+xml"
UNSPECIFIED, SRGB_TRANSFERS = 2, (1, 2, 6, 13)


@dataclass
class _Items:
    """What a file's `meta` box says.

    Attributes:
        primary: the item that is the picture.
        kinds: of each item.
        types: the media type of items of kind `mime`.
        places: of each item, whether it lies in `idat`, and where its parts begin and how long they are.
        links: who refers to whom, with the kind of the reference.
        properties: of each item, in order.
        stored: where the body of `idat` is.
    """

    primary: int = 0
    kinds: dict[int, bytes] = field(default_factory=dict)
    types: dict[int, bytes] = field(default_factory=dict)
    places: dict[int, tuple[int, list[tuple[int, int]]]] = field(default_factory=dict)
    links: list[tuple[bytes, int, list[int]]] = field(default_factory=list)
    properties: dict[int, list[Box]] = field(default_factory=dict)
    stored: tuple[int, int] = (0, 0)


def read(data: bytes) -> Container:
    """The container of an AVIF or HEIC file; raises as `formats.inspect` does.

    A HEIC file's decoder turns the picture as the file says, so its size is that of what is seen; an AVIF file's does
    not. EXIF's own orientation is not to be followed in either.
    """
    whole, meta, brands = True, None, b""
    for box in boxes(data):
        whole &= box.whole
        if box.kind == b"ftyp":
            brands = data[box.start : box.end]
        elif box.kind == b"meta" and meta is None:
            meta = box
    if meta is None or not meta.whole:
        raise TruncatedError
    kinds = [brands[at : at + 4] for at in (0, *range(8, len(brands), 4))]
    try:
        items = _items(data, meta)
        return _container(data, items, kinds, complete=whole)
    except (struct.error, IndexError, KeyError):
        raise DamagedError("is damaged: its parts contradict one another") from None


def _container(data: bytes, items: _Items, brands: list[bytes], *, complete: bool) -> Container:
    height = width = 0
    bits, channels, turns, mirrored, icc = 8, 3, 0, False, None
    parts: list[Part] = []
    codes: bytes | None = None
    format = "avif" if any(brand in AVIF_BRANDS for brand in brands) else "heic"
    for box in items.properties.get(items.primary, []):
        body = data[box.start : box.end]
        if box.kind == b"ispe":
            width, height = struct.unpack_from(">II", body, 4)
        elif box.kind == b"pixi":
            channels, bits = body[4], max(body[5 : 5 + body[4]])
        elif box.kind == b"irot":
            turns = body[0] & 3
        elif box.kind == b"imir":
            # A mirror across the other axis is this one and half a turn.
            turns, mirrored = turns + 2 * (not body[0] & 1), True
        elif box.kind == b"clap" and format == "avif":
            parts.append(Part("foreign", "a crop"))
        elif box.kind == b"clap":
            across, per_across, down, per_down = struct.unpack_from(">4I", body)
            height, width = down // max(per_down, 1), across // max(per_across, 1)
        elif box.kind == b"colr" and body[:4] in (b"prof", b"rICC"):
            icc = body[4:]
        elif box.kind == b"colr" and body[:4] == b"nclx":
            primaries, transfer = struct.unpack_from(">HH", body, 4)
            codes = bytes((primaries & 255, transfer & 255, 0, 1))
    if codes is not None and icc is None and not _is_srgb(codes):
        parts.append(Part("png-colour", data=chunk_of(b"cICP", codes)))
    if bits > 8:
        # Pillow reads AVIF at 8 bits, and no library that installs everywhere reads it deeper.
        parts.append(Part("deep", f"{bits} bits") if format == "avif" else Part("bits", str(bits), bytes((bits,))))
    exif = _described(data, items, b"Exif")
    if exif is not None:
        exif = exif[4 + int.from_bytes(exif[:4], "big") :]
    orientation = (MIRRORED if mirrored else TURNED)[turns % 4]
    if format == "heic":
        if orientation > 4:
            height, width = width, height
        orientation = 1
    parts += _others(data, items)
    if any(brand in SEQUENCES for brand in brands):
        parts.append(Part("frames"))
    return Container(
        format,
        (height, width),
        data,
        complete=complete and all(start + size <= len(data) for start, size in _extents(items, items.primary)),
        depth=bits,
        channels=channels,
        icc=icc,
        exif=exif,
        xmp=_described(data, items, b"mime"),
        orientation=orientation,
        turns=True,
        parts=tuple(parts),
    )


def _is_srgb(codes: bytes) -> bool:
    return codes in SRGB_CODES or (codes[0] in (1, UNSPECIFIED) and codes[1] in SRGB_TRANSFERS)


def _others(data: bytes, items: _Items) -> Iterator[Part]:
    """What the file has beside the picture, its tiles, its transparency and its thumbnails."""
    own = {items.primary}
    for kind, source, targets in items.links:
        if kind in (b"thmb", b"cdsc"):
            own.add(source)
        elif kind == b"dimg":
            own.update(targets)
            if items.kinds.get(source) == b"tmap":
                own.add(source)
                yield Part("gain-map")
        elif kind == b"auxl":
            own.add(source)
            means = [data[box.start + 4 : box.end] for box in items.properties.get(source, []) if box.kind == b"auxC"]
            name = means[0].split(b"\0")[0] if means else b""
            if name in GAIN_MAPS:
                yield Part("gain-map")
            elif name not in ALPHA:
                yield Part("foreign", "a map of depth" if b"auxid:2" in name else name.decode("latin-1"))
    own |= {item for item, kind in items.kinds.items() if kind in (b"Exif", b"mime", b"uri ")}
    pictures = items.kinds.keys() - own
    if pictures:
        yield Part("pictures", str(len(pictures)))


def _described(data: bytes, items: _Items, kind: bytes) -> bytes | None:
    """EXIF or XMP of the picture."""
    for item, found in items.kinds.items():
        mine = any(name == b"cdsc" and source == item and items.primary in to for name, source, to in items.links)
        if found == kind and mine and (kind != b"mime" or items.types.get(item) == XMP_TYPE):
            return b"".join(data[start : start + size] for start, size in _extents(items, item)) or None
    return None


def _extents(items: _Items, item: int) -> list[tuple[int, int]]:
    method, extents = items.places.get(item, (0, []))
    return [(start + (items.stored[0] if method == 1 else 0), size) for start, size in extents]


def _items(data: bytes, meta: Box) -> _Items:
    found = _Items()
    for box in boxes(data, meta.start + 4, meta.end):
        version, start = data[box.start] if box.start < box.end else 0, box.start + 4
        if box.kind == b"pitm":
            found.primary = struct.unpack_from(">I" if version else ">H", data, start)[0]
        elif box.kind == b"iinf":
            for entry in boxes(data, start + (4 if version else 2), box.end):
                _info(data, entry, found)
        elif box.kind == b"iloc":
            _locate(data, start, version, found)
        elif box.kind == b"idat":
            found.stored = (box.start, box.end)
        elif box.kind == b"iref":
            wide = ">I" if version else ">H"
            step = struct.calcsize(wide)
            for entry in boxes(data, start, box.end):
                source = struct.unpack_from(wide, data, entry.start)[0]
                count = struct.unpack_from(">H", data, entry.start + step)[0]
                first = entry.start + step + 2
                targets = [struct.unpack_from(wide, data, first + index * step)[0] for index in range(count)]
                found.links.append((entry.kind, source, targets))
        elif box.kind == b"iprp":
            _properties(data, box, found)
    return found


def _info(data: bytes, entry: Box, found: _Items) -> None:
    version, start = data[entry.start], entry.start + 4
    if entry.kind != b"infe" or version < 2:
        return
    item, step = struct.unpack_from(">I" if version == 3 else ">H", data, start)[0], 4 if version == 3 else 2
    kind = data[start + step + 2 : start + step + 6]
    found.kinds[item] = kind
    if kind == b"mime":
        found.types[item] = data[start + step + 6 : entry.end].split(b"\0")[1]


def _locate(data: bytes, start: int, version: int, found: _Items) -> None:
    sizes = struct.unpack_from(">H", data, start)[0]
    offset, length, base, index = (sizes >> shift & 15 for shift in (12, 8, 4, 0))
    position = start + 2

    def number(size: int) -> int:
        nonlocal position
        if position + size > len(data):
            raise IndexError
        position += size
        return int.from_bytes(data[position - size : position], "big")

    wide = 4 if version == 2 else 2
    for _ in range(number(wide)):
        item = number(wide)
        method = number(2) & 15 if version else 0
        number(2)
        origin = number(base)
        extents = []
        for _ in range(number(2)):
            if version:
                number(index)
            extents.append((origin + number(offset), number(length)))
        found.places[item] = method, extents


def _properties(data: bytes, box: Box, found: _Items) -> None:
    known: list[Box] = []
    for inner in boxes(data, box.start, box.end):
        if inner.kind == b"ipco":
            known = list(boxes(data, inner.start, inner.end))
        elif inner.kind == b"ipma":
            version, wide = data[inner.start], data[inner.start + 3] & 1
            count, position = struct.unpack_from(">I", data, inner.start + 4)[0], inner.start + 8
            for _ in range(count):
                item = struct.unpack_from(">I" if version else ">H", data, position)[0]
                position += 4 if version else 2
                number, position = data[position], position + 1
                for _ in range(number):
                    index = struct.unpack_from(">H", data, position)[0] & 0x7FFF if wide else data[position] & 0x7F
                    position += 1 + wide
                    if index:
                        found.properties.setdefault(item, []).append(known[index - 1])


def with_codes(data: bytes, codes: bytes) -> bytes:
    """An AVIF file whose colours mean what these four bytes of cICP say: primaries, transfer, matrix and range.

    Its encoder writes a place for them and has no option to fill it; matrix and range are of the samples, and stay.
    """
    at = data.find(b"colrnclx", 0, 4096)
    if at < 0:
        raise ValueError("the encoder left no place for the meaning of its colours")
    return data[: at + 8] + struct.pack(">HH", codes[0], codes[1]) + data[at + 12 :]
