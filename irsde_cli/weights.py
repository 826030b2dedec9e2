"""Where weights are: one row a shipped file; names, files and folders to paths. No torch."""

from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from irsde_cli.errors import WeightsError
from irsde_cli.registry import unknown_name
from irsde_cli.tasks import TASKS, get_task

BETTER_WEIGHTS = "https://github.com/Algolzw/image-restoration-sde#pretrained-models"


@dataclass(frozen=True)
class Weights:
    """A weight file that can be loaded: its name for people, and its path."""

    name: str
    path: Path


SHIPPED = (
    "denoise-small",
    "deblur-small",
    "derain-small",
    "dehaze-small",
    "inpaint-small",
    "sr4-small",
    "jpeg-small",
    "lowlight-small",
)


def shipped_path(name: str) -> Path:
    """The file of a shipped network, inside the package."""
    return Path(str(resources.files("irsde_cli"))) / "shipped" / f"{name}.safetensors"


def find_weights(model: str | None, task: str) -> Weights:
    """The weights that `--model` and `--task` name.

    Args:
        model: a shipped name or a `.safetensors` file; `None` takes the task's shipped network.
        task: a row of `irsde_cli.tasks.TASKS`.

    Raises:
        WeightsError: there are none.
    """
    if model is None:
        name = get_task(task).weights
        if name is None:
            known = ", ".join(task for task, row in TASKS.items() if row.weights)
            raise WeightsError(
                f"no weights ship for the task '{task}' (they do for {known}).",
                hint=f"Train some with 'irsde train', or name a file with --model. The authors' own: {BETTER_WEIGHTS}",
            )
        return Weights(name, shipped_path(name))
    if model in SHIPPED:
        return Weights(model, shipped_path(model))
    path = Path(model)
    if path.is_file():
        return Weights(path.name, path)
    if path.suffix or "/" in model:
        raise WeightsError(f"no weight file '{model}'.", hint=f"Shipped names: {', '.join(SHIPPED)}.")
    error = unknown_name("model", model, SHIPPED)
    raise WeightsError(error.message, hint=f"{error.hint} A path to a .safetensors file works too.")
