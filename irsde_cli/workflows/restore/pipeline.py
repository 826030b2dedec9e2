"""Reading and writing beside the sampler; one bad picture never stops the rest."""

import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import torch

from irsde_cli.engine.forecast import Forecast
from irsde_cli.engine.memory import TooLargeError, more_memory
from irsde_cli.engine.restoration import Output, Restoration, StoppedError, explained
from irsde_cli.engine.settings import Step
from irsde_cli.errors import InputError, IrsdeError, MachineError
from irsde_cli.runtime import give_back
from irsde_cli.storage.journal import Journal, settings_id
from irsde_cli.workflows.restore.events import Done, Event, Failed, Judged, Lost, Seen, Skipped, Warned
from irsde_cli.workflows.restore.items import Item
from irsde_cli.workflows.restore.keeping import Made, Outcome, keep, make
from irsde_cli.workflows.restore.loading import Loaded, load
from irsde_cli.workflows.restore.plan import Plan, begun
from irsde_cli.workflows.restore.resume import describe, enlarged, up_to_date

PIXELS_AHEAD = 64_000_000
MOST_THREADS = 8  # that read, and that write
TOGETHER = 16  # results that get their names at a time, at most
SECONDS_TOGETHER = 0.5  # that a finished result waits for others
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
        read_ahead: int,
    ) -> None:
        self.restoration = restoration
        restoration.in_bytes = True
        self.options = plan.options
        self.plan = plan
        self.journal = journal
        self.settings = settings
        self.described = describe(plan, restoration.checkpoint, restoration.sampling, restoration.dtype)
        self.readers = readers
        self.writers = writers
        self.read_ahead = read_ahead
        self.items = plan.items()
        self.reading: deque[tuple[Item, Future[Loaded]]] = deque()
        self.ready: list[Loaded] = []
        self.writing: deque[tuple[Loaded, Future[Made]]] = deque()
        self.named_at = time.monotonic()
        self.forecast = Forecast(restoration)
        self.usual_pixels = 0
        self.succeeded = 0
        self.without_memory = 0
        self.swept: set[Path] = set()

    def run(self) -> Iterator[Event]:
        try:
            yield from self._run()
        finally:
            self._drop()

    def _run(self) -> Iterator[Event]:
        try:
            while not self.restoration.stopped():
                yield from self._read()
                if not self.ready:
                    break
                yield from self._restore(self._next_batch())
                yield from self._written()
        except StoppedError:
            pass
        finally:
            for _, future in self.reading:
                future.cancel()
        yield from self._written(everything=True)
        if self.without_memory and not self.succeeded:
            raise self._too_small()

    def _too_small(self) -> MachineError:
        hint = more_memory(self.restoration.device)
        return MachineError("there is not enough memory for any of the pictures.", hint=hint)

    def _read(self) -> Iterator[Event]:
        """Fill `ready` with the pictures that come next; what is up to date or cannot be read is said at once."""
        window = self.restoration.look_ahead
        while True:
            while len(self.reading) < self.read_ahead + window and self._light():
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
        """Say what was seen of a picture, and have its result encoded and written aside."""
        if output.seen:
            yield Seen(loaded.name, output.seen)
        if output.need is not None:
            yield Judged(loaded.name, output.need.weight, output.need.words)
        if _pixels(loaded) > LARGE:
            give_back()
        journal, target = self.journal, loaded.item.output
        if journal is not None and target is not None and target.parent not in self.swept:
            journal.sweep(target.parent)
            self.swept.add(target.parent)
        owner = None if journal is None else journal.owner
        self.writing.append((loaded, self.writers.submit(make, loaded, output, self.plan, self.described, owner)))

    def _written(self, *, everything: bool = False) -> Iterator[Event]:
        """Give names to what is finished, where that is due; with `everything` wait for all."""
        while self.writing and (everything or self._is_due()):
            group: list[Made] = []
            failure: MachineError | None = None
            waited = 0
            while self.writing and waited < TOGETHER and (everything or not waited or self.writing[0][1].done()):
                loaded, future = self.writing.popleft()
                waited += 1
                try:
                    with explained():
                        made = future.result()
                    if made.output.notes and self.options.strict:
                        made.close()
                        raise InputError(f"{made.output.notes[0]}.", hint="Without --strict this is a warning.")
                    group.append(made)
                except InputError as error:
                    yield self._failure(loaded.item, error)
                except MachineError as error:  # what is finished stays
                    failure = error
                    break
            yield from self._kept(group)
            if failure is not None:
                raise failure
            self.named_at = time.monotonic()

    def _is_due(self) -> bool:
        """Whether many results wait, or large ones, or the first has waited long enough for others."""
        waiting = len(self.writing)
        pixels = sum(_pixels(loaded) for loaded, _ in self.writing) * self.restoration.restorer.scale**2
        if waiting >= TOGETHER or (waiting > 2 and pixels > LARGE) or pixels > PIXELS_AHEAD:
            return True
        return self.writing[0][1].done() and time.monotonic() - self.named_at > SECONDS_TOGETHER

    def _kept(self, group: list[Made]) -> Iterator[Event]:
        """Name the files of several pictures, and say what became of each."""
        outcomes: list[Outcome] = [()] * len(group)
        if self.journal is not None and group:
            outcomes = keep(group, self.plan, self.journal)
        for made, outcome in zip(group, outcomes, strict=True):
            loaded, item = made.loaded, made.loaded.item
            if isinstance(outcome, InputError):
                yield self._failure(item, outcome)
                continue
            self.succeeded += 1
            for note in made.output.notes:
                yield Warned(loaded.name, f"{note}: look at the result, or try --strength 0.5")
            if lost := (*(() if made.output.same else loaded.lost), *outcome):
                titles = tuple(dict.fromkeys(part.title for part in lost))
                yield Lost(loaded.name, titles, tuple(map(str, lost)))
            extra = tuple(aside.path for aside in reversed(made.asides[:-1]))
            yield Done(item.name, item.output, time.monotonic() - loaded.since, made.data, extra, item.source)

    def _drop(self) -> None:
        """Remove what was written aside and will get no name."""
        for _, future in self.writing:
            if not future.cancel():
                with suppress(Exception):
                    future.result().close()
        self.writing.clear()

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
    count = max(2, min(MOST_THREADS, torch.get_num_threads() // 2))
    with ThreadPoolExecutor(count, "read") as readers, ThreadPoolExecutor(count, "write") as writers:
        yield from Pipeline(restoration, plan, journal, settings, readers, writers, count + 1).run()


def _journal(plan: Plan) -> Any:
    return nullcontext() if plan.folder is None else Journal(plan.folder, plan.label)
