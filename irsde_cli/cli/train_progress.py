"""What a person sees while a network learns: a bar on a terminal, a line a report elsewhere."""

import time
from typing import TYPE_CHECKING

from irsde_cli.cli.display import Display
from irsde_cli.cli.reporting import printable

if TYPE_CHECKING:
    from irsde_cli.workflows.train.events import Event, Progress, Started


class Learning:
    """Shows the events of a training; validations stay above the bar."""

    def __init__(self, display: Display) -> None:
        self.display = display
        self._since, self._first = time.monotonic(), 0

    def show(self, event: "Event") -> None:
        """Take note of an event."""
        from irsde_cli.workflows.train.events import Progress, Returned, Started, Warned

        match event:
            case Warned():
                self._note(f"Warning: {event.message}")
            case Returned():
                self._note(
                    f"Warning: {event.reason} at step {event.step}; going on from step {event.to} with half the rate, "
                    f"{event.rate:.3g}"
                )
            case Started():
                self._begun(event)
            case Progress():
                self._report(event)
            case _:
                pass

    def _note(self, text: str) -> None:
        self.display.note(printable(text))

    def _begun(self, event: "Started") -> None:
        self._since, self._first = time.monotonic(), event.step
        self.display.update(event.step, event.steps)
        if self.display.mode != "none":
            devices = f" on {event.devices} devices" if event.devices > 1 else ""
            self._note(f"{event.parameters:,} parameters, {event.pictures} pictures{devices}, from step {event.step}")

    def _report(self, event: "Progress") -> None:
        done = max(event.step - self._first, 1)
        left = f"{_span((time.monotonic() - self._since) / done * (event.steps - event.step))} left"
        line = f"step {event.step}/{event.steps}: {_describe(event)}, {left}"
        self.display.update(event.step, event.steps, f"{_describe(event, validation=False)}, {left}", printable(line))
        if self.display.mode == "bar" and event.psnr is not None:
            self._note(f"step {event.step}: {_describe(event)}")


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
