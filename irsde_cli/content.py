"""What bytes are: the kind of a file by its first ones, and text in whichever encoding it came.

So that what people give by mistake is called by its name: a page in place of a download, a pointer in place of a large
file, an archive that was not unpacked.
"""

import codecs
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from irsde_cli.errors import UsageError

HEAD = 4096
LOOKED_AT = 50
ADDRESS = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]+):/+(?P<rest>.*)", re.IGNORECASE | re.DOTALL)
HUB = re.compile(r"(?:https?:/+)?(?:www\.)?(?:huggingface\.co|hf\.co)/+(?P<id>[\w.-]+/[\w.-]+)", re.IGNORECASE)
BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF32_LE, "utf-32-le"), (codecs.BOM_UTF32_BE, "utf-32-be"),
        (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))  # fmt: skip
# Two characters of ASCII in a row, two bytes each. A list with NUL between its names would need a name of one letter.
WIDE = re.compile(rb"[^\0]\0[^\0]\0|\0[^\0]\0[^\0]")
UNPACK = "Unpack it first."
EXTRACT = "Its pictures must be files: write them to a folder first."
FETCH = "What a server answered was saved in place of the file: fetch it again, signed in where that is asked for."


@dataclass(frozen=True)
class Kind:
    """What a file is.

    Attributes:
        name: with its article: "a ZIP archive".
        hint: what to do about it where something else was wanted; empty where nothing is known.
    """

    name: str
    hint: str = ""


def _starts(*magic: bytes) -> Callable[[bytes], bool]:
    return lambda head: head.startswith(magic)


def _matches(pattern: bytes) -> Callable[[bytes], bool]:
    compiled = re.compile(pattern, re.DOTALL | re.IGNORECASE)
    return lambda head: compiled.match(head) is not None


def _brand(*brands: bytes) -> Callable[[bytes], bool]:
    return lambda head: head[4:8] == b"ftyp" and head[8:12] in brands


JSON = Kind("a JSON document", FETCH)
TEXT = Kind("text")
# The first that is right counts. Bytes before the first character of a page: a mark, white space, comments.
_BEFORE = rb"(?:\xef\xbb\xbf)?(?:\s|<!--.*?-->|<\?xml[^>]*>)*"
KINDS: tuple[tuple[Kind, Callable[[bytes], bool]], ...] = (
    (
        Kind("a Git LFS pointer, not the file itself", "Run 'git lfs pull' where it came from, or fetch the file."),
        _matches(rb"version https?://(git-lfs\.github\.com|hawser\.github\.com)/spec/"),
    ),
    (
        Kind("a git-annex pointer, not the file itself", "Run 'git annex get' where it came from."),
        _matches(rb"(\.\./)*(\.git)?/annex/objects/"),
    ),
    (Kind("a web page (HTML)", FETCH), _matches(_BEFORE + rb"<(!doctype html|html|head|body|script|title|meta)\b")),
    (Kind("an SVG drawing"), _matches(_BEFORE + rb"(<!doctype svg[^>]*>\s*)?<svg\b")),
    (Kind("an XML document", FETCH), _matches(rb"(?:\xef\xbb\xbf)?\s*(<\?xml\b|<Error>)")),
    (Kind("a PyTorch file"), _matches(rb"PK\x03\x04.{26}[^\0]{0,200}?data\.pkl")),
    (Kind("a NumPy archive (.npz)"), _matches(rb"PK\x03\x04.{26}[^\0]{1,200}?\.npy")),
    (Kind("a ZIP archive", UNPACK), _starts(b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")),
    (Kind("a gzip archive", UNPACK), _starts(b"\x1f\x8b")),
    (Kind("a bzip2 archive", UNPACK), _matches(rb"BZh[1-9]1AY&SY")),
    (Kind("an xz archive", UNPACK), _starts(b"\xfd7zXZ\0")),
    (Kind("a Zstandard archive", UNPACK), _starts(b"\x28\xb5\x2f\xfd")),
    (Kind("an LZ4 archive", UNPACK), _starts(b"\x04\x22\x4d\x18")),
    (Kind("a 7z archive", UNPACK), _starts(b"7z\xbc\xaf\x27\x1c")),
    (Kind("a RAR archive", UNPACK), _starts(b"Rar!\x1a\x07")),
    (Kind("a tar archive", UNPACK), lambda head: head[257:262] == b"ustar"),
    (Kind("an LMDB database", EXTRACT), lambda head: head[16:20] == b"\xde\xc0\xef\xbe"),
    (Kind("a JPEG picture"), _starts(b"\xff\xd8\xff")),
    (Kind("a PNG picture"), _starts(b"\x89PNG\r\n\x1a\n")),
    (Kind("a WebP picture"), _matches(rb"RIFF.{4}WEBP")),
    (Kind("a TIFF picture"), _starts(b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")),
    (Kind("a BMP picture"), _matches(rb"BM.{4}\0{4}.{4}[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0")),
    (Kind("a GIF picture"), _starts(b"GIF87a", b"GIF89a")),
    (Kind("an AVIF picture"), _brand(b"avif", b"avis")),
    (Kind("a HEIC picture"), _brand(b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")),
    (Kind("a Canon raw photograph (CR3)"), _brand(b"crx ")),
    (Kind("a Fujifilm raw photograph (RAF)"), _starts(b"FUJIFILMCCD-RAW")),
    (Kind("a JPEG XL picture"), _starts(b"\xff\x0a", b"\0\0\0\x0cJXL ")),
    (Kind("a JPEG 2000 picture"), _starts(b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51")),
    (Kind("an OpenEXR picture"), _starts(b"\x76\x2f\x31\x01")),
    (Kind("a file of a restoring codec"), _starts(b"\x89IRC")),
    (Kind("a Photoshop document"), _starts(b"8BPS")),
    (Kind("an icon"), _starts(b"\0\0\1\0")),
    (Kind("a PDF document"), _starts(b"%PDF-")),
    (Kind("a video"), lambda head: head[4:8] == b"ftyp" or head.startswith((b"\x1a\x45\xdf\xa3", b"\0\0\1\xba"))),
    (Kind("an AVI video"), _matches(rb"RIFF.{4}AVI ")),
    (Kind("a companion that macOS writes (AppleDouble)"), _starts(b"\0\x05\x16\x07", b"\0\x05\x16\x00")),
    (Kind("a safetensors file"), _matches(rb".{6}\0\0\{\s*\"")),
    (Kind("a MATLAB file"), _matches(rb"MATLAB \d\.\d MAT-file")),
    (Kind("an HDF5 file"), _starts(b"\x89HDF\r\n\x1a\n")),
    (Kind("a NumPy array"), _starts(b"\x93NUMPY")),
    (Kind("a GGUF file"), _starts(b"GGUF")),
    (Kind("an SQLite database"), _starts(b"SQLite format 3\0")),
    (Kind("a pickle"), _matches(rb"\x80[\x02-\x05]")),
    (Kind("a program"), _matches(rb"\x7fELF|MZ.{0,200}\0\0\0")),
    (Kind("nothing but zero bytes", "It was never written: fetch it again."), lambda head: not head.strip(b"\0")),
    (Kind("text in UTF-16 or UTF-32"), _starts(*(mark for mark, name in BOMS if name != "utf-8"))),
    (JSON, _matches(rb"(?:\xef\xbb\xbf)?\s*[{\[]\s*[\"{\[\]}\d]")),
)  # fmt: skip


def kind_of(head: bytes) -> Kind | None:
    """What a file is that begins with `head`, up to `HEAD` bytes of it; `None` where that cannot be told."""
    if not head:
        return None
    head = head[:HEAD]
    found = next((kind for kind, right in KINDS if right(head)), None)
    return found or (TEXT if _is_text(head) else None)


def kind_of_path(path: Path) -> Kind | None:
    """The same of a file or a folder; `None` also where it cannot be read."""
    try:
        if path.is_dir():
            return Kind("an LMDB folder", EXTRACT) if is_lmdb(path) else None
        with path.open("rb") as stream:
            return kind_of(stream.read(HEAD))
    except OSError:
        return None


def is_lmdb(folder: Path) -> bool:
    """Whether a folder is a database of the kind in which training programs keep pictures."""
    return (folder / "data.mdb").is_file()


def missing(path: Path, what: str) -> UsageError:
    """The error for a path that leads to no `what`, a "folder" or a "file": what it leads to instead is named."""
    if is_address(str(path)) and not path.exists():
        address = re.sub(r":/+", "://", str(path), count=1)
        return UsageError(f"'{address}' is an address, not a {what}.", hint="Fetch it first, and name what came.")
    if not path.exists():
        return UsageError(f"no such {what}: '{path}'.")
    kind = kind_of_path(path)
    name = "another thing" if kind is None else kind.name
    return UsageError(f"'{path}' is {name}, not a {what}.", hint="" if kind is None else kind.hint)


def other_data(folder: Path) -> tuple[str, str]:
    """What a folder without a picture holds instead, a database or archives, and what to do; empty without any."""
    kind = kind_of_path(folder)
    if kind is not None:
        return f"it is {kind.name}", kind.hint
    try:
        entries = sorted(folder.iterdir())[:LOOKED_AT]
    except OSError:
        return "", ""
    for entry in entries:
        kind = kind_of_path(entry)
        if kind is not None and kind.hint in (UNPACK, EXTRACT):
            return f"it holds '{entry.name}', {kind.name}", kind.hint
    return "", ""


def is_address(text: str) -> bool:
    """Whether a text names something on the web and not a path; also where a path was made of it."""
    return ADDRESS.match(text) is not None or HUB.match(text) is not None or text.startswith("git@")


def hub_id(text: str) -> str | None:
    """The `owner/name` in an address of the Hugging Face Hub."""
    found = HUB.match(text)
    return found["id"] if found else None


def decoded(raw: bytes, fallback: Callable[[bytes], str] | None = None) -> str:
    """Text of UTF-8, or of UTF-16 or UTF-32 with their mark, and UTF-16 without; the mark is no part of it.

    Args:
        raw: what a file holds.
        fallback: for bytes that are none of these; without it they raise.

    Raises:
        UnicodeDecodeError: it is none of these.
    """
    for mark, encoding in sorted(BOMS, key=lambda row: -len(row[0])):
        if raw.startswith(mark):
            return raw[len(mark) :].decode(encoding)
    wide = WIDE.search(raw)
    if wide is not None:
        high = (wide.start() + wide[0].index(0)) % 2
        text = raw.decode("utf-16-le" if high else "utf-16-be", "replace")
        if _is_plain(text):
            return text
    return raw.decode("utf-8") if fallback is None else fallback(raw)


def _is_text(head: bytes) -> bool:
    try:
        return _is_plain(codecs.getincrementaldecoder("utf-8")().decode(head))
    except UnicodeDecodeError:
        return False


def _is_plain(text: str) -> bool:
    return all((character.isprintable() or character.isspace()) and character != "\ufffd" for character in text)
