"""The samplers published with IR-SDE: first-order in t. They have a step bias; see docs/samplers.md."""

from collections.abc import Iterator

from torch import Tensor

from irsde_cli.diffusion.path import Path
from irsde_cli.randomness import RandnLike
from irsde_cli.samplers.sampler import CleanPredictor, transitions


def euler_maruyama(
    predict_clean: CleanPredictor, x: Tensor, path: Path, times: Tensor, randn_like: RandnLike
) -> Iterator[Tensor]:
    """The reverse SDE. Adds noise in its last step too, as published: a perfect network leaves lambda / 50 or so."""
    for t, s in transitions(times):
        noise = path.noise(x, predict_clean(x, t), t)
        injected = float(path.injected[t] - path.injected[s])
        x = _step(x, noise, path, t, s, injected) - injected**0.5 * randn_like(x)
        yield x


def euler_ode(
    predict_clean: CleanPredictor, x: Tensor, path: Path, times: Tensor, randn_like: RandnLike
) -> Iterator[Tensor]:
    """The probability-flow ODE."""
    for t, s in transitions(times):
        x = _step(x, path.noise(x, predict_clean(x, t), t), path, t, s, injected=0.0)
        yield x


def _step(x: Tensor, noise: Tensor, path: Path, t: int, s: int, injected: float) -> Tensor:
    """The mean of an Euler step of the reverse process that injects noise of variance `injected`."""
    pull = float(path.pull[t] - path.pull[s])
    diffusion = float(path.diffusion[t] - path.diffusion[s])
    score = -noise / float(path.s[t])
    return x + pull * (x - path.centre) + 0.5 * (diffusion + injected) * score
