"""The page of a run: each picture with what became of it, as the files hold them."""

import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from torch import Tensor

from irsde_cli.errors import IrsdeError
from irsde_cli.images import Limits, read_picture, to_tensor
from irsde_cli.needs.gate import WIDE, doubt, layer
from irsde_cli.needs.interval import Evidence, Interval, enlarged
from irsde_cli.report.page import Report
from irsde_cli.workflows.restore.events import Done, Event, Failed, Reported, Skipped
from irsde_cli.workflows.restore.loading import known_of
from irsde_cli.workflows.restore.opening import opener
from irsde_cli.workflows.restore.options import Options, beside

GUESSED = "measured / guessed"


def paged(
    events: Iterator[Event], options: Options, folder: Path, caption: str, interval: Interval | None = None
) -> Iterator[Event]:
    """The events, and in the end that of the page, which is written even where an error ends the run.

    Args:
        events: of the run.
        options: what was asked for.
        folder: of the page.
        caption: of the page.
        interval: calibrated for the network: with it, or in holes, the page shows what is a guess.
    """
    page = Report(folder, f"irsde restore --task {options.task}")
    failures: list[tuple[str, str]] = []
    stopped: IrsdeError | None = None
    try:
        for event in events:
            if isinstance(event, Failed):
                failures.append((event.name, event.reason))
            elif isinstance(event, Done | Skipped) and event.output is not None and event.source is not None:
                note = "restored by an earlier run" if isinstance(event, Skipped) else ""
                page.read(event.name, partial(_shown, options, event.name, event.source, event.output, interval), note)
            yield event
    except IrsdeError as error:
        stopped = error
    notes: tuple[str, ...] = ()
    if interval is not None or options.mask is not None:
        notes = (
            f"{GUESSED}: grey is measured; orange is a guess, which may be farther than {255 * WIDE:.0f} of 255 off in "
            "one pixel of ten, or contradicts the input, or lies in a hole.",
        )
    yield Reported(page.write(caption, failures, notes=notes))
    if stopped is not None:
        raise stopped


def _shown(options: Options, name: str, source: Path, output: Path, interval: Interval | None) -> dict[str, Tensor]:
    """The input, what became of it, and what of that is a guess."""
    given = read_picture(
        source, name, limits=options.limits, allow_truncated=options.allow_truncated, opener=opener(options)
    )
    places = {"restored": output}
    draws = options.samples if options.estimate == "sample" else 1
    places |= {f"restored, draw {draw + 1}": Path(beside(output, f".{draw}")) for draw in range(1, draws)}
    if options.spread:
        places["spread"] = Path(beside(output, ".spread"))
    ours = Limits(max_pixels=sys.maxsize)
    pictures = {"input": given} | {
        label: read_picture(path, path.name, limits=ours, opener=opener(options)) for label, path in places.items()
    }
    shown = {label: to_tensor(picture) for label, picture in pictures.items()}
    known = None if options.mask is None else known_of(given, options.mask, options)[0]
    if interval is not None or known is not None:
        shown[GUESSED] = _guessed(shown["input"], shown["restored"], known, interval)
    return shown


def _guessed(degraded: Tensor, restored: Tensor, known: Tensor | None, interval: Interval | None) -> Tensor:
    """The layer of a result."""
    size = (restored.shape[-2], restored.shape[-1])
    scale = size[1] // degraded.shape[-1]
    seen = Evidence(enlarged(degraded, size), restored, known)
    return layer(restored, doubt(seen, interval, scale, degraded if scale > 1 else None))
