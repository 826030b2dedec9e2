"""What a TIFF file's description says of its planes, and what of that is true when one is left."""

import json
import re
from math import prod

from irsde_cli.images import tiff
from irsde_cli.images.parts import Part

# ImageJ's counts, and how it plays them.
COUNTS = (b"images", b"channels", b"slices", b"frames", b"hyperstack", b"loop", b"fps", b"finterval")
OME = re.compile(rb"<(?:\w+:)?OME[\s>]")


def honest(text: bytes, page: tiff.Tiff, pages: int) -> tuple[bytes, tuple[Part, ...]]:
    """The description without what it promises, and the parts that it stands for.

    Args:
        text: the description.
        page: that of the picture.
        pages: how many pages the file has; a description may count further planes behind the only one.
    """
    body = text.rstrip(b"\0")
    if body.startswith(b"ImageJ="):
        lines = body.split(b"\n")
        said = {name: _whole(value) for name, _, value in (line.partition(b"=") for line in lines) if name in COUNTS}
        count = max(said.get(b"images", 1), prod(said.get(name, 1) for name in (b"channels", b"slices", b"frames")))
        kept = b"\n".join(line for line in lines if line.partition(b"=")[0] not in COUNTS)
        return kept + b"\0", _hidden(count, pages)
    if OME.search(body[:4096]):
        return b"", (Part("description", "OME"),)
    if body.startswith(b"{") and b'"shape"' in body:
        try:
            said = json.loads(body)
            shape = [int(side) for side in said.pop("shape")]
        except (ValueError, TypeError, AttributeError, RecursionError, OverflowError):
            return text, ()
        one = page.number(tiff.HEIGHT) * page.number(tiff.WIDTH) * page.number(tiff.SAMPLES, 1)
        count = prod(shape) // one if one else 1
        return (json.dumps(said).encode() + b"\0" if said else b""), _hidden(count, pages)
    return text, ()


def _whole(text: bytes) -> int:
    digits = text.strip()
    return int(digits) if digits.isdigit() and len(digits) < 10 else 1


def _hidden(count: int, pages: int) -> tuple[Part, ...]:
    """Planes that stand behind the one that has a directory."""
    return (Part("pages", str(count - pages)),) if count > pages else ()
