"""Going on as pictures arrive: when a folder has changed, what is new in it is restored by another run."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from irsde_cli import extras
from irsde_cli.errors import UsageError
from irsde_cli.option import option
from irsde_cli.workflows.restore.options import Options

MILLISECONDS = 1000  # between two looks at whether to stop
SETTLED = 1600  # without a change, so that a file that is being copied is taken once


@dataclass(frozen=True, kw_only=True)
class Watch:
    """Whether a run ends."""

    watch: bool = option(
        "machine",
        "Go on as pictures arrive in INPUT, until it is stopped.",
        default=False,
        panel="Batch",
        variable="-",
    )


class _Event:
    """What the library asks whether to stop."""

    def __init__(self, stopped: Callable[[], bool]) -> None:
        self._stopped = stopped

    def is_set(self) -> bool:
        return self._stopped()


def folders(options: Options) -> list[Path]:
    """The folders that are watched.

    Raises:
        UsageError: there is something else among the inputs, or the run is of a kind that has an end.
    """
    places = [Path(place) for place in options.arranged.inputs]
    if not places or not all(place.is_dir() for place in places):
        raise UsageError("--watch takes folders as INPUT, and they must be there.")
    if options.files_from is not None or options.dry_run or options.ray is not None or options.limit is not None:
        raise UsageError("--watch goes with none of --files-from, --dry-run, --ray and --limit.")
    return places


def is_of_interest(path: str) -> bool:
    """Whether a change there may be a new picture: no hidden file, none of ours, and of a kind that is read."""
    from irsde_cli.datasets.discovery import is_rubbish, suffix_of
    from irsde_cli.images import SUFFIXES

    parts = Path(path).parts
    return suffix_of(parts[-1]) in SUFFIXES and not any(map(is_rubbish, parts[-2:]))


def rounds(places: Sequence[Path], *, recursive: bool, stopped: Callable[[], bool]) -> Iterator[bool]:
    """Each time that there may be something to do: true at once, then false whenever pictures have come or changed.

    What comes while a round is being worked on makes another one.

    Raises:
        MachineError: watchfiles is not installed.
    """
    watch = extras.load("watch", "--watch").watch
    yield True
    looked = False
    for changes in watch(
        *places,
        watch_filter=lambda change, path: is_of_interest(os.fspath(path)),
        recursive=recursive,
        stop_event=_Event(stopped),
        debounce=SETTLED,
        step=SETTLED // 4,
        rust_timeout=MILLISECONDS,
        yield_on_timeout=True,
        raise_interrupt=False,
    ):
        if stopped():
            return
        # Once without a change too, for what came before the watch began.
        if changes or not looked:
            looked = True
            yield False
