"""The page of a run: each picture with what became of it, as the files hold them."""

import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from torch import Tensor

from irsde_cli.errors import IrsdeError
from irsde_cli.images import Limits, read_picture, to_tensor
from irsde_cli.report.page import Report
from irsde_cli.workflows.restore.events import Done, Event, Failed, Reported, Skipped
from irsde_cli.workflows.restore.options import Options, beside


def paged(events: Iterator[Event], options: Options, folder: Path, caption: str) -> Iterator[Event]:
    """The events, and in the end that of the page, which is written even where an error ends the run."""
    page = Report(folder, f"irsde restore --task {options.task}")
    failures: list[tuple[str, str]] = []
    stopped: IrsdeError | None = None
    try:
        for event in events:
            if isinstance(event, Failed):
                failures.append((event.name, event.reason))
            elif isinstance(event, Done | Skipped) and event.output is not None and event.source is not None:
                note = "restored by an earlier run" if isinstance(event, Skipped) else ""
                page.read(event.name, partial(_before_and_after, options, event.name, event.source, event.output), note)
            yield event
    except IrsdeError as error:
        stopped = error
    yield Reported(page.write(caption, failures))
    if stopped is not None:
        raise stopped


def _before_and_after(options: Options, name: str, source: Path, output: Path) -> dict[str, Tensor]:
    """The input and what became of it."""
    given = read_picture(source, name, limits=options.limits, allow_truncated=options.allow_truncated)
    places = {"restored": output}
    draws = options.samples if options.estimate == "sample" else 1
    places |= {f"restored, draw {draw + 1}": Path(beside(output, f".{draw}")) for draw in range(1, draws)}
    if options.spread:
        places["spread"] = Path(beside(output, ".spread"))
    ours = Limits(max_pixels=sys.maxsize)
    pictures = {"input": given} | {label: read_picture(path, path.name, limits=ours) for label, path in places.items()}
    return {label: to_tensor(picture) for label, picture in pictures.items()}
