"""White noise of a told level, from next to nothing to the strongest: a system of one pass becomes a prior.

Its minimum is close to E[x0 | x0 + sigma n] for every sigma, which is all that zero-shot restoration asks of a network.
"""

import torch
from torch import Tensor

from irsde_cli.errors import UsageError
from irsde_cli.systems.one_pass import OnePass

LEAST = 1 / 255
EVEN = 6  # levels are drawn uniformly in their sixth root, so that half of them are below an eighth
ERROR, POWER = 1.2, 0.6  # what is left of noise of sigma, both of 255: about ERROR * sigma ** POWER


def told_noise(system: OnePass, x0: Tensor, mu: Tensor, t: Tensor, noise: Tensor) -> Tensor:
    """A pseudo-Huber loss in units of the error that is usual at each level; the degraded images have no say.

    Below the usual error it is the square, so that smooth images, which are restored well, decide little.
    """
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
    usual = ERROR * (255 * sigma) ** POWER / 255
    relative = (restored - x0).flatten(1) / usual[:, None]
    return ((1 + relative.square()).sqrt() - 1).mean(1)
