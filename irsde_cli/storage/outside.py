"""What belongs to a file beside its bytes: rights, owner, attributes, dates, and its other names."""

import filecmp
import os
import shutil
import stat
from pathlib import Path

from irsde_cli.errors import InputError

# By how much the date of a file may be moved to tell it from the file that it replaces, as coarse as file systems are.
STEPS_NS = (0, 1, 1_000, 1_000_000, 1_000_000_000, 2_000_000_000)


def backup_of(path: Path) -> Path:
    """Where the original of a file that is replaced is kept."""
    return path.with_name(f"{path.name}.orig")


def other_names(path: Path) -> int:
    """How many further names (hard links) a file has, its backup not counted."""
    return path.stat().st_nlink - 1 - int(_is_file_of(backup_of(path), path))


def _is_file_of(backup: Path, path: Path) -> bool:
    try:
        return backup.samefile(path)
    except OSError:  # absent, or a name that is too long
        return False


def may_give(status: os.stat_result, folder: Path) -> bool:
    """Whether a new file of this process in that folder can have the owner and group of another."""
    if os.name != "posix" or os.geteuid() == 0:
        return True
    above = folder.stat()
    groups = {os.getegid(), *os.getgroups()} | ({above.st_gid} if above.st_mode & stat.S_ISGID else set())
    return status.st_uid == os.geteuid() and status.st_gid in groups


def put_on(aside: Path, replaced: Path, modified_ns: int | None) -> None:
    """Give a new file the rights, owner and attributes of the one that it replaces, and a date if one is given.

    A file of which the owner or group cannot be kept is not opened to others: it loses the rights of its group.
    The date is moved by a nanosecond, or by what the file system tells apart, where size and date would be equal: who
    looks at both must see that the file has changed.
    """
    old, new = replaced.stat(), aside.stat()
    shutil.copystat(replaced, aside)
    if os.name == "posix" and (old.st_uid, old.st_gid) != (new.st_uid, new.st_gid):
        mode = stat.S_IMODE(old.st_mode)
        try:
            os.chown(aside, old.st_uid, old.st_gid)
        except OSError:
            mode &= ~(stat.S_ISUID | stat.S_ISGID | stat.S_IRWXG)
        aside.chmod(mode)  # a change of owner takes some of them away
    if modified_ns is None:
        os.utime(aside)
        return
    for step in STEPS_NS:
        os.utime(aside, ns=(old.st_atime_ns, modified_ns + step))
        found = aside.stat()
        if (found.st_size, found.st_mtime_ns) != (old.st_size, old.st_mtime_ns):
            return


def keep_original(path: Path, aside: Path) -> None:
    """Give a file the second name under which it stays when it is replaced.

    Where the file system has no second names it is copied, first under the name `aside`. A backup that is there stays
    as it is.

    Raises:
        OSError: there can be none.
    """
    backup = backup_of(path)
    if backup.exists():
        return
    try:
        os.link(path, backup)
    except FileExistsError:
        return
    except OSError:
        try:
            shutil.copy2(path, aside)
            with aside.open("rb+") as stream:
                os.fsync(stream.fileno())
            aside.rename(backup)
        finally:
            aside.unlink(missing_ok=True)


def check_backup(path: Path, name: str) -> None:
    """A backup that is there must be that of this file.

    Raises:
        InputError: it is another file's.
    """
    backup = backup_of(path)
    try:
        free = not backup.is_symlink() and (
            not backup.exists() or backup.samefile(path) or filecmp.cmp(backup, path, shallow=False)
        )
    except OSError as error:
        raise InputError(f"'{name}' cannot be kept as '{backup.name}': {error.strerror}.") from None
    if not free:
        raise InputError(
            f"'{name}' cannot be kept beside its result: '{backup.name}' is there already.",
            hint="A backup is never replaced: move it away, or go without --backup.",
        )
