"""What of a folder is a picture, the same for every command: what systems and programs leave there is none."""

import logging
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from irsde_cli.content import missing, other_data
from irsde_cli.errors import UsageError
from irsde_cli.images import SUFFIXES
from irsde_cli.images.libraries import LIBRARIES

logger = logging.getLogger(__name__)

# Trash, thumbnails, indexes and snapshots of NAS, Windows and macOS that do not begin with a dot.
RUBBISH = {
    "@eadir",
    "@recently-snapshot",
    "@recycle",
    "@tmp",
    "#recycle",
    "#snapshot",
    "$recycle.bin",
    "__macosx",
    "lost+found",
    "network trash folder",
    "recycler",
    "system volume information",
    "temporary items",
    "~snapshot",
}
OTHERS = "apng gif hdr ico jng jxr mpo pbm pcx pgm pic pnm ppm psb psd qoi sgi svg tga wdp xcf"
# Suffixes of pictures that a part of the package reads, which may not be here; and of all pictures.
EXTRAS = {suffix: library for library in LIBRARIES.values() for suffix in library.suffixes}
PICTURES = {*SUFFIXES, *EXTRAS, *(f".{kind}" for kind in OTHERS.split())}
UNLISTED = "cannot be listed"
MOST_LOOKED_AT = 20_000
_FILE, _FOLDER, _OTHER = b"\0f", b"\0d", b"\0o"


def is_rubbish(name: str) -> bool:
    """Whether a file or folder of that name is hidden, or belongs to a system and not to a person."""
    return name.startswith(".") or name.casefold() in RUBBISH


def suffix_of(name: str) -> str:
    """The suffix in lower case, as pathlib takes it, at a tenth of its time."""
    return split_name(name)[1].lower()


def split_name(name: str) -> tuple[str, str]:
    """Stem and suffix."""
    dot = name.rfind(".")
    return (name[:dot], name[dot:]) if 0 < dot < len(name) - 1 else (name, "")


@dataclass
class LeftOut:
    """What a listing left out, counted.

    Attributes:
        unread: files of kinds of pictures that are not read, by suffix without its dot.
        hidden: pictures with the name of a hidden file.
        links: links to folders.
        folders: subfolders with pictures, where only the folder itself is listed.
        unknown: subfolders that were not looked into, as there was too much to look at.
    """

    unread: dict[str, int] = field(default_factory=dict)
    hidden: int = 0
    links: int = 0
    folders: int = 0
    unknown: int = 0

    @property
    def losses(self) -> list[str]:
        """A phrase for each kind of thing that somebody may have wanted restored."""
        found = []
        if self.unread:
            by_count = sorted(self.unread.items(), key=lambda kind: (-kind[1], kind[0]))
            kinds = ", ".join(f"{count} {suffix}" for suffix, count in by_count)
            count = sum(self.unread.values())
            files = "1 file of a kind that is" if count == 1 else f"{count} files of kinds that are"
            missing = {EXTRAS[f".{kind}"] for kind in self.unread if f".{kind}" in EXTRAS}
            ways = sorted({library.how for library in missing})
            found.append(f"{files} not read: {kinds}" + (f" ({'; '.join(ways)})" if ways else ""))
        if self.folders or self.unknown:
            count = self.folders or self.unknown
            least = "at least " if self.folders and self.unknown else ""
            what = f"{least}{count} subfolder{'s' * (count > 1)}{' with pictures' if self.folders else ''}"
            found.append(f"{what} {'are' if count > 1 else 'is'} left out; -r reads {'them' if count > 1 else 'it'}")
        return found

    @property
    def phrases(self) -> list[str]:
        """`losses`, and what else was passed over."""
        found = self.losses
        if self.hidden:
            found.append(f"{self.hidden} hidden picture{'s are' if self.hidden > 1 else ' is'} passed over")
        if self.links:
            found.append(f"{self.links} link{'s to folders are' if self.links > 1 else ' to a folder is'} not followed")
        return found


def walk(folder: Path, *, recursive: bool, left_out: LeftOut | None = None) -> Iterator[tuple[str, str]]:
    """The pictures of a folder in a fixed order, by suffix: nothing is opened, and links to folders are not followed.

    Yields:
        the path relative to the folder, with `/`, and why it cannot be opened as a file, or "".

    Raises:
        UsageError: the folder cannot be listed.
    """
    try:
        names = _names(folder, recursive=recursive, left_out=left_out)
    except OSError as error:
        raise UsageError(f"cannot list '{folder}': {error.strerror}.") from None
    yield from _below("", names, folder, recursive=recursive, left_out=left_out)


def pictures_below(folder: Path) -> list[Path]:
    """The pictures of a folder at any depth, sorted; links that lead nowhere are among them, to fail when read.

    Files of kinds that are not read are counted in a warning.

    Raises:
        UsageError: the folder is missing, or one below it cannot be listed; or it holds no picture but a database or
            archives.
    """
    if not folder.is_dir():
        raise missing(folder, "folder")
    left_out, found = LeftOut(), []
    for name, fault in walk(folder, recursive=True, left_out=left_out):
        if fault.startswith(UNLISTED):
            raise UsageError(f"'{folder / name}' {fault}.")
        found.append(folder / name)
    if not found and not left_out.losses:
        check_for_other_data(folder)
    for loss in left_out.losses:
        logger.warning("'%s': %s", folder, loss)
    return sorted(found)


def check_for_other_data(folder: Path) -> None:
    """Name what a folder without pictures holds instead.

    Raises:
        UsageError: it holds a database or archives.
    """
    instead, hint = other_data(folder)
    if instead:
        raise UsageError(f"no pictures in '{folder}': {instead}.", hint=hint)


def why_no_file(path: Path) -> str:
    """Why a name cannot be opened as a file, or "": broken links, and what would wait for ever or is a device."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        return f"cannot be opened: {error.strerror}"
    if stat.S_ISDIR(mode):
        return "is a link to a folder" if path.is_symlink() else "is a folder"
    return "" if stat.S_ISREG(mode) else "is no regular file"


def _names(folder: Path, *, recursive: bool, left_out: LeftOut | None) -> list[bytes]:
    """What is of interest in a folder, in order, each name with a NUL and its kind.

    Not the entries themselves: a million of them take half a gigabyte. The kind comes with the name, from the folder;
    only links and devices have to be asked for more.
    """
    found, folders = [], []
    with os.scandir(folder) as entries:
        for entry in entries:
            suffix = suffix_of(entry.name)
            if is_rubbish(entry.name):
                if left_out is not None and suffix in SUFFIXES and not entry.name.startswith(".irsde-"):
                    left_out.hidden += entry.is_file(follow_symlinks=False)
                continue
            if entry.is_dir(follow_symlinks=False):
                if not recursive:
                    folders.append(entry.name)
                    continue
                kind = _FOLDER
            elif suffix in SUFFIXES:
                kind = _FILE if entry.is_file(follow_symlinks=False) else _OTHER
            else:
                if left_out is not None and suffix in PICTURES:
                    left_out.unread[suffix[1:]] = left_out.unread.get(suffix[1:], 0) + 1
                elif left_out is not None and entry.is_symlink():
                    left_out.links += os.path.isdir(entry.path)  # noqa: PTH112 - raises nothing, as Path.is_dir does
                continue
            found.append(os.fsencode(entry.name) + kind)
    if left_out is not None and folders:
        _look_into([folder / name for name in sorted(folders)], left_out)
    found.sort()
    return found


def _below(
    prefix: str, names: Sequence[bytes], root: Path, *, recursive: bool, left_out: LeftOut | None
) -> Iterator[tuple[str, str]]:
    for raw in names:
        name, kind = prefix + os.fsdecode(raw[:-2]), raw[-2:]
        if kind == _FOLDER:
            try:
                inner = _names(root / name, recursive=recursive, left_out=left_out)
            except OSError as error:
                yield name, f"{UNLISTED}: {error.strerror}"
                continue
            yield from _below(f"{name}/", inner, root, recursive=recursive, left_out=left_out)
        else:
            yield name, why_no_file(root / name) if kind == _OTHER else ""


def _look_into(folders: Sequence[Path], left_out: LeftOut) -> None:
    """Count the folders with a picture at any depth, with an end to what that may cost."""
    budget = MOST_LOOKED_AT
    for index, top in enumerate(folders):
        waiting = [top]
        while waiting:
            seen = 0
            try:
                with os.scandir(waiting.pop()) as entries:
                    for entry in islice(entries, budget + 1):
                        seen += 1
                        if is_rubbish(entry.name):
                            continue
                        if entry.is_dir(follow_symlinks=False):
                            waiting.append(Path(entry.path))
                        elif suffix_of(entry.name) in PICTURES:
                            left_out.folders += 1
                            waiting.clear()
                            break
            except OSError:
                continue
            budget -= seen
            if budget < 0:
                left_out.unknown += len(folders) - index
                return
