"""Restoring as an iterable of events: read, sample, check, write; one bad picture never stops the rest."""

import io
import logging
import math
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any, Literal, Protocol

import numpy as np
import torch
from torch import Tensor

from irsde_cli.checkpoint import Checkpoint
from irsde_cli.engine.memory import MEMORY_SHARE, TooLargeError, choose_overlap, choose_tile, largest_batch
from irsde_cli.errors import InputError, IrsdeError, MachineError, UsageError
from irsde_cli.images import (
    SUFFIXES,
    Picture,
    encode_picture,
    looks_like_picture,
    output_format,
    read_picture,
    to_tensor,
    with_restored,
)
from irsde_cli.images.holes import cut
from irsde_cli.networks.network import round_up
from irsde_cli.networks.tiling import Evaluate, Ragged, Reduced, Tiles, whole
from irsde_cli.randomness import GENERATOR, ImageNoise, Prefetched, draw_key, generator_for
from irsde_cli.runtime import is_lost_device, is_out_of_memory
from irsde_cli.samplers.settings import Sampling
from irsde_cli.storage.files import is_there, write_whole
from irsde_cli.storage.journal import Entry, Identity, Journal, settings_id
from irsde_cli.version import __version__
from irsde_cli.workflows.restore.items import Item
from irsde_cli.workflows.restore.plan import (
    Done,
    Event,
    Failed,
    Intended,
    Options,
    Plan,
    Planned,
    Seen,
    Skipped,
    Step,
    Warned,
    begun,
    beside,
    companions,
    film,
    same_file,
)

logger = logging.getLogger(__name__)

SMALLEST_TILE = 64
READ_AHEAD = 3
GPU_LOOK_AHEAD = 16
PIXELS_AHEAD = 64_000_000
SPREAD_GAIN = 8
HOPELESS = 3


def preview(plan: Plan, settings: str) -> Iterator[Event]:
    """What `restore` would do, without doing it."""
    yield Planned(plan.count, plan.left_out)
    journal = None if plan.folder is None else Journal(plan.folder, plan.label)
    if journal is not None:
        journal.load()
    for item in plan.items():
        try:
            done = _up_to_date(item, journal, settings, plan.options)
            action: Literal["restore", "skip"] = "skip" if done else "restore"
            yield Intended(item.name, item.output, action)
        except InputError as error:
            yield Intended(item.name, item.output, "fail", error.message)


def describe(plan: Plan, checkpoint: Checkpoint, sampling: Sampling, dtype: torch.dtype | None) -> dict[str, Any]:
    """All that decides the pixels of an output: what the manifest records and resuming compares."""
    options = plan.options
    return {
        "version": __version__,
        "weights": checkpoint.sha256,
        "task": options.task,
        "sampler": sampling.sampler,
        "steps": sampling.steps,
        "nodes": sampling.nodes,
        "eta": sampling.eta,
        "noise_level": sampling.noise_level,
        "seed": options.seed,
        "generator": GENERATOR,
        "precision": str(dtype or torch.float32).removeprefix("torch."),
        "format": options.format,
        "quality": options.quality,
        "depth": options.depth,
        "metadata": options.metadata,
        "allow_truncated": options.allow_truncated,
        "samples": options.samples,
        "estimate": options.estimate,
        "spread": options.spread,
        "trajectory": [options.trajectory, options.trajectory_format] if options.trajectory else None,
    }


class Subject(Protocol):
    """A picture in memory, on its way to the network.

    Attributes:
        name: for messages.
        key: from which its noise comes: its path relative to the input.
        size: height and width.
        flat: whether it is of one colour, so that the result may be.
    """

    @property
    def name(self) -> str: ...

    @property
    def key(self) -> bytes: ...

    @property
    def size(self) -> tuple[int, int]: ...

    @property
    def flat(self) -> bool: ...

    def degraded(self) -> Tensor:
        """(3, H, W) in [0, 1]; holes as `irsde_cli.images.holes.cut` makes them."""
        ...


@dataclass(frozen=True, eq=False)
class _Loaded:
    """A picture of a file, with what is recorded of it; a `Subject`."""

    item: Item
    picture: Picture
    before: Identity
    mask: Tensor | None
    settings: str
    since: float

    @property
    def name(self) -> str:
        return self.item.name

    @property
    def key(self) -> bytes:
        return self.item.key

    @property
    def size(self) -> tuple[int, int]:
        return self.picture.size

    @property
    def flat(self) -> bool:
        return int(self.picture.pixels.max()) == int(self.picture.pixels.min())

    def degraded(self) -> Tensor:
        image = to_tensor(self.picture)
        return image if self.mask is None else cut(image, self.mask)


@dataclass(eq=False)
class Output:
    """What a run made of one picture: the images to write, by the suffix of their names.

    Attributes:
        tile: the side of the tiles that it was cut into; 0 is the whole.
    """

    tile: int = 0
    images: dict[str, Tensor] = field(default_factory=dict)
    states: list[Tensor] = field(default_factory=list)
    seen: dict[str, float] = field(default_factory=dict)


class Restoration:
    """A loaded system on a device, with what `restore` was asked for; `share` of the free memory is its own."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        options: Options,
        device: torch.device,
        dtype: torch.dtype | None = None,
        share: float = MEMORY_SHARE,
    ) -> None:
        self.options = options
        self.checkpoint = checkpoint
        self.restorer = checkpoint.restorer.to(device)
        self.restorer.freeze()
        self.device = device
        self.dtype = dtype
        self.share = share
        self.sampling = self.restorer.resolve(options.sampling)
        self.draws = options.samples if options.samples > 1 or options.estimate == "sample" else 8
        if options.estimate == "mean" and options.samples == 1:
            logger.info("the mean is that of %d draws", self.draws)
        self._tile = options.tile if options.tile != "auto" else 0
        self._largest_batch = 0
        self.stopped: Callable[[], bool] = lambda: False
        if isinstance(options.tile, int) and 0 < options.tile < 2 * self.restorer.multiple:
            raise UsageError(f"tiles of {options.tile} pixels are too small; these weights need {SMALLEST_TILE}.")

    def run(self, plan: Plan) -> Iterator[Event]:
        """Restore the items of a plan.

        Raises:
            MachineError: the disk is full, the folder is locked, or not one picture fits into memory.
        """
        settings = describe(plan, self.checkpoint, self.sampling, self.dtype)
        yield from begun(plan)
        with _journal(plan) as journal:
            if journal is not None:
                journal.run(settings)
            yield from self.restore(plan, journal, settings_id(settings))

    def restore(self, plan: Plan, journal: Journal | None, settings: str) -> Iterator[Event]:
        """The same with a journal that is open already, and the short name of the settings."""
        with ThreadPoolExecutor(2, "read") as readers, ThreadPoolExecutor(2, "write") as writers:
            yield from _Pipeline(self, plan, journal, settings, readers, writers).run()

    def batch_size(self, loaded: Subject) -> int:
        """How many pictures of that size one call takes."""
        if self._tile or (self.device.type == "cpu" and self.options.batch_size <= 1):
            return 1
        size = largest_batch(self.restorer, loaded.size, self.device, self.share)
        if self.options.batch_size:
            size = min(size, self.options.batch_size) if self.options.tile == "auto" else self.options.batch_size
        return min(size, self.restorer.max_batch or size, self._largest_batch or size)

    @property
    def look_ahead(self) -> int:
        """How many decoded pictures are searched for ones that can share a batch."""
        if self.options.batch_size:
            return 2 * self.options.batch_size
        return 1 if self.device.type == "cpu" else GPU_LOOK_AHEAD

    def sample(self, batch: Sequence[Subject]) -> Iterator[Step | list[Output]]:
        """Restore a batch; the last thing yielded are its outputs.

        Raises:
            InputError: a result is not what a photograph can be, or does not fit into memory.
        """
        tile, dtype = self._tile_for(batch), self.dtype
        while True:
            try:
                yield from self._sample(batch, tile, dtype)
                return
            except (RuntimeError, MemoryError) as error:
                if is_lost_device(error):
                    raise MachineError(f"the device '{self.device}' failed: {str(error).splitlines()[0]}") from error
                if not is_out_of_memory(error):
                    raise
                if self.device.type == "cuda":
                    torch.cuda.empty_cache()
                if len(batch) > 1:
                    self._largest_batch = len(batch) // 2
                    raise TooLargeError("there is not enough memory for all of the batch.") from None
                longest = max(max(loaded.size) for loaded in batch) * self.restorer.scale
                tile = round_up((tile or longest) // 2, self.restorer.multiple)
                if tile < max(SMALLEST_TILE, 2 * self.restorer.multiple):
                    raise TooLargeError("there is not enough memory for it, even in the smallest tiles.") from None
                logger.warning("out of memory: going on with tiles of %d pixels", tile)
                self._tile = tile
            except _NotFiniteError:
                if dtype is None:
                    raise InputError("the result is not finite.", hint="Try other weights or --sampler.") from None
                logger.warning("a result is not finite in half precision: once more in float32")
                dtype = None

    def _sample(self, batch: Sequence[Subject], tile: int, dtype: torch.dtype | None) -> Iterator[Step | list[Output]]:
        sizes = [loaded.size for loaded in batch]
        if len(set(sizes)) == 1:
            images = [loaded.degraded() for loaded in batch]
            canvas = images[0][None] if len(batch) == 1 else torch.stack(images)
            del images
        else:
            canvas = torch.zeros(len(batch), 3, *_padded(sizes[0], self.restorer.multiple))
            for index, loaded in enumerate(batch):
                canvas[index, :, : loaded.size[0], : loaded.size[1]] = loaded.degraded()
        canvas = canvas.to(self.device)
        scale = self.restorer.scale
        grown = [(height * scale, width * scale) for height, width in sizes]
        one: Evaluate = Reduced(dtype) if dtype else whole
        evaluate = Tiles(tile, choose_overlap(self.restorer, tile, self.options.tile_overlap), one) if tile else one
        if len(set(sizes)) > 1:
            evaluate = Ragged(grown, one)
        # Noise has the images' sizes only where those differ: a latent state has another.
        drawn = grown if len(set(sizes)) > 1 else None
        shown = _evenly(self.sampling.steps or 1, self.options.trajectory)
        names = tuple(loaded.name for loaded in batch)
        megapixels = sum(height * width for height, width in grown) / 1e6
        steps = (self.sampling.steps or 1) * self.draws
        outputs = [
            Output(tile, seen=self.restorer.seen(image[:, :height, :width]))
            for image, (height, width) in zip(canvas, sizes, strict=True)
        ]
        total: Tensor | None = None
        squares: Tensor | None = None
        for draw in range(self.draws):
            generators = [generator_for(self.options.seed, draw_key(loaded.key, draw)) for loaded in batch]
            kept: dict[int, Tensor] = {}
            with Prefetched(ImageNoise(generators, drawn)) as noise:
                states = self.restorer.steps(canvas, noise, self.sampling, evaluate)
                if draw + 1 == self.draws:
                    del canvas  # a system that makes a centre of it needs it no longer
                for count, state in enumerate(_without_gradients(states), start=1):
                    if count in shown and draw == 0:
                        kept[count] = _seen(state)
                    yield Step(names, draw * (self.sampling.steps or 1) + count, steps, megapixels)
                    if self.stopped():
                        raise StoppedError
                image = state.float().cpu()
                if shown and draw == 0:
                    kept[count] = _seen(state)
            if not all(math.isfinite(bound) for bound in image.aminmax()):
                raise _NotFiniteError
            for index, (output, (height, width)) in enumerate(zip(outputs, grown, strict=True)):
                if self.options.estimate == "sample":
                    output.images["" if draw == 0 else f".{draw}"] = image[index, :, :height, :width].clamp(0, 1)
                if draw == 0:
                    output.states = [state[index, :, :height, :width] for state in kept.values()]
            if self.options.estimate == "mean" or self.options.spread:
                image = image.clamp(0, 1)
                if self.options.spread:
                    squares = image.square() if squares is None else squares.add_(image.square())
                total = image if total is None else total.add_(image)
            del image, state
        if total is not None:
            mean = total.div_(self.draws)
            for index, (output, (height, width)) in enumerate(zip(outputs, grown, strict=True)):
                if self.options.estimate == "mean":
                    output.images[""] = mean[index, :, :height, :width]
                if squares is not None:
                    std = (squares[index] / self.draws).sub_(mean[index].square()).clamp_min_(0).sqrt_()
                    output.images[".spread"] = std.mul_(SPREAD_GAIN).clamp_(0, 1)[:, :height, :width]
        for loaded, output, size in zip(batch, outputs, grown, strict=True):
            for suffix, image in output.images.items():
                if suffix != ".spread":
                    _check(loaded, image, size)
        yield outputs

    def _tile_for(self, batch: Sequence[Subject]) -> int:
        """The size of tiles, 0 for none: as asked, as an earlier picture taught, or `choose_tile`."""
        if self.options.tile != "auto" or self._tile or len(batch) > 1:
            return self._tile
        options = self.options
        images = self.draws if options.estimate == "sample" else 2
        extra = images - 1 + 2 * options.spread + (self.draws > 1)
        return choose_tile(self.restorer, batch[0].size, self.device, extra_images=extra, share=self.share)


class StoppedError(Exception):
    """The run was asked to stop between two steps."""


class _NotFiniteError(Exception):
    """A result holds NaN or infinity."""


class _Pipeline:
    """Readers and writers beside the sampler, each a bounded number of pictures ahead or behind."""

    def __init__(
        self,
        restoration: Restoration,
        plan: Plan,
        journal: Journal | None,
        settings: str,
        readers: ThreadPoolExecutor,
        writers: ThreadPoolExecutor,
    ) -> None:
        self.restoration = restoration
        self.options = plan.options
        self.plan = plan
        self.journal = journal
        self.settings = settings
        self.readers = readers
        self.writers = writers
        self.items = plan.items()
        self.reading: deque[tuple[Item, Future[_Loaded]]] = deque()
        self.ready: list[_Loaded] = []
        self.writing: deque[tuple[_Loaded, int, Future[tuple[list[tuple[Path, bytes]], bytes | None]]]] = deque()
        self.usual_pixels = 0
        self.succeeded = 0
        self.without_memory = 0
        self.swept: set[Path] = set()

    def run(self) -> Iterator[Event]:
        try:
            while not self.restoration.stopped():
                yield from self._read()
                if not self.ready:
                    break
                yield from self._restore(self._next_batch())
                yield from self._written(at_most=2)
        except StoppedError:
            pass
        finally:
            for _, future in self.reading:
                future.cancel()
        yield from self._written(at_most=0)
        if self.without_memory and not self.succeeded:
            raise self._too_small()

    def _too_small(self) -> MachineError:
        return MachineError("there is not enough memory for any of the pictures.", hint="Try --device cpu.")

    def _read(self) -> Iterator[Event]:
        """Fill `ready` with the pictures that come next; what is up to date or cannot be read is said at once."""
        window = self.restoration.look_ahead
        while True:
            while len(self.reading) < READ_AHEAD + window and self._light():
                item = next(self.items, None)
                if item is None:
                    break
                try:
                    if self.journal is not None and _up_to_date(item, self.journal, self.settings, self.options):
                        yield Skipped(item.name, item.output)
                        continue
                except InputError as error:
                    yield self._failure(item, error)
                    continue
                self.reading.append((item, self.readers.submit(_load, item, self.options, self.settings)))
            if not self.reading or len(self.ready) >= window:
                return
            item, future = self.reading.popleft()
            try:
                with explained():
                    loaded = future.result()
            except InputError as error:
                yield self._failure(item, error)
                continue
            for message in loaded.picture.warnings:
                yield Warned(item.name, message)
            self.usual_pixels = _pixels(loaded)
            self.ready.append(loaded)

    def _light(self) -> bool:
        """Whether the decoded pictures that wait leave room for more; the next are taken to be as large as the last."""
        if self.reading and not self.usual_pixels:
            return False
        return sum(map(_pixels, self.ready)) + len(self.reading) * self.usual_pixels < PIXELS_AHEAD

    def _next_batch(self) -> list[_Loaded]:
        """The first picture that is ready, with others that may share its canvas."""
        first, restorer = self.ready[0], self.restoration.restorer

        def canvas(loaded: _Loaded) -> tuple[int, int]:
            return _padded(loaded.size, restorer.multiple) if restorer.ragged else loaded.size

        alike = [loaded for loaded in self.ready if canvas(loaded) == canvas(first)]
        batch = alike[: self.restoration.batch_size(first)]
        self.ready = [loaded for loaded in self.ready if all(loaded is not chosen for chosen in batch)]
        return batch

    def _restore(self, batch: list[_Loaded]) -> Iterator[Event]:
        try:
            with explained():
                for event in self.restoration.sample(batch):
                    if isinstance(event, Step):
                        yield event
                        continue
                    for loaded, output in zip(batch, event, strict=True):
                        if output.seen:
                            yield Seen(loaded.name, output.seen)
                        encoding = self.writers.submit(_encode, loaded, output, self.options)
                        self.writing.append((loaded, output.tile, encoding))
        except InputError as error:
            if len(batch) > 1:  # find out which of them it was
                for loaded in batch:
                    yield from self._restore([loaded])
                return
            self.without_memory += isinstance(error, TooLargeError)
            yield self._failure(batch[0].item, error)
            if self.without_memory == HOPELESS and not self.succeeded:
                raise self._too_small() from None

    def _written(self, at_most: int) -> Iterator[Event]:
        """Wait until no more than so many pictures are being encoded, and give the others their names."""
        scale = self.restoration.restorer.scale
        while len(self.writing) > at_most or sum(_pixels(it[0]) for it in self.writing) * scale**2 > PIXELS_AHEAD:
            loaded, tile, future = self.writing.popleft()
            try:
                with explained():
                    files, data = future.result()
                self._keep(loaded, files, tile)
            except InputError as error:
                yield self._failure(loaded.item, error)
                continue
            self.succeeded += 1
            extra = tuple(path for path, _ in files[1:])
            yield Done(loaded.item.name, loaded.item.output, time.monotonic() - loaded.since, data, extra)

    def _keep(self, loaded: _Loaded, files: list[tuple[Path, bytes]], tile: int) -> None:
        """Write the files of one picture, the restored one last: it says that all are there."""
        item, journal, folder = loaded.item, self.journal, self.plan.folder
        if journal is None or folder is None:
            return
        for path, data in reversed(files):
            if path.parent not in self.swept:
                journal.sweep(path.parent)
                self.swept.add(path.parent)
            relative = path.relative_to(folder).as_posix()
            if not self.options.in_place and item.source is not None and same_file(item.source, path):
                raise InputError(f"'{path}' is the input itself, under another name.")
            _check_free(path, relative, item.name, journal, self.options)

            def pending(status: os.stat_result, relative: str = relative) -> None:
                journal.pending(item.name, loaded.before, relative, Identity.of(status), loaded.settings)

            status = write_whole(path, data, journal.owner, pending)
            seconds = time.monotonic() - loaded.since
            journal.done(item.name, loaded.before, relative, Identity.of(status), loaded.settings, seconds, tile)

    def _failure(self, item: Item, error: IrsdeError) -> Failed:
        if self.journal is not None:
            self.journal.failed(item.name, error.message)
        if self.options.fail_fast:
            self.items = iter(())
            self.ready = []
            for _, future in self.reading:
                future.cancel()
            self.reading.clear()
        return Failed(item.name, error.message, error.hint)


def _journal(plan: Plan) -> Any:
    return nullcontext() if plan.folder is None else Journal(plan.folder, plan.label)


@dataclass(frozen=True)
class Work:
    """A picture that is to be restored by another process, with what the manifests say of its outputs."""

    item: Item
    entries: dict[str, Entry]


def outstanding(items: Iterable[Item], plan: Plan, journal: Journal, settings: str) -> Iterator[Work | Event]:
    """What of the pictures has to be done; what is up to date or cannot be done is said at once."""
    for item in items:
        try:
            if _up_to_date(item, journal, settings, plan.options):
                yield Skipped(item.name, item.output)
                continue
        except InputError as error:
            journal.failed(item.name, error.message)
            yield Failed(item.name, error.message, error.hint)
            continue
        relative = PurePosixPath(item.relative)
        yield Work(item, journal.entries(map(str, (relative, *companions(plan.options, relative)))))


def _up_to_date(item: Item, journal: Journal | None, settings: str, options: Options) -> bool:
    """Whether the manifest says that this input with these settings gave the output that is there.

    Raises:
        InputError: the item cannot be opened, or its output is there and nobody knows from what.
    """
    if item.fault:
        raise InputError(f"'{item.name}' {item.fault}.")
    if journal is None or item.output is None:
        return False
    wanted = _with_mask(settings, item, options)
    if options.in_place:
        return _replaced(item, journal, wanted, options)
    if _is_made(item, journal, item.output, item.relative, wanted):
        relative = PurePosixPath(item.relative)
        extra = companions(options, relative)
        if all(_is_made(item, journal, item.output.with_name(path.name), str(path), wanted) for path in extra):
            return True
    _check_free(item.output, item.relative, item.name, journal, options)
    return False


def _is_made(item: Item, journal: Journal, output: Path, relative: str, settings: str) -> bool:
    """Whether a done line says that this output is there and was made from the input as it is, with these settings."""
    entry = journal.entry(relative)
    if entry is None or entry.pending or not entry.has(settings) or item.source is None:
        return False
    try:
        return Identity.of(item.source.stat()) == entry.before and output.stat().st_size == entry.made.size
    except OSError:
        return False


def _replaced(item: Item, journal: Journal, settings: str, options: Options) -> bool:
    """Whether the input already is a result: its original is gone, and it must not be restored once more.

    A pending line is enough where the file is the one that it announced: the run was killed right after the rename.

    Raises:
        InputError: the input is a link, or the result of other settings.
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
    return result and entry is not None and entry.has(settings)


def _check_free(path: Path, relative: str, source: str, journal: Journal, options: Options) -> None:
    """An output may be written if it is not there, if it came from the same input, or if it may be overwritten."""
    if options.overwrite or options.in_place or not is_there(path):
        return
    entry = journal.entry(relative)
    if entry is None or not entry.came_from(source):
        raise InputError(
            f"'{path}' exists, and this folder's manifest does not say from what.", hint="Give --overwrite."
        )


def _load(item: Item, options: Options, settings: str) -> _Loaded:
    since = time.monotonic()
    source = item.data if item.source is None else item.source
    assert source is not None, "an item is a file or data"
    try:
        before = Identity(len(source), 0) if isinstance(source, bytes) else Identity.of(source.stat())
        picture = read_picture(
            source,
            item.name,
            limits=options.limits,
            allow_truncated=options.allow_truncated,
            strict=options.strict,
            depth=options.depth,
        )
        if isinstance(source, Path) and Identity.of(source.stat()) != before:
            raise InputError(f"'{item.name}' changed while it was read.", hint="Run again when it is complete.")
    except OSError as error:
        raise InputError(f"'{item.name}' cannot be read: {error.strerror or error}.") from None
    output_format(picture, _format(item, options), metadata=options.metadata, depth=options.depth)
    wanted = _with_mask(settings, item, options)
    mask = None if options.mask is None else _mask(_mask_path(options.mask, item), item, picture, options)
    return _Loaded(item, picture, before, mask, wanted, since)


def loaded_images(plan: Plan) -> Iterator[tuple[bytes, Tensor]]:
    """The pictures of a plan as the network gets them, (3, H, W), by key; those that cannot be read are left out."""
    for item in plan.items():
        try:
            loaded = _load(item, plan.options, "")
        except InputError:
            continue
        yield loaded.key, loaded.degraded()


def _format(item: Item, options: Options) -> str | None:
    """The format to write: a single output file's own; else as asked, or the input's."""
    if item.output is None or options.outputs is None:
        return options.format
    if looks_like_picture(Path(options.outputs)) and item.output == Path(options.outputs):
        return SUFFIXES[item.output.suffix.lower()]
    if options.format is None and item.source is None:
        return SUFFIXES[item.output.suffix.lower()]
    return options.format


def _mask_path(place: Path, item: Item) -> Path:
    """The mask of a picture: the file, or the one of its path and stem in the folder."""
    if not place.is_dir():
        return place
    inner = place / Path(item.name).with_suffix("")
    found = [inner.with_name(inner.name + suffix) for suffix in SUFFIXES]
    return next((path for path in found if path.is_file()), place / item.name)


def _with_mask(settings: str, item: Item, options: Options) -> str:
    """The settings of one picture: those of the run, and the mask as far as it is known without reading it."""
    if options.mask is None:
        return settings
    try:
        mask = Identity.of(_mask_path(options.mask, item).stat())
    except OSError:
        return settings
    return f"{settings}-{mask.size:x}-{mask.mtime_ns:x}"


def _mask(path: Path, item: Item, picture: Picture, options: Options) -> Tensor:
    """(H, W) of booleans: what is known."""
    mask = read_picture(path, str(path), limits=options.limits, depth=8)
    if mask.size != picture.size:
        (height, width), (rows, columns) = mask.size, picture.size
        raise InputError(f"the mask '{path}' is {width} x {height}, but '{item.name}' is {columns} x {rows}.")
    return to_tensor(mask).mean(0) >= 0.5


def _encode(loaded: _Loaded, output: Output, options: Options) -> tuple[list[tuple[Path, bytes]], bytes | None]:
    """The files of a picture; for a pipe, the restored picture as bytes."""
    item, picture = loaded.item, replace(loaded.picture, warnings=())
    files: list[tuple[Path, bytes]] = []
    data: bytes | None = None
    for suffix in list(output.images):
        restored = with_restored(picture, output.images.pop(suffix))
        if loaded.mask is not None and suffix != ".spread":
            np.copyto(restored.pixels, picture.pixels, where=loaded.mask.numpy()[..., None])
        data = encode_picture(
            restored,
            format=_format(item, options),
            quality=options.quality,
            metadata=options.metadata,
            depth=options.depth,
        )
        if item.output is not None:
            files.append((Path(beside(item.output, suffix)), data))
        elif not suffix:
            return [], data
    if item.output is not None and output.states:
        files.append((Path(film(options, item.output)), _film(output.states, options.trajectory_format)))
    return files, None


def _film(states: Sequence[Tensor], kind: str) -> bytes:
    """The states beside one another, or after one another."""
    import imageio.v3 as imageio

    frames = [np.ascontiguousarray(state.permute(1, 2, 0).numpy()) for state in states]
    buffer = io.BytesIO()
    if kind == "strip":
        imageio.imwrite(buffer, np.concatenate(frames, axis=1), extension=".png")
    else:
        imageio.imwrite(buffer, np.stack(frames), extension=".gif", duration=400, loop=0)
    return buffer.getvalue()


def _evenly(steps: int, count: int) -> set[int]:
    """`count` of the numbers 1 to `steps`, evenly spread, with the first and the last; one is the last."""
    count = min(count, steps)
    if count < 2:
        return {steps} if count else set()
    return {1 + round(index * (steps - 1) / (count - 1)) for index in range(count)}


def _seen(state: Tensor) -> Tensor:
    """A state as pixels, on the CPU."""
    return state.clamp(0, 1).mul(255).round().to(torch.uint8).cpu()


def _without_gradients(states: Iterator[Tensor]) -> Iterator[Tensor]:
    """The same states; the mode ends between two of them, where it would be the caller's."""
    while True:
        with torch.inference_mode():
            state = next(states, None)
        if state is None:
            return
        yield state


@contextmanager
def explained() -> Iterator[None]:
    """What nobody foresaw fails the one picture that set it off."""
    try:
        yield
    except (IrsdeError, StoppedError):
        raise
    except Exception as error:
        logger.debug("unexpected", exc_info=True)
        raise InputError(f"unexpected {type(error).__name__}: {error}", hint="IRSDE_DEBUG=1 shows where.") from None


def _check(loaded: Subject, image: Tensor, size: tuple[int, int]) -> None:
    """The post-condition of every result: the right size, and constant only where the input is."""
    if tuple(image.shape[-2:]) != size:
        raise InputError(f"the result has the size {tuple(image.shape[-2:])} instead of {size}.")
    if image.numel() > 3 and float(image.max() - image.min()) < 0.5 / 255 and not loaded.flat:
        raise InputError("the result is one flat colour, which the picture is not.", hint="Try other weights.")


def _pixels(loaded: Subject) -> int:
    return loaded.size[0] * loaded.size[1]


def _padded(size: tuple[int, int], multiple: int) -> tuple[int, int]:
    return round_up(size[0], multiple), round_up(size[1], multiple)
