"""What a run of `irsde train` says while it works."""

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Started:
    """A run begins, or goes on from `step`, with that many pictures or pairs."""

    step: int
    steps: int
    pictures: int
    parameters: int
    devices: int


@dataclass(frozen=True)
class Progress:
    """The state of a run at a step; means since the last one.

    `waiting` is the share of the time in which the device waited for data; `psnr` is that of the validation pictures,
    where it was just measured, and `best` whether no earlier one was better; `facts` are an objective's own figures.
    """

    step: int
    steps: int
    loss: float
    rate: float
    norm: float
    images_per_second: float
    waiting: float
    input_psnr: float | None = None
    psnr: float | None = None
    best: bool = False
    facts: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Returned:
    """The run went back to an earlier state, and goes on with half the rate."""

    step: int
    to: int
    reason: str
    rate: float


@dataclass(frozen=True)
class Warned:
    """Something to know that does not stop the run."""

    message: str


@dataclass(frozen=True)
class Finished:
    """The checkpoint that a run ended with, and the best one by validation."""

    path: Path
    best: Path
    step: int


Event = Started | Progress | Returned | Warned | Finished
