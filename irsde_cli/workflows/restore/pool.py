"""Restoring with several processes on one machine: one hands out the pictures, the others hold the network.

A process that dies takes no picture with it: its pictures go to the one that takes its place, one at a time, and only
the picture that kills a process when it is alone fails.
"""

import logging
import multiprocessing
import signal
import sys
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from enum import Enum
from itertools import chain
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Literal

import torch

from irsde_cli.engine.loading import load
from irsde_cli.engine.memory import MEMORY_SHARE
from irsde_cli.engine.restoration import Restoration
from irsde_cli.errors import IrsdeError, MachineError, WeightsError
from irsde_cli.storage.journal import Journal, WorkerJournal, settings_id, worker
from irsde_cli.weights import Weights
from irsde_cli.workflows.restore.events import Done, Event, Failed, Skipped
from irsde_cli.workflows.restore.items import Item
from irsde_cli.workflows.restore.options import Options
from irsde_cli.workflows.restore.pipeline import HOPELESS, restored
from irsde_cli.workflows.restore.plan import Plan, begun
from irsde_cli.workflows.restore.resume import Work, outstanding

CONTEXT = multiprocessing.get_context("spawn")  # a forked process cannot use a GPU
POLL = 0.2
SECONDS_TO_STOP = 30.0


@dataclass(frozen=True)
class Setup:
    """All from which another process makes the same restoration.

    Attributes:
        weights: whose checkpoint is loaded.
        sha256: of the checkpoint, so that all processes have the same.
        options: what was asked for.
        dtype: of the network, `None` for float32.
        settings: the short name of what decides the pixels.
        level: of logging.
    """

    weights: Weights
    sha256: str
    options: Options
    dtype: torch.dtype | None
    settings: str
    level: int = logging.WARNING

    @classmethod
    def of(cls, restoration: Restoration, options: Options, settings: Mapping[str, Any], weights: Weights) -> "Setup":
        """That of a restoration in this process."""
        level = logging.getLogger("irsde_cli").getEffectiveLevel()
        options = replace(options, listed=None)
        return cls(
            replace(weights, path=weights.path.absolute()),
            restoration.checkpoint.sha256,
            options,
            restoration.dtype,
            settings_id(settings),
            level,
        )

    def restoration(self, device: torch.device, share: float, threads: int) -> Restoration:
        """The restoration; the process is its own, so that its threads and its log are set here.

        Raises:
            WeightsError: the file is not the one that the run began with.
        """
        logging.basicConfig(format="%(message)s", stream=sys.stderr, level=logging.WARNING)
        logging.getLogger("irsde_cli").setLevel(self.level)
        torch.set_num_threads(threads)
        checkpoint = load(self.weights, self.options.task, self.options.sampling)
        if checkpoint.sha256 != self.sha256:
            raise WeightsError(
                f"'{self.weights.path}' is not the file that the run began with.",
                hint="Give all machines the same weights.",
            )
        return Restoration(checkpoint, self.options, device, self.dtype, share)

    def part(self, folder: Path, items: Callable[[], Iterator[Item]], label: str) -> Plan:
        """A plan for the pictures that one worker is given."""
        return Plan(self.options, folder, items, 0, label)


def places(jobs: int | Literal["auto"], named: str, device: torch.device, count: int) -> list[torch.device]:
    """The device of each process: the GPUs in turn, unless one was named.

    Args:
        jobs: how many processes; `auto` is one for each GPU, or a single one that has the CPU with all its threads.
        named: what `--device` says.
        device: what was chosen for a single process.
        count: pictures; there are no more processes than these.
    """
    free = device.type == "cuda" and named in ("auto", "cuda")
    devices = [torch.device("cuda", index) for index in range(torch.cuda.device_count())] if free else [device]
    wanted = min(len(devices) if jobs == "auto" else jobs, max(count, 1))
    return [devices[index % len(devices)] for index in range(wanted)]


class _Word(Enum):
    """What the processes say to one another beside pictures and events."""

    NEXT = "I can take another picture"
    RESTED = "all that I had is finished"
    REST = "finish what you have"
    END = "finish what you have, there is no more"
    STOP = "drop what you have"


@dataclass(eq=False)
class _Worker:
    """A process as the one that hands out sees it.

    Attributes:
        flying: the pictures that it has, by name.
        suspects: pictures that its predecessor had when it died; each is given alone.
        alone: whether it has a suspect.
        told: that there is no more.
    """

    place: torch.device
    label: str
    process: Any = None
    pipe: Any = None
    flying: dict[str, Work] = field(default_factory=dict)
    suspects: deque[Item] = field(default_factory=deque)
    alone: bool = False
    told: bool = False


class Pool:
    """Processes that restore the pictures of a plan.

    Attributes:
        stopped: asked often; once it is true the processes drop what they have.
    """

    def __init__(self, setup: Setup, plan: Plan, settings: Mapping[str, Any], places: Sequence[torch.device]) -> None:
        self.stopped: Callable[[], bool] = lambda: False
        self._setup = setup
        self._plan = plan
        self._settings = settings
        self._threads = max(torch.get_num_threads() // len(places), 1)
        self._workers = [_Worker(place, worker(plan.label, index)) for index, place in enumerate(places, start=1)]
        self._stopping = False
        self._done = self._deaths = 0

    def run(self) -> Iterator[Event]:
        """Restore; the events of all processes as they come.

        Raises:
            MachineError: as for one process, or the processes do not stay alive.
        """
        assert self._plan.folder is not None, "several processes write to a folder"
        yield from begun(self._plan)
        with Journal(self._plan.folder, self._plan.label) as self._journal:
            self._journal.run(self._settings)
            self._ahead: Iterator[Work | Event] = self._outstanding(self._plan.items())
            for found in self._ahead:
                if isinstance(found, Work):
                    self._ahead = chain([found], self._ahead)
                    break
                yield found
            else:
                return
            try:
                for each in self._workers:
                    self._start(each)
                while running := {each.pipe: each for each in self._workers if each.pipe is not None}:
                    if self.stopped() and not self._stopping:
                        self._stop()
                    for pipe in wait(list(running), POLL):
                        yield from self._hear(running[pipe])
            finally:
                self._end()

    def _outstanding(self, items: Iterator[Item]) -> Iterator[Work | Event]:
        return outstanding(items, self._plan, self._journal, self._setup.settings)

    def _start(self, each: _Worker) -> None:
        each.pipe, theirs = CONTEXT.Pipe()
        sharing = sum(other.place == each.place for other in self._workers)
        arguments = (theirs, self._setup, self._plan.folder, each.label, each.place, MEMORY_SHARE / sharing)
        each.process = CONTEXT.Process(target=_work, args=(*arguments, self._threads), daemon=True)
        each.process.start()
        theirs.close()

    def _hear(self, each: _Worker) -> Iterator[Event]:
        try:
            message = each.pipe.recv()
        except (EOFError, OSError):
            yield from self._ended(each)
            return
        if message is _Word.NEXT:
            yield from self._answer(each)
        elif message is _Word.RESTED:
            each.alone = False
        elif isinstance(message, BaseException):
            raise message
        else:
            if isinstance(message, Done | Failed | Skipped):
                each.flying.pop(message.name, None)
                self._done += isinstance(message, Done)
            yield message
            if isinstance(message, Failed) and self._setup.options.fail_fast:
                self._ahead = iter(())

    def _answer(self, each: _Worker) -> Iterator[Event]:
        """Give the worker a picture, or tell it that there is none for now, or no more."""
        answer: Work | _Word | None = _Word.STOP if self._stopping else _Word.REST if each.alone else None
        while answer is None and each.suspects:
            found = next(self._outstanding(iter([each.suspects.popleft()])))
            if isinstance(found, Work):
                answer, each.alone = found, True
            else:
                yield found
        while answer is None:
            following = next(self._ahead, _Word.END)
            if isinstance(following, Work | _Word):
                answer = following
            else:
                yield following
        if isinstance(answer, Work):
            each.flying[answer.item.name] = answer
        each.told = each.told or answer in (_Word.END, _Word.STOP)
        self._say(each, answer)

    def _say(self, each: _Worker, words: Work | _Word) -> None:
        with suppress(OSError):  # it has died, and the next that is heard of it is its end
            each.pipe.send(words)

    def _ended(self, each: _Worker) -> Iterator[Event]:
        """A process is over. If it still had something to do, another takes its place."""
        each.pipe.close()
        each.pipe = None
        each.process.join()
        self._journal.absorb(each.label)
        lost = [work.item for work in each.flying.values()]
        each.flying.clear()
        if self._stopping or (each.told and not lost and not each.suspects):
            return
        self._deaths += 1
        how = f"was ended by signal {-each.process.exitcode}" if each.process.exitcode < 0 else "ended by itself"
        if each.alone and lost:
            reason = f"the process that restored it {how}."
            self._journal.failed(lost[0].name, reason)
            yield Failed(lost[0].name, reason, "Memory may have run out: try fewer --jobs, or --tile 512.")
            lost = []
        if self._deaths >= HOPELESS and not self._done:
            raise MachineError(f"the processes that restore do not stay alive: one {how}.", hint="Try --jobs 1.")
        each.suspects.extend(lost)
        each.alone = each.told = False
        self._start(each)

    def _stop(self) -> None:
        self._stopping = True
        for each in self._workers:
            if each.pipe is not None:
                self._say(each, _Word.STOP)

    def _end(self) -> None:
        """End the processes that an error left, and take their lines."""
        self._stop()
        for each in self._workers:
            if each.pipe is None:
                continue
            while each.process.is_alive() and wait([each.pipe, each.process.sentinel], SECONDS_TO_STOP):
                try:
                    each.pipe.recv()
                except (EOFError, OSError):
                    break
            each.process.join(POLL)
            each.process.kill()
            each.process.join()
            each.pipe.close()
            self._journal.absorb(each.label)


class _Given:
    """The pictures that a worker is given, asked for one at a time."""

    def __init__(self, pipe: "Connection[Any, Any]", journal: WorkerJournal) -> None:
        self.over = False
        self._pipe = pipe
        self._journal = journal

    def __call__(self) -> Iterator[Item]:
        while not self.over:
            self._pipe.send(_Word.NEXT)
            answer = self._pipe.recv()
            if isinstance(answer, Work):
                self._journal.tell(answer.entries)
                yield answer.item
            elif answer is _Word.REST:
                return
            else:
                self.over = True

    def stopped(self) -> bool:
        """Whether there is a word that nobody asked for, or nobody on the other side."""
        return self._pipe.poll()


def _work(
    pipe: "Connection[Any, Any]",
    setup: Setup,
    folder: Path,
    label: str,
    device: torch.device,
    share: float,
    threads: int,
) -> None:
    """What a process does; it ends with the pipe to the one that hands out, which alone listens to signals."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    try:
        restoration = setup.restoration(device, share, threads)
        with WorkerJournal(folder, label) as journal:
            given = _Given(pipe, journal)
            restoration.stopped, restoration.watch = given.stopped, pipe.send
            while not given.over and not given.stopped():
                for event in restored(restoration, setup.part(folder, given, label), journal, setup.settings):
                    pipe.send(event)
                pipe.send(_Word.RESTED)
    except (EOFError, ConnectionError):
        pass
    except IrsdeError as error:
        pipe.send(error)
    except Exception:
        pipe.send(RuntimeError(traceback.format_exc()))
