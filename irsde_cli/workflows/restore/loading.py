"""Pictures and their masks, from files into memory."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from irsde_cli.errors import InputError
from irsde_cli.images import (
    INSTEAD,
    SUFFIXES,
    Part,
    Picture,
    looks_like_picture,
    read_picture,
    samples_of,
)
from irsde_cli.images.maps import read_map
from irsde_cli.images.masks import known_by
from irsde_cli.needs import Need, need
from irsde_cli.storage.digests import content_of
from irsde_cli.storage.journal import Identity, Source
from irsde_cli.workflows.restore.items import Item
from irsde_cli.workflows.restore.losing import accepted_losses
from irsde_cli.workflows.restore.opening import opener
from irsde_cli.workflows.restore.options import Options
from irsde_cli.workflows.restore.plan import Plan

if TYPE_CHECKING:
    from irsde_cli.images.reading import Opener

MEASURED = 3000


@dataclass(frozen=True, eq=False)
class Loaded:
    """A picture of a file, with what is recorded of it; a `Subject`."""

    item: Item
    picture: Picture
    source: Source
    known: Tensor | None
    settings: str
    since: float
    lost: tuple[Part, ...] = ()
    maps: dict[str, Tensor] = field(default_factory=dict)
    need: Need | None = None

    @property
    def name(self) -> str:
        return self.item.name

    @property
    def key(self) -> bytes:
        return self.item.key

    @property
    def size(self) -> tuple[int, int]:
        return self.picture.size

    @property
    def flat(self) -> bool:
        return self.picture.flat

    @property
    def operator(self) -> None:
        return None

    @property
    def noise_std(self) -> None:
        return None

    def degraded(self) -> Tensor:
        return samples_of(self.picture)


def picture_of(item: Item, options: Options, opener: "Opener | None" = None) -> Picture:
    """The picture of an item, read as the run is asked to; `opener` makes pixels of a codec's file.

    Raises:
        InputError: it cannot be read so.
        OSError: its file cannot.
    """
    source = item.data if item.source is None else item.source
    assert source is not None, "an item is a file or data"
    return read_picture(
        source,
        item.name,
        limits=options.limits,
        allow_truncated=options.allow_truncated,
        depth=options.depth,
        linear=options.raw == "linear",
        opener=opener,
    )


def load(item: Item, options: Options, settings: str) -> Loaded:
    """The picture of an item, with its mask and maps; `settings` is the short name of those of the run.

    Raises:
        InputError: it cannot be read or written as asked, has no mask or map that fits, or would lose what it may not.
    """
    since = time.monotonic()
    source = item.data if item.source is None else item.source
    assert source is not None, "an item is a file or data"
    try:
        before = identity_of(source)
        picture = picture_of(item, options, opener(options))
        if options.in_place and picture.format in INSTEAD:
            kind = {"raw": "a raw photograph", "exr": "an OpenEXR picture", "irc": "a codec's file"}[picture.format]
            raise InputError(f"'{item.name}' is {kind}, which is not written.", hint="Restore it to a folder.")
        lost = accepted_losses(picture, item, format_of(item, options), options)
        content = content_of(source)
        if identity_of(source) != before:
            raise InputError(f"'{item.name}' changed while it was read.", hint="Run again when it is complete.")
    except OSError as error:
        raise InputError(f"'{item.name}' cannot be read: {error.strerror or error}.") from None
    wanted = with_companions(settings, item, options)
    known = None
    maps = {
        name: torch.from_numpy(read_map(companion(place, item.name), item.name, picture.size, options.limits))
        for name, place in options.sampling.maps.items()
    }
    if options.mask is not None:
        known, notes = known_of(picture, options.mask, options)
        picture = replace(picture, warnings=(*picture.warnings, *notes))
    needed = Need(options.task, 0.0, "opened") if options.opening else None
    if options.sampling.is_judged:
        needed = need(options.task, central(samples_of(picture)))
    return Loaded(
        item, picture, Source(item.name, item.place, before, content), known, wanted, since, lost, maps, needed
    )


def central(samples: Tensor) -> Tensor:
    """The middle of a large picture (3, H, W): enough to see what it needs."""
    top, left = (
        max(0, (size - MEASURED) // 16 * 8) for size in samples.shape[-2:]
    )  # blocks of JPEG stay where they are
    return samples[:, top : top + MEASURED, left : left + MEASURED]


def identity_of(source: Path | bytes) -> Identity:
    """Of a file, or of what came through a pipe."""
    return Identity(len(source), 0) if isinstance(source, bytes) else Identity.of(source.stat())


def loaded_images(plan: Plan) -> Iterator[Loaded]:
    """The pictures of a plan; those that cannot be read are left out."""
    for item in plan.items():
        try:
            yield load(item, plan.options, "")
        except InputError:
            continue


def format_of(item: Item, options: Options) -> str | None:
    """The format to write: a single output file's own; else as asked, or the input's."""
    if item.output is None or options.outputs is None:
        return options.format
    named = looks_like_picture(Path(options.outputs)) and item.output == Path(options.outputs)
    if named or (options.format is None and item.source is None):
        return SUFFIXES[item.output.suffix.lower()]
    return options.format


def companion(place: Path, name: str) -> Path:
    """The mask or map of a picture: the file, or the one of its path and stem in the folder."""
    if not place.is_dir():
        return place
    inner = place / Path(name).with_suffix("")
    found = [inner.with_name(inner.name + suffix) for suffix in SUFFIXES]
    return next((path for path in found if path.is_file()), place / name)


def with_companions(settings: str, item: Item, options: Options) -> str:
    """The settings of one picture: those of the run, and mask and maps as far as they are known without being read."""
    for place in filter(None, (options.mask, *options.sampling.maps.values())):
        try:
            found = Identity.of(companion(place, item.name).stat())
        except OSError:
            continue
        settings += f"-{found.size:x}-{found.mtime_ns:x}"
    return settings


def known_of(picture: Picture, place: Path, options: Options) -> tuple[Tensor, tuple[str, ...]]:
    """(H, W) of booleans: what its mask in `place` says is known; and what may surprise.

    Raises:
        InputError: there is none, or it is no mask of this picture.
    """
    path = companion(place, picture.name)
    mask = read_picture(path, str(path), limits=options.limits, depth=8)
    if mask.size != picture.size:
        (height, width), (rows, columns) = mask.size, picture.size
        raise InputError(f"the mask '{path}' is {width} x {height}, but '{picture.name}' is {columns} x {rows}.")
    known, notes = known_by(mask)
    if options.strict and notes:
        raise InputError(f"'{picture.name}': {notes[0]}.", hint="Without --strict this is a warning.")
    return torch.from_numpy(known), notes
