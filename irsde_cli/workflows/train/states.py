"""The folder of a run: states to go on from, checkpoints, pictures, the log, and the lock."""

import contextlib
import filecmp
import json
import logging
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from safetensors import SafetensorError

from irsde_cli import checkpoint
from irsde_cli.config import from_mapping, read_json, to_mapping
from irsde_cli.errors import MachineError, UsageError, WeightsError
from irsde_cli.images import Picture, encode_picture, with_restored
from irsde_cli.option import record
from irsde_cli.storage import weight_files
from irsde_cli.storage.files import make_folder, rename, sync_file, sync_folder
from irsde_cli.systems.upgrades import with_process
from irsde_cli.training.config import TrainConfig
from irsde_cli.training.ranks import Ranks
from irsde_cli.training.trainer import Measured, Trainer
from irsde_cli.workflows.train.events import Progress
from irsde_cli.workflows.train.options import RunConfig
from irsde_cli.workflows.train.trackers import TensorBoard, Tracker, WeightsAndBiases

logger = logging.getLogger(__name__)
SETTINGS = "settings.json"
LOG = "log.jsonl"
NEWEST = "model.safetensors"
BEST = "best.safetensors"
LOST = "returns"
PICTURE_FOLDERS = 5


class States:
    """What a run writes: step folders, the newest and the best checkpoint, pictures and the log. Rank 0 alone does."""

    def __init__(self, folder: Path, run: RunConfig, config: TrainConfig, ranks: Ranks) -> None:
        self._folder = folder
        self._run = run
        self._config = config
        self._ranks = ranks
        self._trackers: list[Tracker] = []

    def track(self) -> None:
        """Begin with the programs that draw curves: TensorBoard where it is installed, and what was asked for.

        Raises:
            MachineError: that is missing, or cannot begin.
        """
        if self._ranks.rank == 0:
            with contextlib.suppress(ImportError):
                self._trackers.append(TensorBoard(self._folder / "tensorboard"))
            if self._run.tracker == "wandb":
                self._trackers.append(WeightsAndBiases(self._folder, to_mapping(self._config)))

    def close(self) -> None:
        """End with them."""
        while self._trackers:
            self._trackers.pop().close()

    def newest(self) -> Path | None:
        """The last whole step folder."""
        return max(self._whole(), default=None)

    def good(self) -> Path:
        """Where a lost run goes back to: the best validation, or the last state before the loss of way."""
        best = self._folder / f"step-{self._best():08d}"  # negative, and not there, before the first validation
        newest = self.newest()
        assert newest is not None, "the first state is saved before the first step"
        return best if best.is_dir() else newest

    def read(self, path: Path) -> dict[str, Any]:
        """The state in a step folder."""
        try:
            state: dict[str, Any] = weight_files.unpickled(path / "state.pt", self._ranks.device)
        except WeightsError as error:
            raise MachineError(
                f"cannot go on from '{path.name}': {error.message}",
                hint=f"Remove '{path}' to go on from the step before.",
            ) from None
        lost = self._folder / LOST
        state["returns"] = max(state["returns"], int(lost.read_text(encoding="utf-8")) if lost.exists() else 0)
        return state

    def forget_after(self, step: int, returns: int) -> None:
        """Remove the step folders of a lost way, and remember that it was one."""
        self._ranks.wait()
        if self._ranks.rank == 0:
            for path in self._whole():
                if int(path.name.removeprefix("step-")) > step:
                    _remove(path)
            _write_aside(self._folder / LOST, str(returns))
        self._ranks.wait()

    def tidy(self) -> None:
        """Remove what a killed run left half done: folders, files, and the last line of the log."""
        if self._ranks.rank == 0:
            for path in self._folder.glob("*.part"):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            log = self._folder / LOG
            if log.exists():
                os.truncate(log, log.read_bytes().rfind(b"\n") + 1)
        self._ranks.wait()

    def publish(self, newest: Path, best_step: int) -> None:
        """Copy the newest and the best checkpoint to the top, which a killed run may not have come to."""
        if self._ranks.rank == 0:
            best = self._folder / f"step-{best_step:08d}"
            for source, name in ((newest / NEWEST, NEWEST), (best / NEWEST, BEST)):
                copy = self._folder / name
                if source.exists() and not (copy.exists() and filecmp.cmp(source, copy, shallow=False)):
                    try:
                        _copy(source, copy)
                    except OSError as error:
                        _aside(copy).unlink(missing_ok=True)
                        raise self._refusal(error) from None
        self._ranks.wait()

    def save(self, trainer: Trainer) -> None:
        """Write a step aside and rename it, so that a step folder is always whole; then drop old ones."""
        final = self._folder / f"step-{trainer.step:08d}"
        if self._ranks.rank == 0 and not final.exists():
            aside = final.with_suffix(".part")
            try:
                self._write(trainer, aside, final)
            except (OSError, RuntimeError, SafetensorError) as error:  # the two writers' words for a full disk
                shutil.rmtree(aside, ignore_errors=True)
                raise self._refusal(error) from None
            kept = {*sorted(self._whole())[-self._run.keep :], self._folder / f"step-{trainer.best_step:08d}"}
            for old in set(self._whole()) - kept:
                _remove(old)
        self._ranks.wait()

    def log(self, event: Progress) -> None:
        """A line of JSON, and what draws curves."""
        if self._ranks.rank != 0:
            return
        try:
            with (self._folder / LOG).open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(asdict(event)) + "\n")
                stream.flush()
                os.fsync(stream.fileno())
        except OSError as error:
            raise self._refusal(error) from None
        names = ("loss", "rate", "norm", "images_per_second", "waiting", "psnr")
        figures = {name: getattr(event, name) for name in names} | event.facts
        for tracker in self._trackers:
            tracker.log({name: value for name, value in figures.items() if value is not None}, event.step)

    def show(self, step: int, pictures: list[Measured]) -> None:
        """Validation pictures as files: degraded, restored and clean side by side."""
        if self._ranks.rank != 0:
            return
        top = self._folder / "validation"
        place = top / f"step-{step:08d}"
        try:
            place.mkdir(parents=True, exist_ok=True)
            for index, shown in enumerate(pictures):
                row = torch.cat((shown.degraded, shown.restored, shown.clean), dim=-1)[0].clamp(0, 1)
                blank = Picture((row.permute(1, 2, 0) * 255).round().byte().numpy(), name=shown.name)
                (place / f"{index}-{shown.name.rpartition('/')[2][:60]}.png").write_bytes(
                    encode_picture(with_restored(blank, row), format="png")
                )
        except OSError as error:
            logger.warning("no validation pictures in '%s': %s", place, error.strerror)
        for old in sorted(top.glob("step-*"))[:-PICTURE_FOLDERS]:
            shutil.rmtree(old, ignore_errors=True)

    def _write(self, trainer: Trainer, aside: Path, final: Path) -> None:
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir()
        torch.save(trainer.state(), aside / "state.pt")
        fields: dict[str, Any] = {"task": self._config.task, "data": self._run.data_name, "licence": self._run.licence}
        checkpoint.save(aside / NEWEST, trainer.kept, step=trainer.step, **fields)
        for path in aside.iterdir():
            sync_file(path)
        sync_folder(aside)
        rename(aside, final)
        for name in (NEWEST, BEST) if trainer.best_step == trainer.step else (NEWEST,):
            _copy(final / NEWEST, self._folder / name)

    def _refusal(self, error: Exception) -> MachineError:
        reason = (error.strerror if isinstance(error, OSError) else None) or "the disk refuses to take it"
        return MachineError(
            f"cannot save to '{self._folder}': {reason}.",
            hint="The last checkpoint is untouched; make room and run it again.",
        )

    def _whole(self) -> list[Path]:
        return [path for path in self._folder.glob("step-*") if path.suffix != ".part"]

    def _best(self) -> int:
        newest = self.newest()
        return int(self.read(newest)["best_step"]) if newest is not None else -1


def _copy(source: Path, path: Path) -> None:
    aside = _aside(path)
    shutil.copyfile(source, aside)
    sync_file(aside)
    rename(aside, path)


def _write_aside(path: Path, text: str) -> None:
    aside = _aside(path)
    aside.write_text(text, encoding="utf-8")
    sync_file(aside)
    rename(aside, path)


def _aside(path: Path) -> Path:
    return path.with_name(f".{path.name}.part")


def _remove(folder: Path) -> None:
    """Remove a step folder; its name goes first, so that none is ever there in part."""
    aside = folder.with_suffix(".part")
    shutil.rmtree(aside, ignore_errors=True)
    with contextlib.suppress(OSError):
        folder.rename(aside)
        shutil.rmtree(aside)


@contextlib.contextmanager
def held(folder: Path, ranks: Ranks) -> Iterator[None]:
    """The run's folder, for this run alone."""
    if ranks.rank != 0:
        ranks.wait()
        yield
        return
    try:
        make_folder(folder)
        with FileLock(folder / ".lock", timeout=0):
            ranks.wait()
            yield
    except Timeout:
        raise MachineError(
            f"another run is at work in '{folder}'.", hint="Wait for it, or name another --out."
        ) from None
    except PermissionError as error:
        raise MachineError(f"cannot write to '{folder}': {error.strerror}.") from None
    except (FileExistsError, NotADirectoryError):
        raise UsageError(f"'{folder}' is not a folder.", hint="Name another --out.") from None


def check_settings(folder: Path, config: TrainConfig, run: RunConfig) -> None:
    """Refuse to go on with a run of other settings, or that began otherwise. The number of steps may change."""
    path = folder / SETTINGS
    if not path.exists():
        return
    values = read_json(path)
    begun = values.pop("run", {})
    values["model"] = with_process(values.get("system"), values.get("model"))
    before = from_mapping(TrainConfig, values, f"'{path}'")
    earlier = _written({**record(run), **begun, **to_mapping(before)})
    for name, value in _written({**record(run), **to_mapping(config)}).items():
        if name != "steps" and earlier[name] != value:
            raise UsageError(
                f"'{folder}' holds a run with other settings: '{name}' was {earlier[name]}, now it is {value}.",
                hint="Name another folder with --out, or remove this one.",
            )


def _written(values: dict[str, Any]) -> dict[str, Any]:
    """Values as they come back from a file, where tuples are lists."""
    plain: dict[str, Any] = json.loads(json.dumps(values))
    return plain


def write_settings(folder: Path, config: TrainConfig, run: RunConfig, ranks: Ranks) -> None:
    """Remember the settings of a run that is about to take its first step."""
    if ranks.rank == 0:
        _write_aside(folder / SETTINGS, json.dumps(to_mapping(config) | {"run": record(run)}, indent=1))
