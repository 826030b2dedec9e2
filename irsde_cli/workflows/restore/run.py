"""Restoring as an iterable of events: read, sample, check, write; one bad picture never stops the rest."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import Any

from irsde_cli.engine.restoration import Restoration
from irsde_cli.storage.journal import Journal, settings_id
from irsde_cli.workflows.restore.events import Event
from irsde_cli.workflows.restore.pipeline import Pipeline
from irsde_cli.workflows.restore.plan import Plan, begun
from irsde_cli.workflows.restore.resume import describe


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
