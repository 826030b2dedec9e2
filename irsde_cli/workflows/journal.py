"""The manifest of an output folder: JSON lines that say what was made from what, and the lock that guards them.

A `pending` line is written before a file gets its name and a `done` line after, so that a file that a killed run left
is known as ours, and a file of anybody else is not.
"""

import hashlib
import json
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from filelock import FileLock, Timeout

from irsde_cli.errors import MachineError
from irsde_cli.workflows.files import make_folder, refusal, sync_folder

SCHEMA = 1
FOLDER = ".irsde"


@dataclass(frozen=True, slots=True)
class Identity:
    """A file as far as it can be known without reading it."""

    size: int
    mtime_ns: int

    @classmethod
    def of(cls, status: os.stat_result) -> "Identity":
        return cls(status.st_size, status.st_mtime_ns)


@dataclass(frozen=True, slots=True)
class Entry:
    """What the last line about an output says; while it is pending nobody knows whether it got its name."""

    source: bytes
    before: Identity
    made: Identity
    settings: str
    pending: bool


def settings_id(settings: Mapping[str, Any]) -> str:
    """A short name for all that decides the pixels of an output."""
    return hashlib.blake2b(json.dumps(settings, sort_keys=True).encode(), digest_size=8).hexdigest()


class Journal:
    """The lines of all manifests of a folder, and the one manifest that this run appends to.

    Args:
        folder: the output folder; it must exist.
        shard: `i-of-n`, or "" for a run over everything: each has a manifest and a lock of its own.

    Raises:
        MachineError: another run holds the lock, or the folder cannot be written.
    """

    def __init__(self, folder: Path, shard: str = "") -> None:
        self._folder = folder / FOLDER
        suffix = f".{shard}" if shard else ""
        self._path = self._folder / f"manifest{suffix}.jsonl"
        self._lock = FileLock(self._folder / f"lock{suffix}")
        self._entries: dict[bytes, Entry] = {}

    def __enter__(self) -> "Journal":
        try:
            make_folder(self._folder)
            self._lock.acquire(timeout=0)
            self.load()
            self._handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0), 0o666)
            sync_folder(self._folder)
        except Timeout:
            raise MachineError(
                f"another run is writing to '{self._folder.parent}'.",
                hint="Wait for it, or let several work together with --shard.",
            ) from None
        except OSError as error:
            self._lock.release()
            raise refusal(error, self._folder / "manifest.jsonl") from None
        if self._torn():
            self._append(b"\n")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._handle)
        self._lock.release()

    def load(self) -> None:
        """Read what earlier runs wrote; the manifest that was last written to is believed before the others."""
        for path in sorted(self._folder.glob("manifest*.jsonl"), key=lambda path: path.stat().st_mtime_ns):
            self._entries.update(_read(path))

    def entry(self, output: str) -> Entry | None:
        """What is known of an output, by its path relative to the folder."""
        return self._entries.get(_digest(output))

    def came_from(self, entry: Entry, source: str) -> bool:
        """Whether that entry is about an output of the input of that name."""
        return entry.source == _digest(source)

    def run(self, settings: Mapping[str, Any]) -> None:
        """A line with the settings of a run."""
        self._write({"event": "run", "schema": SCHEMA, "id": settings_id(settings), "settings": settings})

    def pending(self, source: str, before: Identity, output: str, made: Identity, settings: str) -> None:
        """The output is about to get its name; it will have the size and time of `made`."""
        self._made("pending", source, before, output, made, settings)

    def done(self, source: str, before: Identity, output: str, made: Identity, settings: str, seconds: float) -> None:
        """The output is whole, under its name."""
        self._made("done", source, before, output, made, settings, seconds=round(seconds, 3))

    def _made(
        self, event: str, source: str, before: Identity, output: str, made: Identity, settings: str, **more: float
    ) -> None:
        self._write(
            {
                "event": event,
                "input": source,
                "input_size": before.size,
                "input_mtime_ns": before.mtime_ns,
                "output": output,
                "output_size": made.size,
                "output_mtime_ns": made.mtime_ns,
                "settings": settings,
                **more,
            }
        )
        self._entries[_digest(output)] = Entry(_digest(source), before, made, settings, event == "pending")

    def failed(self, source: str, reason: str) -> None:
        """The input gave nothing."""
        self._write({"event": "failed", "input": source, "reason": reason})

    def _write(self, values: Mapping[str, Any]) -> None:
        self._append(json.dumps(values).encode("ascii") + b"\n")

    def _append(self, line: bytes) -> None:
        try:
            written = os.write(self._handle, line)
            os.fsync(self._handle)
        except OSError as error:
            raise refusal(error, self._path) from None
        if written < len(line):
            raise MachineError(f"cannot write to '{self._folder}': No space left on device.")

    def _torn(self) -> bool:
        """Whether a killed run left half a line."""
        size = os.lseek(self._handle, 0, os.SEEK_END)
        if size == 0:
            return False
        os.lseek(self._handle, size - 1, os.SEEK_SET)
        return os.read(self._handle, 1) != b"\n"


def _read(path: Path) -> Iterator[tuple[bytes, Entry]]:
    """The entries of a manifest, in order; lines that are torn or damaged are passed over."""
    with path.open("rb") as stream:
        for line in stream:
            try:
                values = json.loads(line)
                source, output, event = values["input"], values["output"], values["event"]
                if event in ("pending", "done"):
                    before = Identity(int(values["input_size"]), int(values["input_mtime_ns"]))
                    made = Identity(int(values["output_size"]), int(values["output_mtime_ns"]))
                    settings = sys.intern(str(values["settings"]))
                    yield _digest(output), Entry(_digest(source), before, made, settings, event == "pending")
            except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
                continue


def _digest(name: str) -> bytes:
    """Names of a million files are kept as sixteen bytes each."""
    return hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=16).digest()
