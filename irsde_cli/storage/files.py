"""Files that are whole or absent."""

import contextlib
import errno
import os
import secrets
import time
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO

from irsde_cli.errors import InputError, IrsdeError, MachineError
from irsde_cli.storage import outside

STALE_SECONDS = 86400.0
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO}


def temporary_prefix(owner: str) -> str:
    """How the temporary files of an owner begin; whoever holds the owner's lock may remove them."""
    return f".irsde-{owner}-"


def temporary_owner(path: Path) -> str:
    """Whose a temporary file is."""
    return path.name.removeprefix(".irsde-").rpartition("-")[0]


class Aside:
    """A file that is whole and forced to the disk, under a name for the time being; `close` removes it.

    A file that it will replace hands on its rights, owner and attributes, and until then nobody else can read this one.

    Args:
        path: the name that it will get.
        data: what it holds.
        owner: whose temporary files may be swept.
        modified_ns: its date; `None` is now.
        backup: whether the file that is replaced stays as `outside.backup_of`.

    Attributes:
        status: that it will have under its name.

    Raises:
        InputError: this one name cannot be written.
        MachineError: the disk is full or the folder cannot be written: the next file would fail alike.
    """

    def __init__(
        self, path: Path, data: bytes, owner: str, *, modified_ns: int | None = None, backup: bool = False
    ) -> None:
        self.path = path
        # Short and not made from the name: the name may already be as long as names can be.
        self._aside = path.parent / f"{temporary_prefix(owner)}{secrets.token_hex(6)}.part"
        self._stream: BinaryIO | None = None
        try:
            with _refused(path):
                make_folder(path.parent)
                replaces = path.is_file() and not path.is_symlink()
                rights = partial(os.open, mode=0o600 if replaces else 0o666)
                self._stream = open(self._aside, "xb", opener=rights)  # noqa: SIM115 - open while it may look old
                _hold(self._stream.fileno())
                self._stream.write(data)
                self._stream.flush()
                if replaces:
                    outside.put_on(self._aside, path, modified_ns)
                elif modified_ns is not None:
                    os.utime(self._aside, ns=(time.time_ns(), modified_ns))
                os.fsync(self._stream.fileno())
                self.status = self._aside.stat()
            self._keeps = backup and replaces
            if os.name != "posix":
                self._stream.close()
        except BaseException:
            self.close()
            raise

    def named(self) -> os.stat_result:
        """Give it its name, and its status; the folder is still to be forced to the disk.

        Raises:
            InputError, MachineError: as when it was made.
        """
        with _refused(self.path):
            if self._keeps:
                outside.keep_original(self.path, self._aside.with_suffix(".orig.part"))
            self._aside.replace(self.path)
            return self.path.stat()

    def close(self) -> None:
        """Remove what has no name yet."""
        if self._stream is not None:
            with contextlib.suppress(OSError):  # it tries once more to write what a full disk did not take
                self._stream.close()
        with contextlib.suppress(OSError):
            self._aside.unlink(missing_ok=True)


def write_whole(path: Path, data: bytes, owner: str) -> None:
    """Write a file aside and give it its name; see `Aside`."""
    with contextlib.closing(Aside(path, data, owner)) as aside:
        aside.named()
        force_names([path])


def force_names(paths: Iterable[Path]) -> None:
    """Force the names of files to the disk, once for each folder.

    Raises:
        InputError, MachineError: as for a file that cannot be written.
    """
    for folder, path in {path.parent: path for path in paths}.items():
        with _refused(path):
            sync_folder(folder)


def _hold(handle: int) -> None:
    """Keep other runs from sweeping a file whose date is already that of an older one."""
    with contextlib.suppress(ImportError, OSError):
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _is_held(path: Path) -> bool:
    try:
        import fcntl

        with path.open("rb") as stream:
            fcntl.flock(stream.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except (ImportError, OSError):
        return False
    return False


def rename(aside: Path, path: Path) -> None:
    """Give a file or folder whose bytes are on the disk its name, and force that to the disk too."""
    aside.replace(path)
    sync_folder(path.parent)


def sync_file(path: Path) -> None:
    """Force a file's bytes to the disk."""
    with path.open("rb+") as stream:
        os.fsync(stream.fileno())


@contextlib.contextmanager
def _refused(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise refusal(error, path) from None


def refusal(error: OSError, path: Path) -> IrsdeError:
    """The error for a path that cannot be written."""
    reason = error.strerror or str(error)
    if error.errno in FULL:
        return MachineError(f"cannot write to '{path.parent}': {reason}.", hint="What is finished stays; run it again.")
    if error.errno in (errno.EACCES, errno.EPERM):
        return MachineError(f"cannot write '{path}': {reason}.", hint="Check the permissions of the output folder.")
    return InputError(f"cannot write '{path}': {reason}.")


def make_folder(folder: Path) -> None:
    """Make a folder and those above it that are missing, and force their names to the disk."""
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for place in missing:
        sync_folder(place.parent)


def sync_folder(folder: Path) -> None:
    """Force a folder's entries to the disk, where the system can and the folder may be read."""
    if os.name != "posix":
        return
    try:
        handle = os.open(folder, os.O_RDONLY)
    except PermissionError:
        return
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some network file systems
            raise
    finally:
        os.close(handle)


def is_there(path: Path) -> bool:
    """Whether a path leads to something; one that is too long or out of reach does not, and raises nothing."""
    try:
        path.stat()
    except OSError:
        return False
    return True


def sweep(folder: Path, owner: str) -> None:
    """Remove what an interrupted run of the same owner left, and what any run left more than a day ago."""
    for path in folder.glob(".irsde-*.part"):
        with contextlib.suppress(OSError):
            mine = path.name.startswith(temporary_prefix(owner))
            if mine or (time.time() - path.stat().st_mtime > STALE_SECONDS and not _is_held(path)):
                path.unlink()


@contextlib.contextmanager
def shared_folder(folder: Path, owner: str) -> Iterator[None]:
    """Runs of an owner may write to a folder at the same time; one that begins alone removes what killed ones left.

    The folder itself is locked: that leaves no file in it, and a killed run's lock ends with it. Where folders cannot
    be locked, only what is more than a day old is removed.
    """
    with contextlib.ExitStack() as opened:
        with contextlib.suppress(ImportError, OSError):  # not POSIX; folders that may not be read; network file systems
            import fcntl

            handle = os.open(folder, os.O_RDONLY)
            opened.callback(os.close, handle)
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                sweep(folder, owner)
            fcntl.flock(handle, fcntl.LOCK_SH)
        sweep(folder, "none")
        yield
