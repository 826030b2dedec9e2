"""The restored image against the clean one: the CNN baseline of Luo et al., ICML 2023, for systems of one pass."""

import torch
from torch import Tensor

from irsde_cli.systems.one_pass import UNTOLD, OnePass


def direct_regression(system: OnePass, x0: Tensor, mu: Tensor, t: Tensor, noise: Tensor) -> Tensor:
    """Mean absolute difference.

    A network that can be told of noise is told in half of the samples, as chance in `noise` decides, and else learns to
    see for itself how much there is.
    """
    levels = None
    if most := system.config.noise_level_max:
        found = 255 * (mu - x0).square().flatten(1).mean(1).sqrt()
        told = noise.flatten(1)[:, 0] > 0
        levels = torch.where(told, found.clamp_max(most), UNTOLD)
    return (system.predict(mu, levels=levels) - x0).abs().flatten(1).mean(1)
