"""Restore photographs with mean-reverting SDEs.

import irsde_cli
restorer = irsde_cli.load("deblur")
restored = restorer(image)  # (3, H, W) or (B, 3, H, W), RGB in [0, 1]

for event in irsde_cli.restore("photos", "restored", task="deblur"):
    ...
"""

from collections.abc import Callable, Iterator, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any

from irsde_cli.version import __version__

if TYPE_CHECKING:
    from irsde_cli.restorer import Restorer
    from irsde_cli.workflows.restore.events import Event

__all__ = ["__version__", "load", "restore"]


def load(model: str) -> "Restorer":
    """The restorer of a task, a name, a file, a folder or an id on the Hub, on the CPU and ready to be called.

    Args:
        model: "deblur", "deblur-small", "path/to/model.safetensors", "runs/mine", or "owner/name" with "@revision".

    Raises:
        WeightsError: there are no such weights, or they are damaged.
    """
    from irsde_cli.conversions import loading
    from irsde_cli.tasks import TASKS
    from irsde_cli.weights import find_weights

    weights = find_weights(None, model) if model in TASKS else find_weights(model, "")
    return loading.load(weights.path).restorer


def restore(
    inputs: "str | PathLike[str] | Sequence[str | PathLike[str]]",
    outputs: "str | PathLike[str] | None" = None,
    *,
    stopped: Callable[[], bool] = lambda: False,
    **options: Any,
) -> "Iterator[Event]":
    """Restore a picture or a folder, as `irsde restore` does, and yield what happens.

    The events are those of `irsde_cli.workflows.restore.events`: `Ready`, `Planned`, then for each picture `Done`,
    `Skipped` or `Failed`, with `Step` and `Warned` between them. A picture that fails ends nothing.

    Args:
        inputs: a picture or a folder, or several of them.
        outputs: a folder, or a file for a single picture; none with `in_place`.
        stopped: asked between steps; the same call goes on later.
        options: those of `irsde restore`, with underscores: `task`, `model`, `steps`, `seed`, `recursive`.

    Raises:
        UsageError: an option is unknown, or inputs, outputs and options cannot be as asked.
        WeightsError: there are no such weights, or they are damaged.
        MachineError: the disk is full, the folder is locked, or not one picture fits into memory.
    """
    from irsde_cli.option import asked
    from irsde_cli.workflows.restore.options import Options
    from irsde_cli.workflows.restore.run import restore as run

    given = tuple(map(str, [inputs] if isinstance(inputs, str | PathLike) else inputs))
    places = {"inputs": given, "outputs": None if outputs is None else str(outputs)}
    return run(asked(Options, places | options), stopped=stopped)
