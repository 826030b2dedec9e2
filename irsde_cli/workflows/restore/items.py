"""Which file becomes which, before anything is opened."""

import hashlib
import os
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from irsde_cli.datasets.discovery import LeftOut, is_rubbish, split_name, walk, why_no_file
from irsde_cli.errors import UsageError
from irsde_cli.images import INSTEAD, SUFFIXES, suffix_for


@dataclass(frozen=True)
class Item:
    """One picture to restore.

    Attributes:
        name: the input relative to INPUT, with `/`; it names the picture in messages and lines of the manifest.
        key: the same as bytes, from which its noise comes.
        source: where it lies; `None` is `data`.
        place: the same, absolute and without links to folders, by which it is known to later runs.
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
    place: str = ""


@dataclass(frozen=True)
class Naming:
    """How outputs are called.

    Attributes:
        format: the format asked for; `None` keeps names as they are, but for those of what is only read.
        suffix: put between the stem and the extension.
        rename: where the format changes the extension, keep the old one in the stem (`a_jpg.png`).
    """

    format: str | None = None
    suffix: str = ""
    rename: bool = False

    def name(self, source: str) -> str:
        """The output's name for an input's."""
        stem, extension = split_name(source)
        own = SUFFIXES.get(extension.lower())
        wanted = self.format or INSTEAD.get(own or "")
        if wanted is not None and own != wanted:
            if self.rename and extension:
                stem += f"_{extension[1:]}"
            extension = suffix_for(wanted)
        return f"{stem}{self.suffix}{extension}"


def in_folder(
    folder: Path,
    output: Path,
    naming: Naming,
    *,
    recursive: bool,
    left_out: LeftOut | None = None,
    below: str = "",
) -> Iterator[Item]:
    """The pictures of a folder in a fixed order; see `irsde_cli.datasets.discovery.walk`.

    `below` is a folder of the output folder that they go to; it is a part of their names and not of their keys.
    """
    place = os.path.realpath(folder)
    for name, fault in walk(folder, recursive=recursive, left_out=left_out):
        lies = os.path.join(place, name)  # noqa: PTH118 - faster
        yield _item(name, folder / name, lies, output, naming, fault, below)


def _item(name: str, source: Path, place: str, output: Path, naming: Naming, fault: str, below: str = "") -> Item:
    folder, slash, last = name.rpartition("/")
    above = f"{below}/" if below else ""
    relative = f"{above}{folder}{slash}{naming.name(last)}"
    return Item(above + name, os.fsencode(name), source, output / relative, relative, fault=fault, place=place)


def from_list(
    paths: Sequence[str], root: Path, output: Path, naming: Naming, left_out: LeftOut | None = None
) -> Iterator[Item]:
    """The pictures of a list, relative to `root` where they lie below it, else by their names alone.

    A file that is listed by several spellings is one picture; its first spelling names it.
    """
    top = os.path.realpath(root)
    seen: set[object] = set()
    for text in paths:
        path = root / text
        place = place_of(path)
        identity = which(path)
        if identity in seen:
            continue
        seen.add(identity)
        name = _name_below(path, root) or _name_below(Path(place), Path(top)) or path.name
        if any(map(is_rubbish, name.split("/"))):
            if left_out is not None:
                left_out.hidden += 1
            continue
        yield _item(name, path, place, output, naming, why_no_file(path))


def _name_below(path: Path, root: Path) -> str:
    """The path relative to a folder that it lies in, as it is written; else ""."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) and ".." not in path.parts else ""


def place_of(path: Path) -> str:
    """Where a file lies, absolute and without links to folders; a link to a file is a file of its own."""
    if path.name in ("", ".."):
        return os.path.realpath(path)
    return os.path.join(_real_folder(str(path.parent)), path.name)  # noqa: PTH118 - a folder may be of any form


@lru_cache(maxsize=1024)
def _real_folder(folder: str) -> str:
    return os.path.realpath(folder)


def which(path: Path) -> object:
    """What two spellings of one file share, also on file systems that take several spellings for one name."""
    try:
        status = path.lstat()
    except OSError:
        return place_of(path)
    return (status.st_dev, status.st_ino) if status.st_nlink == 1 and status.st_ino else place_of(path)


def single(source: Path, output: Path | None, relative: str) -> Item:
    """One file."""
    fault, place = why_no_file(source), place_of(source)
    return Item(source.name, os.fsencode(source.name), source, output, relative, fault=fault, place=place)


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
        files: dict[str, Item] = {}
        folders: dict[str, Item] = {}
        for item, relatives in again:
            for relative in relatives:
                wanted = self._fold(relative)
                above = [folder for folder in _folders(wanted) if _hash(folder) in suspects]
                known = [files.get(wanted), folders.get(wanted), *map(files.get, above)]
                other = next((one for one in known if one is not None), None)
                if other is not None:
                    one, two = other.name, item.name
                    if one == two:
                        one, two = str(other.source), str(item.source)
                    raise UsageError(
                        f"'{one}' and '{two}' would both become '{relative}'.",
                        hint="Give --on-collision rename, or another --suffix or --format.",
                    )
                if _hash(wanted) in suspects:
                    files[wanted] = item
                for folder in above:
                    folders.setdefault(folder, item)

    def _fold(self, relative: str) -> str:
        return relative.casefold() if self._folds_case else relative


def _folders(relative: str) -> list[str]:
    """The folders above a file."""
    return [relative[:index] for index, character in enumerate(relative) if character == "/"]


def _hash(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")
