"""Which file becomes which, before anything is opened."""

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from irsde_cli.errors import UsageError
from irsde_cli.images import SUFFIXES, looks_like_picture, suffix_for

MOST_DIGITS = 40


@dataclass(frozen=True)
class Item:
    """One picture to restore.

    Attributes:
        name: the input relative to INPUT, with `/`; it names the picture in messages and lines of the manifest.
        key: the same as bytes, from which its noise comes.
        source: where it lies; `None` is `data`.
        output: where the result goes; `None` is back to the caller.
        relative: the output relative to the output folder, with `/`.
        data: the file itself, if it came through a pipe.
        fault: why it cannot even be opened.
    """

    name: str
    key: bytes
    source: Path | None
    output: Path | None
    relative: str
    data: bytes | None = None
    fault: str = ""


@dataclass(frozen=True)
class Shard:
    """Part `index` (from 1) of `count`; a file's part depends on its own relative path alone."""

    index: int
    count: int

    def __post_init__(self) -> None:
        if not 1 <= self.index <= self.count:
            raise UsageError(f"the shard {self.index}/{self.count} is none.", hint="Count from 1: --shard 1/4 to 4/4.")

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """From "i/n"."""
        index, slash, count = text.partition("/")
        digits = index + count
        if not (slash and index and count and digits.isascii() and digits.isdigit() and len(digits) <= MOST_DIGITS):
            raise UsageError(f"'{text}' is no shard.", hint="Write it as i/n, for instance --shard 2/8.")
        return cls(int(index), int(count))

    def holds(self, key: bytes) -> bool:
        """Whether the file of that relative path belongs to this part."""
        digest = hashlib.blake2b(key, digest_size=8).digest()
        return int.from_bytes(digest, "big") % self.count == self.index - 1

    @property
    def label(self) -> str:
        """For file names."""
        return f"{self.index}-of-{self.count}"


@dataclass(frozen=True)
class Naming:
    """How outputs are called.

    Attributes:
        format: the format asked for; `None` keeps names as they are.
        suffix: put between the stem and the extension.
        rename: where the format changes the extension, keep the old one in the stem (`a_jpg.png`).
    """

    format: str | None = None
    suffix: str = ""
    rename: bool = False

    def name(self, source: Path) -> str:
        """The output's name for an input's."""
        stem, extension = source.stem, source.suffix
        if self.format is not None and SUFFIXES.get(extension.lower()) != self.format:
            if self.rename and extension:
                stem += f"_{extension[1:]}"
            extension = suffix_for(self.format)
        return f"{stem}{self.suffix}{extension}"


def in_folder(folder: Path, output: Path, naming: Naming, *, recursive: bool) -> Iterator[Item]:
    """The pictures of a folder in a fixed order; links to folders are not followed, and nothing is opened."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: os.fsencode(entry.name))
    except OSError as error:
        raise UsageError(f"cannot list '{folder}': {error.strerror}.") from None
    yield from _entries(entries, folder, output, naming, recursive=recursive)


def _entries(
    entries: Sequence["os.DirEntry[str]"], root: Path, output: Path, naming: Naming, *, recursive: bool
) -> Iterator[Item]:
    for entry in entries:
        path = Path(entry.path)
        if entry.is_dir(follow_symlinks=False):
            if recursive and entry.name != ".irsde":
                try:
                    inner = sorted(os.scandir(path), key=lambda entry: os.fsencode(entry.name))
                except OSError as error:
                    yield _item(path, root, output, naming, fault=f"cannot be listed: {error.strerror}")
                    continue
                yield from _entries(inner, root, output, naming, recursive=True)
        elif looks_like_picture(path) and not path.name.startswith(".irsde-"):
            yield _item(path, root, output, naming, fault=_fault(path))


def _fault(path: Path) -> str:
    """Why a name cannot be opened as a file: broken links, and what would wait for ever or is a device."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        return f"cannot be opened: {error.strerror}"
    if stat.S_ISDIR(mode):
        return "is a link to a folder"
    return "" if stat.S_ISREG(mode) else "is no regular file"


def _item(path: Path, root: Path, output: Path, naming: Naming, fault: str = "") -> Item:
    inner = path.relative_to(root)
    target = inner.with_name(naming.name(inner))
    name = inner.as_posix()
    return Item(name, os.fsencode(name), path, output / target, target.as_posix(), fault=fault)


def from_list(paths: Sequence[str], root: Path, output: Path, naming: Naming) -> Iterator[Item]:
    """The pictures of a list, relative to `root` where they lie below it, else by their names alone."""
    for text in paths:
        path = Path(text) if Path(text).is_absolute() else root / text
        base = root if path.is_relative_to(root) and ".." not in path.parts else path.parent
        yield _item(path, base, output, naming, fault=_fault(path))


def single(source: Path, output: Path | None, relative: str) -> Item:
    """One file."""
    return Item(source.name, os.fsencode(source.name), source, output, relative, fault=_fault(source))


def piped(data: bytes, output: Path | None, relative: str) -> Item:
    """One picture from a pipe."""
    return Item("-", b"", None, output, relative, data=data)


class Names:
    """The names that outputs take, 16 bytes each, to find two that want one, or one that is another's folder.

    Args:
        folds_case: whether names that differ in case alone are one.
    """

    def __init__(self, *, folds_case: bool) -> None:
        self._folds_case = folds_case
        self._files: dict[bytes, str] = {}
        self._folders: dict[bytes, str] = {}

    def take(self, item: Item, relatives: Iterable[str]) -> None:
        """The files of an item, relative to the output folder.

        Raises:
            UsageError: another item has one of the names; both are named.
        """
        for relative in relatives:
            key = self._key(relative)
            folders = [self._key(str(folder)) for folder in PurePosixPath(relative).parents[:-1]]
            known = [self._files.get(key), self._folders.get(key), *map(self._files.get, folders)]
            other = next((name for name in known if name is not None), None)
            if other is not None:
                raise UsageError(
                    f"'{other}' and '{item.name}' would both become '{relative}'.",
                    hint="Give --on-collision rename, or another --suffix or --format.",
                )
            self._files[key] = item.name
            for folder in folders:
                self._folders.setdefault(folder, item.name)

    def _key(self, relative: str) -> bytes:
        wanted = relative.casefold() if self._folds_case else relative
        return hashlib.blake2b(wanted.encode("utf-8", "surrogatepass"), digest_size=16).digest()
