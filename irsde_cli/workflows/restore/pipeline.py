"""Reading and writing beside the sampler; one bad picture never stops the rest."""

import os
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from irsde_cli.engine.forecast import Forecast
from irsde_cli.engine.memory import TooLargeError
from irsde_cli.engine.restoration import Output, Restoration, StoppedError, explained
from irsde_cli.engine.settings import Step
from irsde_cli.errors import InputError, IrsdeError, MachineError
from irsde_cli.images import Part
from irsde_cli.runtime import give_back
from irsde_cli.storage.files import is_there, write_whole
from irsde_cli.storage.journal import Identity, Journal, settings_id
from irsde_cli.workflows.restore.encoding import encode
from irsde_cli.workflows.restore.events import Done, Event, Failed, Judged, Lost, Seen, Skipped, Warned
from irsde_cli.workflows.restore.items import Item
from irsde_cli.workflows.restore.loading import Loaded, load
from irsde_cli.workflows.restore.losing import ties
from irsde_cli.workflows.restore.plan import Plan, begun, same_file
from irsde_cli.workflows.restore.resume import check_free, describe, enlarged, up_to_date

READ_AHEAD = 3
PIXELS_AHEAD = 64_000_000
HOPELESS = 3
LARGE = 8_000_000  # pixels, from which on what decoding and tiles leave behind is worth returning


class Pipeline:
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
        self.described = describe(plan, restoration.checkpoint, restoration.sampling, restoration.dtype)
        self.readers = readers
        self.writers = writers
        self.items = plan.items()
        self.reading: deque[tuple[Item, Future[Loaded]]] = deque()
        self.ready: list[Loaded] = []
        self.writing: deque[tuple[Loaded, Output, Future[tuple[list[tuple[Path, bytes]], bytes | None]]]] = deque()
        self.forecast = Forecast(restoration)
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
                    if self.journal is not None and up_to_date(item, self.journal, self.settings, self.options):
                        yield Skipped(item.name, item.output, item.source)
                        continue
                except InputError as error:
                    yield self._failure(item, error)
                    continue
                self.reading.append((item, self.readers.submit(load, item, self.options, self.settings)))
            if not self.reading or len(self.ready) >= window:
                return
            item, future = self.reading.popleft()
            try:
                with explained():
                    loaded = future.result()
            except InputError as error:
                yield self._failure(item, error)
                continue
            cost = enlarged(loaded.size, self.forecast, self.options)
            if cost and self.options.strict:
                yield self._failure(item, InputError(f"{cost}.", hint="Without --strict this is a warning."))
                continue
            for message in (*loaded.picture.warnings, *([cost] if cost else [])):
                yield Warned(item.name, message)
            self.usual_pixels = _pixels(loaded)
            if _pixels(loaded) > LARGE:
                give_back()
            self.ready.append(loaded)

    def _light(self) -> bool:
        """Whether the decoded pictures that wait leave room for more; the next are taken to be as large as the last."""
        if self.reading and not self.usual_pixels:
            return False
        return sum(map(_pixels, self.ready)) + len(self.reading) * self.usual_pixels < PIXELS_AHEAD

    def _next_batch(self) -> list[Loaded]:
        """The first picture that is ready, with others that may share its canvas."""
        first, restorer = self.ready[0], self.restoration.restorer

        def canvas(loaded: Loaded) -> tuple[int, int]:
            return restorer.facts.padded_size(*loaded.size) if restorer.ragged else loaded.size

        alike = [loaded for loaded in self.ready if canvas(loaded) == canvas(first)]
        batch = alike[: self.restoration.batch_size(first)]
        self.ready = [loaded for loaded in self.ready if all(loaded is not chosen for chosen in batch)]
        return batch

    def _restore(self, batch: list[Loaded]) -> Iterator[Event]:
        for loaded in batch:
            if loaded.need is not None and not loaded.need.weight:
                yield from self._encode(loaded, self.restoration.untouched(loaded))
        batch = [loaded for loaded in batch if loaded.need is None or loaded.need.weight]
        if not batch:
            return
        try:
            with explained():
                for event in self.restoration.sample(batch):
                    if isinstance(event, Step):
                        yield event
                        continue
                    for loaded, output in zip(batch, event, strict=True):
                        yield from self._encode(loaded, output)
        except InputError as error:
            if len(batch) > 1:  # find out which of them it was
                for loaded in batch:
                    yield from self._restore([loaded])
                return
            self.without_memory += isinstance(error, TooLargeError)
            yield self._failure(batch[0].item, error)
            if self.without_memory == HOPELESS and not self.succeeded:
                raise self._too_small() from None

    def _encode(self, loaded: Loaded, output: Output) -> Iterator[Event]:
        """Say what was seen of a picture, and have its result encoded."""
        if output.seen:
            yield Seen(loaded.name, output.seen)
        if output.need is not None:
            yield Judged(loaded.name, output.need.weight, output.need.words)
        if _pixels(loaded) > LARGE:
            give_back()
        encoding = self.writers.submit(encode, loaded, output, self.options, self.described)
        self.writing.append((loaded, output, encoding))

    def _written(self, at_most: int) -> Iterator[Event]:
        """Wait until no more than so many pictures are being encoded, and give the others their names."""
        scale = self.restoration.restorer.scale
        while len(self.writing) > at_most or sum(_pixels(it[0]) for it in self.writing) * scale**2 > PIXELS_AHEAD:
            loaded, output, future = self.writing.popleft()
            try:
                with explained():
                    files, data = future.result()
                if output.notes and self.options.strict:
                    raise InputError(f"{output.notes[0]}.", hint="Without --strict this is a warning.")
                further = self._keep(loaded, files, output.tile)
            except InputError as error:
                yield self._failure(loaded.item, error)
                continue
            self.succeeded += 1
            for note in output.notes:
                yield Warned(loaded.name, f"{note}: look at the result, or try --strength 0.5")
            if lost := (*(() if output.same else loaded.lost), *further):
                titles = tuple(dict.fromkeys(part.title for part in lost))
                yield Lost(loaded.name, titles, tuple(map(str, lost)))
            extra = tuple(path for path, _ in files[1:])
            yield Done(
                loaded.item.name, loaded.item.output, time.monotonic() - loaded.since, data, extra, loaded.item.source
            )

    def _keep(self, loaded: Loaded, files: list[tuple[Path, bytes]], tile: int) -> tuple[Part, ...]:
        """Write the files of one picture, the restored one last: it says that all are there.

        Returns:
            what of older results cannot be handed on.
        """
        item, journal, folder = loaded.item, self.journal, self.plan.folder
        lost: tuple[Part, ...] = ()
        if journal is None or folder is None:
            return lost
        for path, data in reversed(files):
            if path.parent not in self.swept:
                journal.sweep(path.parent)
                self.swept.add(path.parent)
            relative = path.relative_to(folder).as_posix()
            if not self.options.in_place and item.source is not None and same_file(item.source, path):
                raise InputError(f"'{path}' is the input itself, under another name.")
            check_free(path, relative, item, journal, self.options)

            def pending(status: os.stat_result, relative: str = relative) -> None:
                journal.pending(loaded.source, relative, Identity.of(status), loaded.settings)

            if not self.options.in_place and is_there(path) and path.is_file() and not path.is_symlink():
                lost += ties(path)
            dated = self.options.in_place or (self.options.keep_times and item.source is not None)
            status = write_whole(
                path,
                data,
                journal.owner,
                pending,
                modified_ns=loaded.source.identity.mtime_ns if dated else None,
                backup=self.options.backup,
            )
            seconds = time.monotonic() - loaded.since
            journal.done(loaded.source, relative, Identity.of(status), loaded.settings, seconds, tile)
        return lost

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


def _pixels(loaded: Loaded) -> int:
    return loaded.size[0] * loaded.size[1]


def run(restoration: Restoration, plan: Plan) -> Iterator[Event]:
    """Restore the items of a plan.

    Raises:
        MachineError: the disk is full, the folder is locked, or not one picture fits into memory.
    """
    settings = describe(plan, restoration.checkpoint, restoration.sampling, restoration.dtype)
    yield from begun(plan)
    with _journal(plan) as journal:
        if journal is not None:
            journal.run(settings)
        yield from restored(restoration, plan, journal, settings_id(settings))


def restored(restoration: Restoration, plan: Plan, journal: Journal | None, settings: str) -> Iterator[Event]:
    """The same with a journal that is open already, and the short name of the settings."""
    with ThreadPoolExecutor(2, "read") as readers, ThreadPoolExecutor(2, "write") as writers:
        yield from Pipeline(restoration, plan, journal, settings, readers, writers).run()


def _journal(plan: Plan) -> Any:
    return nullcontext() if plan.folder is None else Journal(plan.folder, plan.label)
