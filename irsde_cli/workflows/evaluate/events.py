"""What a run of `irsde evaluate` says while it works."""

from dataclasses import dataclass, field
from typing import Any

from irsde_cli.metrics.statistics import Mean


@dataclass(frozen=True)
class Planned:
    """What will be measured, and what stands beside every figure."""

    pairs: int
    expected: int | None
    caption: str
    facts: dict[str, Any]


@dataclass(frozen=True)
class Scored:
    """The figures of one pair, by contender; the degraded picture's own under `input`.

    Attributes:
        transparent: whether pixels that the clean picture hides are left out.
    """

    key: str
    figures: dict[str, dict[str, float | None]]
    seconds: dict[str, float]
    transparent: bool = False


@dataclass(frozen=True)
class Problem:
    """A pair, or a file without one, that gave nothing, and why."""

    key: str
    reason: str


@dataclass(frozen=True)
class Result:
    """Means over images, and differences of each further contender from the first, image by image.

    Attributes:
        means: by contender and metric; of metrics of whole sets the one figure.
        differences: by contender and metric.
        notes: what must be known to read them.
    """

    means: dict[str, dict[str, Mean]]
    differences: dict[str, dict[str, Mean]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


Event = Planned | Scored | Problem | Result
