"""`irsde restore`."""

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import typer

from irsde_cli.cli import guide
from irsde_cli.cli.builder import command
from irsde_cli.cli.options import Show
from irsde_cli.cli.reporting import Interruption, as_json, complain, data, data_path, log, printable, tell
from irsde_cli.errors import IrsdeError, NothingError, UsageError
from irsde_cli.tasks import TASKS
from irsde_cli.weights import BEST, advice
from irsde_cli.workflows.restore.look import Look
from irsde_cli.workflows.restore.options import Options
from irsde_cli.workflows.restore.run import prepare, resolved
from irsde_cli.workflows.restore.watch import Watch

if TYPE_CHECKING:
    from irsde_cli.cli.display import Display
    from irsde_cli.workflows.restore.choosing import Choosing
    from irsde_cli.workflows.restore.events import Event, Failed, Ready
    from irsde_cli.workflows.restore.job import Job

T = TypeVar("T")


def run(options: Options, look: Look, watch: Watch, show: Show) -> None:
    """Restore pictures and write them to a folder.

    Examples: irsde restore photos/ restored/ --task denoise

    irsde restore shaken.jpg sharp.jpg --task deblur --steps 20
    """
    log(verbose=show.verbose, quiet=show.quiet)
    if not options.task and options.model in (None, BEST) and not _only_opens(options):
        tell("\n".join(guide.tasks()))
        raise UsageError("--task is missing.", hint="Add the one of the first column that fits: --task denoise")
    if look.preview:
        _preview(options, look, quiet=show.quiet)
        return
    if look.crop is not None:
        raise UsageError("--crop goes with --preview.")
    if watch.watch:
        _watch(options, show)
        return
    job = prepare(options, stdin=lambda: sys.stdin.buffer, touch=not show.print_config)
    if show.print_config:
        data(json.dumps(job.resolved, default=str))
        return
    with Interruption() as interrupted:
        failures = _pass(job, options, show, interrupted)
    _name(failures)
    if interrupted.code:
        complain("interrupted.", "The same command goes on where it stopped.")
        raise typer.Exit(interrupted.code)
    if failures:
        raise typer.Exit(3)


restore = command(run)


def _watch(options: Options, show: Show) -> None:
    """Run by run, until a signal comes; of later runs only what they do is said."""
    from irsde_cli.workflows.restore.watch import folders, rounds

    places, said = folders(options), set()
    with Interruption() as interrupted:
        for first in rounds(places, recursive=options.recursive, stopped=interrupted):
            try:
                job = prepare(options)
            except NothingError as nothing:
                if first and not show.quiet:
                    tell(f"{nothing.message} They are waited for.")
                continue
            failures = _pass(job, options, show if first else replace(show, quiet=True), interrupted)
            _name([failed for failed in failures if (failed.name, failed.reason) not in said])
            said = {(failed.name, failed.reason) for failed in failures}
            if first and not show.quiet:
                tell("waiting for more pictures; Ctrl-C ends it.")
            if interrupted():
                break
    complain("interrupted.", "The same command goes on where it stopped.")
    raise typer.Exit(interrupted.code or 0)


def _name(failures: "list[Failed]") -> None:
    """What failed, and why."""
    for failed in failures:
        words = (printable(part) for part in (failed.name, failed.reason))
        tell(f"failed: {': '.join(words)} {printable(failed.hint)}".rstrip())


def _pass(job: "Job | Choosing", options: Options, show: Show, interrupted: Interruption) -> "list[Failed]":
    """One run over all there is; what failed of it."""
    from irsde_cli.cli.display import Display, mode
    from irsde_cli.cli.progress import Counter
    from irsde_cli.engine.settings import Tile
    from irsde_cli.workflows.restore.events import Failed, Reported

    failures: list[Failed] = []
    page: Path | None = None
    stopped: IrsdeError | None = None
    as_lines = show.json and options.outputs != "-"
    display = Display(mode(quiet=show.quiet))
    shown = Counter(display)
    with display:
        for event in _until_stopped(job.run(interrupted, shown.show)):
            if isinstance(event, IrsdeError):
                stopped = event
                break
            shown.show(event)
            if as_lines and not isinstance(event, Tile):
                data(as_json(event))
            if isinstance(event, Failed):
                failures.append(event)
            elif isinstance(event, Reported):
                page = event.path
            else:
                _say(event, options, show, display)
    if as_lines:
        counts = {"done": shown.done, "failed": shown.failed, "skipped": shown.skipped}
        data(json.dumps({"event": "summary", **counts, "interrupted": interrupted()}))
    if not show.quiet and not options.dry_run:
        tell("\n".join((*shown.spared, *shown.losses, f"{shown.tally}.")))
    if page is not None:
        tell(f"the page is {printable(page)}")
    if stopped is not None:
        _name(failures)
        raise stopped
    return failures


def _preview(options: Options, look: Look, *, quiet: bool) -> None:
    """Write the page, say where it is, and open it where somebody looks."""
    from irsde_cli.workflows.restore import look as looking

    page = looking.look(resolved(options), look.crop)
    data_path(page)
    if not quiet and sys.stdout.isatty() and (os.environ.get("DISPLAY") or sys.platform in ("darwin", "win32")):
        typer.launch(page.as_uri())


def _say(event: "Event", options: Options, show: Show, shown: "Display") -> None:
    """An event for people, and results for who reads them."""
    from irsde_cli.engine.settings import duration
    from irsde_cli.workflows.restore.events import (
        Chosen,
        Done,
        Expected,
        Intended,
        Judged,
        Lost,
        Planned,
        Ready,
        Seen,
        Skipped,
        Warned,
    )

    match event:
        case Ready() if not show.quiet:
            shown.note(_opening(event))
            if show.verbose or (event.nodes and options.sampling.is_chosen):
                shown.note(_details(event))
            if not event.opens:
                shown.note(advice(event.weights, event.task))
        case Planned() if not show.quiet:
            unsaid = event.left_out.losses if options.strict else []
            for phrase in event.left_out.phrases:
                if phrase not in unsaid:
                    shown.note(f"{printable(event.place)}: {phrase}.")
        case Done(data=bytes() as picture):
            sys.stdout.buffer.write(picture)
            sys.stdout.buffer.flush()
        case Done() if not show.json:
            for path in (event.output, *event.extra):
                if path is not None:
                    data_path(path)
        case Seen() if not show.quiet:
            likely = [f"{word} {share:.0%}" for word, share in event.damage.items() if share >= 0.05]
            shown.note(f"{printable(event.name)}: {', '.join(likely)}")
        case Chosen() if not show.quiet:
            shown.note(f"{printable(event.name)}: {event.task or 'nothing to undo'}; {event.seen}")
        case Judged() if show.verbose:
            shown.note(f"{printable(event.name)}: takes {event.weight:.0%} of what was restored; {event.seen}")
        case Skipped() if show.verbose:
            shown.note(f"up to date: {printable(event.name)}")
        case Lost() if show.verbose:
            shown.note(printable(f"{event.name}: not kept: {', '.join(event.details)}"))
        case Warned() if not show.quiet:
            shown.note(f"{printable(event.name)}: {printable(event.message)}")
        case Expected() if not show.quiet:
            pictures = f"{event.count} picture{'s' * (event.count != 1)}"
            shown.note(f"about {duration(event.seconds)} for {pictures}: an estimate from one small evaluation.")
        case Intended() if not show.json:
            reason = f" ({event.reason})" if event.reason else ""
            data(printable(f"{event.action}: {event.name} -> {event.output}{reason}"))
        case _:
            pass


def _only_opens(options: Options) -> bool:
    from irsde_cli.workflows.restore.opening import only_opens  # loads what reads pictures, which help does without

    return only_opens(options)


def _opening(ready: "Ready") -> str:
    """With what the run begins: what is done, to what, where it goes, by what."""
    where = ", ".join(dict.fromkeys(ready.places))
    if ready.ray is not None:
        where = f"the Ray cluster '{ready.ray}'"
    elif len(ready.places) > 1:
        where += f" in {len(ready.places)} processes"
    where += " by OpenVINO" * (ready.engine == "openvino")
    task = "open" if ready.opens else TASKS[ready.task].summary
    pictures = f"{ready.count} picture{'s' * (ready.count != 1)}"
    place = "in place" if ready.target is None else f"into {_named(ready.target)}"
    summary = f"{task[0].upper()}{task[1:]}"
    files = ", ".join(part.rpartition(" ")[0] for part in ready.origin.split("; "))
    made = f" (made from {files})" if files not in ("", ready.weights) else ""
    return printable(f"{summary}: {pictures} of {ready.place} {place}, with {ready.weights}{made} on {where}.")


def _named(place: object) -> str:
    return "a pipe" if place == "-" else f"'{place}'"


def _details(ready: "Ready") -> str:
    """How it is done, for who would do the same again."""
    at = f" at {','.join(map(str, ready.nodes))}" if ready.nodes else ""
    realism = (
        f", realism {ready.realism if ready.realism == 'map' else format(ready.realism, 'g')}"
        if ready.realism not in (None, 1)
        else ""
    )
    return f"{ready.sampler}, {ready.steps} step{'s' * (ready.steps != 1)}{at}{realism}, seed {ready.seed}."


def _until_stopped(events: Iterator[T]) -> Iterator[T | IrsdeError]:
    """The events, and in the end the error that stopped them, so that what failed before it is still named."""
    try:
        yield from events
    except IrsdeError as error:
        yield error
