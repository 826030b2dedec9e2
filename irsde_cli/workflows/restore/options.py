"""What a run of `irsde restore` was asked for."""

from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Literal

from irsde_cli.engine.settings import Settings
from irsde_cli.images import Limits, Metadata
from irsde_cli.workflows.restore.items import Shard


@dataclass(frozen=True, kw_only=True)
class Options(Settings):
    """What `irsde restore` was asked for; the attributes are its options.

    `inputs` is a file, a folder or "-"; `outputs` a folder, a file, "-" or `None` with `in_place`; `listed` holds the
    paths of `--files-from`; `tile` is "auto", 0 for none, or a size, `tile_overlap` `None` for
    what the network sees; `batch_size` 0 is one that fits.
    """

    inputs: str
    outputs: str | None
    task: str
    recursive: bool = False
    listed: tuple[str, ...] | None = None
    in_place: bool = False
    format: str | None = None
    quality: int = 95
    depth: int | None = None
    suffix: str = ""
    overwrite: bool = False
    on_collision: Literal["refuse", "rename"] = "refuse"
    metadata: Metadata = "keep"
    limits: Limits = Limits()
    allow_truncated: bool = False
    strict: bool = False
    limit: int | None = None
    fail_fast: bool = False
    shard: Shard | None = None
    mask: Path | None = None
    trajectory_format: Literal["strip", "gif"] = "strip"


def companions(options: Options, output: PurePath) -> list[PurePath]:
    """The files that are written beside an output: further draws, the spread and the states."""
    draws = options.samples if options.estimate == "sample" else 1
    found = [beside(output, f".{draw}") for draw in range(1, draws)]
    if options.spread:
        found.append(beside(output, ".spread"))
    if options.trajectory:
        found.append(film(options, output))
    return found


def beside(output: PurePath, suffix: str) -> PurePath:
    """The output's name with something put before the extension."""
    return output.with_name(f"{output.stem}{suffix}{output.suffix}")


def film(options: Options, output: PurePath) -> PurePath:
    """Where an output's states are shown."""
    return output.with_name(f"{output.stem}.trajectory{'.png' if options.trajectory_format == 'strip' else '.gif'}")
