"""What a run of `irsde restore` says while it works."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from irsde_cli.datasets.discovery import LeftOut
from irsde_cli.engine.settings import Step


@dataclass(frozen=True)
class Planned:
    """How many pictures there are before any is opened, and what was left out."""

    count: int
    left_out: LeftOut


@dataclass(frozen=True)
class Done:
    """A picture is restored and written, to `output` or, for a pipe, as `data`."""

    name: str
    output: Path | None
    seconds: float
    data: bytes | None = None
    extra: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Seen:
    """What a system that looks first took the damage of a picture to be: words and their probability."""

    name: str
    damage: dict[str, float]


@dataclass(frozen=True)
class Skipped:
    """A picture is up to date."""

    name: str
    output: Path | None


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
class Intended:
    """What would be done with a picture."""

    name: str
    output: Path | None
    action: Literal["restore", "skip", "fail"]
    reason: str = ""


Event = Planned | Step | Seen | Done | Skipped | Failed | Warned | Intended
