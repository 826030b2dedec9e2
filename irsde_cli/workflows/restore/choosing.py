"""`--task auto` without weights: each picture goes to the network that ships for what is seen of it, or to none."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from irsde_cli.engine.loading import load
from irsde_cli.engine.restoration import Restoration, explained, unwatched
from irsde_cli.engine.settings import Settings, Tile
from irsde_cli.errors import InputError, UsageError
from irsde_cli.images import in_unit, samples_of
from irsde_cli.needs.choosing import Choice, choose, looked_at
from irsde_cli.samplers.settings import Sampling
from irsde_cli.tasks import TASKS
from irsde_cli.weights import find_weights
from irsde_cli.workflows.restore.events import Chosen, Event, Planned
from irsde_cli.workflows.restore.items import Item
from irsde_cli.workflows.restore.job import Job
from irsde_cli.workflows.restore.loading import central, picture_of
from irsde_cli.workflows.restore.page import paged
from irsde_cli.workflows.restore.plan import Plan, begun

# Who does nothing: its network is not asked where no blocks of JPEG show.
NOBODY = "jpeg"


class Choosing:
    """A run for each task that some picture needs, one after the other, of one network each.

    Attributes:
        plan: all pictures, with the task `auto`.
    """

    def __init__(self, plan: Plan, job: Callable[[Plan], Job]) -> None:
        self.plan = plan
        self._job = job
        self._asked: dict[str, Restoration] = {}
        if plan.options.ray is not None:
            raise UsageError("--task auto looks at each picture here, and not on a Ray cluster.")

    @property
    def resolved(self) -> dict[str, Any]:
        """The options of each run that there may be, by its task."""
        return {task: self._job(self._part(task, frozenset())).resolved for task in TASKS if TASKS[task].weights}

    def run(self, stopped: Callable[[], bool], watch: Callable[[Tile], None] = unwatched) -> Iterator[Event]:
        """See `irsde_cli.workflows.restore.job.Job.run`."""
        options = self.plan.options
        events = self._events(stopped, watch)
        if options.report is None or options.dry_run:
            return events
        return paged(events, options, options.report, f"what each picture needs, seed {options.seed}")

    def _events(self, stopped: Callable[[], bool], watch: Callable[[Tile], None]) -> Iterator[Event]:
        yield from begun(self.plan)
        groups: dict[str, set[str]] = {}
        for item in self.plan.items():
            if stopped():
                return
            choice = self._choice(item)
            if choice is not None:
                yield Chosen(item.name, choice.task, choice.words)
            task = NOBODY if choice is None else choice.task or NOBODY
            groups.setdefault(task, set()).add(item.name)
        for task, names in groups.items():
            if stopped():
                return
            job = self._job(self._part(task, frozenset(names)))
            yield from (event for event in job.run(stopped, watch) if not isinstance(event, Planned))

    def _part(self, task: str, names: frozenset[str]) -> Plan:
        """The pictures of those names, with that task."""

        def items() -> Iterator[Item]:
            return (item for item in self.plan.items() if item.name in names)

        options = replace(self.plan.options, task=task, report=None)
        return Plan(options, self.plan.folder, items, len(names), self.plan.label)

    def _choice(self, item: Item) -> Choice | None:
        """What a picture needs; `None` where it cannot be read, which its run says."""
        if item.fault or (item.source is None and item.data is None):
            return None
        try:
            picture = picture_of(item, self.plan.options)
        except (InputError, OSError):
            return None
        samples = samples_of(picture)

        def look(task: str) -> tuple[Tensor, Tensor]:
            small = looked_at(task, samples)
            return small, self._network(task).plain(small, item.key)

        try:
            with explained():
                return choose(in_unit(central(samples)), look)
        except InputError as error:
            return Choice("", f"what it needs cannot be told: {error.message}")

    def _network(self, task: str) -> Restoration:
        """The one that ships, on the CPU in float32: what is chosen is the same on all machines."""
        if task not in self._asked:
            loaded = load(find_weights(None, task), task, Sampling())
            self._asked[task] = Restoration(loaded, Settings(), torch.device("cpu"))
        return self._asked[task]
