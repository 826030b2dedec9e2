"""What a person sees while pictures are restored: a bar on a terminal, plain lines elsewhere."""

import os
import sys
import time
from types import TracebackType
from typing import Any

import typer

from irsde_cli.cli.reporting import printable
from irsde_cli.engine.settings import Step
from irsde_cli.workflows.restore.events import Done, Event, Failed, Lost, Planned, Skipped

SECONDS_BETWEEN_LINES = 10.0
NAMED = 3


class Counter:
    """Counts events; the base of all displays, and the display of `--quiet`."""

    def __init__(self) -> None:
        self.count = self.done = self.failed = self.skipped = 0
        self.work = 0.0
        self._lost: dict[str, tuple[int, list[str]]] = {}
        self.since = time.monotonic()

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
            case Step():
                self.work += event.megapixels
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
        """Megapixels times evaluations a second."""
        return self.work / max(time.monotonic() - self.since, 1e-9)

    @property
    def tally(self) -> str:
        """For the eye."""
        return f"{self.done} done, {self.failed} failed, {self.skipped} up to date"


class Lines(Counter):
    """A line every few seconds."""

    def __init__(self) -> None:
        super().__init__()
        self._last = self.since

    def show(self, event: Event) -> None:
        super().show(event)
        now = time.monotonic()
        if now - self._last >= SECONDS_BETWEEN_LINES:
            self._last = now
            finished = self.done + self.failed
            left = self.count - finished - self.skipped
            remaining = f", about {(now - self.since) / finished * left:.0f} s left" if finished else ""
            self.note(f"{self.tally} of {self.count}; {self.rate:.2f} megapixels x steps/s{remaining}")


class Bar(Counter):
    """One bar for all pictures, with the step of the current one."""

    def __init__(self) -> None:
        super().__init__()
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._progress = Progress(
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[tally]}", markup=False),
            TextColumn("{task.fields[current]}", markup=False),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._task: Any = self._progress.add_task("", total=None, tally="", current="")

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
        if isinstance(event, Step):
            name = printable(event.names[0])
            current = f"{name[-24:]} step {event.step}/{event.steps}, {self.rate:.2f} MP x steps/s"
            part = event.step / event.steps * len(event.names)
        self._progress.update(
            self._task,
            total=self.count,
            completed=self.done + self.failed + self.skipped + min(part, 0.99),
            tally=self.tally,
            current=current,
        )

    def note(self, text: str) -> None:
        self._progress.console.print(text, markup=False, highlight=False, soft_wrap=True)


def display(*, quiet: bool) -> Counter:
    """The display that fits: a bar needs a terminal that can move its cursor."""
    if quiet:
        return Counter()
    moving = sys.stderr.isatty() and os.environ.get("TERM") != "dumb" and "NO_COLOR" not in os.environ
    return Bar() if moving else Lines()
