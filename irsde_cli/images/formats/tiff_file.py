"""TIFF files: which of their pictures is the one, and what else they hold."""

from collections.abc import Iterable, Iterator

from irsde_cli.images import descriptions, geography, photoshop, tiff
from irsde_cli.images.container import MAX_METADATA_BYTES, Container, DamagedError, TruncatedError
from irsde_cli.images.formats import raw
from irsde_cli.images.parts import Part
from irsde_cli.images.tiff import Tiff, Value

REDUCED, MASK = 1, 4
DNG_VERSION, IMAGE_SOURCE, SUB_IFDS, SUBFILE, OLD_SUBFILE = 50706, 37724, 330, 254, 255
# Sensor values behind a colour filter, and such values for each colour; as Canon marks its files.
SENSOR = {32803, 34892}
CANON = b"CR\2"
COLOURS = frozenset({301, 318, 319})  # transfer function, white point, primaries
# What follows from the pixels, is for printing or for free bytes, or is of inks that are gone; and what is dealt with.
IMPLIED = frozenset(
    {
        SUBFILE,
        OLD_SUBFILE,
        263,
        264,
        265,
        280,
        281,
        286,
        287,
        288,
        289,
        290,
        291,
        297,
        321,
        332,
        333,
        334,
        336,
        340,
        341,
    }
    | {tiff.ORIENTATION, tiff.X_RESOLUTION, tiff.Y_RESOLUTION, tiff.RESOLUTION_UNIT, SUB_IFDS}
    | {tiff.XMP, tiff.IPTC, tiff.PHOTOSHOP, tiff.ICC, tiff.EXIF_IFD, tiff.GPS_IFD, tiff.INTEROP_IFD}
)


def read(data: bytes) -> Container:
    """The container of a TIFF file; raises as `formats.inspect` does."""
    try:
        pages = tiff.pages(data)
    except ValueError:
        raise DamagedError("is a TIFF without a picture") from None
    except EOFError:
        raise TruncatedError from None
    if _is_raw(data, pages):
        return _raw(data, pages)
    page = _chosen([page for page in pages if not page.inner])
    parts = list(_others(other for other in pages if other is not page))
    described = page
    if page is not pages[0]:
        described = Tiff(page.order, {**pages[0].tags, **page.tags})
    parts += _parts(described, page)
    description, planes = descriptions.honest(described.raw(tiff.DESCRIPTION) or b"", page, len(pages))
    parts += planes
    tags = {tag: value for tag, value in described.tags.items() if tag != tiff.DESCRIPTION}
    if description:
        tags[tiff.DESCRIPTION] = Value(2, description)
    exif = None
    try:
        exif = tiff.exif_of(Tiff(page.order, tags), MAX_METADATA_BYTES)
    except ValueError:
        parts.append(Part("unreadable", f"its EXIF is larger than {MAX_METADATA_BYTES >> 20} MiB"))
    offsets, sizes = page.blocks()
    return Container(
        "tiff",
        (page.number(tiff.HEIGHT), page.number(tiff.WIDTH)),
        data,
        complete=all(offset + size <= len(data) for offset, size in zip(offsets, sizes, strict=False)),
        depth=page.number(tiff.BITS, 1),
        channels=page.number(tiff.SAMPLES, 1),
        tiff=page,
        icc=page.raw(tiff.ICC),
        exif=exif,
        xmp=described.raw(tiff.XMP),
        dpi=tiff.resolution(page),
        parts=tuple(parts),
    )


def _is_raw(data: bytes, pages: list[Tiff]) -> bool:
    """Whether this is a file of sensor values, and no TIFF of a picture, whatever small picture it shows first."""
    first = pages[0]
    marked = any(DNG_VERSION in page.tags or page.number(tiff.PHOTOMETRIC) in SENSOR for page in pages)
    preview = _subfile(first) & REDUCED and any(page.inner for page in pages)
    return bool(marked or preview or data[8:11] == CANON)


def _raw(data: bytes, pages: list[Tiff]) -> Container:
    described = pages[0]
    try:
        exif = tiff.exif_of(described, MAX_METADATA_BYTES)
    except ValueError:
        exif = None
    return raw.read(data, exif)


def _subfile(page: Tiff) -> int:
    """The bits that say what a page is to the others."""
    old = {2: REDUCED}.get(page.number(OLD_SUBFILE), 0)
    return page.number(SUBFILE, old)


def _chosen(pages: list[Tiff]) -> Tiff:
    """The largest page that is no reduced copy and no mask; the first of those that are equal."""
    whole = [page for page in pages if not _subfile(page) & (REDUCED | MASK)] or pages
    return max(whole, key=lambda page: page.number(tiff.HEIGHT) * page.number(tiff.WIDTH))


def _others(pages: Iterable[Tiff]) -> Iterator[Part]:
    """How many pages of each sort are not the picture."""
    counts: dict[str, int] = {}
    for page in pages:
        bits = _subfile(page)
        kind = "masks" if bits & MASK else "reduced" if bits & REDUCED else "pages"
        counts[kind] = counts.get(kind, 0) + 1
    for kind, count in counts.items():
        yield Part(kind, str(count))


def _parts(described: Tiff, page: Tiff) -> Iterator[Part]:
    """What the tags of the picture's page say beside what has a place of its own."""
    iptc = described.raw(tiff.IPTC)
    resources = list(photoshop.parts_of(described.raw(tiff.PHOTOSHOP) or b""))
    if iptc:
        yield Part("iptc", data=iptc if iptc[:1] == b"\x1c" else b"")
        resources = [part for part in resources if part.kind != "iptc"]
    yield from resources
    per_unit = [page.ratio(tag) for tag in (tiff.X_RESOLUTION, tiff.Y_RESOLUTION)]
    if page.number(tiff.RESOLUTION_UNIT, 2) == 1 and all(per_unit) and per_unit[0] != per_unit[1]:
        yield Part("aspect", ":".join(f"{value:g}" for value in per_unit))
    geo = {tag: page.tags[tag] for tag in geography.TAGS & page.tags.keys()}
    if geo:
        yield Part("geo", data=geography.block_of(geo, page.order))
    colours = {tag: page.tags[tag] for tag in COLOURS & page.tags.keys()}
    if colours:
        kept = (
            tiff.with_directory(bytes(8), colours, page.order) if all(map(tiff.is_classic, colours.values())) else b""
        )
        yield Part("tiff-colour", data=kept)
    if IMAGE_SOURCE in page.tags:
        yield Part("layers")
    known = tiff.DECODING | tiff.DESCRIBING | IMPLIED | geography.TAGS | COLOURS | {IMAGE_SOURCE}
    if unknown := sorted(page.tags.keys() - known):
        yield Part("foreign", "tags " + ", ".join(map(str, unknown)))
