"""Figures of pictures as figures of sets, with what must be known to read them."""

import math
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

from irsde_cli.metrics.columns import COLUMNS
from irsde_cli.metrics.sets import FEW, FeatureSets
from irsde_cli.metrics.statistics import Mean, bootstrap, resampled, share_interval
from irsde_cli.workflows.evaluate.contenders import Ready
from irsde_cli.workflows.evaluate.events import Cost, Result, Scored, Worse
from irsde_cli.workflows.evaluate.options import INPUT


def summarise(scored: list[Scored], labels: list[str], *, damaged: bool = True) -> Result:
    """Means of each column, and differences from the first contender, which is the second label.

    Args:
        scored: the pairs.
        labels: `INPUT`, then the contenders.
        damaged: whether the input is a damaged picture, and not the clean one itself.
    """
    means: dict[str, dict[str, Mean]] = {}
    for label in labels:
        columns = sorted({name for row in scored for name in row.figures.get(label, {})})
        means[label] = {name: bootstrap(_column(scored, label, name)) for name in columns}
        means[label] |= _drawn(scored, label)
    first = labels[1] if len(labels) > 1 else labels[0]
    differences = {
        label: {name: bootstrap(_differences(scored, label, first, name)) for name in means[label]}
        for label in labels
        if label not in (first, INPUT)
    }
    worse = {label: _worse(scored, label, means[label]) for label in labels if damaged and label != INPUT}
    return Result(means, differences, worse=worse)


def _worse(scored: list[Scored], label: str, metrics: Iterable[str]) -> dict[str, Worse]:
    """How often a contender fell behind its input, by metric in the order of the columns."""
    found = {}
    for name in (name for name in COLUMNS if name in metrics):
        losses = []
        for row in scored:
            before, after = row.figures.get(INPUT, {}).get(name), row.figures.get(label, {}).get(name)
            if before is not None and after is not None:
                equal = before == after  # both may be infinite
                losses.append((0.0 if equal else (before - after) * (1 if COLUMNS[name].higher else -1), row.key))
        if losses:
            count = sum(loss > 0 for loss, _ in losses)
            loss, key = max(losses, key=lambda one: one[0])
            change = -loss if COLUMNS[name].higher else loss
            found[name] = Worse(
                count / len(losses),
                count,
                len(losses),
                key if count else None,
                change if count and math.isfinite(change) else None,
                *share_interval(count, len(losses)),
            )
    return found


def _drawn(scored: list[Scored], label: str) -> dict[str, Mean]:
    """How far a contender's draws spread, and whether they err as far from the truth as from each other."""
    found = [row.drawn[label] for row in scored if label in row.drawn]
    if not found:
        return {}
    fit = resampled([one.expected for one in found], [one.error for one in found])
    return {"spread": bootstrap([one.spread for one in found]), "calibration": fit}


def spreads(scored: list[Scored]) -> tuple[str, ...]:
    """How spread and calibration are to be read, where they are shown."""
    counts = {label: one.count for row in scored for label, one in row.drawn.items()}
    intervals = any("coverage" in figures for row in scored for figures in row.figures.values())
    held = (
        "Coverage is the share of values that calibrated intervals hold, 0.9 by intent; interval, their mean width.",
    )
    if not counts:
        return held * intervals
    made = ", ".join(sorted({str(count) for count in counts.values()}))
    return (
        f"Spread is the standard deviation of {made} draws; calibration, (1 + 1/n) of its square by the squared error "
        "of their mean: 1 where draws differ from the truth as from each other, less where they are too sure.",
        *(held * intervals),
    )


def costs(scored: list[Scored], contenders: list[Ready]) -> dict[str, Cost]:
    """What each contender's pictures cost, beside those of one pass, or of the first."""
    timed = [one for one in contenders if one.made_here]
    if not timed:
        return {}
    reference = next((one for one in timed if one.single), timed[0]).contender.label
    found = {}
    for label in (one.contender.label for one in timed):
        rows = [row for row in scored if label in row.seconds and row.megapixels]
        if rows:
            both = [row.seconds[label] / row.seconds[reference] for row in rows if row.seconds.get(reference)]
            times = statistics.median(both) if both and label != reference else None
            found[label] = Cost(
                statistics.median(row.seconds[label] / row.megapixels for row in rows), times, reference
            )
    return found


def timed(paid: dict[str, Cost]) -> tuple[str, ...]:
    """How times are to be read."""
    if not paid:
        return ()
    others = {cost.reference for cost in paid.values() if cost.times is not None}
    beside = f", and as many times that of {others.pop()} for the same picture" if others else ""
    return (f"Seconds for a megapixel are the median over pictures{beside}; scoring runs beside them.",)


def worst(result: Result) -> tuple[str, ...]:
    """By each metric, for each contender the picture that lost most."""
    lines = []
    for name, column in COLUMNS.items():
        lost = []
        for label, metrics in result.worse.items():
            found = metrics.get(name)
            if found is None or found.worst is None:
                continue
            unit = column.unit and f" {column.unit}"
            change = ", from equal" if found.change is None else f" {found.change:+.{column.digits}f}{unit}"
            lost.append(f"{label}: {found.worst}{change}")
        if lost:
            lines.append(f"Made worse most, by {column.title}: {'; '.join(lost)}.")
    return tuple(lines)


def cropped(scored: list[Scored]) -> tuple[str, ...]:
    """Whose results are smaller than the clean pictures, and what is done about it."""
    counts = Counter(label for row in scored for label in row.cropped)
    if not counts:
        return ()
    whose = "; ".join(f"{label} on {count} of {len(scored)} pairs" for label, count in counts.items())
    return (f"Cropped to a multiple: {whose}; there all are measured on the common part, the upper left one.",)


def with_sets(result: Result, sets: FeatureSets) -> Result:
    """The result, with the figures of whole sets."""
    found = {
        label: {name: Mean(value, None, None, sets.counts[label]) for name, value in figures.items()}
        for label, figures in sets.measure().items()
    }
    means = {label: row | found.get(label, {}) for label, row in result.means.items()}
    count = min(sets.counts.values(), default=0)
    few = f"{named(sets.metrics)} of {count} pictures: below {FEW} not to be compared with those of other sets."
    return replace(result, means=means, notes=(*result.notes, *([few] if count < FEW else [])))


def ways(contenders: list[Ready], precision: str, engine: str) -> tuple[str, ...]:
    """What gave which figures, and how, for who wants the same figures again."""
    ways = [f"{one.contender.label}: {one.how}" for one in contenders if one.how]
    said = precision if engine == "torch" else f"{precision}, {engine}"
    return (f"{'; '.join(ways)}; {said}.",) if ways else ()


def hidden(scored: list[Scored]) -> tuple[str, ...]:
    """What is said where clean pictures are transparent in parts."""
    count = sum(row.transparent for row in scored)
    if not count:
        return ()
    return (f"{count} of {len(scored)} clean pictures are transparent in parts; what they hide is not counted.",)


def named(metrics: Sequence[str]) -> str:
    """Metrics as a person writes them."""
    return " and ".join(name.upper() for name in metrics)


def _column(scored: list[Scored], label: str, name: str) -> list[float]:
    values = (row.figures.get(label, {}).get(name) for row in scored)
    return [value for value in values if value is not None]


def _differences(scored: list[Scored], label: str, first: str, name: str) -> list[float]:
    found = []
    for row in scored:
        one, other = row.figures.get(label, {}).get(name), row.figures.get(first, {}).get(name)
        if one is not None and other is not None and math.isfinite(one) and math.isfinite(other):
            found.append(one - other)
    return found
