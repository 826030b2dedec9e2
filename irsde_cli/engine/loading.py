"""Weights as a run uses them: by themselves, or as the prior of zero-shot restoration."""

from dataclasses import replace

from irsde_cli.checkpoint import Checkpoint
from irsde_cli.conversions import loading
from irsde_cli.samplers.settings import Sampling
from irsde_cli.systems.zero_shot import ZeroShot, read_choices
from irsde_cli.tasks import TASKS
from irsde_cli.weights import Weights


def load(weights: Weights, task: str, sampling: Sampling, told: tuple[str, int] | None = None) -> Checkpoint:
    """The weights, ready to run on the CPU.

    Args:
        weights: as `irsde_cli.weights.find_weights` found them.
        task: what is to be undone; it says what the damage usually is.
        sampling: as it was asked for.
        told: where each image comes with its operator: a name for that, and its scale. An operator that was asked for
            counts nevertheless.

    Raises:
        WeightsError: the file is missing or damaged, or holds no network that is known.
        UsageError: the weights cannot be a prior, or what is said of the damage is impossible.
    """
    loaded = loading.load(weights.path)
    if not weights.zero_shot:
        return loaded
    usual = TASKS[task].operator if task in TASKS else None
    own = any(choice.startswith("operator") for choice in sampling.choices)
    if own:
        told = None
    elif told is not None and usual is None:
        usual = (told[0], {})
    config = read_choices(sampling.choices, usual)
    return replace(loaded, restorer=ZeroShot(config, loaded.restorer, None if told is None else told[1], own))
