"""Restoring as an iterable of events: the call that does what `irsde restore` does. No torch before all is checked."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from irsde_cli import extras
from irsde_cli.config import read_paths
from irsde_cli.engine.settings import device_for
from irsde_cli.errors import UsageError
from irsde_cli.needs import AUTO, JUDGED
from irsde_cli.samplers.settings import check_sampler
from irsde_cli.tasks import EACH, TASKS
from irsde_cli.weights import BEST, SHIPPED, ZERO_SHOT, Weights, find_weights
from irsde_cli.workflows.restore.options import Options

if TYPE_CHECKING:
    from irsde_cli.workflows.restore.choosing import Choosing
    from irsde_cli.workflows.restore.events import Event
    from irsde_cli.workflows.restore.job import Job
    from irsde_cli.workflows.restore.plan import Plan

Pipe = Callable[[], BinaryIO]


def closed() -> BinaryIO:
    """The pipe of a caller that has none."""
    raise UsageError("there is no pipe to read from.", hint="Name a file or a folder.")


def restore(
    options: Options, *, stdin: Pipe = closed, stopped: Callable[[], bool] = lambda: False
) -> "Iterator[Event]":
    """Restore pictures and write them, as `irsde restore` does; the first event says with what.

    Args:
        options: what is asked for.
        stdin: opens what "-" stands for.
        stopped: asked between tiles; what is being restored is dropped, and the same call goes on later.

    Raises:
        UsageError: inputs, outputs or settings cannot be as asked.
        WeightsError: there are no such weights, or they are damaged.
        MachineError: the disk is full, the folder is locked, or not one picture fits into memory.
    """
    yield from prepare(options, stdin=stdin).run(stopped)


def resolved(options: Options) -> Options:
    """The same with its inputs and its task, which weights alone may say.

    Raises:
        UsageError: there is no input, or no task.
        WeightsError: there are no such weights.
    """
    options = options.arranged
    if options.format is None and Path(options.outputs or "").suffix.lower() == ".irc":
        options = replace(options, format="irc")
    if not options.task:
        # Loads what reads pictures, which help does without.
        from irsde_cli.workflows.restore.opening import first_named, only_opens

        if only_opens(options):
            options = replace(options, opening=True, model=options.model or first_named(options))
    if not options.task and options.model in (None, BEST, ZERO_SHOT):
        raise UsageError("--task is missing.", hint=f"What to undo: {', '.join(TASKS)}.")
    return options if options.task else replace(options, task=_task_of(options))


def prepare(options: Options, *, stdin: Pipe = closed, touch: bool = True) -> "Job | Choosing":
    """A run that is ready to begin: all is checked and the weights are loaded.

    Args:
        options: what is asked for.
        stdin: opens what "-" stands for.
        touch: whether the disk is written to, so that a run that cannot write fails here; nothing stays there.

    Raises:
        UsageError: inputs, outputs or settings cannot be as asked.
        WeightsError: there are no such weights, or they are damaged.
        MachineError: the output folder cannot be written, or a device or a package is missing.
    """
    options = resolved(options)
    _check(options)
    options = replace(options, device=device_for(options.engine, options.device))
    if options.ray is not None:  # elsewhere another folder is the current one
        options = replace(
            options,
            inputs=tuple(map(_absolute, options.inputs)),
            outputs=options.outputs and _absolute(options.outputs),
            mask=options.mask and options.mask.absolute(),
            sampling=options.sampling.absolute(),
        )
    if options.files_from is not None:
        options = replace(options, listed=_listed(options.files_from, stdin))
    from irsde_cli.workflows.restore.plan import plan

    limit = options.limits.max_file_bytes
    planned = plan(options, lambda: _piped(stdin(), limit), touch=touch and not options.dry_run)
    if options.task == EACH and options.model is None:
        from irsde_cli.workflows.restore.choosing import Choosing

        return Choosing(planned, _job)
    return _job(planned)


def _job(planned: "Plan") -> "Job":
    """The run of a plan whose task is known."""
    options = planned.options
    short = options.sampling.is_short and options.estimate == "sample"
    sampled = options.sampling.is_sampled or options.samples > 1 or options.estimate != "sample"
    weights = find_weights(options.model, options.task, short=short, sampled=sampled, prior=options.sampling.prior)
    if options.model is not None and not weights.zero_shot:
        _check_same(options.task, weights)
    from irsde_cli.workflows.restore.job import Job

    return Job(replace(planned, options=judged(planned.options, weights)), weights)


def judged(options: Options, weights: Weights) -> Options:
    """The same, with the strength that each picture needs where nobody says another.

    That is so for the networks that ship, with which it was measured. Who says how much noise there is has judged
    already, and frames with the same noise are to be treated alike.
    """
    sampling = options.sampling
    said = sampling.strength is not None or sampling.noise_level is not None or options.shared_noise
    said = said or options.opening or options.coding is not None
    if said or weights.name not in SHIPPED or options.task not in JUDGED:
        return options
    return replace(options, sampling=replace(sampling, strength=AUTO))


def _check(options: Options) -> None:
    """What can be told from the options alone."""
    if options.depth not in (None, 8, 16):
        raise UsageError(f"--depth is 8 or 16, not {options.depth}.")
    if options.sampling.sampler is not None:
        check_sampler(options.sampling.sampler)
    each = options.task == EACH and options.model is None
    if options.sampling.is_judged and options.task not in JUDGED and not each:
        raise UsageError(
            f"--strength auto does not know what the task '{options.task}' is for.",
            hint=f"It does: {', '.join(JUDGED)}.",
        )
    if options.report is not None and (options.in_place or "-" in (*options.inputs, options.outputs)):
        raise UsageError("--report needs the inputs beside the results: no pipe, and no --in-place.")
    if options.coding is not None:
        extras.require("codec", "the format irc")
        sampling = options.sampling
        drawn = options.samples > 1 or options.estimate != "sample" or options.spread or options.trajectory
        if (
            drawn
            or sampling.strength is not None
            or options.mask is not None
            or options.tile != "auto"
            or options.gate not in ("auto", "off")
        ):
            raise UsageError(
                "a file of the format irc holds what a codec makes of a whole picture.",
                hint="Leave out --samples, --estimate, --spread, --trajectory, --strength, --mask, --tile, --gate.",
            )
    if options.c2pa is not None:
        extras.require("c2pa", "--c2pa")
        from irsde_cli.images import credentials

        credentials.check(options.c2pa)
    if options.ray is not None:
        extras.require("ray", "--ray")
        if options.device not in ("auto", "cpu", "cuda"):
            raise UsageError(f"with --ray the cluster chooses its devices, not --device {options.device}.")


def _task_of(options: Options) -> str:
    """The task that the weights say they are for."""
    from irsde_cli.conversions.loading import task_of

    weights = find_weights(options.model, "")
    task = task_of(weights.path)
    if task not in TASKS:
        raise UsageError(
            f"'{weights.name}' does not say what it undoes.", hint=f"Name it with --task: {', '.join(TASKS)}."
        )
    return task


def _check_same(task: str, weights: Weights) -> None:
    """Weights for one task, taken for another, make pictures worse; those that look first do several."""
    from irsde_cli.conversions.loading import task_of

    own = task_of(weights.path)
    if own in TASKS and own not in (task, "auto"):
        raise UsageError(
            f"'{weights.name}' is to {TASKS[own].summary} ({own}), and --task says {task}.",
            hint="Leave out --task, or name other weights.",
        )


def _absolute(place: str) -> str:
    return place if place == "-" else str(Path(place).absolute())


def _piped(stream: BinaryIO, limit: int) -> bytes:
    """A pipe, up to a bit more than the limit; in parts, as a read takes the memory for all it may give."""
    data = bytearray()
    while len(data) <= limit and (part := stream.read(1 << 20)):
        data += part
    return bytes(data)


def _listed(place: str, stdin: Pipe) -> tuple[str, ...]:
    """The paths of a list."""
    try:
        raw = stdin().read() if place == "-" else Path(place).read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read the list '{place}': {error.strerror}.") from None
    return read_paths(raw, place)
