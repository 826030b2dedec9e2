"""What a run of `irsde restore` says while it works."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from irsde_cli.datasets.discovery import LeftOut
from irsde_cli.engine.settings import Step, Tile


@dataclass(frozen=True)
class Ready:
    """All is checked and loaded: which weights, where, and how they are sampled.

    Attributes:
        task: what is undone.
        count: how many pictures there are, before any is opened.
        place: the inputs in words, as a part of a sentence.
        target: where results go; `None` in place.
        weights: their name.
        trained_for: the task that they were trained for.
        training_steps: how many steps that took; 0 where nobody says.
        origin: the files of others that the weights were converted from, if they were.
        places: the device of each process; `ray` is the address of a cluster instead.
        ray: where it is one.
        sampler: a row of `irsde_cli.samplers.SAMPLERS`.
        steps: network evaluations for each picture.
        nodes: their time indices, where they were chosen.
        realism: see `Sampling`, with `map` for maps; 1 or `None` is what they end with.
        seed: of the noise.
        opens: whether files of a codec become pictures, and nothing is restored.
        engine: what evaluates the networks.
    """

    task: str
    count: int
    place: str
    target: str | None
    weights: str
    trained_for: str
    training_steps: int
    origin: str
    places: tuple[str, ...]
    ray: str | None
    sampler: str
    steps: int
    nodes: tuple[int, ...] | None
    realism: float | Literal["map"] | None
    seed: int
    opens: bool = False
    engine: str = "torch"


@dataclass(frozen=True)
class Reported:
    """The page of the run is written."""

    path: Path


@dataclass(frozen=True)
class Planned:
    """How many pictures there are before any is opened, and what was left out."""

    count: int
    left_out: LeftOut
    place: str


@dataclass(frozen=True)
class Done:
    """A picture is restored and written, to `output` or, for a pipe, as `data`."""

    name: str
    output: Path | None
    seconds: float
    data: bytes | None = None
    extra: tuple[Path, ...] = ()
    source: Path | None = None


@dataclass(frozen=True)
class Seen:
    """What a system that looks first took the damage of a picture to be: words and their probability."""

    name: str
    damage: dict[str, float]


@dataclass(frozen=True)
class Judged:
    """How much of a restoration a picture needed, where that decided: from 0, nothing, to 1; and what was seen."""

    name: str
    weight: float
    seen: str


@dataclass(frozen=True)
class Chosen:
    """What a picture was taken to need, a task or "" for nothing, where nobody said it; and what was seen."""

    name: str
    task: str
    seen: str


@dataclass(frozen=True)
class Skipped:
    """A picture is up to date."""

    name: str
    output: Path | None
    source: Path | None = None


@dataclass(frozen=True)
class Failed:
    """A picture gave nothing, and why."""

    name: str
    reason: str
    hint: str = ""


@dataclass(frozen=True)
class Warned:
    """Something about a picture was changed or is worth knowing."""

    name: str
    message: str


@dataclass(frozen=True)
class Lost:
    """What the result lacks of all that the picture's file holds: what it is called in every file, and how much."""

    name: str
    titles: tuple[str, ...]
    details: tuple[str, ...]


@dataclass(frozen=True)
class Intended:
    """What would be done with a picture."""

    name: str
    output: Path | None
    action: Literal["restore", "skip", "fail"]
    reason: str = ""


@dataclass(frozen=True)
class Expected:
    """How long the pictures that would be restored may take, all together; an estimate."""

    count: int
    seconds: float


Event = (
    Ready
    | Reported
    | Planned
    | Step
    | Tile
    | Seen
    | Judged
    | Chosen
    | Done
    | Skipped
    | Failed
    | Warned
    | Lost
    | Intended
    | Expected
)
