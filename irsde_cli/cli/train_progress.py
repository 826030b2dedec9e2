"""What a person sees while a network learns: a live line on a terminal, plain lines elsewhere."""

import time
from types import TracebackType
from typing import TYPE_CHECKING, Any

import typer

from irsde_cli.cli.progress import moving
from irsde_cli.cli.reporting import printable

if TYPE_CHECKING:
    from irsde_cli.workflows.train.events import Event, Progress


class Silent:
    """Warnings alone; the base of both displays."""

    def __enter__(self) -> "Silent":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def show(self, event: "Event") -> None:
        """Take note of an event."""
        from irsde_cli.workflows.train.events import Progress, Returned, Started, Warned

        match event:
            case Warned():
                self.note(f"Warning: {event.message}")
            case Returned():
                self.note(
                    f"Warning: {event.reason} at step {event.step}; going on from step {event.to} with half the rate, "
                    f"{event.rate:.3g}"
                )
            case Started():
                self.begin(event.step, event.steps)
                devices = f" on {event.devices} devices" if event.devices > 1 else ""
                self.line(
                    f"{event.parameters:,} parameters, {event.pictures} pictures{devices}, from step {event.step}"
                )
            case Progress():
                self.progress(event)
            case _:
                pass

    def note(self, text: str) -> None:
        """A line that is always shown."""
        typer.echo(printable(text), err=True)

    def line(self, text: str) -> None:
        """A line for whoever watches."""

    def begin(self, step: int, steps: int) -> None:
        """The run starts."""

    def progress(self, event: "Progress") -> None:
        """A report."""


class Lines(Silent):
    """A line a report."""

    def begin(self, step: int, steps: int) -> None:
        self._since, self._first = time.monotonic(), step

    def line(self, text: str) -> None:
        typer.echo(printable(text), err=True)

    def progress(self, event: "Progress") -> None:
        done = max(event.step - self._first, 1)
        left = (time.monotonic() - self._since) / done * (event.steps - event.step)
        self.line(f"step {event.step}/{event.steps}: {_describe(event)}, {_span(left)} left")


class Bar(Silent):
    """One bar, with the newest figures; validations stay above it."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        self._progress = RichProgress(
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}", markup=False),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )
        self._task: Any = self._progress.add_task("", total=None, figures="")

    def __enter__(self) -> "Bar":
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def begin(self, step: int, steps: int) -> None:
        self._progress.reset(self._task, total=steps, completed=step)

    def line(self, text: str) -> None:
        self._progress.console.print(printable(text), markup=False, highlight=False, soft_wrap=True)

    note = line

    def progress(self, event: "Progress") -> None:
        self._progress.update(self._task, completed=event.step, figures=_describe(event, validation=False))
        if event.psnr is not None:
            self.line(f"step {event.step}: {_describe(event)}")


def display(*, quiet: bool) -> Silent:
    """The display that fits."""
    if quiet:
        return Silent()
    return Bar() if moving() else Lines()


def _describe(event: "Progress", *, validation: bool = True) -> str:
    text = f"loss {event.loss:.5f}, rate {event.rate:.3g}, {event.images_per_second:.1f} images/s"
    if event.waiting >= 0.05:
        text += f", waiting for data {event.waiting:.0%} of the time"
    text += "".join(f", {name} {value:.3g}" for name, value in event.facts.items())
    if validation and event.psnr is not None:
        text += f", validation {event.input_psnr:.2f} -> {event.psnr:.2f} dB{' (best)' if event.best else ''}"
    return text


def _span(seconds: float) -> str:
    minutes = int(seconds / 60)
    return f"{minutes // 60}:{minutes % 60:02d} h" if minutes >= 60 else f"{minutes} min {int(seconds) % 60} s"
