"""What a result will lack of its file, and whether that may be."""

from pathlib import Path

from irsde_cli.errors import InputError
from irsde_cli.images import KINDS, Part, Picture, losses
from irsde_cli.storage import outside
from irsde_cli.workflows.restore.items import Item
from irsde_cli.workflows.restore.options import Options


def accepted_losses(picture: Picture, item: Item, format: str | None, options: Options) -> tuple[Part, ...]:
    """What is lost of a picture, and may be.

    Raises:
        InputError: it may not: the only copy would be replaced, or colours would be others.
        OSError: the file is gone.
    """
    lost = losses(picture, format, metadata=options.metadata, depth=options.depth)
    if options.in_place:
        assert item.source is not None, "no pipe is restored in place"
        lost += ties(item.source)
    if options.strict and (lost or picture.warnings):
        reason = picture.warnings[0] if picture.warnings else f"it has {lost[0]}, which is not kept"
        raise InputError(f"'{item.name}': {reason}.", hint="Without --strict this is counted and named.")
    if options.allow_loss or not lost:
        return lost
    if options.in_place and not options.backup:
        raise InputError(
            f"'{item.name}' has more than a result would: {', '.join(map(str, lost))}.",
            hint="Restore it to a folder, keep it beside its result with --backup, or accept that with --allow-loss.",
        )
    coloured = [part for part in lost if KINDS[part.kind].decides_colour]
    if coloured and not options.in_place:
        raise InputError(
            f"'{item.name}' has {coloured[0]}, which that format cannot keep.",
            hint="Take the format of the input, or accept other colours with --allow-loss.",
        )
    return lost


def ties(path: Path) -> tuple[Part, ...]:
    """What belongs to a file beside its bytes, and cannot be handed on to one that replaces it."""
    names = outside.other_names(path)
    found = [Part("links", str(names))] if names else []
    if not outside.may_give(path.stat(), path.parent):
        found.append(Part("owner"))
    return tuple(found)
