"""The samplers of FoD, from the degraded image (`times[0]` = T) towards the clean one, multiplying what is missing.

Their last step leaves a factor of about a thousandth of the difference, as published.
"""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from irsde_cli.processes.fod import ForwardPath
from irsde_cli.randomness import RandnLike
from irsde_cli.samplers.sampler import CleanPredictor, PairPredictor, in_bands, transitions


def mc(
    predict_clean: CleanPredictor, x: Tensor, path: ForwardPath, times: Tensor, randn_like: RandnLike
) -> Iterator[Tensor]:
    """The Markov chain: exact between any two indices if the clean estimate is the truth."""
    for t, s in transitions(times):
        clean = predict_clean(x, t)
        mean = float(path.log_mean[s] - path.log_mean[t])
        std = float(path.log_variance[s] - path.log_variance[t]) ** 0.5
        x = in_bands(_drawn, x, clean, x, randn_like(x), mean, std, into=clean)
        del clean
        yield x


def nmc(
    predict_clean: CleanPredictor, x: Tensor, path: ForwardPath, times: Tensor, randn_like: RandnLike
) -> Iterator[Tensor]:
    """The non-Markov chain of the paper, always from the degraded image; its released code cannot run, this repairs it.

    The release also starts from the state where the paper starts from the degraded image.
    """
    for t, s in transitions(times):
        clean = predict_clean(x, t)
        mean, std = float(path.log_mean[s]), float(path.log_variance[s]) ** 0.5
        x = in_bands(_drawn, x, clean, path.centre, randn_like(x), mean, std, into=clean)
        del clean
        yield x


def with_variance(
    predict_pair: PairPredictor, x: Tensor, path: ForwardPath, times: Tensor, randn_like: RandnLike
) -> Iterator[Tensor]:
    """The Markov chain with the variance of the clean estimate, so that its states are spread as FoD's own are.

    A process with the marginals of one whose noise is in proportion to x - c, for a hidden c, has noise of variance
    sigma^2 E[(x - c)^2 | x] = sigma^2 ((x - D)^2 + V), D the estimate of c and V its variance (Gyongy 1986). The first
    term multiplies and the second adds: for D and V that stay as they are, mean and variance are exact between any two
    indices.
    """
    for t, s in transitions(times):
        clean, variance = predict_pair(x, t)
        mean = float(path.log_mean[s] - path.log_mean[t])
        spread = float(path.log_variance[s] - path.log_variance[t])
        grown = 2 * mean + 2 * spread  # of the second moment of x - D
        added = spread * (math.expm1(grown) / grown if grown else 1.0)
        x = in_bands(_drawn, x, clean, x, randn_like(x), mean, spread**0.5, into=clean)
        if s > 0:
            x = in_bands(_spread, x, variance, randn_like(x), added, into=variance)
        del clean, variance
        yield x


def _spread(x: Tensor, variance: Tensor, noise: Tensor, added: float) -> Tensor:
    return x + (added * variance).sqrt() * noise


def euler_forward(
    predict_clean: CleanPredictor, x: Tensor, path: ForwardPath, times: Tensor, randn_like: RandnLike
) -> Iterator[Tensor]:
    """Euler-Maruyama. Every step has the rates of a single index, so that only all T steps go the whole way."""
    for t, s in transitions(times):
        clean = predict_clean(x, t)
        rate, spread = float(path.rate[s + 1]), float(path.spread[s + 1]) ** 0.5
        x = in_bands(_stepped, x, clean, randn_like(x), rate, spread, into=clean)
        del clean
        yield x


def _drawn(x: Tensor, clean: Tensor, missing: Tensor, noise: Tensor, mean: float, std: float) -> Tensor:
    """The clean estimate and what is left of its difference to `missing`."""
    return clean + (missing - clean) * torch.exp(mean + std * noise)


def _stepped(x: Tensor, clean: Tensor, noise: Tensor, rate: float, spread: float) -> Tensor:
    return x + rate * (clean - x) + spread * (x - clean) * noise
