"""`irsde download`."""

import json
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from irsde_cli.cli.builder import command
from irsde_cli.cli.options import Show
from irsde_cli.cli.reporting import as_json, beside, complain, data, data_path, log, printable, tell
from irsde_cli.errors import UsageError
from irsde_cli.registry import address, unknown_name
from irsde_cli.tasks import TASKS
from irsde_cli.workflows.weights.options import Download

if TYPE_CHECKING:
    from irsde_cli.workflows.weights.download import Intended, Ready, Refused
    from irsde_cli.workflows.weights.listing import Listed


def run(options: Download, show: Show) -> None:
    """Fetch, convert and check weights; prints the path of each.

    HF_TOKEN, HF_HOME, HF_ENDPOINT and HF_HUB_OFFLINE mean what they mean to the Hub's own program; IRSDE_WEIGHTS names
    the folder for what is converted.

    Examples: irsde download someone/their-weights

    irsde download rain100h --from rain100h_sde.pth
    """
    if options.listing:
        _list(options.names, as_lines=show.json)
        return
    log(verbose=show.verbose, quiet=show.quiet)
    wanted = options.wanted
    if show.print_config:
        data(json.dumps({**asdict(options), "names": wanted, "decided": options.decided}, default=str))
        return
    if not wanted and not show.quiet:
        tell(f"none for {options.task} can be fetched; 'irsde download --list' says where to get some by hand.")
    if options.verify and options.export:
        raise UsageError("--verify and --export are two things.")
    if options.export and len(wanted) < 2:
        raise UsageError("--export takes a name and the files to write.", hint="irsde download --export NAME out.pth")
    with _interruptible():
        from irsde_cli.workflows.weights import download as workflow

        if options.export:
            outputs = [Path(name) for name in wanted[1:]]
            workflow.export_official(wanted[0], outputs)
            for path in outputs:
                data_path(path)
            return
        _show(workflow.verify(wanted) if options.verify else workflow.obtain(options), show)


download = command(run)


@contextmanager
def _interruptible() -> Iterator[None]:
    """Signals unwind what runs, so that it removes its temporary files."""
    code = 130

    def stop(number: int, _: object) -> None:
        nonlocal code
        code = 128 + number
        raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    except KeyboardInterrupt:
        complain("interrupted.", "The same command goes on with what is not there yet.")
        raise typer.Exit(code) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _show(events: "Iterator[Ready | Intended | Refused]", show: Show) -> None:
    from irsde_cli.workflows.weights.download import Intended, Ready, Refused

    failed = False
    for event in events:
        if show.json:
            data(as_json(event))
        match event:
            case Ready(path=path, news=news):
                if not show.json:
                    data_path(path)
                if not show.quiet:
                    told = "; ".join(part for part in (news, f"SHA-256 {event.sha256}") if part)
                    tell(f"{printable(event.name)}: {printable(told)}")
            case Intended() if not show.json:
                data(printable(f"{event.name}: {event.action}"))
            case Refused():
                failed = True
                complain(event.reason, event.hint)
            case _:
                pass
    if failed:
        raise typer.Exit(4)


def _list(names: Sequence[str], *, as_lines: bool) -> None:
    """What there is, what works now first; of what is named all that is known."""
    from irsde_cli.workflows.weights.listing import listed

    rows = list(listed())
    for name in names:
        if any(name in (row.name, row.task) for row in rows):
            continue
        if name in TASKS:
            raise UsageError(f"no weights are known for the task '{name}'.", hint="'irsde train' makes some.")
        raise unknown_name("weights or task", name, [row.name for row in rows] + list(TASKS))
    rows = [row for row in rows if not names or row.name in names or row.task in names]
    if as_lines:
        for row in rows:
            data(json.dumps(asdict(row)))
        return
    groups: dict[str, list[Listed]] = {title: [] for title in GROUPS}
    for row in rows:
        groups[_group(row)].append(row)
    for title, members in groups.items():
        if members:
            data(title)
        for row in members:
            size = f"{row.mib:.0f} MiB" if row.mib >= 10 else f"{row.mib:.1f} MiB"
            data(beside(f"  {row.name:24} {row.task or '-':9} {size:>8}", row.title, 46))
            for line in _about(row) if names else [f"better than ours: {row.better}"] if row.better else []:
                data(beside("", line, 4) if names else beside("", line, 46))
    if not names:
        data("'irsde download --list NAME' says what one learnt from, its licence and source.")


GROUPS = (
    "Ready:",
    "'irsde download NAME' fetches:",
    "Taken from files that you fetch by hand:",
    "Not to be used here:",
)


def _group(row: "Listed") -> str:
    if row.here:
        return GROUPS[0]
    if row.refused:
        return GROUPS[3]
    return GROUPS[1] if row.reachable else GROUPS[2]


def _about(row: "Listed") -> list[str]:
    """Where it is from, what it learnt, its licence, what it is good for, and what is in doubt."""
    better = f"better than what ships: {row.better}" if row.better else ""
    checked = f"checked by {row.checked}" if row.checked else ""
    learnt = f"learnt from: {row.data}" if row.data else ""
    licence = f"licence: {row.licence}" if row.licence else ""
    papers = f"papers: {' '.join(map(address, row.papers))}" if row.papers else ""
    known = f"how its settings are known: {row.certainty}" if row.certainty else ""
    lines = [row.refused, better, row.doubt, learnt, licence, papers, checked, known, row.source, row.remark]
    decided = f"--set decides: {', '.join(row.decidable)}" if row.decidable else ""
    return [line for line in (*lines, decided) if line]
