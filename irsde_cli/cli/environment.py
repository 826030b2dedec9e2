"""`irsde env`."""

import importlib.metadata
import json
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from irsde_cli.cli.builder import command
from irsde_cli.cli.options import Printed
from irsde_cli.cli.reporting import data, printable
from irsde_cli.errors import InputError, UsageError
from irsde_cli.extras import EXTRAS
from irsde_cli.option import option
from irsde_cli.tasks import TASKS
from irsde_cli.version import __version__

PACKAGES = ("torch", "numpy", "pillow", "tifffile", "imageio", "safetensors", "huggingface-hub", "typer", "rich")


@dataclass(frozen=True)
class Measured:
    """What is measured besides."""

    bench: bool = option(
        "machine", "Measure how long a megapixel takes here, for each task.", default=False, variable="-"
    )


@dataclass(frozen=True)
class Asked:
    """A result that is asked what made it."""

    file: Path | None = option(
        "machine", "Say what made this result instead: input, weights, settings.", variable="-", flag="--file"
    )
    original: Path | None = option(
        "machine", "With --file, its input: make the result again and compare the files.", variable="-"
    )
    model: str | None = option(
        "machine", "With --original, the weights, where they do not ship.", variable="-", short="-n"
    )
    again: Path | None = option("machine", "With --original, keep what was made, in this file.", variable="-")


def run(measured: Measured, made: Asked, printed: Printed) -> None:
    """Show versions, devices, memory and extras, for reports of problems; or what made a result."""
    if made.file is not None:
        _told(made.file, made, printed)
        return
    if made.original is not None or made.model is not None or made.again is not None:
        raise UsageError("--original, --model and --again go with --file.")
    if measured.bench:
        for task, seconds in _seconds():
            row = {"task": task, "seconds per megapixel": round(seconds, 2)}
            data(json.dumps(row) if printed.json else f"{task:10} {seconds:8.2f} s per megapixel")
        return
    import torch

    from irsde_cli.runtime import free_memory

    devices = ["cpu"]
    devices += [f"cuda:{i} ({torch.cuda.get_device_name(i)})" for i in range(torch.cuda.device_count())]
    devices += [f"xpu:{i} ({torch.xpu.get_device_name(i)})" for i in range(torch.xpu.device_count())]
    devices += ["mps"] if torch.backends.mps.is_available() else []
    rows = {
        "irsde": __version__,
        "python": platform.python_version(),
        "system": platform.platform(),
        **{name: _version(name) for name in PACKAGES},
        "devices": ", ".join(devices),
        "threads": str(torch.get_num_threads()),
        "free memory": f"{free_memory(torch.device('cpu')) / 2**30:.1f} GiB",
        **{
            f"extra {name}": f"{'installed' if extra.here else 'not installed'} ({extra.purpose})"
            for name, extra in EXTRAS.items()
        },
    }
    if printed.json:
        data(json.dumps(rows))
        return
    for name, value in rows.items():
        data(f"{name:17} {value}")


environment = command(run)


def _told(path: Path, made: Asked, printed: Printed) -> None:
    """What a result says of itself; and with its input, whether the same comes out once more."""
    from irsde_cli.content import missing
    from irsde_cli.storage.files import write_whole
    from irsde_cli.workflows.restore.again import again, is_alike
    from irsde_cli.workflows.restore.made import named, read

    if made.original is None and (made.model is not None or made.again is not None):
        raise UsageError("--model and --again go with --original.")
    for place in (path, made.original):
        if place is not None and not place.is_file():
            raise missing(place, "file")
    values = read(path)
    if printed.json:
        data(json.dumps(values))
    else:
        for name, value in named(values).items():
            data(printable(f"{name:17} {value}"))
    if made.original is None:
        return
    bytes_again = again(path, made.original, made.model)
    if made.again is not None:
        write_whole(made.again, bytes_again, "again")
    if bytes_again != path.read_bytes():
        if is_alike(bytes_again, path):
            said = "made again: the same pixels, in a file of other bytes (a signature or its metadata differ)"
            data(json.dumps({"again": "pixels"}) if printed.json else said)
            return
        raise InputError(
            f"made again, '{path}' is another file.",
            hint="Another machine, torch or number of threads may round otherwise, or the file was changed.",
        )
    if not printed.json:
        data("made again: the same file, byte for byte")


def _seconds() -> Iterator[tuple[str, float]]:
    """For each task with a network here: what a megapixel of its result takes, by two evaluations of a small part."""
    from irsde_cli import checkpoint
    from irsde_cli.engine.forecast import Forecast
    from irsde_cli.engine.restoration import Restoration
    from irsde_cli.engine.settings import Settings
    from irsde_cli.runtime import choose_device, choose_precision
    from irsde_cli.weights import find_weights

    device = choose_device("auto")
    for task, row in TASKS.items():
        if row.weights is None:
            continue
        loaded = checkpoint.load(find_weights(None, task).path)
        forecast = Forecast(Restoration(loaded, Settings(), device, choose_precision("auto", device, measured=True)))
        side = 1024 // forecast.scale
        yield task, forecast.seconds((side, side)) * 1e6 / (side * forecast.scale) ** 2


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
