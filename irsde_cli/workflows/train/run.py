"""Training as an iterable of events: a run folder that resumes, validation, a guard, and the checkpoints."""

import contextlib
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from pathlib import Path

import torch

from irsde_cli.errors import DivergedError
from irsde_cli.tasks import get_task
from irsde_cli.training.config import TrainConfig
from irsde_cli.training.data import Source
from irsde_cli.training.ranks import Ranks, join
from irsde_cli.training.trainer import Measured, Trainer
from irsde_cli.workflows.train.beginning import begin, check_apart, find_source
from irsde_cli.workflows.train.events import Event, Finished, Progress, Returned, Started, Warned
from irsde_cli.workflows.train.options import RunConfig
from irsde_cli.workflows.train.states import BEST, NEWEST, States, check_settings, held, write_settings

RETURNS = 3
SHOWN = 4


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
        with held(folder, ranks):
            for event in _train(config, run, folder, ranks, stopped):
                if ranks.rank == 0:
                    yield event
    finally:
        ranks.close()


def _train(
    config: TrainConfig, run: RunConfig, folder: Path, ranks: Ranks, stopped: Callable[[], bool]
) -> Iterator[Event]:
    check_settings(folder, config, run)
    trainer = Trainer(config, ranks)
    warnings: list[str] = []
    skip = warnings.append if run.skip_bad else None
    folders = [Path(place) for place in (run.data, run.validation) if place is not None and Path(place).exists()]
    check_apart(folders[:1], folders[1:])  # before every picture is read
    source = find_source(Path(run.data), config, run, ranks.device, config.degradation is None, skip)
    trainer.check(source)
    measured = None
    if run.validation is not None:
        degraded = config.validation or config.degradation
        measured = find_source(
            Path(run.validation),
            replace(config, degradation=degraded, crop=config.crop),
            run,
            ranks.device,
            degraded is None,
            skip,
        )
        check_apart(source.files, measured.files)
    yield from map(Warned, warnings)
    states = States(folder, run, config, ranks)
    states.tidy()
    newest = states.newest()
    if newest is not None:
        trainer.load_state(states.read(newest))
        states.publish(newest, trainer.best_step)
    else:
        begin(trainer, run)
        write_settings(folder, config, run, ranks)
        states.save(trainer)
    with contextlib.closing(states):
        states.track()
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
        if len(shown) < SHOWN:
            shown.append(picture)
    before, after, count = trainer.ranks.total(sums)
    return before / count, after / count, shown
