"""`irsde evaluate`."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from irsde_cli.cli.builder import command
from irsde_cli.cli.figures import as_csv, everything, markdown, plain, table
from irsde_cli.cli.options import Show
from irsde_cli.cli.reporting import Interruption, as_json, beside, complain, data, log, printable, tell
from irsde_cli.datasets import DATASETS, dataset_name
from irsde_cli.engine.settings import device_for
from irsde_cli.errors import UsageError
from irsde_cli.metrics.protocols import PROTOCOLS
from irsde_cli.option import record
from irsde_cli.workflows.evaluate.request import Request, resolved

if TYPE_CHECKING:
    from irsde_cli.report.page import Report
    from irsde_cli.workflows.evaluate.events import Planned, Problem, Result, Scored


def run(request: Request, show: Show) -> None:
    """Measure restored pictures against clean ones, by a named protocol.

    Examples: irsde evaluate --dataset gopro --data-root sets/

    irsde evaluate --gt clean/ --lq noisy/ --task denoise --way posterior:8 --way ode-1:1

    irsde evaluate --gt clean/ --from ours/ --from theirs/
    """
    if request.listing:
        _list(request.dataset)
        return
    log(verbose=show.verbose, quiet=show.quiet)
    asked = resolved(request)
    if show.print_config:
        data(json.dumps({**asdict(asked), "device": request.device, "precision": request.precision}, default=str))
        return
    from irsde_cli.cli.display import Display, mode
    from irsde_cli.runtime import choose_device, choose_precision
    from irsde_cli.workflows.evaluate.events import Planned, Problem, Result, Scored
    from irsde_cli.workflows.evaluate.run import evaluate

    if asked.lpips is None and not show.quiet:
        tell("LPIPS is left out: run 'irsde download lpips', or name its weights with --lpips.")
    device = choose_device(device_for(request.engine, request.device))
    dtype = choose_precision(request.precision, device)
    page = None if request.report is None else _page(request.report, asked.dataset or request.clean)
    planned: Planned | None = None
    rows: list[Scored] = []
    problems: list[Problem] = []
    result: Result | None = None
    with Interruption() as interrupted, Display(mode(quiet=show.quiet)) as display:
        shown = None if page is None else page.pictures
        for event in evaluate(asked, device=device, dtype=dtype, shown=shown, stopped=interrupted):
            if show.json:
                data(as_json(event))
            match event:
                case Planned():
                    planned = event
                case Scored():
                    rows.append(event)
                    if page is not None:
                        page.figures(event.key, event.figures)
                case Problem():
                    problems.append(event)
                case Result():
                    result = event
            if planned is not None:
                done = len(rows) + len(problems)
                display.update(
                    done,
                    planned.pairs,
                    event.key if isinstance(event, Scored) else "",
                    f"{done} of {planned.pairs} pairs",
                )
    assert planned is not None and result is not None, "a run begins with one and ends with the other"
    _written(request, show, planned, rows, problems, result)
    if page is not None:
        failures = [(problem.key, problem.reason) for problem in problems]
        tell(f"the page is {printable(page.write(planned.caption, failures, table(planned, result), result.notes))}")
    for problem in problems:
        tell(f"failed: {printable(problem.key)}: {printable(problem.reason)}")
    if interrupted.code:
        complain(f"interrupted after {len(rows)} of {planned.pairs} pairs.")
        raise typer.Exit(interrupted.code)
    if not rows:
        raise UsageError("not one pair could be measured.")
    if problems:
        raise typer.Exit(3)


evaluate = command(run)


def _written(
    request: Request,
    show: Show,
    planned: "Planned",
    rows: "list[Scored]",
    problems: "list[Problem]",
    result: "Result",
) -> None:
    """The table on standard output unless a program reads that, and the files."""
    if not show.json and Path("-") not in (request.figures, request.csv, request.markdown):
        data(plain(planned, result))
    told = everything(record(request), planned, rows, problems, result)
    _write(request.figures, json.dumps(told, indent=1, default=str) + "\n")
    _write(request.csv, as_csv(rows))
    _write(request.markdown, markdown(planned, result) + "\n")


def _page(folder: Path, subject: str | Path | None) -> "Report":
    from irsde_cli.report.page import Report

    return Report(folder, f"irsde: {subject.name if isinstance(subject, Path) else subject or ''}")


def _list(dataset: str | None) -> None:
    """What there is; of a data set that is named all that is known."""
    if dataset is not None:
        row = DATASETS[dataset_name(dataset)]
        about = {
            "data set": row.title,
            "for": f"--task {row.task}, by the protocol {row.protocol}",
            "pairs": str(row.count),
            "terms": row.licence,
            "page": row.homepage,
            "cite": row.citation,
            "folders": ", ".join(row.folders),
            "to get it": row.obtain,
        }
        for name, text in about.items():
            if text:
                data(beside(name, text, 11))
        return
    data("Data sets, their task and how many pictures they have:")
    for name, row in DATASETS.items():
        data(beside(f"  {name:16} {row.task:9} {row.count:6}", row.title, 37))
    data("Protocols:")
    for name, protocol in PROTOCOLS.items():
        data(beside(f"  {name:13}", f"{protocol.summary} ({protocol.caption})", 17))
    data("'irsde evaluate --list --dataset NAME' says terms, page and protocol of one.")


def _write(place: Path | None, text: str) -> None:
    if place is None:
        return
    if place == Path("-"):
        data(text.rstrip("\n"))
        return
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, encoding="utf-8")
    except OSError as error:
        from irsde_cli.storage.files import refusal

        raise refusal(error, place) from None
