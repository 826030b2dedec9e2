"""Figures of pictures as figures of sets, with what must be known to read them."""

import math
from collections.abc import Sequence
from dataclasses import replace

from irsde_cli.metrics.sets import FEW, FeatureSets
from irsde_cli.metrics.statistics import Mean, bootstrap
from irsde_cli.workflows.evaluate.contenders import Restored
from irsde_cli.workflows.evaluate.events import Result, Scored
from irsde_cli.workflows.evaluate.options import INPUT


def summarise(scored: list[Scored], labels: list[str]) -> Result:
    """Means of each column, and differences from the first contender, which is the second label."""
    means: dict[str, dict[str, Mean]] = {}
    for label in labels:
        columns = sorted({name for row in scored for name in row.figures.get(label, {})})
        means[label] = {name: bootstrap(_column(scored, label, name)) for name in columns}
    first = labels[1] if len(labels) > 1 else labels[0]
    differences = {
        label: {name: bootstrap(_differences(scored, label, first, name)) for name in means[label]}
        for label in labels
        if label not in (first, INPUT)
    }
    return Result(means, differences)


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


def ways(contenders: list[Restored], precision: str) -> tuple[str, ...]:
    """Which weights gave what, and how, for who wants the same figures again."""
    ways = []
    for one in contenders:
        if one.contender.folder is None:
            weights, sha256, sampler = (one.facts[name] for name in ("weights", "sha256", "sampler"))
            steps = f"{one.facts['steps']} step{'s' * (one.facts['steps'] != 1)}"
            mean = f", mean of {one.contender.draws} draws" if one.contender.draws > 1 else ""
            ways.append(f"{one.contender.label}: {weights} (SHA-256 {sha256[:12]}), {sampler}, {steps}{mean}")
    return (f"{'; '.join(ways)}; {precision}.",) if ways else ()


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
