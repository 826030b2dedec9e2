"""Ancestral sampling: each state from the posterior given the current clean estimate, published with IR-SDE."""

from collections.abc import Iterator

from torch import Tensor

from irsde_cli.processes.path import Path
from irsde_cli.randomness import RandnLike
from irsde_cli.samplers.multistep import sde_1
from irsde_cli.samplers.sampler import CleanPredictor


def posterior(
    predict_clean: CleanPredictor, x: Tensor, path: Path, times: Tensor, randn_like: RandnLike
) -> Iterator[Tensor]:
    """The posterior of x_s given x_t and x_0 is exact for any s < t, so indices may be skipped.

    It is the first-order data-prediction SDE solver, and is computed as that.
    """
    return sde_1(predict_clean, x, path, times, randn_like)
