"""Where weights are: names, files, folders and ids of the Hub to paths. No torch."""

import os
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Literal

from irsde_cli.content import hub_id, is_address, kind_of_path
from irsde_cli.errors import UsageError, WeightsError
from irsde_cli.registry import unknown_name
from irsde_cli.tasks import EACH, TASKS, get_task
from irsde_cli.weights import hub
from irsde_cli.weights.catalogue import CATALOGUE

BETTER_WEIGHTS = "'irsde download --list'"
MODEL = "model.safetensors"
BEST = "best"
ZERO_SHOT = "zero-shot"
PRIOR = "prior-small"


@dataclass(frozen=True)
class Weights:
    """A weight file that can be loaded: its name for people, and its path; `zero_shot` makes it a prior."""

    name: str
    path: Path
    zero_shot: bool = False


SHIPPED = (
    "denoise-photo",
    "denoise-small",
    "prior-small",
    "deblur-small",
    "derain-small",
    "dehaze-photo",
    "dehaze-small",
    "inpaint-small",
    "sr4-small",
    "jpeg-photo",
    "lowlight-small",
    "deblur-fast",
)


def shipped_path(name: str) -> Path:
    """The file of a shipped network, inside the package."""
    return Path(str(resources.files("irsde_cli"))) / "shipped" / f"{name}.safetensors"


def store() -> Path:
    """Where `irsde download` keeps what it converts: IRSDE_WEIGHTS, or `irsde` in the user's cache."""
    named = os.environ.get("IRSDE_WEIGHTS")
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()) / "irsde"


def stored_path(name: str) -> Path:
    """Where the converted file of a row of the catalogue is, or would be."""
    return store() / f"{name}.safetensors"


def recommended(task: str) -> list[str]:
    """Weights of others that are better at a task than what ships, on real photographs too, the best first."""
    return [name for name, row in CATALOGUE.items() if row.task == task and row.better]


def readiness(task: str) -> Literal["yes", "fetch", "file", "no"]:
    """Whether a task can be done here and now: it ships or was downloaded; can be fetched; can be taken from files."""
    rows = [name for name, row in CATALOGUE.items() if row.task == task and not row.refused]
    if task == EACH or TASKS[task].weights is not None or any(stored_path(name).is_file() for name in rows):
        return "yes"
    if any(CATALOGUE[name].reachable for name in rows):
        return "fetch"
    return "file" if rows else "no"


def advice(used: str, task: str) -> str:
    """Which weights to take instead of those that are used."""
    names = recommended(task)
    if not names or used in names:
        return f"Other weights: {BETTER_WEIGHTS}"
    name, here = names[0], stored_path(names[0]).is_file()
    how = f"--model {name}" if here else f"irsde download {name}"
    return f"Better: {name} ({CATALOGUE[name].better}): {how}"


def find_weights(
    model: str | None, task: str, *, short: bool = False, sampled: bool = False, prior: str | None = None
) -> Weights:
    """The weights that `--model` and `--task` name; those of the Hub are fetched.

    Args:
        model: `zero-shot`, `best` for the recommended weights where they are here, a shipped name, a name of
            `irsde download --list`, a `.safetensors` file, a folder with `model.safetensors`, or `owner/name` on the
            Hub, with `@revision` if wanted; `None` takes the task's shipped network.
        task: a row of `irsde_cli.tasks.TASKS`.
        short: take the task's network for few evaluations, where one ships.
        sampled: take the one that samplers are for, where that is another.
        prior: with the model `zero-shot`, the weights that it rests on, if not the shipped ones.

    Raises:
        WeightsError: there are none.
    """
    if model is None:
        row = get_task(task)
        name = row.fast if short and row.fast else row.sampled if sampled and row.sampled else row.weights
        if name is None:
            known = ", ".join(task for task, row in TASKS.items() if row.weights)
            raise WeightsError(
                f"no weights ship for the task '{task}' (they do for {known}).",
                hint="'irsde download --list' names others; or train some, and name them with --model.",
            )
        return Weights(name, shipped_path(name))
    if model == BEST:
        model = next((name for name in recommended(task) if stored_path(name).is_file()), None)
        return find_weights(model, task, short=short, sampled=sampled)
    if model == ZERO_SHOT:
        found = find_weights(prior or PRIOR, task)
        return Weights(f"{found.name} ({ZERO_SHOT})", found.path, zero_shot=True)
    if prior is not None:
        raise UsageError("'--set prior' belongs to --model zero-shot.")
    if model in SHIPPED:
        return Weights(model, shipped_path(model))
    if model in CATALOGUE:
        path = stored_path(model)
        if not path.is_file():
            raise WeightsError(f"'{model}' is not here.", hint=f"Run 'irsde download {model}'.")
        return Weights(model, path)
    path = Path(model)
    if is_address(model) and not path.exists():
        repo = hub_id(model)
        hint = (
            f"A repository of the Hub is named without its address: {repo}." if repo else "Fetch it, and name the file."
        )
        raise WeightsError(f"'{model}' is an address, and weights are a name, a file or an id of the Hub.", hint=hint)
    if path.is_dir():
        if not (path / MODEL).is_file():
            kind = kind_of_path(path)
            inside = "" if kind is None else f": it is {kind.name}"
            raise WeightsError(f"the folder '{model}' has no {MODEL}{inside}.")
        return Weights(path.name, path / MODEL)
    if path.is_file():
        return Weights(path.name, path)
    named = None if path.suffix in (".safetensors", ".pth", ".pt", ".ckpt", ".mat") else hub.as_id(model)
    if named is not None:
        return _from_hub(*named)
    if path.suffix or "/" in model:
        raise WeightsError(f"no weight file '{model}'.", hint=f"Shipped names: {', '.join(SHIPPED)}.")
    error = unknown_name("model", model, (*SHIPPED, *CATALOGUE))
    raise WeightsError(error.message, hint=f"{error.hint} A .safetensors file, a folder and a Hub id work too.")


def _from_hub(repo: str, revision: str | None) -> Weights:
    try:
        fetched = hub.fetch(repo, MODEL, revision=revision)
    except WeightsError as error:
        raise WeightsError(f"no file or folder '{repo}' here, and {error.message}", hint=error.hint) from None
    return Weights(f"{repo}@{fetched.commit[:7]}", fetched.path)
