"""Content Credentials: a result signed with what made it and from what, by the C2PA's own library."""

import io
import json
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from irsde_cli import extras
from irsde_cli.content import missing
from irsde_cli.errors import InputError, UsageError
from irsde_cli.version import __version__

MIME = {
    "jpeg": "image/jpeg",
    "png": "image/png",
    "webp": "image/webp",
    "tiff": "image/tiff",
    "avif": "image/avif",
    "heic": "image/heic",
    "jxl": "image/jxl",
}
BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----\n?", re.DOTALL)
CURVES = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}
SOURCE_TYPES = "http://cv.iptc.org/newscodes/digitalsourcetype/"
MADE = "org.irsde.made"


@dataclass(frozen=True)
class Parent:
    """The input: its name, its bytes, and how they are coded."""

    name: str
    data: bytes
    mime: str | None


def check(place: Path) -> None:
    """See that a result can be signed with what a PEM file holds.

    Raises:
        MissingError: the library is not installed.
        UsageError: the file holds no chain of certificates with its private key, or the library refuses them.
    """
    _signer(place)


def signed(data: bytes, format: str, place: Path, parent: Parent, made: str, source: str) -> bytes:
    """A result's file with a manifest that says that it was edited, from what, and by what.

    Args:
        data: the file.
        format: of it.
        place: a PEM file with a chain of certificates and its private key.
        parent: its input.
        made: the record of what made it, as JSON.
        source: its digital source type, by the IPTC's name.

    Raises:
        InputError: that format cannot be signed.
    """
    c2pa, signer = _signer(place)
    mime = MIME.get(format)
    if mime is None or mime not in c2pa.Builder.get_supported_mime_types():
        raise InputError(f"a {format.upper()} cannot be signed.", hint="Take --format png, or leave out --c2pa.")
    actions = [{"action": "c2pa.edited", "digitalSourceType": SOURCE_TYPES + source}]
    manifest = {
        "claim_generator_info": [{"name": "irsde", "version": __version__}],
        "assertions": [
            {"label": "c2pa.actions", "data": {"actions": actions}},
            {"label": MADE, "data": json.loads(made)},
        ],
    }
    result = io.BytesIO()
    try:
        with c2pa.Builder(json.dumps(manifest)) as builder:
            builder.set_intent(c2pa.C2paBuilderIntent.EDIT)
            described = json.dumps({"title": parent.name, "relationship": "parentOf"})
            known = parent.mime in c2pa.Builder.get_supported_mime_types()
            given, kind = (parent.data, parent.mime) if known else (data, mime)
            builder.add_ingredient(described, kind, io.BytesIO(given))
            builder.sign(signer, mime, io.BytesIO(data), result)
    except c2pa.C2paError as error:
        raise InputError(f"it cannot be signed: {_line(error)}") from None
    return result.getvalue()


@lru_cache(maxsize=1)
def _signer(place: Path) -> tuple[Any, Any]:
    """The library, and what signs."""
    c2pa = extras.load("c2pa", "--c2pa")
    try:
        text = place.read_bytes()
    except FileNotFoundError:
        raise missing(place, "file") from None
    except OSError as error:
        raise UsageError(f"'{place}' cannot be read: {error.strerror or error}.") from None
    blocks = dict.fromkeys((b"CERTIFICATE", b"KEY"), b"")
    for found in BLOCK.finditer(text):
        kind = b"KEY" if found[1].endswith(b"PRIVATE KEY") else found[1]
        blocks[kind] = blocks.get(kind, b"") + found[0].rstrip() + b"\n"
    if not (blocks[b"CERTIFICATE"] and blocks[b"KEY"]):
        raise UsageError(
            f"'{place}' is no PEM file with certificates and their private key.",
            hint="The chain, the signer's own first, and then the key.",
        )
    try:
        # Of a time stamp nothing is asked: an empty address would be called.
        info = c2pa.C2paSignerInfo(_algorithm(blocks[b"KEY"]).encode(), blocks[b"CERTIFICATE"], blocks[b"KEY"], None)
        return c2pa, c2pa.Signer.from_info(info)
    except (c2pa.C2paError, ValueError, TypeError) as error:
        raise UsageError(f"what '{place}' holds cannot sign: {_line(error)}") from None


def _algorithm(key: bytes) -> str:
    """As the C2PA calls it."""
    serialization = extras.load("c2pa", "--c2pa", "cryptography.hazmat.primitives.serialization", "cryptography")
    loaded = serialization.load_pem_private_key(key, None)
    curve = getattr(loaded, "curve", None)
    if curve is not None:
        return CURVES[curve.name] if curve.name in CURVES else str(curve.name)
    return "ed25519" if "Ed25519" in type(loaded).__name__ else "ps256"


def _line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".") + "."
