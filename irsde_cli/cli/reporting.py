"""Where errors become one sentence and an exit code, and text becomes safe for a terminal."""

import functools
import json
import logging
import os
import re
import signal
import sys
import textwrap
import unicodedata
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import Any, ParamSpec, TypeVar

import typer

from irsde_cli.errors import IrsdeError, MachineError

P = ParamSpec("P")
R = TypeVar("R")
INTERRUPTED = 130
BROKEN_PIPE = 141
WIDTH = 80


def printable(text: object) -> str:
    """`text` without control characters or bytes that no terminal can show: they become escapes."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape", "surrogatepass").decode()
        for character in str(text)
    )


def fitted(text: str) -> str:
    """Lines that a terminal on standard error would cut, broken between words; elsewhere the text as it is.

    What stands in quotes, as places and commands do, stays whole.
    """
    if not sys.stderr.isatty():
        return text
    width = os.get_terminal_size(sys.stderr.fileno()).columns or WIDTH
    lines: list[str] = []
    for line in text.split("\n"):
        words = re.findall(r"(?<!\S)\(?'[^']*'\S*|\S+", line) if len(line) > width else []
        lines.append("" if words else line)
        for word in words:
            if lines[-1] and len(lines[-1]) + 1 + len(word) > width:
                lines.append(word)
            else:
                lines[-1] = f"{lines[-1]} {word}".strip()
    return "\n".join(lines)


def tell(text: str) -> None:
    """Words for people on standard error."""
    typer.echo(fitted(text), err=True)


def complain(message: str, hint: str = "") -> None:
    """What is wrong, and what to do."""
    tell(f"Error: {printable(message)}")
    if hint:
        tell(f"Hint: {printable(hint)}")


def beside(start: str, text: str, margin: int) -> str:
    """Text beside what begins the line, in 80 columns; a long word, as an address is, stays whole."""
    lines = textwrap.wrap(text, WIDTH - margin, break_long_words=False, break_on_hyphens=False) or [""]
    begins = [start if len(start) < margin else f"{start} "] + [""] * (len(lines) - 1)
    return "\n".join(f"{begin:{margin}}{line}".rstrip() for begin, line in zip(begins, lines, strict=True))


def data(text: str) -> None:
    """A line of results on standard output; a name that the output's encoding lacks is escaped."""
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")
    sys.stdout.flush()


def data_path(path: Path) -> None:
    """The path of a result on standard output: what a terminal can show, or for a program the name as it is."""
    if sys.stdout.isatty():
        data(printable(path))
        return
    line = "".join(
        printable(character) if unicodedata.category(character) == "Cc" else character for character in str(path)
    )
    sys.stdout.flush()
    sys.stdout.buffer.write(os.fsencode(line) + b"\n")
    sys.stdout.buffer.flush()


def as_json(event: Any) -> str:
    """An event as one line of JSON in ASCII."""
    values = {"event": type(event).__name__.lower()} | asdict(event)
    values.pop("data", None)
    return json.dumps(values, default=lambda value: str(value) if isinstance(value, Path) else value)


def reported(command: Callable[P, R]) -> Callable[P, R]:
    """The command, with its errors printed for people and turned into exit codes."""

    @functools.wraps(command)
    def run(*arguments: P.args, **options: P.kwargs) -> R:
        try:
            return command(*arguments, **options)
        except IrsdeError as error:
            complain(error.message, error.hint)
            raise typer.Exit(error.exit_code) from None
        except KeyboardInterrupt:  # before or after the part that is asked to stop
            complain("interrupted.", "The same command goes on where it stopped.")
            raise typer.Exit(INTERRUPTED) from None
        except Exception as error:
            if isinstance(error, BrokenPipeError) or (isinstance(error, OSError) and _hung_up()):
                # Python would complain again when it flushes at exit.
                for stream in (sys.stdout, sys.stderr):
                    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
                raise typer.Exit(BROKEN_PIPE) from None
            if isinstance(error, typer.Exit | typer.Abort) or os.environ.get("IRSDE_DEBUG"):
                raise
            if isinstance(error, OSError) and error.filename is not None:
                complain(f"cannot use '{error.filename}': {error.strerror}.", "IRSDE_DEBUG=1 shows where.")
                raise typer.Exit(MachineError.exit_code) from None
            complain(f"this is a bug: {type(error).__name__}: {error}.", "IRSDE_DEBUG=1 shows where; please report it.")
            raise typer.Exit(1) from None

    return run


def _hung_up() -> bool:
    """Whether the terminal is gone: whatever is written to it fails, even nothing."""
    try:
        os.write(sys.stderr.fileno(), b"")
        os.write(sys.stdout.fileno(), b"")
    except OSError:
        return True
    return False


def log(*, verbose: bool, quiet: bool) -> None:
    """Warnings on standard error, more or less than these as asked."""
    level = logging.INFO if verbose else logging.ERROR if quiet else logging.WARNING
    if os.environ.get("IRSDE_DEBUG"):
        level = logging.DEBUG
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Fitted())
    logging.basicConfig(handlers=[handler], level=logging.WARNING)
    logging.getLogger("irsde_cli").setLevel(level)
    logging.getLogger("huggingface_hub").propagate = False  # it has a handler of its own


class _Fitted(logging.Formatter):
    """Records as words for people."""

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter.format`."""
        return fitted(super().format(record))


class Interruption:
    """Asks a run to stop at the first signal and ends the process at the second.

    Attributes:
        code: 128 + the signal, once one came; else 0.
    """

    def __init__(self) -> None:
        self.code = 0

    def __enter__(self) -> "Interruption":
        names = [name for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name)]
        self._before = {number: signal.signal(number, self._note) for number in (getattr(signal, n) for n in names)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def __call__(self) -> bool:
        return self.code != 0

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.code:
            os._exit(self.code)
        self.code = 128 + number
