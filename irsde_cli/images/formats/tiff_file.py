"""TIFF files: the directory of the picture."""

from irsde_cli.images import tiff
from irsde_cli.images.container import MAX_METADATA_BYTES, SEVERAL, Container, DamagedError, TruncatedError


def read(data: bytes) -> Container:
    """The container of a TIFF file; raises as `formats.inspect` does."""
    try:
        page = tiff.parse(data)
    except ValueError:
        raise DamagedError("is a TIFF without a picture") from None
    except EOFError:
        raise TruncatedError from None
    notes = [SEVERAL] if page.more else []
    notes += [
        f"its {title} block is not kept"
        for tag, title in ((tiff.IPTC, "IPTC"), (tiff.PHOTOSHOP, "Photoshop"))
        if tag in page.tags
    ]
    height, width = page.number(tiff.HEIGHT), page.number(tiff.WIDTH)
    channels = page.number(tiff.SAMPLES, 1)
    offsets, sizes = page.blocks()
    exif = None
    try:
        exif = tiff.exif_of(page, MAX_METADATA_BYTES)
    except ValueError:
        notes.append(f"its EXIF is larger than {MAX_METADATA_BYTES >> 20} MiB and is dropped")
    return Container(
        "tiff",
        (height, width),
        data,
        complete=all(offset + size <= len(data) for offset, size in zip(offsets, sizes, strict=False)),
        depth=page.number(tiff.BITS, 1),
        channels=channels,
        tiff=page,
        icc=page.raw(tiff.ICC),
        exif=exif,
        xmp=page.raw(tiff.XMP),
        dpi=tiff.resolution(page),
        notes=tuple(notes),
    )
