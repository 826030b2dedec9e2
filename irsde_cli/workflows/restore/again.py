"""Making a result once more, from what it says of itself."""

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from irsde_cli.engine import openvino
from irsde_cli.errors import InputError, UsageError
from irsde_cli.images import read_picture
from irsde_cli.option import asked
from irsde_cli.samplers.settings import Sampling
from irsde_cli.storage.digests import content_of, sha256
from irsde_cli.version import __version__
from irsde_cli.weights import SHIPPED, ZERO_SHOT, shipped_path
from irsde_cli.workflows.restore.events import Done, Failed
from irsde_cli.workflows.restore.made import read
from irsde_cli.workflows.restore.options import Options
from irsde_cli.workflows.restore.run import restore

# Of settings that say what was used, not what was asked for.
FOUND = ("version", "weights", "generator", "precision", "engine_version")
PRECISIONS = {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16"}
ALONE = ("one-pass", "two-heads")  # samplers of systems that take none


def again(path: Path, original: Path, model: str | None = None) -> bytes:
    """The file of a result, made once more from its input.

    Args:
        path: of the result, which says what made it.
        original: its input, whatever it is called now.
        model: the weights, where they do not ship.

    Raises:
        InputError: that is not its input, or it cannot be made.
        UsageError: its weights are needed, or it was made with a mask or a map.
    """
    values = read(path)
    settings, name = values["settings"], PurePosixPath(str(values["input"]))
    if content_of(original) != values["input_blake2b"]:
        raise InputError(f"'{original}' is not the picture that '{path}' was made from ('{name}').")
    if settings.get("version") != __version__:
        raise UsageError(
            f"'{path}' was made by irsde {settings.get('version')}, and this is {__version__}.",
            hint="Install that version.",
        )
    if settings.get("engine") == "openvino" and settings.get("engine_version") != openvino.version():
        raise UsageError(
            f"'{path}' was made with OpenVINO {settings.get('engine_version')}, and this is {openvino.version()}.",
            hint="Install that version.",
        )
    if values.get("draw"):
        raise UsageError(f"'{path}' is the draw {values['draw']} of several.", hint="Name the first: it has no number.")
    options = _options(settings, model)
    with tempfile.TemporaryDirectory(prefix="irsde-again-") as folder:
        given = Path(folder) / "in" / (name.name if str(name) == "-" else name)
        if ".." in name.parts or name.is_absolute():
            raise InputError(f"'{path}' says that it was made from '{name}', which is no name.")
        given.parent.mkdir(parents=True)
        given.write_bytes(original.read_bytes())
        inside, out = len(name.parts) > 1, Path(folder) / "out"
        place, target = (Path(folder) / "in", out) if inside else (given, out / path.name)
        out.mkdir()
        options = replace(options, inputs=(str(place),), outputs=str(target), recursive=inside)
        stdin = None
        if str(name) == "-":
            options = replace(options, inputs=("-",))
            stdin = given.open("rb")
        try:
            events = restore(options) if stdin is None else restore(options, stdin=lambda: stdin)
            for event in events:
                if isinstance(event, Failed):
                    raise InputError(f"'{path}' cannot be made again: {event.reason}", hint=event.hint)
                if isinstance(event, Done) and event.output is not None:
                    return event.output.read_bytes()
        finally:
            if stdin is not None:
                stdin.close()
    raise InputError(f"'{path}' was not made again.")


def is_alike(made: bytes, path: Path) -> bool:
    """Whether two files show the same pixels."""
    one, other = (read_picture(source, path.name) for source in (made, path))
    both = one.pixels.shape == other.pixels.shape and one.pixels.dtype == other.pixels.dtype
    return both and bool((one.pixels == other.pixels).all())


def _options(settings: Mapping[str, Any], model: str | None) -> Options:
    """The options that lead to the settings of a record.

    Raises:
        UsageError: they lead to others, as weights, a mask or a map are missing.
    """
    known = {name: value for name, value in settings.items() if name not in FOUND}
    if "map" in (known.get("realism"), known.get("strength")):
        raise UsageError("it was made with a map, of which the record holds nothing.")
    for name in ("nodes", "choices"):
        if isinstance(known.get(name), list):
            known[name] = tuple(known[name])
    weights = str(settings.get("weights"))
    if known.get("choices"):
        known["model"] = ZERO_SHOT
    else:
        known["model"] = model or _shipped(weights)
    precision = PRECISIONS.get(str(settings.get("precision")), "auto")
    options = asked(Options, {**known, "precision": precision})
    return replace(options, sampling=sampling_of(options.sampling))


def sampling_of(found: Sampling) -> Sampling:
    """What leads to a `Sampling` that a system completed."""
    if found.sampler in ALONE:
        return replace(found, sampler=None, steps=None, clip=None)
    return found


def _shipped(digest: str) -> str:
    """The file of shipped weights with that SHA-256."""
    for name in SHIPPED:
        if sha256(shipped_path(name)) == digest:
            return str(shipped_path(name))
    raise UsageError(
        "it was made with weights that do not ship with this version.",
        hint=f"Name them with --model; their SHA-256 is {digest}.",
    )
