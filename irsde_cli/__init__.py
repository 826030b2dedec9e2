"""Restore photographs with mean-reverting SDEs.

import irsde_cli
restorer = irsde_cli.load("deblur")
restored = restorer(image)  # (3, H, W) or (B, 3, H, W), RGB in [0, 1]
"""

from typing import TYPE_CHECKING

from irsde_cli.version import __version__

if TYPE_CHECKING:
    from irsde_cli.restorer import Restorer

__all__ = ["__version__", "load"]


def load(model: str) -> "Restorer":
    """The restorer of a task, a name, a file, a folder or an id on the Hub, on the CPU and ready to be called.

    Args:
        model: "deblur", "deblur-small", "path/to/model.safetensors", "runs/mine", or "owner/name" with "@revision".

    Raises:
        WeightsError: there are no such weights, or they are damaged.
    """
    from irsde_cli import checkpoint
    from irsde_cli.tasks import TASKS
    from irsde_cli.weights import find_weights

    weights = find_weights(None, model) if model in TASKS else find_weights(model, "")
    return checkpoint.load(weights.path).restorer
