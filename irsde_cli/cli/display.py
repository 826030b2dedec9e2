"""What moves on standard error while a command works, the same for all of them."""

import os
import sys
import time
from types import TracebackType
from typing import Any, Literal

from irsde_cli.cli.reporting import fitted, tell

Mode = Literal["bar", "lines", "none"]
SECONDS_BETWEEN_LINES = 10.0


def mode(*, quiet: bool) -> Mode:
    """A bar needs a terminal that can move its cursor, and may."""
    if quiet:
        return "none"
    moving = sys.stderr.isatty() and os.environ.get("TERM") != "dumb" and "NO_COLOR" not in os.environ
    return "bar" if moving else "lines"


class Display:
    """A bar, or a line from time to time, or nothing; notes stand beside it.

    Args:
        mode: which of the three.
        every: seconds between two lines.
        transient: whether the bar vanishes in the end.
    """

    def __init__(self, mode: Mode, *, every: float = SECONDS_BETWEEN_LINES, transient: bool = True) -> None:
        self.mode = mode
        self._every = every
        self._last = time.monotonic()
        self._bar: Any = None
        self._task: Any = None
        if mode == "bar":
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

            text = TextColumn("{task.fields[words]}", markup=False)
            columns = (BarColumn(), MofNCompleteColumn(), text)
            self._bar = Progress(*columns, console=Console(stderr=True), transient=transient)
            self._task = self._bar.add_task("", total=None, words="")

    def __enter__(self) -> "Display":
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def update(self, done: float, total: int | None, words: str = "", line: str = "") -> None:
        """So much of so much is done.

        Args:
            done: may be a part.
            total: `None` where nobody knows.
            words: what the bar says beside that.
            line: what is said where there is no bar, if it is time.
        """
        if self._bar is not None:
            self._bar.update(self._task, completed=done, total=total, words=words)
        elif self.mode == "lines" and line and (now := time.monotonic()) - self._last >= self._every:
            self._last = now
            self.note(line)

    def note(self, text: str) -> None:
        """A line that is always shown, above a bar."""
        if self._bar is not None:
            self._bar.console.print(fitted(text), markup=False, highlight=False, soft_wrap=True)
        else:
            tell(text)
