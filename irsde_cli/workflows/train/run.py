"""Training as an iterable of events: a run folder that resumes, validation, a guard, and the checkpoints."""

import contextlib
import filecmp
import json
import logging
import os
import shutil
from collections.abc import Callable, Generator, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from safetensors import SafetensorError
from torch import Tensor

from irsde_cli import checkpoint
from irsde_cli.config import from_mapping, to_mapping
from irsde_cli.conversions.official import SUFFIXES, read_state
from irsde_cli.datasets.pairing import find_pair_folders
from irsde_cli.degradations import build_degradation
from irsde_cli.errors import DivergedError, MachineError, UsageError, WeightsError
from irsde_cli.images import Picture, encode_picture, with_restored
from irsde_cli.storage.files import make_folder, rename, sync_file, sync_folder
from irsde_cli.tasks import get_task
from irsde_cli.training.config import TrainConfig
from irsde_cli.training.data import Source, load_clean, load_pairs
from irsde_cli.training.ranks import Ranks, join
from irsde_cli.training.trainer import Measured, Trainer
from irsde_cli.weights import find_weights

logger = logging.getLogger(__name__)
SETTINGS = "settings.json"
LOG = "log.jsonl"
NEWEST = "model.safetensors"
BEST = "best.safetensors"
LOST = "returns"
RETURNS = 3
PICTURES = 4
PICTURE_FOLDERS = 5


@dataclass(frozen=True)
class RunConfig:
    """Where a run reads and writes, and how often; none of it changes what is learnt.

    Attributes:
        data: folder of clean pictures, or one with the folders `GT` and `LQ` of pairs.
        out: folder of the run.
        validation: a folder like `data`, to measure on.
        pairs: how the stem of a degraded file follows from that of its clean one.
        init: weights to begin with: all that `--model` of restore takes, or a file of the reference's.
        skip_bad: go on without pictures that cannot be used.
        workers: threads that make batches.
        report_every: steps between two `Progress`.
        validate_every: steps between two validations.
        validation_crop: side of the central crop that is measured, in pixels.
        save_every: steps between two checkpoints.
        keep: how many of the newest are kept, beside the best.
        data_name: what the checkpoint says it was trained on.
        licence: the terms of the data, for the checkpoint.
    """

    data: str = ""
    out: str = ""
    validation: str | None = None
    pairs: str = "{stem}"
    init: str | None = None
    skip_bad: bool = False
    workers: int = 1
    report_every: int = 100
    validate_every: int = 2000
    validation_crop: int = 256
    save_every: int = 1000
    keep: int = 2
    data_name: str = ""
    licence: str = ""

    def __post_init__(self) -> None:
        for name in ("workers", "report_every", "validate_every", "validation_crop", "save_every", "keep"):
            if getattr(self, name) < 1:
                raise ValueError(f"'{name}' must be at least 1, not {getattr(self, name)}")


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


def train(
    config: TrainConfig,
    run: RunConfig,
    *,
    device: torch.device | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> Iterator[Event]:
    """Train, or go on with the run that lies in `run.out`.

    `step-N` in it holds all that a resumed run needs and `model.safetensors`, the averaged weights as a checkpoint.
    The newest lies at the top too, and the best by validation as `best.safetensors`. Events come on rank 0 alone.

    Args:
        config: what is learnt.
        run: where it happens.
        device: where it computes; the CPU by default.
        stopped: asked after each step; the run is saved and ends when it says so.

    Raises:
        UsageError: the settings do not fit the data, or the folder holds a run of other settings.
        InputError: some pictures cannot be used.
        WeightsError: `run.init` does not fit.
        DivergedError: the run lost its way more than three times.
        MachineError: the disk is full, or another run has the folder.
    """
    get_task(config.task)
    ranks = join(device or torch.device("cpu"), config.batch_size)
    folder = Path(run.out)
    try:
        with _held(folder, ranks):
            for event in _train(config, run, folder, ranks, stopped):
                if ranks.rank == 0:
                    yield event
    finally:
        ranks.close()


def _train(
    config: TrainConfig, run: RunConfig, folder: Path, ranks: Ranks, stopped: Callable[[], bool]
) -> Iterator[Event]:
    _check_settings(folder, config)
    trainer = Trainer(config, ranks)
    warnings: list[str] = []
    skip = warnings.append if run.skip_bad else None
    source = _source(Path(run.data), config, run, ranks.device, config.degradation is None, skip)
    measured = None
    if run.validation is not None:
        degraded = config.validation or config.degradation
        measured = _source(
            Path(run.validation),
            replace(config, degradation=degraded, crop=config.crop),
            run,
            ranks.device,
            degraded is None,
            skip,
        )
    yield from map(Warned, warnings)
    states = States(folder, run, config, ranks)
    states.tidy()
    newest = states.newest()
    if newest is not None:
        trainer.load_state(states.read(newest))
        states.publish(newest, trainer.best_step)
    else:
        _begin(trainer, run)
        _write_settings(folder, config, ranks)
        states.save(trainer)
    yield Started(
        trainer.step,
        config.steps,
        len(source),
        sum(parameter.numel() for parameter in trainer.system.learnt.parameters()),
        ranks.world,
    )
    while True:
        lost = yield from _until_lost(trainer, source, measured, run, states, stopped)
        if lost is None:
            break
        at = trainer.step
        if trainer.returns == RETURNS:
            raise DivergedError(
                f"{lost} at step {at}, after {RETURNS} returns to earlier states; '{folder / BEST}' is as it was.",
                hint="Start a new run with a lower --learning-rate, or look at the data.",
            )
        back, returns = states.good(), trainer.returns + 1
        trainer.load_state(states.read(back))
        trainer.returns = returns
        states.forget_after(trainer.step, returns)
        yield Returned(at, trainer.step, lost, config.learning_rate * trainer.rate_factor(trainer.step))
    if trainer.step == config.steps:
        yield Finished(folder / NEWEST, folder / (BEST if trainer.best_step >= 0 else NEWEST), trainer.step)


def _until_lost(
    trainer: Trainer,
    source: Source,
    measured: Source | None,
    run: RunConfig,
    states: "States",
    stopped: Callable[[], bool],
) -> Generator[Progress, None, str | None]:
    """Train until the end or a signal, and return `None`; or return what went wrong."""
    config, ranks = trainer.config, trainer.ranks
    losses: list[float] = []
    facts: dict[str, float] = {}
    waited = worked = 0.0
    steps = trainer.train(source, workers=run.workers)
    with contextlib.closing(steps):  # type: ignore[type-var]
        for step in steps:
            if not step.finite:
                return f"the loss is {step.loss:g} and the gradient's norm {step.norm:g}"
            losses.append(step.loss)
            facts = {name: facts.get(name, 0.0) + value for name, value in step.facts.items()}
            waited, worked = waited + step.waited, worked + step.seconds
            ended = trainer.step == config.steps
            stop = ranks.total([float(stopped())])[0] > 0
            before = after = None
            best = False
            if measured is not None and (trainer.step % run.validate_every == 0 or ended):
                before, after, shown = _validate(trainer, measured, run)
                if after < trainer.best_psnr - config.collapse_db:
                    return f"validation fell from {trainer.best_psnr:.2f} to {after:.2f} dB"
                best = after > trainer.best_psnr
                if best:
                    trainer.best_psnr, trainer.best_step = after, trainer.step
                states.show(trainer.step, shown)
            due = trainer.step % run.report_every == 0 or ended or stop or after is not None
            if due:
                event = Progress(
                    step=trainer.step,
                    steps=config.steps,
                    loss=sum(losses) / len(losses),
                    rate=step.rate,
                    norm=step.norm,
                    images_per_second=len(losses) * config.batch_size / max(worked, 1e-9),
                    waiting=waited / max(worked, 1e-9),
                    input_psnr=before,
                    psnr=after,
                    best=best,
                    facts={name: value / len(losses) for name, value in facts.items()},
                )
                states.log(event)  # before the step is saved, so that no step lacks its line
                losses, facts, waited, worked = [], {}, 0.0, 0.0
            if trainer.step % run.save_every == 0 or ended or stop or best:
                states.save(trainer)
            if due:
                yield event
            if stop:
                return None
    return None


def _validate(trainer: Trainer, source: Source, run: RunConfig) -> tuple[float, float, list[Measured]]:
    """Mean PSNR of the degraded and of the restored pictures, over all devices, and the first of them."""
    sums = [0.0, 0.0, 0.0]
    shown: list[Measured] = []
    for picture in trainer.validate(source, crop=run.validation_crop):
        sums = [a + b for a, b in zip(sums, (picture.input_psnr, picture.psnr, 1.0), strict=True)]
        if len(shown) < PICTURES:
            shown.append(picture)
    before, after, count = trainer.ranks.total(sums)
    return before / count, after / count, shown


def _source(
    folder: Path,
    config: TrainConfig,
    run: RunConfig,
    device: torch.device,
    paired: bool,
    skip_bad: Callable[[str], None] | None,
) -> Source:
    """The pictures of a folder: pairs where nothing degrades them, clean ones where something does."""
    folders = find_pair_folders(folder)
    if paired:
        if folders is None:
            raise UsageError(
                f"'{folder}' has no folders of pairs, and these settings degrade nothing themselves.",
                hint="Put clean pictures into GT/ and degraded ones into LQ/, or give --degradation a name.",
            )
        scale = config.model.get("scale", 1)
        return load_pairs(*folders, template=run.pairs, crop=config.crop, scale=scale, device=device, skip_bad=skip_bad)
    if folders is not None:
        raise UsageError(
            f"'{folder}' holds pairs, but these settings degrade clean pictures themselves.",
            hint=f"Give --degradation none to learn from the pairs, or name '{folders[0]}' instead.",
        )
    assert config.degradation is not None, "not paired"
    degradation = build_degradation(config.degradation)
    scale = config.model.get("scale", 1)
    if degradation.scale != scale:
        raise UsageError(
            f"the degradation '{config.degradation.name}' makes pictures {degradation.scale} times smaller, but the "
            f"model enlarges {scale} times."
        )
    return load_clean(folder, degradation, crop=config.crop, device=device, skip_bad=skip_bad)


def _begin(trainer: Trainer, run: RunConfig) -> None:
    """Fresh weights, or those of a checkpoint."""
    if run.init is None:
        if trainer.config.system == "latent":
            raise UsageError(
                "a latent system learns in the latents of an autoencoder that was trained before.",
                hint="Train one with --preset latent-unet-dehaze, and give it here with --init.",
            )
        if trainer.config.system == "flux-ir":
            raise UsageError(
                "FLUX's ControlNet learns to steer a transformer that was trained before.",
                hint="docs/flux.md says how its weights become a checkpoint for --init.",
            )
        return
    path = Path(run.init)
    expected = trainer.system.state_dict()
    if path.suffix in SUFFIXES:
        bare = read_state(path)
        part = "network" if any(name.startswith("network.") for name in expected) else "autoencoder"
        if "latent_conv.weight" in bare:
            part = "autoencoder"
        tensors = {f"{part}.{name}": tensor for name, tensor in bare.items()}
    else:
        path = find_weights(run.init, "").path
        tensors = checkpoint.load(path).restorer.state_dict()
    _check_init(path, expected, tensors)
    trainer.start_from(tensors)


def _check_init(path: Path, expected: dict[str, Tensor], found: dict[str, Tensor]) -> None:
    """Every part that the file has a tensor of must be whole and fit; other parts keep their fresh weights."""
    parts = {name.split(".")[0] for name in found} & {name.split(".")[0] for name in expected}
    wanted = {name: tensor for name, tensor in expected.items() if name.split(".")[0] in parts}
    hint = "The network of the settings must be the one that the file was trained with."
    if not parts:
        raise WeightsError(f"'{path}' has nothing that this system could begin with.", hint=hint)
    for name, tensor in wanted.items():
        if name not in found:
            raise WeightsError(f"'{path}' lacks '{name}', which these settings ask for.", hint=hint)
        if found[name].shape != tensor.shape:
            shapes = f"{list(found[name].shape)}, these settings ask for {list(tensor.shape)}"
            raise WeightsError(f"'{path}': '{name}' has shape {shapes}.", hint=hint)
    for name in found:
        if name.split(".")[0] in parts and name not in wanted:
            raise WeightsError(f"'{path}' holds '{name}', which these settings do not know.", hint=hint)
    if "network" not in parts and "autoencoder" not in parts:
        raise WeightsError(f"'{path}' has nothing that this system could begin with.", hint=hint)


class States:
    """What a run writes: step folders, the newest and the best checkpoint, pictures and the log. Rank 0 alone does."""

    def __init__(self, folder: Path, run: RunConfig, config: TrainConfig, ranks: Ranks) -> None:
        self._folder = folder
        self._run = run
        self._config = config
        self._ranks = ranks
        self._board: Any = None

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
            state: dict[str, Any] = torch.load(path / "state.pt", map_location=self._ranks.device, weights_only=True)
        except Exception as error:
            raise MachineError(
                f"'{path / 'state.pt'}' cannot be read: {str(error).splitlines()[0]}.",
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
        """A line of JSON, and TensorBoard's own where it is installed."""
        if self._ranks.rank != 0:
            return
        try:
            with (self._folder / LOG).open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(asdict(event)) + "\n")
                stream.flush()
                os.fsync(stream.fileno())
        except OSError as error:
            raise self._refusal(error) from None
        if self._board is None:
            self._board = _board(self._folder / "tensorboard")
        if self._board:
            names = ("loss", "rate", "norm", "images_per_second", "waiting", "psnr")
            for name, value in ({name: getattr(event, name) for name in names} | event.facts).items():
                if value is not None:
                    self._board.add_scalar(name, value, event.step)
            self._board.flush()

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
                (place / f"{index}-{shown.name[:60]}.png").write_bytes(
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


def _board(folder: Path) -> Any:
    """TensorBoard's writer, or `False` where it is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return False
    return SummaryWriter(str(folder))


@contextlib.contextmanager
def _held(folder: Path, ranks: Ranks) -> Iterator[None]:
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


def _check_settings(folder: Path, config: TrainConfig) -> None:
    """Refuse to go on with a run of other settings. The number of steps may change."""
    path = folder / SETTINGS
    if not path.exists():
        return
    try:
        before = from_mapping(TrainConfig, json.loads(path.read_text(encoding="utf-8")), f"'{path}'")
    except ValueError as error:
        raise UsageError(f"'{path}' is not JSON: {error}.", hint="Name another --out.") from None
    for name, value in to_mapping(config).items():
        earlier = to_mapping(before)[name]
        if name != "steps" and earlier != value:
            raise UsageError(
                f"'{folder}' holds a run with other settings: '{name}' was {earlier}, now it is {value}.",
                hint="Name another folder with --out, or remove this one.",
            )


def _write_settings(folder: Path, config: TrainConfig, ranks: Ranks) -> None:
    """Remember the settings of a run that is about to take its first step."""
    if ranks.rank == 0:
        _write_aside(folder / SETTINGS, json.dumps(to_mapping(config), indent=1))
