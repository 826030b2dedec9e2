"""Restoring over many machines: Ray Data hands the pictures out, and actors hold the network.

The machines share the folders of the inputs, the outputs and the weights. Each actor has a manifest of its own; the
process that was started takes their lines when they have ended. Ray is asked not to try anything twice: what was with
an actor that died is looked up in its manifest, and the rest is done again one at a time, so that a picture that kills
what restores it fails alone.
"""

import logging
import os
import pickle
import secrets
import signal
import socket
import traceback
import warnings
import zlib
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Event as Flag
from threading import Thread
from typing import Any, Literal

import torch

from irsde_cli.engine.memory import MEMORY_SHARE
from irsde_cli.engine.restoration import Restoration, StoppedError
from irsde_cli.errors import IrsdeError, MachineError
from irsde_cli.storage.journal import Journal, WorkerJournal, worker
from irsde_cli.workflows.restore.events import Done, Event, Failed
from irsde_cli.workflows.restore.items import Item
from irsde_cli.workflows.restore.pipeline import restored
from irsde_cli.workflows.restore.plan import Plan, begun
from irsde_cli.workflows.restore.pool import POLL, Setup
from irsde_cli.workflows.restore.resume import Work, outstanding

MOST_TOGETHER = 64
TRIES_ALONE = 2  # the first may meet an actor that another picture has just killed
TASKS_FOR_EACH = 16
SECONDS_TO_ANSWER = 10.0
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_BACKEND_LOG_LEVEL": "fatal"}


@dataclass(frozen=True)
class Actors:
    """How many actors there are, what each takes of its machine, and its share of the free memory."""

    count: int
    cpus: float
    gpus: float
    share: float


class Cluster:
    """Actors on the machines of a Ray cluster that restore the pictures of a plan.

    Args:
        address: of the cluster; `auto` is the one that this machine is in, `local` a new one of this machine alone.
            Where this process has joined one already, that is it.
        jobs: how many actors; `auto` is one for each GPU of the cluster, or one for each machine where there is none.
        gpus: whether GPUs are used where there are some.

    Attributes:
        stopped: asked often; once it is true the actors are ended.
    """

    def __init__(
        self,
        setup: Setup,
        plan: Plan,
        settings: Mapping[str, Any],
        address: str,
        jobs: int | Literal["auto"] = "auto",
        *,
        gpus: bool = True,
    ) -> None:
        self.stopped: Callable[[], bool] = lambda: False
        self._setup = setup
        self._plan = plan
        self._settings = settings
        self._address = address
        self._jobs: int | Literal["auto"] = jobs
        self._gpus = gpus
        self._done = 0

    def run(self) -> Iterator[Event]:
        """Restore; the events of each task when it has ended.

        Raises:
            MachineError: as for one process, or there is no such cluster, or its actors do not stay alive.
        """
        assert self._plan.folder is not None, "a cluster writes to a folder"
        yield from begun(self._plan)
        with Journal(self._plan.folder, self._plan.label) as journal:
            journal.run(self._settings)
            try:
                with _connected(self._address) as ray:
                    yield from self._restored(ray, journal)
            except StoppedError:
                pass
            finally:
                journal.take_over(patient=False)

    def _restored(self, ray: Any, journal: Journal) -> Iterator[Event]:
        actors = _actors(ray, self._jobs, gpus=self._gpus)
        together = min(max(self._plan.count // (actors.count * TASKS_FOR_EACH), 1), MOST_TOGETHER)
        lost = yield from self._tried(ray, actors, journal, self._plan.items(), together)
        for _ in range(TRIES_ALONE):
            if lost:
                lost = yield from self._tried(ray, actors, journal, lost, 1)
        for item in lost:
            reason = "the process that restored it did not survive."
            journal.failed(item.name, reason)
            yield Failed(item.name, reason, "Memory may have run out: try fewer --jobs, or --tile 512.")
        if lost and not self._done:
            raise MachineError("the processes that restore do not stay alive.", hint="Ray's logs say why.")

    def _tried(
        self, ray: Any, actors: Actors, journal: Journal, items: Iterable[Item], together: int
    ) -> Generator[Event, None, list[Item]]:
        """Restore pictures, so many in one task; those of tasks that were lost are returned."""
        tasks: list[bytes] = []
        some: list[Work] = []
        for found in outstanding(items, self._plan, journal, self._setup.settings):
            if not isinstance(found, Work):
                yield found
                continue
            some.append(found)
            if len(some) == together:
                tasks.append(_packed(some))
                some = []
        if some:
            tasks.append(_packed(some))
        if not tasks:
            return []
        for index, events in self._results(ray, actors, tasks, ahead=1 if together > 1 else 0):
            tasks[index] = b""
            for event in events:
                if isinstance(event, BaseException):
                    raise event
                self._done += isinstance(event, Done)
                yield event
                if isinstance(event, Failed) and self._setup.options.fail_fast:
                    raise StoppedError
        journal.take_over()
        return [work.item for task in tasks if task for work in _unpacked(task)]

    def _results(self, ray: Any, actors: Actors, tasks: Sequence[bytes], ahead: int) -> Iterator[tuple[int, list[Any]]]:
        """What became of tasks, by their numbers, as they end; nothing of those that were lost.

        An actor has so many tasks `ahead` of the one that it does; they are lost with it.
        """
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        context.max_errored_blocks = -1
        rows = ray.data.from_items(
            [{"index": index, "work": task} for index, task in enumerate(tasks)], override_num_blocks=len(tasks)
        )
        with warnings.catch_warnings(action="ignore"):  # Ray deprecates such options, and offers no other way
            rows = rows.map(
                _Actor,
                fn_constructor_args=(self._setup, self._plan.folder, self._plan.label, actors),
                compute=ray.data.ActorPoolStrategy(
                    size=min(actors.count, len(tasks)), max_tasks_in_flight_per_actor=1 + ahead
                ),
                num_cpus=actors.cpus,
                num_gpus=actors.gpus,
                max_task_retries=0,
            )
        heard: SimpleQueue[Any] = SimpleQueue()
        over = Flag()
        Thread(target=_listen, args=(rows, heard, over), daemon=True).start()
        try:
            while True:
                try:
                    row = heard.get(timeout=POLL)
                except Empty:
                    if self.stopped():
                        raise StoppedError from None
                    continue
                if row is None:
                    return
                yield row["index"], _unpacked(row["events"])
        finally:
            over.set()


def _listen(rows: Any, heard: "SimpleQueue[Any]", over: Flag) -> None:
    """Pass on what comes; a thread, as nothing else can be asked while Ray is waited for."""
    try:
        for row in rows.iter_rows():
            heard.put(row)
            if over.is_set():
                break
    except Exception:  # of Ray: what has not come is lost, and is done again
        logging.getLogger(__name__).debug("Ray", exc_info=True)
    heard.put(None)


class _Actor:
    """A process somewhere that holds the network."""

    def __init__(self, setup: Setup, folder: Path, label: str, actors: Actors) -> None:
        self._setup = setup
        self._folder = folder
        self._label = worker(label, secrets.token_hex(4))
        self._actors = actors
        self._restoration: Restoration | None = None

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        return {"index": row["index"], "events": _packed(list(self._events(_unpacked(row["work"]))))}

    def _events(self, work: list[Work]) -> Iterator[Any]:
        try:
            if self._restoration is None:
                device = torch.device("cuda" if self._actors.gpus else "cpu")
                threads = max(int(self._actors.cpus), 1)
                self._restoration = self._setup.restoration(device, self._actors.share, threads)
            plan = self._setup.part(self._folder, lambda: (each.item for each in work), self._label)
            # Locked for this task alone: Ray ends its actors when it likes.
            with WorkerJournal(self._folder, self._label) as journal:
                for each in work:
                    journal.tell(each.entries)
                yield from restored(self._restoration, plan, journal, self._setup.settings)
        except IrsdeError as error:
            yield error
        except Exception:
            yield RuntimeError(traceback.format_exc())


def _actors(ray: Any, jobs: int | Literal["auto"], *, gpus: bool) -> Actors:
    """Actors that share the GPUs, or else the cores, of a cluster."""
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]
    accelerators = sum(int(machine.get("GPU", 0)) for machine in machines) if gpus else 0
    cores = [int(machine["CPU"]) for machine in machines]
    if accelerators:
        count = accelerators if jobs == "auto" else jobs
        sharing = -(-count // accelerators)
        return Actors(count, min(1.0, sum(cores) / count), 1 / sharing, MEMORY_SHARE / sharing)
    count = len(cores) if jobs == "auto" else min(jobs, sum(cores))
    each = next((size for size in range(max(cores), 0, -1) if sum(core // size for core in cores) >= count), 1)
    return Actors(count, each, 0, MEMORY_SHARE / (max(cores) // each))


@contextmanager
def _connected(address: str) -> Iterator[Any]:
    """Ray, joined to a cluster, without its messages and its reports home; signals stay with those who had them.

    Raises:
        MachineError: there is no such cluster.
    """
    ray: Any = import_module("ray")
    import_module("ray.data")
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    if ray.is_initialized():
        yield ray
        return
    host, colon, port = address.rpartition(":")
    try:
        if colon and port.isdigit() and "/" not in host:  # Ray itself would wait for minutes
            socket.create_connection((host, int(port)), SECONDS_TO_ANSWER).close()
    except (OSError, OverflowError) as error:
        raise _absent(address, error) from None
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    added = {name: value for name, value in QUIET.items() if name not in os.environ}
    os.environ.update(added)
    try:
        ray.init(address, log_to_driver=False, logging_level=logging.CRITICAL)
    except (OSError, ValueError, RuntimeError, ray.exceptions.RayError) as error:
        raise _absent(address, error) from None
    finally:
        for name in added:
            del os.environ[name]
        for number, handler in handlers.items():
            signal.signal(number, handler)
    try:
        yield ray
    finally:
        ray.shutdown()


def _absent(address: str, error: Exception) -> MachineError:
    return MachineError(
        f"there is no Ray cluster at '{address}': {str(error).splitlines()[0]}",
        hint="Start one with 'ray start --head', or give --ray local for this machine alone.",
    )


def _packed(values: list[Any]) -> bytes:
    """Pictures that lie together have names that are alike: a tenth of their size is left."""
    return zlib.compress(pickle.dumps(values))


def _unpacked(data: bytes) -> list[Any]:
    found: list[Any] = pickle.loads(zlib.decompress(data))
    return found
