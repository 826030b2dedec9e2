"""The restored image against the clean one: the CNN baseline of Luo et al., ICML 2023, for systems of one pass."""

import torch
from torch import Tensor

from irsde_cli.systems.one_pass import UNTOLD, OnePass


def direct_regression(system: OnePass, x0: Tensor, mu: Tensor, t: Tensor, noise: Tensor) -> Tensor:
    """Mean absolute difference."""
    restored = system.predict(mu, levels=told_levels(system, x0, mu, noise))
    return (restored - x0).abs().flatten(1).mean(1)


def told_levels(system: OnePass, x0: Tensor, mu: Tensor, noise: Tensor) -> Tensor | None:
    """What the network is told of the noise in each image, (B,), where it can be told; see `OnePass.predict`.

    In half of the samples, as chance in `noise` decides, the root mean square of the difference; in the others it
    learns to see for itself.
    """
    most = system.config.noise_level_max
    if not most:
        return None
    found = 255 * (mu - x0).square().flatten(1).mean(1).sqrt()
    told = noise.flatten(1)[:, 0] > 0
    return torch.where(told, found.clamp_max(most), UNTOLD)
