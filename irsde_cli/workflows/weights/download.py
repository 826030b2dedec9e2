"""Weights made ready as an iterable of events: fetched from the Hub or taken from files, converted, checked, kept."""

import os
import secrets
import shutil
import sys
import urllib.error
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from irsde_cli import checkpoint
from irsde_cli.conversions.lpips import lpips_tensors
from irsde_cli.conversions.published import convert, export
from irsde_cli.errors import IrsdeError, MachineError, UsageError, WeightsError
from irsde_cli.metrics import METRICS
from irsde_cli.registry import unknown_name
from irsde_cli.storage import digests
from irsde_cli.storage.files import (
    make_folder,
    refusal,
    rename,
    shared_folder,
    sync_file,
    temporary_prefix,
    write_whole,
)
from irsde_cli.weights import MODEL, SHIPPED, Weights, find_weights, hub, store, stored_path
from irsde_cli.weights.catalogue import CATALOGUE, METRIC_WEIGHTS, MetricWeights
from irsde_cli.weights.rows import File, Row
from irsde_cli.workflows.weights.options import Download

OWNER = "download"


@dataclass(frozen=True)
class Ready:
    """Weights that can be loaded now; `news` is empty where they were ready before."""

    name: str
    path: Path
    sha256: str
    news: str = ""


@dataclass(frozen=True)
class Intended:
    """What would be done."""

    name: str
    action: str


@dataclass(frozen=True)
class Refused:
    """Weights that did not come, and what to do."""

    name: str
    reason: str
    hint: str


def obtain(asked: Download) -> Iterator[Ready | Intended | Refused]:
    """Make each of the names ready, one after another; one that fails stops no other.

    Raises:
        UsageError: options do not go together.
        MachineError: the disk is full or a folder cannot be written.
    """
    _check_options(asked)
    for name in asked.wanted:
        try:
            yield _one(name, asked)
        except MachineError:
            raise
        except IrsdeError as error:
            yield Refused(name, error.message, error.hint)


def verify(names: Sequence[str]) -> Iterator[Ready | Refused]:
    """Load each of the names strictly, and compare its SHA-256 with the one that was noted when it came."""
    for name in names:
        try:
            path = stored_path(name) if name in METRIC_WEIGHTS else find_weights(name, "").path
            if name in METRIC_WEIGHTS:
                METRICS.load(METRIC_WEIGHTS[name].metric).load(path)
            else:
                checkpoint.load(path)
            found, noted = digests.sha256(path), _noted(path)
            if noted not in (None, found):
                raise WeightsError(
                    f"'{path}' has the SHA-256 {found}; when it came it was {noted}.", hint="Download it again."
                )
            yield Ready(name, path, found)
        except IrsdeError as error:
            yield Refused(name, error.message, error.hint)


def export_official(name: str, paths: Sequence[Path]) -> None:
    """Write weights as files of the reference, one for each part, the network first.

    Raises:
        WeightsError: there are no such weights, or they have another number of parts.
        UsageError: a file exists already.
    """
    for path in paths:
        if path.exists():
            raise UsageError(f"'{path}' exists.", hint="Name another file, or remove it.")
    restorer = checkpoint.load(find_weights(name, "").path).restorer
    with ExitStack() as stack:
        aside = [stack.enter_context(_aside(path.parent)) for path in paths]
        _written(lambda: export(restorer, aside), paths[0] if paths else Path())
        for source, path in zip(aside, paths, strict=True):
            _settled(source, path)


def _check_options(asked: Download) -> None:
    """Refuse what would mean nothing."""
    if asked.files and len(asked.wanted) != 1:
        raise UsageError(f"--from belongs to one name, not to {len(asked.wanted)}.")
    for name in asked.wanted:
        row = CATALOGUE.get(name)
        if row is not None:
            row.check(name, asked.decided)
        elif asked.decided:
            raise UsageError(
                f"--set means nothing to '{name}'.",
                hint="It decides what the authors' files do not say; weights of ours know it.",
            )
        on_hub = row.on_hub if row is not None else hub.as_id(name) is not None and not Path(name).exists()
        if asked.revision is not None and not on_hub:
            raise UsageError(f"--revision belongs to the Hub, where '{name}' is not.")


def _one(name: str, asked: Download) -> Ready | Intended:
    if name in METRIC_WEIGHTS:
        return _metric(name, METRIC_WEIGHTS[name], asked)
    if name in CATALOGUE:
        return _published(name, CATALOGUE[name], asked)
    if asked.files:
        error = unknown_name("name", name, (*CATALOGUE, *METRIC_WEIGHTS))
        raise WeightsError(error.message, hint=f"--from belongs to a row of the list. {error.hint}")
    named = hub.as_id(name)
    if named is not None and not Path(name).exists():
        return _hub(named[0], asked.revision or named[1], asked)
    found = find_weights(name, "")
    if asked.dry_run:
        return Intended(name, f"is here: {found.path}")
    loaded = checkpoint.load(found.path)
    if asked.local_dir is None:
        return Ready(name, found.path, loaded.sha256)
    return _copied(found, asked.local_dir / f"{found.path.stem if name not in SHIPPED else name}.safetensors")


def _hub(repo: str, revision: str | None, asked: Download) -> Ready | Intended:
    if asked.dry_run:
        remote = hub.look_up(repo, MODEL, revision=revision)
        action = "is in the cache" if remote.here else f"would be fetched, {remote.size / 2**20:.1f} MiB"
        return Intended(repo, f"{action}, commit {remote.commit}")
    fetched = hub.fetch(repo, MODEL, revision=revision)
    checkpoint.load(fetched.path)
    if asked.local_dir is not None:
        return _copied(Weights(repo, fetched.path), asked.local_dir / f"{repo.split('/')[1]}.safetensors")
    return Ready(repo, fetched.path, fetched.sha256, f"pinned as {repo}@{fetched.commit}")


def _published(name: str, row: Row, asked: Download) -> Ready | Intended:
    if row.refused:
        raise WeightsError(f"'{name}' cannot be used: {row.refused}")
    path = _place(name, asked)
    if path.is_file() and not asked.files and not asked.decided:
        return Intended(name, f"is here: {path}") if asked.dry_run else _found(name, path)
    if not row.reachable and not asked.files:
        listed = " and ".join(f"'{file.name}'" for file in row.files)
        options = " ".join(f"--from {file.name}" for file in row.files)
        raise WeightsError(
            f"'{name}' is not on the Hub; its authors share {listed} at {row.source}.",
            hint=f"Fetch by hand, then run: irsde download {name} {options}",
        )
    if asked.dry_run:
        what = "would be taken from files" if asked.files else f"would be fetched, {row.mib:.0f} MiB"
        return Intended(name, f"{what}, and converted to {path}")
    with TemporaryDirectory() as folder:
        paths = asked.files or tuple(_fetched(row, file, asked.revision, Path(folder)) for file in row.files)
        converted = convert(name, row, paths, asked.decided)
    with _aside(path.parent) as aside:
        _written(lambda: checkpoint.save(aside, converted.restorer, **converted.fields), path)
        return _kept(name, aside, path, f"converted from {' and '.join(one.name for one in paths)}")


def _fetched(row: Row, file: File, revision: str | None, folder: Path) -> Path:
    if row.on_hub:
        return hub.fetch(row.source, file.name, revision=revision, sha256=file.sha256).path
    return _from_web(file.url, file.sha256, folder)


def _place(name: str, asked: Download) -> Path:
    return stored_path(name) if asked.local_dir is None else asked.local_dir / f"{name}.safetensors"


def _metric(name: str, row: MetricWeights, asked: Download) -> Ready | Intended:
    path = _place(name, asked)
    if path.is_file() and not asked.files:
        return Intended(name, f"is here: {path}") if asked.dry_run else _found(name, path)
    if asked.dry_run:
        return Intended(name, f"{row.mib:.0f} MiB would be fetched from {' and '.join(one.url for one in row.files)}")
    with _aside(path.parent) as aside:
        with TemporaryDirectory() as folder:
            paths = asked.files or tuple(_from_web(web.url, web.sha256, Path(folder)) for web in row.files)
            tensors = lpips_tensors(row.metric, paths)
            _written(lambda: save_file(tensors, aside), path)
        return _kept(name, aside, path, "irsde evaluate will find it")


def _from_web(url: str, sha256: str | None, folder: Path) -> Path:
    """A file through torch.hub, which checks its SHA-256 where that is known."""
    path = folder / url.rpartition("/")[2]
    try:
        torch.hub.download_url_to_file(url, str(path), hash_prefix=sha256, progress=sys.stderr.isatty())
    except RuntimeError as error:  # what torch.hub raises for a wrong hash
        raise WeightsError(f"'{url}' is not what it should be: {error}.", hint="It was removed.") from None
    except urllib.error.URLError as error:
        raise WeightsError(
            f"'{url}' did not come: {error.reason}.",
            hint="Fetch it elsewhere, and name it with --from; for each file once.",
        ) from None
    except OSError as error:
        if error.errno is not None and error.filename is not None:
            raise refusal(error, path) from None
        raise WeightsError(f"'{url}' did not come: {error}.", hint="Try again, or use --from.") from None
    return path


def _copied(found: Weights, path: Path) -> Ready:
    with _aside(path.parent) as aside:
        _written(lambda: shutil.copyfile(found.path, aside), path)
        return _kept(found.name, aside, path, f"copied from {found.path}")


@contextmanager
def _aside(folder: Path) -> Iterator[Path]:
    """A new temporary name in a folder that is made where it is missing; nothing has that name afterwards."""
    try:
        make_folder(folder)
    except OSError as error:
        raise MachineError(f"cannot make the folder '{folder}': {error.strerror}.") from None
    aside = folder / f"{temporary_prefix(OWNER)}{secrets.token_hex(6)}.part"
    with shared_folder(folder, OWNER):
        try:
            yield aside
        finally:
            aside.unlink(missing_ok=True)


def _written(write: Callable[[], object], path: Path) -> None:
    try:
        write()
    except OSError as error:
        raise refusal(error, path) from None
    except (SafetensorError, RuntimeError) as error:  # how the writers of tensors say that the disk is full
        reason = str(error).splitlines()[0]
        raise MachineError(f"cannot write '{path}': {reason}.", hint="Make room, and run it again.") from None


def _settled(aside: Path, path: Path) -> None:
    """Force the file to the disk and give it its name."""

    def settle() -> None:
        mask = os.umask(0)
        os.umask(mask)
        aside.chmod(0o666 & ~mask)  # writers of tensors keep it to its owner
        sync_file(aside)
        rename(aside, path)

    _written(settle, path)


def _kept(name: str, aside: Path, path: Path, news: str) -> Ready:
    """Give the file its name, and write its SHA-256 beside it, as `sha256sum -c` reads it."""
    if path.parent != store() and path.exists() and not _note(path).is_file():
        raise WeightsError(f"'{path}' exists, and 'irsde download' did not write it.", hint="Move it away.")
    digest = digests.sha256(aside)
    # Were it killed in between, with an older note the file would seem damaged, and without one somebody else's.
    _note_down(path, "")
    _settled(aside, path)
    _note_down(path, digest)
    return Ready(name, path, digest, news)


def _found(name: str, path: Path) -> Ready:
    """What is there already; a run that was killed may have left its note empty."""
    digest = digests.sha256(path)
    if _note(path).is_file() and _noted(path) is None:
        with shared_folder(path.parent, OWNER):
            _note_down(path, digest)
    return Ready(name, path, digest)


def _note(path: Path) -> Path:
    return path.with_suffix(".sha256")


def _note_down(path: Path, digest: str) -> None:
    text = f"{digest}  {path.name}\n" if digest else ""
    write_whole(_note(path), text.encode(), OWNER)


def _noted(path: Path) -> str | None:
    note = _note(path)
    return (note.read_text(encoding="utf-8").split(" ")[0] or None) if note.is_file() else None
