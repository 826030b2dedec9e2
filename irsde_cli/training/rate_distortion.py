"""How far the picture of a file is from the clean one, and how long the file is; for `irsde_cli.systems.codec`.

"All-in-One Image Compression and Restoration", WACV 2025: lambda times the squared error, plus bits a pixel.
"""

import torch
from torch import Tensor

from irsde_cli.networks.codec import QUALITIES
from irsde_cli.systems.codec import Codec

LEAST, MOST = 128.0, 2048.0  # lambda of the smallest files and of the best ones


def rate_distortion(system: Codec, x0: Tensor, mu: Tensor, t: Tensor, noise: Tensor) -> Tensor:
    """Lambda * squared error, added up over channels, + bits a pixel; each sample at a quality that chance chooses."""
    uniform = torch.special.ndtr(noise.flatten(1).float())
    quality = (uniform[:, 0] * QUALITIES).floor().clamp_max(QUALITIES - 1)
    restored, bits = system.network.taught(mu, quality, uniform[:, 1:] - 0.5)
    error = (restored.float() - x0).square().sum(1).mean((1, 2))
    weight = LEAST * (MOST / LEAST) ** (quality / (QUALITIES - 1))
    losses: Tensor = weight * error + bits / (x0.shape[-2] * x0.shape[-1])
    return losses
