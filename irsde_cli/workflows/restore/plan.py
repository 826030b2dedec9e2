"""What a run of `irsde restore` will touch, known before torch is loaded."""

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from irsde_cli.content import missing
from irsde_cli.datasets.discovery import PICTURES, LeftOut, check_for_other_data, suffix_of
from irsde_cli.errors import InputError, NothingError, UsageError
from irsde_cli.images import SUFFIXES, WRITTEN, unknown_format
from irsde_cli.storage.digests import content_of
from irsde_cli.storage.files import refusal
from irsde_cli.storage.journal import ALONE
from irsde_cli.tasks import get_task
from irsde_cli.workflows.restore import items as planning
from irsde_cli.workflows.restore.events import Event, Failed, Planned
from irsde_cli.workflows.restore.items import Item, Names, Naming
from irsde_cli.workflows.restore.options import Options, companions


@dataclass(frozen=True)
class Plan:
    """Where things go. `items()` lists them anew each time, so that a folder of any size takes no memory.

    `left_out` counts what lay beside them. `label` is that of the shard, the worker or the only picture, for the
    names of its manifest, its lock and its temporary files.
    """

    options: Options
    folder: Path | None
    items: Callable[[], Iterator[Item]]
    count: int
    label: str = ""
    left_out: LeftOut = field(default_factory=LeftOut)


def begun(plan: Plan) -> Iterator[Event]:
    """What each run says first; what was left out is a failure where no warning is allowed."""
    yield Planned(plan.count, plan.left_out, plan.options.given)
    if plan.options.strict:
        yield from (Failed(plan.options.given, f"{loss}.") for loss in plan.left_out.losses)


def plan(options: Options, stdin: Callable[[], bytes] = lambda: b"", *, touch: bool = True) -> Plan:
    """Check all that can be checked without opening a picture or loading weights.

    With `touch` the disk is written to, so that a run fails here and not after loading; nothing stays there.

    Raises:
        UsageError: inputs and outputs cannot be as asked.
        InputError: what is left out is a failure, and the first failure ends the run.
        MachineError: the output folder cannot be written.
    """
    task = get_task(options.task)
    if task.needs_mask and options.mask is None:
        raise UsageError(
            f"the task '{options.task}' needs --mask.", hint="A file, or a folder of masks: white is known."
        )
    if options.mask is not None and not task.needs_mask:
        raise UsageError(f"the task '{options.task}' takes no --mask.")
    if options.outputs == "-" and ((options.samples > 1 and options.estimate == "sample") or options.spread):
        raise UsageError("a pipe takes one picture, without --samples or --spread.", hint="Name a file as OUTPUT.")
    if options.outputs == "-" and options.trajectory:
        raise UsageError("a pipe takes one picture, without --trajectory.", hint="Name a file as OUTPUT.")
    if options.mask is not None and not options.mask.exists():
        raise missing(options.mask, "mask")
    for name, place in options.sampling.maps.items():
        if not place.exists():
            raise UsageError(
                f"--{name} is neither a number nor a picture or folder that is there: '{place}'.",
                hint="A map is a grey picture, black 0 and white 1; a folder has one for each picture, paired by name.",
            )
    if set(options.suffix) & {"/", "\\", "\0"}:
        raise UsageError(f"the suffix {options.suffix!r} cannot be a part of a name.")
    if options.format and options.format != "keep" and not _is_result(f".{options.format}"):
        raise unknown_format(options.format or "")
    wanted = None if options.format in (None, "keep") else SUFFIXES["." + str(options.format)]
    naming = Naming(wanted, options.suffix, options.on_collision == "rename")
    folder, make = _places(options, naming, stdin)
    names = Names(folds_case=folder is not None and touch and _probe(folder))

    def items() -> Iterator[Item]:
        chosen = (item for item in make(None) if options.shard is None or options.shard.holds(item.key))
        for index, item in enumerate(chosen):
            if options.limit is not None and index >= options.limit:
                return
            yield item

    alone = not companions(options, PurePosixPath("a.png"))

    def taken(item: Item) -> list[str]:
        beside_it = () if alone else companions(options, PurePosixPath(item.relative))
        return [item.relative, *map(str, beside_it)]

    left_out = LeftOut()
    count = listed = 0
    for item in make(left_out):  # every shard looks at all names, so that they agree
        listed += 1
        count += options.shard is None or options.shard.holds(item.key)
        names.take(taken(item))
    names.check((item, taken(item)) for item in make(None))
    count = min(count, options.limit or count)
    if listed == 0:
        if not left_out.phrases:
            check_for_other_data(Path(options.inputs[0]))
        others = f": {'; '.join(left_out.phrases)}" if left_out.phrases else ""
        raise NothingError(f"no pictures in {options.quoted}{others}.", hint=f"Known: {', '.join(sorted(SUFFIXES))}.")
    if options.strict and options.fail_fast and left_out.losses:
        raise InputError(f"{options.quoted}: {'; '.join(left_out.losses)}.", hint="Without --strict it is a warning.")
    label = options.shard.label if options.shard else ""
    single = len(options.inputs) == 1 and options.listed is None and not Path(options.inputs[0]).is_dir()
    if single and not label and not options.in_place:  # a record of its own: two such runs may go on side by side
        label = f"{ALONE}{content_of(os.fsencode(next(make(None)).relative))[:16]}"
    return Plan(options, folder, items, count, label, left_out)


def _places(
    options: Options, naming: Naming, stdin: Callable[[], bytes]
) -> tuple[Path | None, Callable[[LeftOut | None], Iterator[Item]]]:
    """The output folder, if any, and what lists the items and counts what it leaves out."""
    sources, target = options.inputs, options.outputs
    if len(sources) > 1 and ("-" in sources or options.listed is not None):
        raise UsageError("a pipe or a list takes one INPUT.", hint="The last of several names is OUTPUT.")
    source, several = sources[0], len(sources) > 1
    folders = [place for place in sources if Path(place).is_dir()]
    if options.in_place:
        if source == "-":
            raise UsageError("--in-place takes INPUT files or a folder, and no pipe.")
        if options.format or options.suffix or options.samples > 1:
            raise UsageError("--in-place keeps names: it goes with neither --format, --suffix nor --samples.")
        parents = {os.path.realpath(Path(place).parent) for place in sources}
        if several and (folders or len(parents) > 1):
            raise UsageError("--in-place takes one folder, or files of one folder, and no OUTPUT.")
        target = source if folders else str(Path(source).parent)
    elif options.backup:
        raise UsageError("--backup goes with --in-place: elsewhere the originals stay as they are.")
    if target is None:
        raise UsageError("OUTPUT is missing.", hint="Name a folder, or restore the files themselves with --in-place.")
    to_file = target != "-" and _is_result(target) and not Path(target).is_dir()
    if several and (to_file or target == "-"):
        raise UsageError(
            f"several pictures cannot be restored to '{target}'.", hint="The last name is OUTPUT: name a folder."
        )
    if target != "-" and not to_file:
        _check_kind(target, one=not several and not folders and options.listed is None)
    if to_file and naming.format not in (None, SUFFIXES[suffix_of(Path(target).name)]):
        raise UsageError(f"--format {options.format} is not the format of '{target}'.", hint="Leave --format out.")
    folder = None if target == "-" else Path(target).parent if to_file else Path(target)
    if source == "-":
        output = None if folder is None else Path(target) if to_file else folder / "stdin.png"
        item = planning.piped(stdin(), output, output.name if output else "-")
        return folder, lambda left_out: iter([item])
    for path in map(Path, sources):
        if not path.exists() and not path.is_symlink():
            raise missing(path, "file or folder")
    if folders or options.listed is not None:
        if folder is None or to_file:
            raise UsageError(f"a folder cannot be restored to '{target}'.", hint="Name a folder as OUTPUT.")
        for place in () if options.in_place else map(Path, sources if options.listed is not None else folders):
            _check_apart(place, folder, recursive=options.recursive)
    if options.listed is not None:
        place, listed, root = folder or Path(), options.listed, Path(source)
        return folder, lambda left_out: planning.from_list(listed, root, place, naming, left_out)

    def output_of(path: Path) -> Path | None:
        if options.in_place:
            return path
        return None if folder is None else Path(target) if to_file else folder / naming.name(path.name)

    for path in map(Path, sources):
        output = None if path.is_dir() or options.in_place else output_of(path)
        if output is not None and same_file(path, output):
            raise UsageError(f"'{output}' is the input itself.", hint="Name another OUTPUT, or give --in-place.")

    def items(left_out: LeftOut | None) -> Iterator[Item]:
        seen: set[object] = set()
        for path in map(Path, sources):
            identity = planning.which(path)
            if identity in seen:  # the same by another spelling
                continue
            seen.add(identity)
            if path.is_dir() and folder is not None:
                # Several folders keep their names, as cp -r has it.
                inner = Path(os.path.realpath(path)).name if several else ""
                yield from planning.in_folder(
                    path, folder, naming, recursive=options.recursive, left_out=left_out, below=inner
                )
            else:
                output = output_of(path)
                yield planning.single(path, output, "-" if output is None else output.name)

    return folder, items


def _is_result(name: str) -> bool:
    """Whether a file of that name, or of such an ending, can be a result."""
    return SUFFIXES.get(suffix_of(f"x{name}")) in WRITTEN


def _check_kind(target: str, *, one: bool) -> None:
    """An OUTPUT that is called like a file of a kind that is not written would become a folder of that name.

    For one picture a short suffix of any kind counts, as in `result.pgn`; a folder that is there or ends with a slash
    is one.
    """
    if target.endswith(("/", os.sep)) or Path(target).is_dir():
        return
    suffix = suffix_of(Path(target).name)
    if suffix in PICTURES or (one and re.fullmatch(r"\.[a-z][a-z0-9]{1,4}", suffix)):
        raise UsageError(
            f"cannot write '{target}': '{suffix}' is no kind that is written.",
            hint=f"Written are {', '.join(filter(_is_result, SUFFIXES))}; a folder of that name ends with a slash.",
        )


def _check_apart(source: Path, target: Path, *, recursive: bool) -> None:
    inner, outer = target.resolve(), source.resolve()
    if inner == outer:
        raise UsageError(f"'{target}' is the input itself.", hint="Name another OUTPUT, or give --in-place.")
    if recursive and inner.is_relative_to(outer):
        raise UsageError(f"the output '{target}' lies inside the input.", hint="Results would be restored again.")


def same_file(one: Path, other: Path) -> bool:
    """Whether two paths lead to one file."""
    try:
        return one.samefile(other)
    except OSError:
        return False


def _probe(folder: Path) -> bool:
    """Write where the output folder is or will be; whether names that differ in case alone are one there."""
    place = folder
    while not place.exists() and place != place.parent:
        place = place.parent
    if not place.is_dir():
        raise UsageError(f"'{place}' is a file, not a folder.")
    probe = place / f".irsde-probe-{os.getpid()}.part"
    try:
        probe.write_bytes(b"")
        folds_case = probe.with_name(probe.name.upper()).exists()
        for left in place.glob(".irsde-probe-*.part"):  # this one, and those of killed runs
            left.unlink(missing_ok=True)
    except OSError as error:
        raise refusal(error, folder / "probe") from None
    return folds_case
