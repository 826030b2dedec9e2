"""What a run made of a picture, as files."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from irsde_cli.engine.restoration import Output
from irsde_cli.errors import InputError
from irsde_cli.images import (
    INSTEAD,
    encode_picture,
    output_format,
    with_restored,
)
from irsde_cli.images.credentials import MIME, Parent, signed
from irsde_cli.images.xmp import with_made
from irsde_cli.needs.drift import drifts
from irsde_cli.storage.digests import content_of
from irsde_cli.workflows.restore.loading import Loaded, format_of
from irsde_cli.workflows.restore.made import record, source_type
from irsde_cli.workflows.restore.options import QUALITY, Options, beside, film

WITHOUT_XMP = ("bmp", "irc")  # the second is to be short, and names its weights itself


def encode(
    loaded: Loaded, output: Output, options: Options, settings: Mapping[str, Any]
) -> tuple[list[tuple[Path, bytes]], bytes | None]:
    """The files of a picture; for a pipe, the restored picture as bytes. `settings` are what its record says."""
    item, picture = loaded.item, replace(loaded.picture, warnings=())
    files: list[tuple[Path, bytes]] = []
    data: bytes | None = None
    same = unchanged(loaded, output, options)
    if same is None and loaded.known is None and "" in output.images:
        output.notes = output.notes + drifts(options.task, loaded.degraded(), output.images[""])
    for suffix in list(output.images):
        if same is not None and suffix != ".spread":
            del output.images[suffix]
            output.same = True
            if item.output is None:
                return [], same
            files.append((Path(beside(item.output, suffix)), same))
            continue
        restored = with_restored(picture, output.images.pop(suffix))
        if loaded.known is not None and suffix != ".spread":
            np.copyto(restored.pixels, picture.pixels, where=loaded.known.numpy()[..., None])
        format = format_of(item, options)
        if suffix != ".spread" and output_format(restored, format, metadata=options.metadata) not in WITHOUT_XMP:
            made = record(loaded.source, settings, suffix)
            restored = replace(restored, xmp=with_made(restored.xmp, made, source_type(options)))
        data = encode_picture(
            restored,
            format=format,
            quality=options.quality,
            png_level=options.png_level,
            metadata=options.metadata,
            depth=options.depth,
            coded=output.coded,
        )
        if options.c2pa is not None and suffix != ".spread":
            kind = output_format(restored, format, metadata=options.metadata)
            made = record(loaded.source, settings, suffix)
            data = signed(data, kind, options.c2pa, _parent(loaded), made, source_type(options))
        if item.output is not None:
            files.append((Path(beside(item.output, suffix)), data))
        elif not suffix:
            return [], data
    if item.output is not None and output.states:
        files.append((Path(film(options, item.output)), _film(output.states, options.trajectory_format)))
    return files, None


def _parent(loaded: Loaded) -> Parent:
    """What a result was made from.

    Raises:
        InputError: it has changed since it was read.
    """
    source = loaded.item.data if loaded.item.source is None else loaded.item.source
    assert source is not None, "an item is a file or data"
    try:
        data = source.read_bytes() if isinstance(source, Path) else source
    except OSError as error:
        raise InputError(f"'{loaded.name}' cannot be read: {error.strerror or error}.") from None
    if content_of(data) != loaded.source.content:
        raise InputError(f"'{loaded.name}' changed while it was restored.", hint="Run again when it is complete.")
    return Parent(loaded.name, data, MIME.get(loaded.picture.format))


def unchanged(loaded: Loaded, output: Output, options: Options) -> bytes | None:
    """The file of a picture that needed nothing, where nothing else is asked for than that file; `None` elsewhere.

    A JPEG that is written once more loses a little, and any file may hold more than a result of it would.
    """
    format = format_of(loaded.item, options)
    own = loaded.picture.format
    wanted = (
        (format == own or (format in (None, "keep") and own not in INSTEAD))
        and options.metadata == "keep"
        and options.depth is None
    )
    if output.need is None or output.need.weight or not wanted or options.quality != QUALITY or options.allow_truncated:
        return None
    source = loaded.item.data if loaded.item.source is None else loaded.item.source
    assert source is not None, "an item is a file or data"
    try:
        if content_of(source) != loaded.source.content:
            return None  # it has changed since it was read
        return source.read_bytes() if isinstance(source, Path) else source
    except OSError:
        return None


def _film(states: Sequence[Tensor], kind: str) -> bytes:
    """The states beside one another, or after one another."""
    import imageio.v3 as imageio

    frames = [np.ascontiguousarray(state.permute(1, 2, 0).numpy()) for state in states]
    buffer = io.BytesIO()
    if kind == "strip":
        imageio.imwrite(buffer, np.concatenate(frames, axis=1), extension=".png")
    else:
        imageio.imwrite(buffer, np.stack(frames), extension=".gif", duration=400, loop=0)
    return buffer.getvalue()
