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
        cropped: whose results are smaller than the clean picture; all are measured on the part that they have.
    """

    key: str
    figures: dict[str, dict[str, float | None]]
    seconds: dict[str, float]
    transparent: bool = False
    cropped: tuple[str, ...] = ()


@dataclass(frozen=True)
class Problem:
    """A pair, or a file without one, that gave nothing, and why."""

    key: str
    reason: str


@dataclass(frozen=True)
class Worse:
    """Pictures that a contender made worse than the input, by one metric.

    Attributes:
        share: of all pictures that have both figures, 0 to 1.
        count: of them.
        of: pictures with both figures.
        worst: the key of the one that lost most; `None` where none did.
        change: of its figure; `None` where the input was equal to the clean picture.
    """

    share: float
    count: int
    of: int
    worst: str | None
    change: float | None


@dataclass(frozen=True)
class Result:
    """Means over images, and differences of each further contender from the first, image by image.

    Attributes:
        means: by contender and metric; of metrics of whole sets the one figure.
        differences: by contender and metric.
        notes: what must be known to read them.
        worse: by contender and metric, how often it made a picture worse than it was given.
    """

    means: dict[str, dict[str, Mean]]
    differences: dict[str, dict[str, Mean]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    worse: dict[str, dict[str, Worse]] = field(default_factory=dict)


Event = Planned | Scored | Problem | Result
