"""Which file becomes which, before anything is opened."""

import hashlib
import os
import stat
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from irsde_cli.errors import UsageError
from irsde_cli.images import SUFFIXES, suffix_for

MOST_DIGITS = 40
_FILE, _FOLDER, _OTHER = b"\0f", b"\0d", b"\0o"


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

    def name(self, source: str) -> str:
        """The output's name for an input's."""
        stem, extension = _split(source)
        if self.format is not None and SUFFIXES.get(extension.lower()) != self.format:
            if self.rename and extension:
                stem += f"_{extension[1:]}"
            extension = suffix_for(self.format)
        return f"{stem}{self.suffix}{extension}"


def _split(name: str) -> tuple[str, str]:
    """Stem and suffix, as pathlib takes them, at a tenth of its time."""
    dot = name.rfind(".")
    return (name[:dot], name[dot:]) if 0 < dot < len(name) - 1 else (name, "")


def in_folder(folder: Path, output: Path, naming: Naming, *, recursive: bool) -> Iterator[Item]:
    """The pictures of a folder in a fixed order; links to folders are not followed, and nothing is opened."""
    try:
        names = _names(folder, recursive=recursive)
    except OSError as error:
        raise UsageError(f"cannot list '{folder}': {error.strerror}.") from None
    yield from _below("", names, folder, output, naming, recursive=recursive)


def _names(folder: Path, *, recursive: bool) -> list[bytes]:
    """What is of interest in a folder, in order, each name with a NUL and its kind.

    Not the entries themselves: a million of them take half a gigabyte. The kind comes with the name, from the folder;
    only links and devices have to be asked for more.
    """
    found = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                if not recursive or entry.name == ".irsde":
                    continue
                kind = _FOLDER
            elif _split(entry.name)[1].lower() not in SUFFIXES or entry.name.startswith(".irsde-"):
                continue
            else:
                kind = _FILE if entry.is_file(follow_symlinks=False) else _OTHER
            found.append(os.fsencode(entry.name) + kind)
    found.sort()
    return found


def _below(
    prefix: str, names: Sequence[bytes], root: Path, output: Path, naming: Naming, *, recursive: bool
) -> Iterator[Item]:
    for raw in names:
        name, kind = prefix + os.fsdecode(raw[:-2]), raw[-2:]
        if kind == _FOLDER:
            path = root / name
            try:
                inner = _names(path, recursive=recursive)
            except OSError as error:
                yield _item(name, root, output, naming, fault=f"cannot be listed: {error.strerror}")
                continue
            yield from _below(f"{name}/", inner, root, output, naming, recursive=recursive)
        else:
            yield _item(name, root, output, naming, fault=_fault(root / name) if kind == _OTHER else "")


def _fault(path: Path) -> str:
    """Why a name cannot be opened as a file: broken links, and what would wait for ever or is a device."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        return f"cannot be opened: {error.strerror}"
    if stat.S_ISDIR(mode):
        return "is a link to a folder"
    return "" if stat.S_ISREG(mode) else "is no regular file"


def _item(name: str, root: Path, output: Path, naming: Naming, fault: str = "") -> Item:
    folder, slash, last = name.rpartition("/")
    relative = f"{folder}{slash}{naming.name(last)}"
    return Item(name, os.fsencode(name), root / name, output / relative, relative, fault=fault)


def from_list(paths: Sequence[str], root: Path, output: Path, naming: Naming) -> Iterator[Item]:
    """The pictures of a list, relative to `root` where they lie below it, else by their names alone."""
    for text in paths:
        path = Path(text) if Path(text).is_absolute() else root / text
        base = root if path.is_relative_to(root) and ".." not in path.parts else path.parent
        yield _item(path.relative_to(base).as_posix(), base, output, naming, fault=_fault(path))


def single(source: Path, output: Path | None, relative: str) -> Item:
    """One file."""
    return Item(source.name, os.fsencode(source.name), source, output, relative, fault=_fault(source))


def piped(data: bytes, output: Path | None, relative: str) -> Item:
    """One picture from a pipe."""
    return Item("-", b"", None, output, relative, data=data)


class Names:
    """The names that outputs take, 8 bytes each, to find two that want one, or one that is another's folder.

    Args:
        folds_case: whether names that differ in case alone are one.
    """

    def __init__(self, *, folds_case: bool) -> None:
        self._folds_case = folds_case
        self._files = array("Q")
        self._folders: set[int] = set()
        self._last = ""

    def take(self, relatives: Iterable[str]) -> None:
        """The files of an item, relative to the output folder."""
        for relative in relatives:
            wanted = self._fold(relative)
            self._files.append(_hash(wanted))
            folder = wanted.rpartition("/")[0]
            if folder != self._last:
                self._last = folder
                self._folders.update(map(_hash, _folders(wanted)))

    def check(self, again: Iterable[tuple[Item, Iterable[str]]]) -> None:
        """Go through the same items once more if some of their names may collide.

        Raises:
            UsageError: two items have one name; both are named.
        """
        hashes = np.sort(np.frombuffer(self._files, dtype=np.uint64))
        twice = hashes[1:][hashes[1:] == hashes[:-1]]
        blocked = hashes[np.isin(hashes, np.fromiter(self._folders, np.uint64, len(self._folders)))]
        suspects = {*twice.tolist(), *blocked.tolist()}
        if not suspects:
            return
        files: dict[str, str] = {}
        folders: dict[str, str] = {}
        for item, relatives in again:
            for relative in relatives:
                wanted = self._fold(relative)
                above = [folder for folder in _folders(wanted) if _hash(folder) in suspects]
                known = [files.get(wanted), folders.get(wanted), *map(files.get, above)]
                other = next((name for name in known if name is not None), None)
                if other is not None:
                    raise UsageError(
                        f"'{other}' and '{item.name}' would both become '{relative}'.",
                        hint="Give --on-collision rename, or another --suffix or --format.",
                    )
                if _hash(wanted) in suspects:
                    files[wanted] = item.name
                for folder in above:
                    folders.setdefault(folder, item.name)

    def _fold(self, relative: str) -> str:
        return relative.casefold() if self._folds_case else relative


def _folders(relative: str) -> list[str]:
    """The folders above a file."""
    return [relative[:index] for index, character in enumerate(relative) if character == "/"]


def _hash(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")
