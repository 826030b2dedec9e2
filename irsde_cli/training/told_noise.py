"""White noise of a told level, from next to nothing to the strongest: a system of one pass becomes a prior.

Its minimum is E[x0 | x0 + sigma n] for every sigma, which is all that zero-shot restoration asks of a network.
"""

import torch
from torch import Tensor

from irsde_cli.errors import UsageError
from irsde_cli.systems.one_pass import OnePass
from irsde_cli.training.direct_decibels import decibels

LEAST = 1 / 255
EVEN = 3  # levels are drawn uniformly in their cubic root, so that half of them are below a fifth


def told_noise(system: OnePass, x0: Tensor, mu: Tensor, t: Tensor, noise: Tensor) -> Tensor:
    """Half the logarithm of the mean squared error of each image; the degraded images have no say."""
    most = system.config.noise_level_max / 255
    if not most:
        raise UsageError(
            "the objective 'told-noise' teaches what can be told of noise, and these settings cannot.",
            hint="--set model.noise_level_max=255",
        )
    place = torch.special.ndtr(noise.flatten(1)[:, 0])
    sigma = torch.lerp(torch.full_like(place, LEAST ** (1 / EVEN)), torch.full_like(place, most ** (1 / EVEN)), place)
    sigma = sigma**EVEN
    restored = system.predict(x0 + sigma[:, None, None, None] * noise, levels=255 * sigma)
    return decibels(restored, x0)
