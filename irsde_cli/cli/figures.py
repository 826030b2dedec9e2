"""Figures as people and programs read them: a table, Markdown, CSV and JSON."""

import io
import math
from collections.abc import Mapping
from csv import writer as writer_of
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from irsde_cli.cli.reporting import printable
from irsde_cli.metrics.columns import COLUMNS

if TYPE_CHECKING:
    from irsde_cli.metrics.statistics import Mean
    from irsde_cli.workflows.evaluate.events import Planned, Problem, Result, Scored, Worse


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


def table(planned: "Planned", result: "Result") -> list[list[str]]:
    """The rows of the table, with a heading; differences come last."""
    columns = _columns(result)
    rows = [["", *(COLUMNS[name].heading for name in columns)]]
    rows += [[label, *_cells(means, columns, planned.pairs)] for label, means in result.means.items()]
    if result.costs:
        rows[0].append("s/MP")
        for row in rows[1:]:
            cost = result.costs.get(row[0])
            times = "" if cost is None or cost.times is None else f", {cost.times:.3g}x"
            row.append("-" if cost is None else f"{cost.seconds:.3g}{times}")
    if any(result.worse.values()):
        rows[0].append("Made worse")
        for row in rows[1:]:
            row.append(", ".join(_share(name, found) for name, found in result.worse.get(row[0], {}).items()) or "-")
    first = next((label for label in result.means if label != "input"), "")
    rows += [
        [f"{label} - {first}", *_cells(means, columns, planned.pairs, signed=True)]
        for label, means in result.differences.items()
    ]
    for row in rows:
        row += ["-"] * (len(rows[0]) - len(row))
    return rows


def _share(name: str, found: "Worse") -> str:
    """How many pictures lost by a metric, with what chance leaves of it."""
    return f"{found.share:.0%} [{found.low:.0%}, {found.high:.0%}] {COLUMNS[name].title}"


def plain(planned: "Planned", result: "Result") -> str:
    """The table for a terminal."""
    rows = [[printable(cell) for cell in row] for row in table(planned, result)]
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


def markdown(planned: "Planned", result: "Result") -> str:
    """The table for a page."""
    head, *rows = [[printable(cell).replace("|", "\\|") for cell in row] for row in table(planned, result)]
    lines = [f"| {' | '.join(row)} |" for row in (head, *rows)]
    lines.insert(1, f"|{'|'.join(['---'] * len(head))}|")
    title = f"{printable(planned.caption)}; mean over images [95 % interval, bootstrap]"
    return "\n".join([title, "", *lines, *(f"\n{printable(note)}" for note in result.notes)])


def everything(
    options: Mapping[str, Any],
    planned: "Planned",
    rows: "list[Scored]",
    problems: "list[Problem]",
    result: "Result",
) -> dict[str, Any]:
    """All figures of all pictures, as plain values, with the options that decide them."""

    def finite(value: float | None) -> float | None:
        return value if value is not None and math.isfinite(value) else None

    images = []
    for row in rows:
        figures = {
            label: {name: finite(value) for name, value in values.items()}
            | ({"equal": True} if math.inf in values.values() else {})
            for label, values in row.figures.items()
        }
        drawn = {label: asdict(one) for label, one in row.drawn.items()}
        images.append(
            {
                "key": row.key,
                "figures": figures,
                "seconds": row.seconds,
                "megapixels": row.megapixels,
                "draws": drawn,
            }
        )
    return {
        **planned.facts,
        "options": dict(options),
        "caption": planned.caption,
        "measured": len(rows),
        "means": {label: {name: asdict(mean) for name, mean in means.items()} for label, means in result.means.items()},
        "differences": {
            label: {name: asdict(mean) for name, mean in means.items()} for label, means in result.differences.items()
        },
        "worse": {label: {name: asdict(found) for name, found in row.items()} for label, row in result.worse.items()},
        "costs": {label: asdict(cost) for label, cost in result.costs.items()},
        "notes": list(result.notes),
        "images": images,
        "problems": [asdict(problem) for problem in problems],
    }


def as_csv(rows: "list[Scored]") -> str:
    """A row for each picture and contender."""
    stream = io.StringIO()
    names = [name for name in COLUMNS if any(name in values for row in rows for values in row.figures.values())]
    writer = writer_of(stream, lineterminator="\n")
    writer.writerow(["image", "contender", *names, "seconds"])
    for row in rows:
        for label, values in row.figures.items():
            cells = ["" if values.get(name) is None else values[name] for name in names]
            writer.writerow([printable(row.key), label, *cells, row.seconds.get(label, "")])
    return stream.getvalue()
