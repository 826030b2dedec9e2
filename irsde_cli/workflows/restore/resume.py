"""What has been done already: the record of a run, and what it leaves to do."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import torch

from irsde_cli.checkpoint import Checkpoint
from irsde_cli.engine import openvino
from irsde_cli.engine.forecast import Forecast
from irsde_cli.engine.settings import duration
from irsde_cli.errors import InputError
from irsde_cli.images import read_size
from irsde_cli.option import record
from irsde_cli.randomness import GENERATOR
from irsde_cli.samplers.settings import Sampling
from irsde_cli.storage.digests import content_of
from irsde_cli.storage.files import is_there
from irsde_cli.storage.journal import Entry, Identity, Journal
from irsde_cli.storage.outside import check_backup
from irsde_cli.version import __version__
from irsde_cli.workflows.restore.events import Event, Expected, Failed, Intended, Planned, Skipped, Warned
from irsde_cli.workflows.restore.items import Item
from irsde_cli.workflows.restore.loading import identity_of, with_companions
from irsde_cli.workflows.restore.options import Options, companions
from irsde_cli.workflows.restore.plan import Plan

MEASURED = 100


def describe(plan: Plan, checkpoint: Checkpoint, sampling: Sampling, dtype: torch.dtype | None) -> dict[str, Any]:
    """All that decides the pixels of an output: what the manifest records and resuming compares."""
    known = record(replace(plan.options, sampling=sampling))
    known |= dict.fromkeys(sampling.maps, "map")  # which one stands with each picture
    if not plan.options.trajectory:
        del known["trajectory_format"]  # of what is not written
    if plan.options.raw == "rendered":
        del known["raw"]  # records of earlier versions do not name it
    if plan.options.gate == "auto":
        del known["gate"]  # likewise
    if not plan.options.opening:
        del known["opening"]
    if plan.options.engine == "torch":
        del known["engine"]  # likewise
    else:
        known["engine_version"] = openvino.version()
    if not sampling.choices:
        del known["choices"]  # of weights that have none
    return known | {
        "version": __version__,
        "weights": checkpoint.sha256,
        "generator": GENERATOR,
        "precision": str(dtype or torch.float32).removeprefix("torch."),
    }


def preview(plan: Plan, settings: str, forecast: Forecast | None = None) -> Iterator[Event]:
    """What `restore` would do, without doing it, and with an estimate how long it may take.

    That is taken from the sizes of the first pictures alone where there are more than `MEASURED`.
    """
    yield Planned(plan.count, plan.left_out, plan.options.given)
    seconds: list[float] = []
    waiting = 0
    journal = None if plan.folder is None else Journal(plan.folder, plan.label)
    if journal is not None:
        journal.load()
    for item in plan.items():
        try:
            done = up_to_date(item, journal, settings, plan.options)
        except InputError as error:
            yield Intended(item.name, item.output, "fail", error.message)
            continue
        yield Intended(item.name, item.output, "skip" if done else "restore")
        waiting += not done
        if done or forecast is None or len(seconds) == MEASURED or item.source is None:
            continue
        with suppress(InputError):  # it fails when its time has come
            size = read_size(item.source, item.name, limits=plan.options.limits)
            seconds.append(forecast.seconds(size))
            if warning := enlarged(size, forecast, plan.options):
                yield Warned(item.name, warning)
    if seconds:
        yield Expected(waiting, sum(seconds) / len(seconds) * waiting)


def enlarged(size: tuple[int, int], forecast: Forecast, options: Options) -> str:
    """What a result with more pixels than a picture may have will cost, or "".

    Args:
        size: height and width of the degraded picture.
        forecast: of its time and memory.
        options: what was asked for.
    """
    scale = forecast.scale
    height, width = size[0] * scale, size[1] * scale
    if height * width <= options.limits.max_pixels:
        return ""
    return (
        f"its result has {width} x {height} pixels, {scale**2} times as many as it has and more than --max-pixels: "
        f"about {duration(forecast.seconds(size))} and {forecast.bytes(size) / 1e9:.1f} GB of memory, by estimate"
    )


@dataclass(frozen=True)
class Work:
    """A picture that is to be restored by another process, with what the manifests say of its outputs."""

    item: Item
    entries: dict[str, Entry]


def outstanding(items: Iterable[Item], plan: Plan, journal: Journal, settings: str) -> Iterator[Work | Event]:
    """What of the pictures has to be done; what is up to date or cannot be done is said at once."""
    for item in items:
        try:
            if up_to_date(item, journal, settings, plan.options):
                yield Skipped(item.name, item.output, item.source)
                continue
        except InputError as error:
            journal.failed(item.name, error.message)
            yield Failed(item.name, error.message, error.hint)
            continue
        relative = PurePosixPath(item.relative)
        yield Work(item, journal.entries(map(str, (relative, *companions(plan.options, relative)))))


def up_to_date(item: Item, journal: Journal | None, settings: str, options: Options) -> bool:
    """Whether the manifest says that this input with these settings gave the output that is there.

    Raises:
        InputError: the item cannot be opened, or its output is there and nobody knows from what.
    """
    if item.fault:
        raise InputError(f"'{item.name}' {item.fault}.")
    if journal is None or item.output is None:
        return False
    wanted = with_companions(settings, item, options)
    if options.in_place:
        return _replaced(item, journal, wanted, options)
    if _is_made(item, journal, item.output, item.relative, wanted):
        relative = PurePosixPath(item.relative)
        extra = companions(options, relative)
        if all(_is_made(item, journal, item.output.with_name(path.name), str(path), wanted) for path in extra):
            return True
    check_free(item.output, item.relative, item, journal, options)
    return False


def _is_made(item: Item, journal: Journal, output: Path, relative: str, settings: str) -> bool:
    """Whether a done line says that this output is there and was made from the input as it is, with these settings."""
    entry = journal.entry(relative)
    if entry is None or entry.pending or not entry.has(settings) or not entry.came_from(item.name):
        return False
    try:
        return output.stat().st_size == entry.made.size and _relation(item, entry) == "same"
    except OSError:
        return False


def _relation(item: Item, entry: Entry) -> Literal["same", "changed", "other"]:
    """What the picture of an item is to the one from which an output was made.

    The file of the same place is the same picture, or a changed one. A file of another place is the same if it has the
    name and the content: its folder was moved, or copied. All others are other pictures.
    """
    source = item.data if item.source is None else item.source
    assert source is not None, "an item is a file or data"
    identity = identity_of(source)
    if isinstance(source, Path) and entry.lay_at(item.place):
        return "same" if identity == entry.before else "changed"
    if not entry.came_from(item.name):
        return "other"
    if entry.placeless:
        return "same" if identity == entry.before else "other"
    if identity.size != entry.before.size:
        return "other"
    return "same" if entry.held(_content(source, identity)) else "other"


@lru_cache(maxsize=16)
def _content(source: Path | bytes, identity: Identity) -> str:
    """Read once for all outputs of a picture."""
    return content_of(source)


def _replaced(item: Item, journal: Journal, settings: str, options: Options) -> bool:
    """Whether the input already is a result: its original is gone, and it must not be restored once more.

    A pending line is enough where the file is the one that it announced: the run was killed right after the rename.

    Raises:
        InputError: the input is a link, the result of other settings, or has the backup of another file.
    """
    assert item.source is not None, "no pipe is restored in place"
    if item.source.is_symlink():
        raise InputError(f"'{item.name}' is a link, which --in-place would replace.", hint="Name the file itself.")
    entry = journal.entry(item.relative)
    try:
        result = entry is not None and Identity.of(item.source.stat()) == entry.made
    except OSError:
        return False
    if result and entry is not None and not entry.has(settings) and not options.overwrite:
        raise InputError(
            f"'{item.name}' was already restored in place, with other settings.",
            hint="--overwrite restores the result.",
        )
    if options.backup and not result:
        check_backup(item.source, item.name)
    return result and entry is not None and entry.has(settings)


def check_free(path: Path, relative: str, item: Item, journal: Journal, options: Options) -> None:
    """An output may be written if it is not there, if it came from the same input, or if it may be overwritten.

    Raises:
        InputError: it may not.
    """
    if options.overwrite or options.in_place or not is_there(path):
        return
    entry = journal.entry(relative) or journal.late(relative)
    if entry is None:
        raise InputError(
            f"'{path}' exists, and this folder's manifest does not say from what.", hint="Give --overwrite."
        )
    try:
        other = _relation(item, entry) == "other"
    except OSError as error:
        raise InputError(f"'{item.name}' cannot be read: {error.strerror or error}.") from None
    if other:
        raise InputError(
            f"'{path}' was made from another picture of that name, as this folder's manifest says.",
            hint="Name another OUTPUT, or give --overwrite.",
        )
