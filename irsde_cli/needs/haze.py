"""Haze: what veils even the darkest parts of a picture, and takes its colours."""

from torch import Tensor
from torch.nn import functional as F

from irsde_cli.needs.planes import quantile

PATCH = 15  # pixels, as He, Sun and Tang (2009) have it
DARKEST, DARK = 0.05, 0.25
COLOURLESS = 0.6  # so that both figures of a hazy picture are about equal
BLACK = 1e-3


def veil(picture: Tensor) -> float:
    """How bright, in [0, 1], the darkest twentieth of (3, H, W) still is; less where the darkest quarter has colours.

    Dark means the dark channel, the least value of any channel in a square around each pixel (He, Sun and Tang 2009):
    near 0 without haze. White walls and snow are as bright, but colours say that the air is clear.
    """
    least, most = picture.amin(0), picture.amax(0)
    channel = -F.max_pool2d(-least[None, None], PATCH, stride=4, padding=PATCH // 2)
    colour = float(((most - least) / most.clamp_min(BLACK)).mean())
    return min(quantile(channel, DARKEST), COLOURLESS * quantile(channel, DARK) * (1 - colour))
