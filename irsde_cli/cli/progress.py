"""What a person sees while pictures are restored."""

import time

from irsde_cli.cli.display import SECONDS_BETWEEN_LINES, Display
from irsde_cli.cli.reporting import printable
from irsde_cli.engine.settings import Step, Tile, duration
from irsde_cli.workflows.restore.events import Done, Event, Failed, Judged, Lost, Planned, Skipped

NAMED = 3


class Counter:
    """Counts events, and shows what it counted.

    Work is counted in megapixels times evaluations. A picture that has not begun is taken to be like those that have.
    """

    def __init__(self, display: Display) -> None:
        self.display = display
        self.count = self.done = self.failed = self.skipped = 0
        self.work = 0.0
        self._spared: list[str] = []
        self._told = False
        self._lost: dict[str, tuple[int, list[str]]] = {}
        self.since = time.monotonic()
        self._begun = 0
        self._begun_work = 0.0
        self._parts: dict[tuple[str, ...], float] = {}
        self._first: tuple[float, float] | None = None

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
            case Judged(weight=0):
                self._spared.append(event.name)
            case Lost():
                for title in event.titles:
                    count, names = self._lost.get(title, (0, []))
                    self._lost[title] = count + 1, [*names, event.name] if count < NAMED else names
            case _:
                pass
        self._shown(event)

    def _shown(self, event: Event) -> None:
        """Show the count, with the step and tile of the current picture."""
        part, where = 0.0, ""
        if isinstance(event, Step | Tile):
            over = event.step if isinstance(event, Step) else event.step - 1 + event.tile / event.tiles
            part = over / event.steps * len(event.names)
            where = _where(event)
        left = self.left
        if self.display.mode == "lines" and not self._told and self.seconds_left > SECONDS_BETWEEN_LINES:
            self._told = True
            self.display.note(f"{left}.")
        line = f"{self.tally} of {self.count}{f'; {where}' if where else ''}; {self.rate:.2f} megapixels x steps/s"
        words = [self.tally, f"{where}, {self.rate:.2f} MP x steps/s" if where else "", left]
        done = self.done + self.failed + self.skipped + min(part, 0.99)
        self.display.update(done, self.count, " ".join(filter(None, words)), f"{line}{f', {left}' if left else ''}")

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
    def spared(self) -> list[str]:
        """A line about the pictures that needed nothing, if there are some."""
        count = len(self._spared)
        if not count:
            return []
        names = ", ".join(self._spared[:NAMED]) + (f" and {count - NAMED} more" if count > NAMED else "")
        pictures = f"{count} picture{'s' * (count != 1)}"
        return [printable(f"{pictures} needed nothing: {names} (--strength 1 restores all the same)")]

    @property
    def losses(self) -> list[str]:
        """A line for each thing that results lack: in how many, and the first of them by name."""
        lines = []
        for title, (count, names) in self._lost.items():
            more = f" and {count - NAMED} more (--verbose names all)" if count > NAMED else ""
            files = f"{count} files" if count > 1 else "1 file"
            lines.append(printable(f"not kept: {title}, of {files}: {', '.join(names)}{more}"))
        return lines

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


def _where(event: Step | Tile) -> str:
    """Picture, evaluation and tile."""
    tile = f", tile {event.tile}/{event.tiles}" if isinstance(event, Tile) else ""
    return f"{printable(event.names[0])[-24:]} step {event.step}/{event.steps}{tile}"
