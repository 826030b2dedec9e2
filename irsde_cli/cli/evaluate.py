"""`irsde evaluate`."""

import csv
import io
import json
import math
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from irsde_cli.cli.reporting import Interruption, complain, data, printable
from irsde_cli.content import missing
from irsde_cli.datasets import DATASETS
from irsde_cli.degradations import DEGRADATIONS
from irsde_cli.errors import UsageError
from irsde_cli.metrics import OPTIONAL_METRICS, SET_METRICS
from irsde_cli.metrics.columns import COLUMNS
from irsde_cli.metrics.protocols import PROTOCOLS
from irsde_cli.registry import unknown_name
from irsde_cli.samplers import SAMPLERS
from irsde_cli.samplers.settings import Sampling

if TYPE_CHECKING:
    from irsde_cli.metrics.statistics import Mean
    from irsde_cli.report.page import Report
    from irsde_cli.workflows.evaluate.events import Planned, Problem, Result, Scored
    from irsde_cli.workflows.evaluate.options import Contender

MORE = (*OPTIONAL_METRICS, *SET_METRICS)


def evaluate(
    dataset: Annotated[
        str | None, typer.Option(help="A data set; see --list.", autocompletion=lambda: list(DATASETS))
    ] = None,
    clean: Annotated[Path | None, typer.Option("--gt", help="Folder of clean pictures, in place of --dataset.")] = None,
    degraded: Annotated[Path | None, typer.Option("--lq", help="Folder of degraded ones; paired by name.")] = None,
    pairs: Annotated[str, typer.Option(help='Stem of a degraded file, like "{stem}x4".')] = "{stem}",
    result_pairs: Annotated[
        list[str] | None,
        typer.Option("--from-pairs", help='Stem of a picture of --from, like "{stem}_out"; once, or for each.'),
    ] = None,
    models: Annotated[
        list[str] | None, typer.Option("--model", "-n", help="Weights as of restore; several are compared.")
    ] = None,
    folders: Annotated[
        list[Path] | None, typer.Option("--from", help="Pictures that any tool restored; several are compared.")
    ] = None,
    ways: Annotated[
        list[str] | None,
        typer.Option(
            "--way",
            help="SAMPLER:STEPS, or SAMPLER:STEPSxDRAWS for the mean of draws; behind it ,realism=A and ,strength=W; "
            "several are compared.",
        ),
    ] = None,
    task: Annotated[str, typer.Option("--task", "-t", help="With --gt: what is undone.")] = "",
    protocol: Annotated[
        str | None, typer.Option(help=f"How to measure: {', '.join(PROTOCOLS)}; the data set's own if not given.")
    ] = None,
    degradation: Annotated[
        str | None, typer.Option(help=f"Damage clean pictures on the fly: {', '.join(DEGRADATIONS)}.")
    ] = None,
    change: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A setting of the damage.")
    ] = None,
    mask: Annotated[
        str | None,
        typer.Option(help="What is known (white): a file, a folder paired by name, or a mask set of the data set."),
    ] = None,
    data_root: Annotated[
        list[Path] | None, typer.Option(help="Folders that hold data sets; IRSDE_DATA if not given.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**31, help="Of damage and noise.")] = 0,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first so many pairs.")] = None,
    partial: Annotated[bool, typer.Option("--partial", help="Go on with an incomplete data set.")] = False,
    lpips: Annotated[
        Path | None,
        typer.Option(
            envvar="IRSDE_LPIPS",
            help="Weights of LPIPS, on AlexNet or SqueezeNet; those of 'irsde download lpips' if not given.",
        ),
    ] = None,
    metrics: Annotated[
        list[str] | None,
        typer.Option("--metric", help=f"Further ones: {', '.join(MORE)}. They need irsde[piq] or irsde[fid]."),
    ] = None,
    device: Annotated[str, typer.Option("--device", "-d", help="auto, cpu, cuda, cuda:1, mps.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, fp32, bf16, fp16.")] = "auto",
    json_file: Annotated[Path | None, typer.Option("--json", help="Write everything as JSON; - is a pipe.")] = None,
    csv_file: Annotated[Path | None, typer.Option("--csv", help="Write a row an image; - is a pipe.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write the table as Markdown; - is a pipe.")] = None,
    report: Annotated[Path | None, typer.Option(help="Write a page with all pictures into this folder.")] = None,
    save: Annotated[
        Path | None, typer.Option(help="Write degraded and restored pictures into this new folder, as 8-bit PNG.")
    ] = None,
    list_sets: Annotated[bool, typer.Option("--list", help="Name data sets and protocols, and stop.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Results and errors alone.")] = False,
) -> None:
    """Measure restored pictures against clean ones, by a named protocol.

    Examples: irsde evaluate --dataset gopro --data-root sets/

    irsde evaluate --gt clean/ --lq noisy/ --task denoise --way posterior:8 --way ode-1:1

    irsde evaluate --gt clean/ --from ours/ --from theirs/
    """
    if list_sets:
        _list()
        return
    from irsde_cli.datasets import dataset_name, get_dataset
    from irsde_cli.degradations import DegradationConfig
    from irsde_cli.metrics.protocols import get_protocol
    from irsde_cli.tasks import get_task
    from irsde_cli.weights import find_weights, stored_path

    if (dataset is None) == (clean is None):
        raise UsageError("--dataset or --gt, and not both.", hint="'irsde evaluate --list' names the data sets.")
    if protocol is not None:
        get_protocol(protocol)
    for metric in metrics or []:
        if metric not in MORE:
            raise unknown_name("metric", metric, MORE)
    if dataset is not None:
        dataset = dataset_name(dataset)
        task = get_dataset(dataset).task
    if degraded is not None and (dataset is not None or degradation is not None):
        other = "--dataset has" if dataset is not None else "--degradation makes"
        raise UsageError(f"--lq names degraded pictures, and {other} others.")
    if mask is not None and (degradation is not None or change):
        raise UsageError("--mask makes the damage; --degradation and --set would make another.")
    if change and degradation is None and (dataset is None or get_dataset(dataset).degradation is None):
        raise UsageError("--set belongs to --degradation.")
    if pairs != "{stem}" and degraded is None and dataset is None and not result_pairs:
        result_pairs = [pairs]  # there are no degraded files that it could be for
    contenders = _contenders(models or [], folders or [], ways or [], result_pairs or [])
    if any(one.folder is None for one in contenders):
        if not task:
            raise UsageError("--task is missing.")
        get_task(task)
        for one in contenders:
            if one.folder is None:
                find_weights(one.model, task)
    if lpips is not None and not lpips.is_file():
        raise missing(lpips, "file")
    if lpips is None and stored_path("lpips").is_file():
        lpips = stored_path("lpips")
    config = None
    if degradation is not None:
        DEGRADATIONS.check(degradation)
        config = DegradationConfig(degradation, _options(change or []))
    elif change and dataset is not None:
        name, options = get_dataset(dataset).degradation or ("", {})
        config = DegradationConfig(name, options | _options(change))
    roots = data_root or [Path(part) for part in os.environ.get("IRSDE_DATA", "").split(os.pathsep) if part]

    from irsde_cli.runtime import choose_device, choose_precision
    from irsde_cli.workflows.evaluate import run as workflow
    from irsde_cli.workflows.evaluate.events import Planned, Problem, Result, Scored
    from irsde_cli.workflows.evaluate.options import EvaluateOptions

    asked = EvaluateOptions(
        contenders=contenders,
        dataset=dataset,
        roots=tuple(roots),
        clean=clean,
        degraded=degraded,
        pairs=pairs,
        task=task,
        protocol=protocol,
        degradation=config,
        mask=mask,
        seed=seed,
        partial=partial,
        limit=limit,
        lpips=lpips,
        metrics=tuple(dict.fromkeys(metrics or [])),
        save=save,
    )
    if lpips is None and not quiet:
        typer.echo("LPIPS is left out: run 'irsde download lpips', or name its weights with --lpips.", err=True)
    chosen = choose_device(device)
    if precision not in ("auto", "fp32", "bf16", "fp16"):
        raise UsageError(f"unknown precision '{precision}'.", hint="Known: auto, fp32, bf16, fp16.")
    dtype = choose_precision(precision, chosen)  # type: ignore[arg-type]
    page = None if report is None else _page(report, dataset or (clean.name if clean is not None else ""))
    planned: Planned | None = None
    rows: list[Scored] = []
    problems: list[Problem] = []
    result: Result | None = None
    with Interruption() as interrupted, _counter(quiet) as count:
        for event in workflow.evaluate(
            asked, device=chosen, dtype=dtype, shown=None if page is None else page.pictures, stopped=interrupted
        ):
            match event:
                case Planned():
                    planned = event
                    count(0, event.pairs)
                case Scored():
                    rows.append(event)
                    if page is not None:
                        page.figures(event.key, event.figures)
                    count(len(rows), planned.pairs if planned else 0)
                case Problem():
                    problems.append(event)
                case Result():
                    result = event
    assert planned is not None and result is not None, "a run begins with one and ends with the other"
    piped = [file for file in (json_file, csv_file, markdown) if file == Path("-")]
    if not piped:
        data(_plain(planned, result))
    _write(json_file, json.dumps(_everything(planned, rows, problems, result), indent=1) + "\n")
    _write(csv_file, _csv(rows))
    _write(markdown, _markdown(planned, result) + "\n")
    if page is not None:
        written = page.write(
            planned.caption, [(problem.key, problem.reason) for problem in problems], _table(planned, result)
        )
        typer.echo(f"the page is {printable(written)}", err=True)
    for problem in problems:
        typer.echo(f"failed: {printable(problem.key)}: {printable(problem.reason)}", err=True)
    if interrupted.code:
        complain(f"interrupted after {len(rows)} of {planned.pairs} pairs.")
        raise typer.Exit(interrupted.code)
    if not rows:
        raise UsageError("not one pair could be measured.")
    if problems:
        raise typer.Exit(3)


def _page(folder: Path, name: str) -> "Report":
    from irsde_cli.report.page import Report

    return Report(folder, f"irsde: {name}")


def _contenders(
    models: list[str], folders: list[Path], ways: list[str], templates: list[str]
) -> "tuple[Contender, ...]":
    from irsde_cli.datasets.pairing import check_template
    from irsde_cli.workflows.evaluate.options import Contender

    for template in templates:
        check_template(template)
    if len(templates) > 1 and len(templates) != len(folders):
        raise UsageError(f"--from-pairs comes once, or once for each of the {len(folders)} --from.")
    each = templates if len(templates) > 1 else (templates or ["{stem}"]) * len(folders)

    found = []
    chosen: list[str | None] = [*models] or ([None] if ways or not folders else [])
    for model in chosen:
        name = Path(model).stem if model is not None else ""
        if not ways:
            found.append(Contender(name, model=model))
        for way in ways:
            sampling, draws = _way(way)
            found.append(Contender(name, way, model, None, sampling, draws))
    found += [
        Contender(folder.name or str(folder), folder=folder, pairs=template)
        for folder, template in zip(folders, each, strict=True)
    ]
    labels = [one.label for one in found]
    for label in ("input", "clean"):
        if label in labels:
            raise UsageError(f"a contender cannot be called '{label}': other pictures are.", hint="Rename its folder.")
    if len(set(labels)) < len(labels):
        raise UsageError(f"two contenders are called '{max(labels, key=labels.count)}'.", hint="Name files apart.")
    return tuple(found)


def _way(text: str) -> tuple[Sampling, int]:
    match = re.fullmatch(r"([a-z0-9-]+):(\d+)(?:x(\d+))?((?:,(?:realism|strength)=[\d.]+)*)", text)
    if match is None:
        raise UsageError(
            f"--way takes SAMPLER:STEPS or SAMPLER:STEPSxDRAWS, not '{text}'.",
            hint="Like posterior:8x8, or with more: posterior:8,realism=0.5,strength=0.8.",
        )
    sampler, steps, draws, more = match.groups()
    SAMPLERS.check(sampler)
    if draws == "0":
        raise UsageError(f"--way {text}: at least one draw.")
    blends = {name: _number(text, value) for name, _, value in (one.partition("=") for one in more.split(",")[1:])}
    sampling = Sampling(sampler, int(steps), realism=blends.get("realism"), strength=blends.get("strength"))
    return sampling, int(draws or 1)


def _number(way: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise UsageError(f"--way {way}: '{text}' is no number.") from None


def _options(change: list[str]) -> dict[str, Any]:
    import tomllib

    options: dict[str, Any] = {}
    for text in change:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise UsageError(f"'--set {text}' has no value.", hint="For example --set sigma_min=50")
        try:
            options[key] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            options[key] = value
    return options


def _list() -> None:
    data("data sets")
    for name, row in DATASETS.items():
        data(f"  {name:13} {row.task:9} {row.protocol:12} {row.count:6}  {row.title}; {row.licence}; {row.homepage}")
    data("protocols")
    for name, protocol in PROTOCOLS.items():
        data(f"  {name:13} {protocol.summary} ({protocol.caption})")


def _columns(result: "Result") -> list[str]:
    names = {name for means in result.means.values() for name in means}
    return [name for name in COLUMNS if name in names]


def _cells(means: "dict[str, Mean]", columns: list[str], pairs: int, *, signed: bool = False) -> list[str]:
    """Figures as text; a mean over fewer than all pairs says so."""
    cells = []
    for name in columns:
        mean = means.get(name)
        if mean is None or (mean.mean is None and not mean.infinite):
            cells.append("-")
            continue
        if mean.mean is None:
            cells.append("equal")
            continue
        digits, sign = COLUMNS[name].digits, "+" if signed else ""
        text = f"{mean.mean:{sign}.{digits}f}"
        if mean.low is not None:
            text += f" [{mean.low:{sign}.{digits}f}, {mean.high:{sign}.{digits}f}]"
        text += f" and {mean.infinite} equal" if mean.infinite else ""
        known = mean.count + mean.infinite
        cells.append(text + (f" ({known} of {pairs})" if known < pairs else ""))
    return cells


def _table(planned: "Planned", result: "Result") -> list[list[str]]:
    columns = _columns(result)
    rows = [["", *(COLUMNS[name].heading for name in columns)]]
    rows += [[label, *_cells(means, columns, planned.pairs)] for label, means in result.means.items()]
    if any(result.worse.values()):
        rows[0].append("Made worse")
        for row in rows[1:]:
            shares = result.worse.get(row[0], {}).items()
            row.append(", ".join(f"{found.share:.0%} {COLUMNS[name].title}" for name, found in shares) or "-")
    first = next((label for label in result.means if label != "input"), "")
    rows += [
        [f"{label} - {first}", *_cells(means, columns, planned.pairs, signed=True)]
        for label, means in result.differences.items()
    ]
    for row in rows:
        row += ["-"] * (len(rows[0]) - len(row))
    return rows


def _plain(planned: "Planned", result: "Result") -> str:
    rows = [[printable(cell) for cell in row] for row in _table(planned, result)]
    widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join(
        [
            printable(planned.caption),
            *lines,
            "mean over images [95 % interval, bootstrap]",
            *map(printable, result.notes),
        ]
    )


def _markdown(planned: "Planned", result: "Result") -> str:
    head, *rows = [[printable(cell).replace("|", "\\|") for cell in row] for row in _table(planned, result)]
    lines = [f"| {' | '.join(row)} |" for row in (head, *rows)]
    lines.insert(1, f"|{'|'.join(['---'] * len(head))}|")
    title = f"{printable(planned.caption)}; mean over images [95 % interval, bootstrap]"
    return "\n".join([title, "", *lines, *(f"\n{printable(note)}" for note in result.notes)])


def _everything(
    planned: "Planned", rows: "list[Scored]", problems: "list[Problem]", result: "Result"
) -> dict[str, Any]:
    from dataclasses import asdict

    def finite(value: float | None) -> float | None:
        return value if value is not None and math.isfinite(value) else None

    images = []
    for row in rows:
        figures = {
            label: {name: finite(value) for name, value in values.items()}
            | ({"equal": True} if math.inf in values.values() else {})
            for label, values in row.figures.items()
        }
        images.append({"key": row.key, "figures": figures, "seconds": row.seconds})
    return {
        **planned.facts,
        "caption": planned.caption,
        "measured": len(rows),
        "means": {label: {name: asdict(mean) for name, mean in means.items()} for label, means in result.means.items()},
        "differences": {
            label: {name: asdict(mean) for name, mean in means.items()} for label, means in result.differences.items()
        },
        "worse": {label: {name: asdict(found) for name, found in row.items()} for label, row in result.worse.items()},
        "notes": list(result.notes),
        "images": images,
        "problems": [asdict(problem) for problem in problems],
    }


def _csv(rows: "list[Scored]") -> str:
    stream = io.StringIO()
    names = [name for name in COLUMNS if any(name in values for row in rows for values in row.figures.values())]
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["image", "contender", *names, "seconds"])
    for row in rows:
        for label, values in row.figures.items():
            cells = ["" if values.get(name) is None else values[name] for name in names]
            writer.writerow([printable(row.key), label, *cells, row.seconds.get(label, "")])
    return stream.getvalue()


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


class _counter:  # noqa: N801 - used as a function
    """Shows how many pairs are measured: a bar on a terminal, and nothing elsewhere."""

    def __init__(self, quiet: bool) -> None:
        self._bar: Any = None
        if not quiet and sys.stderr.isatty() and os.environ.get("TERM") != "dumb" and "NO_COLOR" not in os.environ:
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

            columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
            self._task = self._bar.add_task("", total=None)

    def __enter__(self) -> Callable[[int, int], None]:
        if self._bar is not None:
            self._bar.start()
        return self._show

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def _show(self, done: int, total: int) -> None:
        if self._bar is not None:
            self._bar.update(self._task, completed=done, total=total)
