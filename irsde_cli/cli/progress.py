"""What a person sees while pictures are restored: a bar on a terminal, plain lines elsewhere."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

import typer

from irsde_cli.cli.reporting import printable
from irsde_cli.engine.settings import Step, Tile, duration
from irsde_cli.workflows.restore.events import Done, Event, Failed, Lost, Planned, Skipped

SECONDS_BETWEEN_LINES = 10.0
NAMED = 3


class Counter:
    """Counts events; the base of all displays, and the display of `--quiet`.

    Work is counted in megapixels times evaluations. A picture that has not begun is taken to be like those that have.
    """

    def __init__(self) -> None:
        self.count = self.done = self.failed = self.skipped = 0
        self.work = 0.0
        self._lost: dict[str, tuple[int, list[str]]] = {}
        self.since = time.monotonic()
        self._begun = 0
        self._begun_work = 0.0
        self._parts: dict[tuple[str, ...], float] = {}
        self._first: tuple[float, float] | None = None

    def __enter__(self) -> "Counter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def show(self, event: Event) -> None:
        """Take note of an event."""
        match event:
            case Planned():
                self.count = event.count
            case Step() | Tile():
                self._advance(event)
            case Done():
                self.done += 1
            case Failed():
                self.failed += 1
            case Skipped():
                self.skipped += 1
            case Lost():
                for title in event.titles:
                    count, names = self._lost.get(title, (0, []))
                    self._lost[title] = count + 1, [*names, event.name] if count < NAMED else names
            case _:
                pass

    def _advance(self, event: Step | Tile) -> None:
        part = event.megapixels * (event.step - 1 + (event.tile / event.tiles if isinstance(event, Tile) else 1))
        if event.names not in self._parts:
            self._begun += len(event.names)
            self._begun_work += event.megapixels * event.steps
        before = self._parts.get(event.names, 0.0)
        self._parts[event.names] = max(part, before)  # smaller where it is done again in smaller tiles
        self.work += self._parts[event.names] - before
        if self._first is None:
            self._first = time.monotonic(), self.work
        if isinstance(event, Step) and event.step == event.steps:
            del self._parts[event.names]

    @property
    def losses(self) -> list[str]:
        """A line for each thing that results lack: in how many, and the first of them by name."""
        lines = []
        for title, (count, names) in self._lost.items():
            more = f" and {count - NAMED} more (--verbose names all)" if count > NAMED else ""
            files = f"{count} files" if count > 1 else "1 file"
            lines.append(printable(f"not kept: {title}, of {files}: {', '.join(names)}{more}"))
        return lines

    def note(self, text: str) -> None:
        """A line beside the display."""
        typer.echo(text, err=True)

    @property
    def rate(self) -> float:
        """Megapixels times evaluations a second, where it is known without what was prepared for the first."""
        since, work = self._first or (self.since, 0.0)
        if self.work == work:
            since, work = self.since, 0.0
        return (self.work - work) / max(time.monotonic() - since, 1e-9)

    @property
    def seconds_left(self) -> float:
        """How long the rest may take; 0 while nothing is known of it."""
        if not self.work:
            return 0.0
        pictures = max(self.count - self.skipped - self.failed, self._begun)
        remaining = self._begun_work / self._begun * pictures - self.work
        return max(remaining, 0) / self.rate

    @property
    def left(self) -> str:
        """The same in words, once something is known of it; else ""."""
        return f"about {duration(self.seconds_left)} left" if self.work else ""

    @property
    def tally(self) -> str:
        """For the eye."""
        return f"{self.done} done, {self.failed} failed, {self.skipped} up to date"


class Lines(Counter):
    """A line every few seconds."""

    def __init__(self) -> None:
        super().__init__()
        self._last = self.since
        self._told = False

    def show(self, event: Event) -> None:
        super().show(event)
        now = time.monotonic()
        if not self._told and self.seconds_left > SECONDS_BETWEEN_LINES:
            self._told = True
            self.note(f"{self.left}.")
        if now - self._last >= SECONDS_BETWEEN_LINES:
            self._last = now
            where = f"; {_where(event)}" if isinstance(event, Step | Tile) else ""
            remaining = f", {self.left}" if self.left else ""
            self.note(f"{self.tally} of {self.count}{where}; {self.rate:.2f} megapixels x steps/s{remaining}")


class Bar(Counter):
    """One bar for all pictures, with the step and tile of the current one."""

    def __init__(self) -> None:
        super().__init__()
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        self._progress = Progress(
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[tally]}", markup=False),
            TextColumn("{task.fields[current]}", markup=False),
            TextColumn("{task.fields[left]}", markup=False),
            console=Console(stderr=True),
            transient=True,
        )
        self._task: Any = self._progress.add_task("", total=None, tally="", current="", left="")

    def __enter__(self) -> "Bar":
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def show(self, event: Event) -> None:
        super().show(event)
        current = ""
        part = 0.0
        if isinstance(event, Step | Tile):
            current = f"{_where(event)}, {self.rate:.2f} MP x steps/s"
            over = event.step if isinstance(event, Step) else event.step - 1 + event.tile / event.tiles
            part = over / event.steps * len(event.names)
        self._progress.update(
            self._task,
            total=self.count,
            completed=self.done + self.failed + self.skipped + min(part, 0.99),
            tally=self.tally,
            current=current,
            left=self.left,
        )

    def note(self, text: str) -> None:
        self._progress.console.print(text, markup=False, highlight=False, soft_wrap=True)


def _where(event: Step | Tile) -> str:
    """Picture, evaluation and tile."""
    tile = f", tile {event.tile}/{event.tiles}" if isinstance(event, Tile) else ""
    return f"{printable(event.names[0])[-24:]} step {event.step}/{event.steps}{tile}"


def display(*, quiet: bool) -> Counter:
    """The display that fits: a bar needs a terminal that can move its cursor."""
    if quiet:
        return Counter()
    return Bar() if moving() else Lines()


@contextmanager
def counting(*, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """What is called with how many of how many are done: a bar on a terminal, and nothing elsewhere."""
    if quiet or not moving():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def moving() -> bool:
    """Whether standard error is a terminal that can move its cursor, and may."""
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb" and "NO_COLOR" not in os.environ
