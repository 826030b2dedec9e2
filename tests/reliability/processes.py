"""`irsde` in real processes that start at once: forked by a process that has imported everything and run nothing."""

import ctypes
import fcntl
import multiprocessing
import os
import pty
import resource
import signal
import struct
import sys
import tempfile
import termios
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

from tests.reliability.points import Prepare

ROOT = Path(__file__).parents[2]
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.reliability.preload"])


@dataclass(frozen=True)
class Ended:
    """A process that is over; `code` is minus the signal where one ended it."""

    code: int
    stdout: str
    stderr: str

    @property
    def complaint(self) -> str:
        return " ".join(self.stderr.split())


class Running:
    """A process on its way, with what it has printed so far."""

    def __init__(self, process: Any, stdout: Path, stderr: Path) -> None:
        self._process = process
        self._stdout, self._stderr = stdout, stderr
        self.pid: int = process.pid

    @property
    def stdout(self) -> str:
        return self._stdout.read_bytes().decode("utf-8", "surrogateescape")

    @property
    def stderr(self) -> str:
        return self._stderr.read_bytes().decode("utf-8", "surrogateescape")

    @property
    def alive(self) -> bool:
        return bool(self._process.is_alive())

    def until(self, condition: Callable[[], object], seconds: float = 60) -> None:
        """Wait for something that the process does."""
        since = time.monotonic()
        while not condition():
            assert self.alive, f"ended with {self._process.exitcode}: {self.stderr}"
            assert time.monotonic() - since < seconds, f"nothing for {seconds} s: {self.stderr}"
            time.sleep(0.002)

    def signal(self, number: int) -> None:
        # A process that is over is still a zombie of the forking one, or is gone.
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def wait(self, seconds: float = 60) -> Ended:
        self._process.join(seconds)
        if self._process.exitcode is None:
            self.signal(signal.SIGKILL)
            self._process.join()
            raise AssertionError(f"still running after {seconds} s: {self.stderr}")
        return Ended(self._process.exitcode, self.stdout, self.stderr)


class Terminal:
    """A terminal of a program, and what it has shown."""

    def __init__(self, columns: int = 0) -> None:
        self.leader, self.follower = pty.openpty()
        if columns:
            fcntl.ioctl(self.follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self.shown = b""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self.leader, 65536)
            except OSError:
                return
            self.shown += data

    @property
    def name(self) -> str:
        return os.ttyname(self.follower)

    def press(self, keys: bytes) -> None:
        os.write(self.leader, keys)

    def finish(self) -> None:
        """Wait for all that a program has shown, once it is over."""
        os.close(self.follower)
        self._reader.join()

    def hang_up(self) -> None:
        os.close(self.follower)
        os.close(self.leader)


def start(
    *words: object,
    cwd: Path,
    stdin: Path | None = None,
    terminal: str | None = None,
    environment: Mapping[str, str | None] | None = None,
    prepare: Sequence[Prepare] = (),
) -> Running:
    """`irsde` with these words.

    Args:
        words: the command line.
        cwd: where it runs.
        stdin: a file to read from.
        terminal: a terminal that it controls, and that takes its input and output.
        environment: variables to set, or to unset.
        prepare: called in the process before the program, for instance to take rights from it.
    """
    folder = Path(tempfile.mkdtemp(prefix="streams-", dir=cwd.parent))
    stdout, stderr = folder / "stdout", folder / "stderr"
    stdout.touch()
    stderr.touch()
    streams = (terminal,) * 3 if terminal else (str(stdin or os.devnull), str(stdout), str(stderr))
    arguments = (list(map(str, words)), str(cwd), streams, dict(environment or {}), list(prepare))
    with _server_environment():
        process = CONTEXT.Process(target=_program, args=arguments)
        process.start()
    return Running(process, stdout, stderr)


def irsde(*words: object, **more: Any) -> Ended:
    """`start`, and wait for the end."""
    return start(*words, **more).wait()


@contextmanager
def _server_environment() -> Iterator[None]:
    """What the forking process finds in its environment, when the first process is started."""
    wanted = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        forkserver.ensure_running()
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _program(
    words: list[str], cwd: str, streams: tuple[str, ...], environment: dict[str, str | None], prepare: list[Prepare]
) -> None:
    os.chdir(cwd)
    for name, value in environment.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    os.setsid()  # the first terminal that is opened is then the one whose signals come here
    for number, path in enumerate(streams):
        opened = os.open(
            path, os.O_RDWR if number == 0 and path == streams[1] else (os.O_RDONLY, os.O_WRONLY)[number > 0]
        )
        os.dup2(opened, number)
        os.close(opened)
    sys.stdin = os.fdopen(0, "r", closefd=False)
    encoding = os.environ.get("PYTHONIOENCODING", "utf-8")
    errors = "surrogateescape" if encoding == "utf-8" else "strict"
    sys.stdout = os.fdopen(1, "w", encoding=encoding, errors=errors, closefd=False)
    sys.stderr = os.fdopen(2, "w", 1, encoding=encoding, errors="backslashreplace", closefd=False)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    import torch

    torch.set_num_threads(1)
    for call in prepare:
        call()
    sys.argv = ["irsde", *words]
    from irsde_cli.cli import main

    main()


def limited(kind: int, amount: int) -> Prepare:
    """No more than so much of a resource (`resource.RLIMIT_...`)."""
    return partial(resource.setrlimit, kind, (amount, amount))


def little_memory(more: int) -> Prepare:
    """No more than so many bytes of addresses beyond those that the process has."""
    return partial(_limit_memory, more)


def _limit_memory(more: int) -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + more
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def without_privileges() -> None:
    """An owner to whom modes apply: root may write into folders of mode 0555 until its capabilities are gone."""
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    nothing = (ctypes.c_uint32 * 6)()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.capset(header, nothing):
        raise OSError(ctypes.get_errno(), "capset")
