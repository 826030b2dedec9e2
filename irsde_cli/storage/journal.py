"""The manifest of an output folder: JSON lines that say what was made from what, and the lock that guards them.

A `pending` line is written before a file gets its name and a `done` line after, so that a file that a killed run left
is known as ours, and a file of anybody else is not.
"""

import hashlib
import json
import os
import re
import struct
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from filelock import FileLock, Timeout

from irsde_cli.errors import MachineError
from irsde_cli.storage.files import make_folder, refusal, sweep, sync_folder, temporary_owner, temporary_prefix

SCHEMA = 1
FOLDER = ".irsde"
ALONE = "one-"
NOWHERE = bytes(8)
PATIENCE = 20.0  # seconds that the workers of a killed run may take to notice it
_PART = re.compile(r"(?P<index>\d+)-of-(?P<count>\d+)\b")
_JOB = re.compile(r"\.?job-[^.]+$")


@dataclass(frozen=True, slots=True)
class Identity:
    """A file as far as it can be known without reading it."""

    size: int
    mtime_ns: int

    @classmethod
    def of(cls, status: os.stat_result) -> "Identity":
        return cls(status.st_size, status.st_mtime_ns)


@dataclass(frozen=True, slots=True)
class Source:
    """An input.

    Attributes:
        name: relative to what was given.
        place: where it lies, absolute and without links to folders; "" is a pipe.
        identity: its size and time.
        content: of `irsde_cli.storage.digests.content_of`.
    """

    name: str
    place: str
    identity: Identity
    content: str


@dataclass(frozen=True, slots=True)
class Entry:
    """What the last line about an output says; while it is pending nobody knows whether it got its name."""

    source: bytes
    place: bytes
    before: Identity
    content: bytes
    made: Identity
    settings: bytes
    pending: bool

    def came_from(self, source: str) -> bool:
        """Whether the output is that of the input of that name."""
        return self.source == _digest(source, 16)

    def lay_at(self, place: str) -> bool:
        """Whether that input was the file of that place."""
        return self.place == _digest(place, 8)

    @property
    def placeless(self) -> bool:
        """Whether the line is of a time when names, sizes and times were all that was recorded."""
        return self.place == NOWHERE

    def held(self, content: str) -> bool:
        """Whether that input had this content."""
        return self.content == bytes.fromhex(content)

    def has(self, settings: str) -> bool:
        """Whether it was made with these settings."""
        return self.settings == _digest(settings, 8)


@dataclass(frozen=True, slots=True)
class Result:
    """A file that was made.

    Attributes:
        source: from what.
        output: its path relative to the folder.
        made: its size and time.
        settings: the short name of those that it was made with.
        seconds: that it took.
        tile: the side of the tiles that it was made in, if any.
    """

    source: Source
    output: str
    made: Identity
    settings: str
    seconds: float = 0.0
    tile: int = 0

    def line(self, event: str) -> dict[str, Any]:
        """What the manifest says of it."""
        source = self.source
        return {
            "event": event,
            "input": source.name,
            "input_path": source.place,
            "input_size": source.identity.size,
            "input_mtime_ns": source.identity.mtime_ns,
            "input_blake2b": source.content,
            "output": self.output,
            "output_size": self.made.size,
            "output_mtime_ns": self.made.mtime_ns,
            "settings": self.settings,
        }


def settings_id(settings: Mapping[str, Any]) -> str:
    """A short name for all that decides the pixels of an output."""
    return hashlib.blake2b(json.dumps(settings, sort_keys=True).encode(), digest_size=8).hexdigest()


class Journal:
    """The lines of all manifests of a folder, and the one manifest that this run appends to.

    What this run writes is not remembered: each output is asked for once.

    Args:
        folder: the output folder; it must exist.
        label: `i-of-n` for a shard, "" for a run over everything, or `ALONE` and more for one picture: each has a
            manifest and a lock of its own. Those of one picture lie in the user's state folder, so that nothing is
            left beside it, unless the folder has a record already.

    Raises:
        MachineError: another run holds the lock, or the folder cannot be written.
    """

    def __init__(self, folder: Path, label: str = "") -> None:
        self._place = folder
        self._label = label
        self._known = _Table()
        beside = folder / FOLDER
        self._keep(remembered(folder) if label.startswith(ALONE) and not beside.is_dir() else beside)

    def _keep(self, folder: Path) -> None:
        """Where manifest and lock are."""
        self._folder = folder
        self._path = _manifest(folder, self._label)
        self._lock = _lock(folder, self._label)

    def __enter__(self) -> Self:
        if self._folder.name != FOLDER:
            try:
                make_folder(self._folder)
                (self._folder / "folder").write_text(os.path.realpath(self._place), "utf-8", "surrogateescape")
            except OSError:  # no home that may be written
                self._keep(self._place / FOLDER)
        try:
            make_folder(self._folder)
            self._lock.acquire(timeout=0)
            self.load()
            self._handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0), 0o666)
            sync_folder(self._folder)
        except Timeout:
            raise self._taken() from None
        except OSError as error:
            self._lock.release()
            raise refusal(error, self._folder / "manifest.jsonl") from None
        try:
            if self._torn():
                self._append(b"\n")
            self.take_over()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self.force()
        finally:
            os.close(self._handle)
            self._lock.release()

    def _taken(self) -> MachineError:
        return MachineError(
            f"another run is writing to '{self._place}'.",
            hint="Wait for it, or let several work together with --shard.",
        )

    def take_over(self, *, patient: bool = True) -> None:
        """Take the lines of all workers of this run and of one that was killed.

        Args:
            patient: wait for those that have not ended; else they are left to the next run.

        Raises:
            MachineError: one does not end.
        """
        for path in sorted(self._workers(), key=lambda path: path.stat().st_mtime_ns):
            try:
                self.absorb(path.name.removeprefix("manifest.").removesuffix(".jsonl"))
            except MachineError:
                if patient:
                    raise

    def _workers(self) -> Iterator[Path]:
        return self._folder.glob(_manifest(self._folder, worker(_JOB.sub("", self._label), "*")).name)

    def absorb(self, label: str) -> None:
        """Append the lines of a worker that has ended, and remove its manifest.

        Raises:
            MachineError: it has not ended.
        """
        path, lock = _manifest(self._folder, label), _lock(self._folder, label)
        try:
            with lock.acquire(timeout=PATIENCE):
                if path.exists():
                    self._known.read(path)
                    with path.open("rb") as stream:
                        while lines := stream.readlines(1 << 20):
                            self._append(b"".join(lines).removesuffix(b"\n") + b"\n")
                    self.force()
                    path.unlink()
                Path(lock.lock_file).unlink(missing_ok=True)
        except Timeout:
            raise self._taken() from None
        except OSError as error:
            raise refusal(error, path) from None

    def load(self) -> None:
        """Read what earlier runs wrote; the manifest that was last written to is believed before the others.

        Other parts of the same division are passed over: they hold none of this one's pictures.
        """
        mine = _PART.match(self._label)
        for path in _manifests(self._place):
            theirs = _PART.match(path.name.removeprefix("manifest."))
            if mine and theirs and mine["count"] == theirs["count"] and mine["index"] != theirs["index"]:
                continue
            self._known.read(path)

    def entry(self, output: str) -> Entry | None:
        """What is known of an output, by its path relative to the folder."""
        return self._known.get(output)

    def late(self, output: str) -> Entry | None:
        """What the workers of a run that was killed say of an output; one of them may notice only after it is named."""
        table = _Table()
        for path in self._workers():
            with suppress(FileNotFoundError):  # taken over meanwhile
                table.read(path)
        return table.get(output)

    def entries(self, outputs: Iterable[str]) -> dict[str, Entry]:
        """What is known of several outputs, without those of which nothing is."""
        return {output: entry for output in outputs if (entry := self.entry(output)) is not None}

    @property
    def owner(self) -> str:
        """Whose the temporary files of this run are."""
        return self._label or "all"

    def sweep(self, place: Path) -> None:
        """Remove from a folder of results what an interrupted run like this one left, and what its workers left.

        A worker that is gone has no lock file any more: whoever took over its lines removed it.
        """
        sweep(place, self.owner)
        for path in place.glob(temporary_prefix(worker(_JOB.sub("", self._label), "*")) + "*.part"):
            if not Path(_lock(self._folder, temporary_owner(path)).lock_file).exists():
                path.unlink(missing_ok=True)

    def run(self, settings: Mapping[str, Any]) -> None:
        """A line with the settings of a run."""
        self._append(_line({"event": "run", "schema": SCHEMA, "id": settings_id(settings), "settings": settings}))
        self.force()

    def pending(self, *results: Result) -> None:
        """Outputs are about to get their names, each with the size and time of its `made`; the lines are forced."""
        self._append(b"".join(_line(result.line("pending")) for result in results))
        self.force()

    def done(self, *results: Result) -> None:
        """Outputs are whole, under their names.

        These lines go to the disk with the next that are forced: what they say is done once more where they are lost.
        """
        self._append(
            b"".join(
                _line(result.line("done") | {"seconds": round(result.seconds, 3), "tile": result.tile})
                for result in results
            )
        )

    def failed(self, source: str, reason: str) -> None:
        """The input gave nothing."""
        self._append(_line({"event": "failed", "input": source, "reason": reason}))

    def force(self) -> None:
        """Have all lines on the disk.

        Raises:
            MachineError: the disk is full, or fails.
        """
        try:
            os.fsync(self._handle)
        except OSError as error:
            raise refusal(error, self._path) from None

    def _append(self, lines: bytes) -> None:
        try:
            written = os.write(self._handle, lines)
        except OSError as error:
            raise refusal(error, self._path) from None
        if written < len(lines):
            raise MachineError(f"cannot write to '{self._folder}': No space left on device.")

    def _torn(self) -> bool:
        """Whether a killed run left half a line."""
        size = os.lseek(self._handle, 0, os.SEEK_END)
        if size == 0:
            return False
        os.lseek(self._handle, size - 1, os.SEEK_SET)
        return os.read(self._handle, 1) != b"\n"


class WorkerJournal(Journal):
    """The manifest of one of several processes of a run. What is known of its pictures it is told with them."""

    def __init__(self, folder: Path, label: str) -> None:
        super().__init__(folder, label)
        self._told: dict[str, Entry] = {}

    def load(self) -> None:
        """Nothing: the process that hands out the pictures has read all."""

    def take_over(self, *, patient: bool = True) -> None:
        """Nothing."""

    def tell(self, entries: Mapping[str, Entry]) -> None:
        """What is known of outputs that will be written."""
        self._told.update(entries)

    def entry(self, output: str) -> Entry | None:
        return self._told.get(output)

    def done(self, *results: Result) -> None:
        super().done(*results)
        for result in results:
            self._told.pop(result.output, None)


def lines(folder: Path) -> Iterator[dict[str, Any]]:
    """What all manifests of a folder say, in order, without lines that are torn or damaged."""
    for path in _manifests(folder):
        with path.open("rb") as stream:
            for line in stream:
                try:
                    values = json.loads(line)
                except (ValueError, RecursionError):
                    continue
                if isinstance(values, dict):
                    yield values


def remembered(folder: Path) -> Path:
    """Where the record of single pictures in a folder lies: XDG_STATE_HOME, or what stands for it."""
    try:
        state = Path(os.environ.get("XDG_STATE_HOME") or Path("~/.local/state").expanduser())
    except RuntimeError:  # nobody's home
        return folder / FOLDER
    return state / "irsde" / _digest(os.path.realpath(folder), 12).hex()


def worker(label: str, name: object) -> str:
    """The label of a worker of the run of that label."""
    return f"{label}{label and '.'}job-{name}"


def _line(values: Mapping[str, Any]) -> bytes:
    return json.dumps(values).encode("ascii") + b"\n"


def _manifest(folder: Path, label: str) -> Path:
    return folder / f"manifest{label and '.'}{label}.jsonl"


def _lock(folder: Path, label: str) -> FileLock:
    return FileLock(folder / f"lock{label and '.'}{label}")


def last_run(folder: Path, ids: Collection[str]) -> str | None:
    """With which of these settings results were last written to a folder, by `settings_id`; `None` is with none."""
    found = None
    for path in _manifests(folder):
        with suppress(OSError), path.open("rb") as stream:
            for line in stream:
                if line.startswith(b'{"event": "run"'):
                    with suppress(ValueError):
                        told = json.loads(line).get("id")
                        found = told if told in ids else found
    return found


def _manifests(folder: Path) -> list[Path]:
    """All records about a folder, the one that was last written to at the end."""
    found = [path for place in {folder / FOLDER, remembered(folder)} for path in place.glob("manifest*.jsonl")]
    return sorted(found, key=lambda path: path.stat().st_mtime_ns)


class _Table:
    """The last entry of each output in 97 bytes: a million of them as Python's objects take half a gigabyte."""

    def __init__(self) -> None:
        self._rows = np.empty(0, _ROW)
        self._firsts = np.empty(0, np.uint64)
        self._new = bytearray()

    def read(self, path: Path) -> None:
        """The entries of a manifest, in order; lines that are torn or damaged are passed over."""
        with path.open("rb") as stream:
            for line in stream:
                try:
                    values = json.loads(line)
                    if values["event"] in ("pending", "done"):
                        self._new += self._packed(values)
                except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError, struct.error):
                    continue
                if len(self._new) >= _MOST_NEW:
                    self._merge()

    def _packed(self, values: Mapping[str, Any]) -> bytes:
        numbers = (int(values[f"{side}_{what}"]) for side in ("input", "output") for what in ("size", "mtime_ns"))
        output, source = _digest(values["output"], 16), _digest(values["input"], 16)
        settings = _digest(values["settings"], 8)
        place = _digest(values["input_path"], 8) if "input_path" in values else NOWHERE
        content = bytes.fromhex(values.get("input_blake2b", ""))
        known = (source, place, content, *numbers, settings)
        return _PACKED.pack(*_halves(output), *known, values["event"] == "pending")

    def get(self, output: str) -> Entry | None:
        if self._new:
            self._merge()
        first, second = _halves(_digest(output, 16))
        index = int(np.searchsorted(self._firsts, np.uint64(first)))
        while index < len(self._firsts) and self._firsts[index] == first:
            row = self._rows[index]
            if row["second"] == second:
                numbers = [int(row[name]) for name in ("input_size", "input_time", "output_size", "output_time")]
                before, made = Identity(*numbers[:2]), Identity(*numbers[2:])
                source, place, content, settings = (
                    row[name].tobytes() for name in ("source", "place", "content", "settings")
                )
                return Entry(source, place, before, content, made, settings, bool(row["pending"]))
            index += 1
        return None

    def _merge(self) -> None:
        rows = np.concatenate([self._rows, np.frombuffer(self._new, _ROW)])
        self._rows, self._new = np.empty(0, _ROW), bytearray()
        order = np.lexsort((rows["second"], rows["first"]))  # stable: the last line about an output stays last
        first, second = rows["first"][order], rows["second"][order]
        last = np.ones(len(rows), bool)
        last[:-1] = (first[1:] != first[:-1]) | (second[1:] != second[:-1])
        self._rows, self._firsts = rows[order[last]], first[last]


_PACKED = struct.Struct("<QQ16s8s16sqqqq8s?")
_ROW = np.dtype(
    [
        ("first", "<u8"),
        ("second", "<u8"),
        ("source", "V16"),
        ("place", "V8"),
        ("content", "V16"),
        ("input_size", "<i8"),
        ("input_time", "<i8"),
        ("output_size", "<i8"),
        ("output_time", "<i8"),
        ("settings", "V8"),
        ("pending", "?"),
    ]
)
_MOST_NEW = 100_000 * _PACKED.size


def _halves(digest: bytes) -> tuple[int, int]:
    return int.from_bytes(digest[:8], "big"), int.from_bytes(digest[8:], "big")


def _digest(name: str, size: int) -> bytes:
    """Names are known by sixteen bytes, settings by eight."""
    return hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=size).digest()
