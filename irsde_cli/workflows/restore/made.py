"""What made a picture: one record, in its XMP and in the manifest of its folder."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from irsde_cli.errors import InputError
from irsde_cli.images import read_picture
from irsde_cli.images.xmp import made
from irsde_cli.option import record as record_of
from irsde_cli.storage.journal import Source, lines
from irsde_cli.workflows.restore.options import Options

INVENTS = ("inpaint",)


def record(source: Source, settings: Mapping[str, Any], draw: str = "") -> str:
    """What made a picture: from which input, with which settings; `draw` is the suffix of a further draw."""
    values: dict[str, Any] = {"input": source.name, "input_blake2b": source.content}
    if draw:
        values["draw"] = int(draw[1:])
    return json.dumps({**values, "settings": settings})


def source_type(options: Options) -> str:
    """What the IPTC calls a picture like the result."""
    return "compositeWithTrainedAlgorithmicMedia" if options.task in INVENTS else "algorithmicallyEnhanced"


def read(path: Path) -> dict[str, Any]:
    """What made a picture, by its own XMP, or else by the manifest of its folder.

    Raises:
        InputError: it cannot be read, or neither says it.
    """
    text = made(read_picture(path, str(path)).xmp)
    values: Any = None
    try:
        values = None if text is None else json.loads(text)
    except ValueError:
        values = None
    if isinstance(values, dict) and isinstance(values.get("settings"), dict):
        return values
    found = _of_manifest(path)
    if found is None:
        raise InputError(
            f"nothing says what made '{path}'.",
            hint="irsde writes it into the XMP of its results, and into the folder .irsde beside them.",
        )
    return found


def _of_manifest(path: Path) -> dict[str, Any] | None:
    """What the manifest of a folder above the picture says of it, if the picture is still the one that was made."""
    path = path.absolute()
    size = path.stat().st_size
    for folder in path.parents:
        settings: dict[str, Any] = {}
        found: dict[str, Any] | None = None
        for line in lines(folder):
            if line.get("event") == "run":
                settings[line.get("id", "")] = line.get("settings")
            elif line.get("event") == "done" and line.get("output") == path.relative_to(folder).as_posix():
                found = line if line.get("output_size") == size else None
        if found is not None:
            known = settings.get(str(found.get("settings")).partition("-")[0])
            if isinstance(known, dict):
                return {"input": found["input"], "input_blake2b": found["input_blake2b"], "settings": known}
    return None


def named(values: Mapping[str, Any]) -> dict[str, str]:
    """A record as rows for people: what was used, and what was asked for beside the defaults."""
    settings = values["settings"]
    rows = {
        "input": values.get("input"),
        "BLAKE2b of it": values.get("input_blake2b"),
        "task": settings.get("task"),
        "weights": settings.get("weights"),
        "irsde": settings.get("version"),
        **({"draw": values["draw"]} if "draw" in values else {}),
    }
    usual = record_of(Options())
    others = {name: value for name, value in settings.items() if name not in rows and name != "version"}
    rows |= {name: value for name, value in others.items() if name == "seed" or value != usual.get(name)}
    return {name: _plain(value) for name, value in rows.items()}


def _plain(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
