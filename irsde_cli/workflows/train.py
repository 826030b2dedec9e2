"""Training as an iterable of events: settings, a run folder that resumes, validation, and the checkpoint at the end."""

import json
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import torch

from irsde_cli import checkpoint
from irsde_cli.config import from_mapping, read_toml, to_mapping
from irsde_cli.degradations import build_degradation
from irsde_cli.errors import MachineError, UsageError
from irsde_cli.registry import unknown_name
from irsde_cli.tasks import get_task
from irsde_cli.training.photos import load_photos, validation_pairs
from irsde_cli.training.trainer import TrainConfig, Trainer

logger = logging.getLogger(__name__)
KEPT_STEPS = 2
SETTINGS = "settings.json"
LOG = "log.jsonl"


@dataclass(frozen=True)
class Progress:
    """The state of a run at a step; `psnr` is that of the validation photographs, where it was just measured."""

    step: int
    steps: int
    loss: float
    images_per_second: float
    input_psnr: float | None = None
    psnr: float | None = None


@dataclass(frozen=True)
class Finished:
    """The checkpoint that a run ended with."""

    path: Path
    step: int


def preset_names() -> list[str]:
    """The presets that ship in the package."""
    folder = resources.files("irsde_cli") / "presets"
    return sorted(Path(entry.name).stem for entry in folder.iterdir() if entry.name.endswith(".toml"))


def read_preset(name: str) -> dict[str, Any]:
    """The settings of a preset.

    Raises:
        UsageError: there is none of that name.
    """
    if name not in preset_names():
        raise unknown_name("preset", name, preset_names())
    return read_toml(Path(str(resources.files("irsde_cli"))) / "presets" / f"{name}.toml")


def train(
    config: TrainConfig,
    data: Path,
    run: Path,
    *,
    validation: Path | None = None,
    device: torch.device | None = None,
    report_every: int = 100,
    validate_every: int = 2000,
    save_every: int = 1000,
    data_name: str = "",
    licence: str = "",
    stopped: Callable[[], bool] = lambda: False,
) -> Iterator[Progress | Finished]:
    """Train, or go on with the run that lies in `run`.

    Every `save_every` steps `run/step-N` holds all that a resumed run needs and `model.safetensors`, the averaged
    weights as a checkpoint; the last two are kept. The newest checkpoint also lies at `run/model.safetensors`.

    Args:
        config: what is learnt.
        data: folder of clean photographs.
        run: folder of this run.
        validation: folder of clean photographs to measure on.
        device: where; the CPU by default.
        report_every: steps between two `Progress`.
        validate_every: steps between two validations.
        save_every: steps between two checkpoints.
        data_name: what the checkpoint says it was trained on.
        licence: the terms of the data, for the checkpoint.
        stopped: asked after each step; the run is saved and ends when it says so.

    Raises:
        UsageError: the data cannot be used, or `run` holds a run of other settings.
        MachineError: the disk is full, or the loss stopped being finite.
    """
    get_task(config.task)
    run.mkdir(parents=True, exist_ok=True)
    _check_settings(run, config)
    trainer = Trainer(config, device or torch.device("cpu"))
    photos = load_photos(data, smallest=config.crop + 2 * trainer.degradation.margin)
    measured = build_degradation(config.validation or config.degradation)
    pairs = validation_pairs(load_photos(validation, smallest=1), measured, 256, config.seed) if validation else []
    newest = _newest(run)
    if newest is not None:
        trainer.load_state(torch.load(newest / "state.pt", map_location=trainer.device, weights_only=True))
        logger.info("going on from step %d", trainer.step)
    header = {"task": config.task, "data": data_name, "licence": licence}
    losses: list[float] = []
    since = time.monotonic()
    for loss in trainer.train(photos):
        losses.append(loss)
        last_step = trainer.step == config.steps
        stop = stopped()
        if trainer.step % save_every == 0 or last_step or stop:
            _save(run, trainer, header)
        if stop:
            return
        if trainer.step % report_every == 0 or last_step:
            before = after = None
            speed = len(losses) * config.batch_size / (time.monotonic() - since)
            if pairs and (trainer.step % validate_every == 0 or last_step):
                before, after = trainer.validate(pairs)
            event = Progress(trainer.step, config.steps, sum(losses) / len(losses), speed, before, after)
            with (run / LOG).open("a", encoding="utf-8") as log:
                log.write(json.dumps(vars(event)) + "\n")
            losses, since = [], time.monotonic()
            yield event
    yield Finished(run / "model.safetensors", trainer.step)


def _check_settings(run: Path, config: TrainConfig) -> None:
    """Remember the settings of a new run; refuse to go on with others. The number of steps may change."""
    path = run / SETTINGS
    if not path.exists():
        path.write_text(json.dumps(to_mapping(config), indent=1), encoding="utf-8")
        return
    before = from_mapping(TrainConfig, json.loads(path.read_text(encoding="utf-8")), f"'{path}'")
    for name, value in to_mapping(config).items():
        earlier = to_mapping(before)[name]
        if name != "steps" and earlier != value:
            raise UsageError(
                f"'{run}' holds a run with other settings: '{name}' was {earlier}, now it is {value}.",
                hint="Name another folder with --out, or remove this one.",
            )


def _newest(run: Path) -> Path | None:
    whole = [path for path in run.glob("step-*") if path.suffix != ".part"]
    return max(whole, default=None)


def _save(run: Path, trainer: Trainer, header: dict[str, Any]) -> None:
    """Write a step aside and rename it, so that a step folder is always whole."""
    final = run / f"step-{trainer.step:08d}"
    aside = final.with_suffix(".part")
    try:
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir()
        torch.save(trainer.state(), aside / "state.pt")
        checkpoint.save(aside / "model.safetensors", trainer.best, step=trainer.step, **header)
        for path in aside.iterdir():
            with path.open("rb+") as stream:
                os.fsync(stream.fileno())
        if final.exists():
            shutil.rmtree(final)
        aside.rename(final)
        shutil.copyfile(final / "model.safetensors", run / "model.part")
        (run / "model.part").replace(run / "model.safetensors")
    except OSError as error:
        raise MachineError(
            f"cannot save to '{run}': {error.strerror or error}.", hint="The last checkpoint is untouched."
        ) from None
    for old in sorted(path for path in run.glob("step-*") if path.suffix != ".part")[:-KEPT_STEPS]:
        shutil.rmtree(old, ignore_errors=True)
