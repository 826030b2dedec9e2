"""Results on their way to their names: written aside one by one, named several at a time.

A disk takes as long to be told that a few bytes must stay as that many must. So the lines of several results are forced
together, and so are their names.
"""

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from irsde_cli.engine.restoration import Output
from irsde_cli.errors import InputError, MachineError
from irsde_cli.images import Part
from irsde_cli.storage.files import Aside, force_names, is_there
from irsde_cli.storage.journal import Identity, Journal, Result
from irsde_cli.workflows.restore.encoding import encode
from irsde_cli.workflows.restore.loading import Loaded
from irsde_cli.workflows.restore.losing import ties
from irsde_cli.workflows.restore.plan import Plan, same_file
from irsde_cli.workflows.restore.resume import check_free

Outcome = tuple[Part, ...] | InputError


@dataclass(eq=False)
class Made:
    """What was made of a picture.

    Attributes:
        loaded: the picture.
        output: what a run made of it, whose images have become files.
        asides: its files, the restored one last: it says that all are there.
        data: the restored one for a pipe.
    """

    loaded: Loaded
    output: Output
    asides: list[Aside] = field(default_factory=list)
    data: bytes | None = None

    def results(self, folder: Path) -> list[Result]:
        """Its files as the manifest will have them."""
        loaded = self.loaded
        seconds = time.monotonic() - loaded.since
        return [
            Result(
                loaded.source,
                aside.path.relative_to(folder).as_posix(),
                Identity.of(aside.status),
                loaded.settings,
                seconds,
                self.output.tile,
            )
            for aside in self.asides
        ]

    def close(self) -> None:
        """Remove what has no name."""
        for aside in self.asides:
            aside.close()


def make(loaded: Loaded, output: Output, plan: Plan, settings: Mapping[str, Any], owner: str | None) -> Made:
    """The files of a picture, aside.

    Args:
        loaded: the picture.
        output: what was made of it.
        plan: of the run.
        settings: what its record says.
        owner: whose temporary files they are; `None` for a pipe.

    Raises:
        InputError: it cannot be encoded, or one of its names not be written.
        MachineError: nothing can be written.
    """
    options, item = plan.options, loaded.item
    files, data = encode(loaded, output, options, settings)
    made = Made(loaded, output, data=data)
    if owner is None:
        return made
    dated = options.in_place or (options.keep_times and item.source is not None)
    modified_ns = loaded.source.identity.mtime_ns if dated else None
    try:
        for path, content in reversed(files):
            made.asides.append(Aside(path, content, owner, modified_ns=modified_ns, backup=options.backup))
    except BaseException:
        made.close()
        raise
    return made


def keep(group: Sequence[Made], plan: Plan, journal: Journal) -> list[Outcome]:
    """Give the files of several pictures their names; for each picture what older results cannot hand on, or why not.

    Raises:
        MachineError: nothing can be written. What was named until then is recorded.
    """
    try:
        return _kept(group, plan, journal)
    finally:
        for made in group:
            made.close()


def _kept(group: Sequence[Made], plan: Plan, journal: Journal) -> list[Outcome]:
    assert plan.folder is not None, "a pipe keeps nothing"
    outcomes: dict[Made, Outcome] = {}
    for made in group:
        try:
            outcomes[made] = _checked(made, plan, journal)
        except InputError as error:
            outcomes[made] = error
    accepted = [made for made, outcome in outcomes.items() if not isinstance(outcome, InputError)]
    if accepted:
        journal.pending(*(result for made in accepted for result in made.results(plan.folder)))
    named: list[Made] = []
    failure: MachineError | None = None
    for made in accepted:
        try:
            for aside in made.asides:
                aside.named()
            named.append(made)
        except InputError as error:
            outcomes[made] = error
        except MachineError as error:  # what has its name stays, and is recorded
            failure = error
            break
    if named:
        force_names(aside.path for made in named for aside in made.asides)
        journal.done(*(result for made in named for result in made.results(plan.folder)))
    if failure is not None:
        raise failure
    return list(outcomes.values())


def _checked(made: Made, plan: Plan, journal: Journal) -> tuple[Part, ...]:
    """What of older results cannot be handed on.

    Raises:
        InputError: a name may not be written.
    """
    assert plan.folder is not None, "checked by the caller"
    item, options = made.loaded.item, plan.options
    lost: tuple[Part, ...] = ()
    for aside in made.asides:
        path = aside.path
        if not options.in_place and item.source is not None and same_file(item.source, path):
            raise InputError(f"'{path}' is the input itself, under another name.")
        check_free(path, path.relative_to(plan.folder).as_posix(), item, journal, options)
        if not options.in_place and is_there(path) and path.is_file() and not path.is_symlink():
            with suppress(OSError):  # it went in between
                lost += ties(path)
    return lost
