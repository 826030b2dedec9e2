"""What a run of `irsde evaluate` says while it works."""

import math
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
class Drawn:
    """Several draws of one picture against the clean one: means over its pixels, or over its holes, in [0, 1] squared.

    Attributes:
        variance: of the draws, as the sample has it.
        error: squared, of their mean.
        count: of draws.
    """

    variance: float
    error: float
    count: int

    @property
    def spread(self) -> float:
        """The standard deviation of a draw, in 8-bit units."""
        return 255 * math.sqrt(self.variance)

    @property
    def expected(self) -> float:
        """The squared error that their mean has if the draws are true ones: a further draw would be the clean image."""
        return (1 + 1 / self.count) * self.variance


@dataclass(frozen=True)
class Scored:
    """The figures of one pair, by contender; the degraded picture's own under `input`.

    Attributes:
        seconds: that a result took; of several draws made to see their spread, one of them.
        megapixels: of the clean picture.
        drawn: of contenders of which several draws were made.
        transparent: whether pixels that the clean picture hides are left out.
        cropped: whose results are smaller than the clean picture; all are measured on the part that they have.
    """

    key: str
    figures: dict[str, dict[str, float | None]]
    seconds: dict[str, float]
    transparent: bool = False
    cropped: tuple[str, ...] = ()
    megapixels: float = 0.0
    drawn: dict[str, Drawn] = field(default_factory=dict)


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
        low: of the 95 % interval of the share.
        high: of it.
    """

    share: float
    count: int
    of: int
    worst: str | None
    change: float | None
    low: float
    high: float


@dataclass(frozen=True)
class Cost:
    """What a contender's pictures cost, as the median over them; they are scored beside, so that this is rough.

    Attributes:
        seconds: for a megapixel.
        times: as many as `reference` takes for the same picture; `None` of itself.
        reference: the contender of one pass, or the first.
    """

    seconds: float
    times: float | None
    reference: str


@dataclass(frozen=True)
class Result:
    """Means over images, and differences of each further contender from the first, image by image.

    Attributes:
        means: by contender and metric; of metrics of whole sets the one figure.
        differences: by contender and metric.
        notes: what must be known to read them.
        worse: by contender and metric, how often it made a picture worse than it was given.
        costs: by contender; of those that are folders there are none.
    """

    means: dict[str, dict[str, Mean]]
    differences: dict[str, dict[str, Mean]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    worse: dict[str, dict[str, Worse]] = field(default_factory=dict)
    costs: dict[str, Cost] = field(default_factory=dict)


Event = Planned | Scored | Problem | Result
