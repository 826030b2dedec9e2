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
        told: where each image comes with its operator: a name for that, and its scale.

    Raises:
        WeightsError: the file is missing or damaged, or holds no network that is known.
        UsageError: the weights cannot be a prior, or what is said of the damage is impossible.
    """
    loaded = loading.load(weights.path)
    if not weights.zero_shot:
        return loaded
    usual = TASKS[task].operator if task in TASKS else None
    if told is not None:
        usual = (told[0], {}) if usual is None else usual
    config = read_choices(sampling.choices, usual)
    return replace(loaded, restorer=ZeroShot(config, loaded.restorer, None if told is None else told[1]))
