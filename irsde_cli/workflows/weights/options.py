"""What `irsde download` and `irsde push` were asked for, option by option. No torch."""

from collections.abc import Iterator
from dataclasses import MISSING, dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from irsde_cli.config import assignment
from irsde_cli.errors import UsageError
from irsde_cli.option import option
from irsde_cli.tasks import TASKS, get_task
from irsde_cli.weights.catalogue import CATALOGUE, LAMBDA, METRIC_WEIGHTS, UPSAMPLINGS

WHAT, HOW, WRITTEN = "What is fetched", "How", "Output"
UPSAMPLING: Any = Literal[UPSAMPLINGS]


@dataclass(frozen=True)
class Download:
    """The options of `irsde download`."""

    VARIABLES: ClassVar[str] = "IRSDE_DOWNLOAD_"

    names: tuple[str, ...] = option(
        "names",
        "Names of --list, or owner/name on the Hub.",
        default=(),
        flag="NAME",
        complete=lambda: (*CATALOGUE, *METRIC_WEIGHTS),
    )
    task: str | None = option(
        "names",
        "All weights of a task that can be fetched.",
        panel=WHAT,
        flag="--all-for",
        metavar="TASK",
        complete=lambda: TASKS,
        variable="-",
    )
    files: tuple[Path, ...] = option(
        "pixels",
        "Take these files instead of fetching.",
        default=(),
        panel=WHAT,
        flag="--from",
        metavar="FILE",
        variable="-",
    )
    revision: str | None = option("pixels", "A branch, tag or commit of the Hub.", panel=WHAT, variable="-")
    change: tuple[str, ...] = option(
        "pixels",
        "A setting that weight files do not hold; a wrong KEY names those there are.",
        default=(),
        panel=HOW,
        flag="--set",
        metavar="KEY=VALUE",
        variable="-",
    )
    max_sigma: float | None = option("pixels", f"{LAMBDA}, of 255.", panel=HOW, minimum=0.1, maximum=255, variable="-")
    timesteps: int | None = option(
        "pixels", "T: process.options.num_timesteps and sampling.steps.", panel=HOW, minimum=1, variable="-"
    )
    upsampling: UPSAMPLING | None = option("pixels", "The setting of that name.", panel=HOW, variable="-")
    local_dir: Path | None = option("names", "Put the results into this folder.", panel=WRITTEN)
    listing: bool = option(
        "machine",
        "Name all weights, or say all of NAME or of a task, and stop.",
        default=False,
        flag="--list",
        variable="-",
    )
    verify: bool = option("machine", "Check what is here, and fetch nothing.", default=False, variable="-")
    export: bool = option(
        "machine", "Write weights as the reference's files: NAME OUT.pth.", default=False, variable="-"
    )
    dry_run: bool = option("machine", "Say what would be done, and do nothing.", default=False, variable="-")

    @property
    def wanted(self) -> tuple[str, ...]:
        """All names, those of a task behind the others.

        Raises:
            UsageError: nothing is named, or there is no such task.
        """
        if self.task is None:
            if not self.names:
                raise UsageError("nothing is named.", hint="'irsde download --list' names what there is.")
            return self.names
        get_task(self.task)
        rows = [name for name, row in CATALOGUE.items() if row.task == self.task and row.reachable and not row.refused]
        return (*self.names, *rows)

    @property
    def decided(self) -> dict[str, Any]:
        """What a user knows better than the list, by dotted keys.

        Raises:
            UsageError: a setting has no value.
        """
        return dict(self._decided())

    def _decided(self) -> Iterator[tuple[str, Any]]:
        if self.max_sigma is not None:
            yield LAMBDA, self.max_sigma / 255
        if self.timesteps is not None:
            yield "process.options.num_timesteps", self.timesteps
            yield "sampling.steps", self.timesteps
        if self.upsampling is not None:
            yield "upsampling", self.upsampling
        yield from (assignment(text, f"{LAMBDA}=0.0392") for text in self.change)


@dataclass(frozen=True)
class Push:
    """The options of `irsde push`."""

    VARIABLES: ClassVar[str] = "IRSDE_PUSH_"

    model: str = option("pixels", "A run's folder, a checkpoint, or a name.", default=MISSING, flag="RUN")
    repo: str = option("names", "The repository on the Hub.", default=MISSING, flag="OWNER/NAME")
    private: bool = option("names", "A new repository is seen by you alone.", default=False)
    revision: str | None = option("names", "A branch, made where it is missing.", variable="-")
    dry_run: bool = option("machine", "Show the model card, and send nothing.", default=False, variable="-")


@dataclass(frozen=True)
class Export:
    """The options of `irsde export`."""

    VARIABLES: ClassVar[str] = "IRSDE_EXPORT_"

    what: str = option("pixels", "A task, or weights as --model names them.", default=MISSING, flag="WHAT")
    output: Path = option("names", "The file to write, NAME.onnx.", default=MISSING, flag="FILE")
