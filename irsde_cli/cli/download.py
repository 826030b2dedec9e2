"""`irsde download`."""

import json
import signal
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from irsde_cli.cli.reporting import as_json, complain, data, data_path, printable
from irsde_cli.errors import UsageError
from irsde_cli.registry import unknown_name
from irsde_cli.tasks import TASKS, get_task
from irsde_cli.weights import SHIPPED, shipped_path, stored_path
from irsde_cli.weights.catalogue import CATALOGUE, METRIC_WEIGHTS

if TYPE_CHECKING:
    from irsde_cli.workflows.weights.download import Intended, Ready, Refused


def _complete(incomplete: str) -> list[str]:
    return [name for name in (*CATALOGUE, *METRIC_WEIGHTS) if name.startswith(incomplete)]


def download(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME...", help="Names of --list, or owner/name on the Hub.", autocompletion=_complete),
    ] = None,
    show: Annotated[
        bool, typer.Option("--list", help="Name all weights, or say all of NAME or of a task, and stop.")
    ] = False,
    task: Annotated[
        str | None, typer.Option("--all-for", metavar="TASK", help="All weights of a task that can be fetched.")
    ] = None,
    files: Annotated[
        list[Path] | None, typer.Option("--from", metavar="FILE", help="Take these files instead of fetching.")
    ] = None,
    revision: Annotated[str | None, typer.Option(help="A branch, tag or commit of the Hub.")] = None,
    local_dir: Annotated[Path | None, typer.Option(help="Put the results into this folder.")] = None,
    max_sigma: Annotated[
        float | None, typer.Option(min=0.1, max=255, help="Lambda, of 255, where the list does not know it.")
    ] = None,
    timesteps: Annotated[int | None, typer.Option(min=1, help="T, where the list does not know it.")] = None,
    upsampling: Annotated[
        Literal["nearest", "bicubic"] | None, typer.Option(help="How pictures are enlarged first.")
    ] = None,
    verify: Annotated[bool, typer.Option("--verify", help="Check what is here, and fetch nothing.")] = False,
    export: Annotated[
        bool, typer.Option("--export", help="Write weights as the reference's files: NAME OUT.pth.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
    json_lines: Annotated[bool, typer.Option("--json", help="Print lines of JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print results and errors alone.")] = False,
) -> None:
    """Fetch, convert and check weights; prints the path of each.

    HF_TOKEN, HF_HOME, HF_ENDPOINT and HF_HUB_OFFLINE mean what they mean to the Hub's own program; IRSDE_WEIGHTS names
    the folder for what is converted.

    Examples: irsde download someone/their-weights

    irsde download rain100h --from rain100h_sde.pth
    """
    if show:
        _list(list(names or []), json_lines)
        return
    wanted = list(names or [])
    if task is not None:
        get_task(task)
        wanted += [name for name, row in CATALOGUE.items() if row.task == task and row.reachable and not row.refused]
        if not wanted and not quiet:
            typer.echo(
                f"none for {task} can be fetched; 'irsde download --list' says where to get some by hand.", err=True
            )
    if not wanted and task is None:
        raise UsageError("nothing is named.", hint="'irsde download --list' names what there is.")
    if verify and export:
        raise UsageError("--verify and --export are two things.")
    if export and len(wanted) < 2:
        raise UsageError("--export takes a name and the files to write.", hint="irsde download --export NAME out.pth")
    with _interruptible():
        from irsde_cli.conversions.published import Decided
        from irsde_cli.workflows.weights import download as workflow
        from irsde_cli.workflows.weights.download import Wanted

        if export:
            outputs = [Path(name) for name in wanted[1:]]
            workflow.export_official(wanted[0], outputs)
            for path in outputs:
                data_path(path)
            return
        decided = Decided(max_sigma, timesteps, upsampling)
        asked = Wanted(tuple(wanted), tuple(files or ()), revision, local_dir, decided, dry_run)
        _show(workflow.verify(wanted) if verify else workflow.obtain(asked), json_lines=json_lines, quiet=quiet)


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


def _show(events: "Iterator[Ready | Intended | Refused]", *, json_lines: bool, quiet: bool) -> None:
    from irsde_cli.workflows.weights.download import Intended, Ready, Refused

    failed = False
    for event in events:
        if json_lines:
            data(as_json(event))
        match event:
            case Ready(path=path, news=news):
                if not json_lines:
                    data_path(path)
                if not quiet:
                    told = "; ".join(part for part in (news, f"SHA-256 {event.sha256}") if part)
                    typer.echo(f"{printable(event.name)}: {printable(told)}", err=True)
            case Intended() if not json_lines:
                data(printable(f"{event.name}: {event.action}"))
            case Refused():
                failed = True
                complain(event.reason, event.hint)
            case _:
                pass
    if failed:
        raise typer.Exit(4)


def _list(names: list[str], json_lines: bool) -> None:
    """What there is, what works now first; of what is named all that is known."""
    rows = list(_rows())
    for name in names:
        if any(name in (row["name"], row["task"]) for row in rows):
            continue
        if name in TASKS:
            raise UsageError(f"no weights are known for the task '{name}'.", hint="'irsde train' makes some.")
        raise unknown_name("weights or task", name, [row["name"] for row in rows] + list(TASKS))
    rows = [row for row in rows if not names or row["name"] in names or row["task"] in names]
    if json_lines:
        for row in rows:
            data(json.dumps(row))
        return
    groups: dict[str, list[dict[str, Any]]] = {title: [] for title in GROUPS}
    for row in rows:
        groups[_group(row)].append(row)
    for title, members in groups.items():
        if members:
            data(title)
        for row in members:
            size = f"{row['mib']:.0f} MiB" if row["mib"] >= 10 else f"{row['mib']:.1f} MiB"
            data(_wrapped(f"{row['name']:24} {row['task'] or '-':9} {size:>8}", row["title"], 46))
            for line in _about(row) if names else [f"better than ours: {row['better']}"] if row.get("better") else []:
                data(_wrapped("", line, 4) if names else _wrapped("", line, 46))
    if not names:
        data("'irsde download --list NAME' says what one learnt from, its licence and source.")


GROUPS = (
    "Ready:",
    "'irsde download NAME' fetches:",
    "Taken from files that you fetch by hand:",
    "Not to be used here:",
)


def _group(row: dict[str, Any]) -> str:
    if row["here"]:
        return GROUPS[0]
    if row["refused"]:
        return GROUPS[3]
    return GROUPS[1] if row["reachable"] else GROUPS[2]


def _wrapped(start: str, text: str, margin: int) -> str:
    """Text beside what begins the line, in 80 columns; a long word, as an address is, stays whole."""
    lines = textwrap.wrap(text, 80 - margin, break_long_words=False, break_on_hyphens=False) or [""]
    return "\n".join(f"{'  ' + start if not index else '':{margin}}{line}".rstrip() for index, line in enumerate(lines))


def _about(row: dict[str, Any]) -> list[str]:
    """Where it is from, what it learnt, its licence, what it is good for, and what is in doubt."""
    better = f"better than what ships: {row['better']}" if row.get("better") else ""
    checked = f"checked by {row['checked']}" if row.get("checked") else ""
    learnt = f"learnt from: {row['data']}" if row["data"] else ""
    licence = f"licence: {row['licence']}" if row["licence"] else ""
    lines = [row["refused"], better, row["doubt"], learnt, licence, checked, row["source"], row.get("remark", "")]
    return [line for line in lines if line]


def _rows() -> list[dict[str, Any]]:
    """All that `--list` knows, in the order of the tables."""
    from irsde_cli import checkpoint

    rows: list[dict[str, Any]] = []
    for name in SHIPPED:
        header = checkpoint.read_header(shipped_path(name))
        task = TASKS[header.task]
        role = {task.sampled: ", by samplers", task.fast: ", in up to four steps"}.get(name, "")
        rows.append(
            {
                "name": name,
                "title": f"ours: {task.summary}{role}",
                "training_steps": header.step,
                "reachable": True,
                "task": header.task,
                "system": header.system,
                "mib": shipped_path(name).stat().st_size / 2**20,
                "licence": header.licence,
                "source": "",
                "data": header.data,
                "here": True,
                "refused": "",
                "doubt": "",
            }
        )
    for name, row in CATALOGUE.items():
        shown = {key: value for key, value in asdict(row).items() if key != "files"}
        files = [{"name": file.name, "mib": file.mib, "sha256": file.sha256} for file in row.files]
        rows.append(
            {
                "name": name,
                **shown,
                "files": files,
                "mib": row.mib,
                "reachable": row.reachable,
                "here": stored_path(name).is_file(),
            }
        )
    for name, metric in METRIC_WEIGHTS.items():
        rows.append(
            {
                "name": name,
                "reachable": True,
                "title": f"{metric.title}, for irsde evaluate",
                "task": "",
                "system": "metric",
                "mib": metric.mib,
                "licence": metric.licence,
                "source": " ".join(web.url for web in metric.files),
                "data": "ImageNet; human judgements of likeness",
                "here": stored_path(name).is_file(),
                "refused": "",
                "doubt": "",
            }
        )
    return rows
