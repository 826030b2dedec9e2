"""The operations by which a process changes a folder, with something done before, within and after each.

Python's own calls are watched (files opened for writing, `write`, `sendfile`, `fsync`, `replace`, `rename`, `unlink`,
`remove`, `rmdir`, `mkdir`, `link`, `symlink`, `utime`), and the two writers of weights that are not Python.
"""

import base64
import builtins
import io
import json
import math
import os
import signal
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

Moment = Literal["before", "within", "after"]


@dataclass(frozen=True)
class Point:
    """A moment of an operation.

    Attributes:
        kind: `write` (to the end of the file), `fsync`, `rename`, `unlink`, `rmdir`, `mkdir`, `link`, `symlink`, `date`
            or `create` (empty).
        moment: half of what is written has been written `within` a write.
        path: the file or folder.
        data: what is written.
        target: the new name, or what a link leads to.
        time: of the file's last change, in nanoseconds, `after` a write or a date.
    """

    kind: str
    moment: Moment
    path: str
    data: bytes = b""
    target: str = ""
    time: int = 0


Act = Callable[[Point], None]


class _Watched:
    """A file opened for writing."""

    def __init__(self, stream: Any, path: str, act: Act) -> None:
        self._stream, self._path, self._act = stream, path, act

    def write(self, data: Any) -> int:
        half = len(data) // 2
        _written(self._act, self._path, _raw(data), lambda: self._put(data[:half]), lambda: self._put(data[half:]))
        return len(data)

    def _put(self, data: Any) -> None:
        self._stream.write(data)
        self._stream.flush()

    def __enter__(self) -> "_Watched":
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _raw(data: Any) -> bytes:
    return data.encode() if isinstance(data, str) else bytes(data)


def _written(act: Act, path: str, data: bytes, first: Callable[[], object], second: Callable[[], object]) -> None:
    act(Point("write", "before", path, data))
    first()
    act(Point("write", "within", path, data))
    second()
    act(Point("write", "after", path, data, time=Path(path).stat().st_mtime_ns))


def _opened(handle: int) -> str:
    return os.readlink(f"/proc/self/fd/{handle}")  # noqa: PTH115 - names may be bytes that are no text


def watch(folder: Path, act: Act) -> None:
    """Call `act` at each point below `folder`, in this process from now on."""
    root = os.path.realpath(folder)

    def inside(path: Any, dir_fd: int | None = None) -> str:
        """The path below the folder, or nothing."""
        try:
            name = os.fsdecode(_opened(path) if isinstance(path, int) else os.fspath(path))
        except (TypeError, OSError):
            return ""
        if dir_fd is not None:
            name = os.path.join(_opened(dir_fd), name)  # noqa: PTH118
        name = os.path.abspath(name)  # noqa: PTH100 - links stay as they are
        return name if name == root or name.startswith(root + os.sep) else ""

    def around(kind: str, call: Any) -> Any:
        def watched(path: Any, *rest: Any, **more: Any) -> Any:
            where = inside(path, more.get("dir_fd"))
            if not where:
                return call(path, *rest, **more)
            target = inside(rest[0]) if kind in ("rename", "link") else ""
            act(Point(kind, "before", where, target=target))
            result = call(path, *rest, **more)
            time = os.stat(path).st_mtime_ns if kind == "date" else 0  # noqa: PTH116 - paths may be numbers
            act(Point(kind, "after", where, target=target, time=time))
            return result

        return watched

    # os.replace and os.rename are the same to a folder.
    for kind, name in (
        ("fsync", "fsync"),
        ("rename", "replace"),
        ("rename", "rename"),
        ("unlink", "unlink"),
        ("unlink", "remove"),
        ("rmdir", "rmdir"),
        ("mkdir", "mkdir"),
        ("link", "link"),
        ("date", "utime"),
    ):
        setattr(os, name, around(kind, getattr(os, name)))

    link = os.symlink

    def watched_link(target: Any, path: Any, *rest: Any, **more: Any) -> None:
        where = inside(path)
        if not where:
            link(target, path, *rest, **more)
            return
        act(Point("symlink", "before", where, target=os.fspath(target)))
        link(target, path, *rest, **more)
        act(Point("symlink", "after", where, target=os.fspath(target)))

    open_stream = io.open

    def watched_stream(file: Any, mode: str = "r", *rest: Any, **more: Any) -> Any:
        where = inside(file) if set(mode) & set("wxa+") else ""
        if not where:
            return open_stream(file, mode, *rest, **more)
        new = bool(set(mode) & set("wx")) or not os.path.exists(where)  # noqa: PTH110
        if new:
            act(Point("create", "before", where))
        stream = _Watched(open_stream(file, mode, *rest, **more), where, act)
        if new:
            act(Point("create", "after", where))
        return stream

    open_file = os.open

    def watched_file(path: Any, flags: int, *rest: Any, **more: Any) -> int:
        where = inside(path) if flags & os.O_CREAT else ""
        if not where or os.path.exists(path):  # noqa: PTH110
            return open_file(path, flags, *rest, **more)
        act(Point("create", "before", where))
        handle = open_file(path, flags, *rest, **more)
        act(Point("create", "after", where))
        return handle

    write = os.write

    def watched_write(handle: int, data: Any) -> int:
        where, raw = inside(handle), bytes(data)
        if not where:
            return write(handle, raw)
        half = len(raw) // 2
        _written(act, where, raw, lambda: write(handle, raw[:half]), lambda: write(handle, raw[half:]))
        return len(raw)

    send: Any = os.sendfile

    def watched_send(target: int, source: int, offset: int, count: int) -> Any:
        where, size = inside(target), min(os.fstat(source).st_size - offset, count)
        if not where or size <= 0:
            return send(target, source, offset, count)
        data, half = os.pread(source, size, offset), size // 2
        _written(
            act,
            where,
            data,
            lambda: send(target, source, offset, half),
            lambda: send(target, source, offset + half, size - half),
        )
        return size

    def saving(call: Any) -> Any:
        """A writer in another language: what it wrote is cut to half and made whole again."""

        def watched(content: Any, path: Any, *rest: Any, **more: Any) -> Any:
            where = inside(path)
            if not where:
                return call(content, path, *rest, **more)
            act(Point("create", "before", where))
            call(content, path, *rest, **more)
            with open_stream(where, "rb") as stream:
                data = stream.read()
            os.truncate(where, 0)
            act(Point("create", "after", where))

            def put(part: bytes) -> None:
                with open_stream(where, "ab") as stream:
                    stream.write(part)

            half = len(data) // 2
            _written(act, where, data, lambda: put(data[:half]), lambda: put(data[half:]))
            return None

        return watched

    import torch

    from irsde_cli import checkpoint
    from irsde_cli.workflows.restore import pipeline

    pipeline.SECONDS_TOGETHER = math.inf  # the same points each time, however busy the machine is
    torch.save = saving(torch.save)
    vars(checkpoint)["save_file"] = saving(vars(checkpoint)["save_file"])
    vars(os)["symlink"] = watched_link
    os.open = watched_file
    os.write = watched_write
    vars(os)["sendfile"] = watched_send
    io.open = builtins.open = watched_stream


Prepare = Callable[[], None]


def count(folder: Path, notes: Path) -> Prepare:
    """Write down each point of a run, one a line."""
    return partial(_count, folder, notes)


def _count(folder: Path, notes: Path) -> None:
    handle, write = os.open(notes, os.O_WRONLY | os.O_CREAT | os.O_APPEND), os.write

    def act(point: Point) -> None:
        line = asdict(point) | {"data": base64.b64encode(point.data).decode()}
        write(handle, json.dumps(line).encode() + b"\n")

    watch(folder, act)


def counted(notes: Path) -> list[Point]:
    """The points of a run."""
    lines = map(json.loads, notes.read_bytes().splitlines())
    return [Point(**(line | {"data": base64.b64decode(line["data"])})) for line in lines]


def kill_at(folder: Path, number: int) -> Prepare:
    """Kill the process at the point of that number, counted from 0."""
    return partial(_kill_at, folder, number)


def _kill_at(folder: Path, number: int) -> None:
    left = number

    def act(_: Point) -> None:
        nonlocal left
        if left <= 0:  # threads count too
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1

    watch(folder, act)
