"""Noise: how much of what a denoiser took out was noise, and how much was the picture's own detail."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from irsde_cli.needs import SIGNS
from irsde_cli.needs.planes import around, luma, quantile

BLOCK = 8
EVEN = 0.05  # of the blocks: those from which least was taken hold noise alone
NEAR, SMOOTH = 11, 5
CLIPPED = 0.015
DARK, LEVEL = 0.05, 0.1
# The mask of Immerkaer (1996), of unit gain for white noise.
MASK = ((1.0, -2.0, 1.0), (-2.0, 4.0, -2.0), (1.0, -2.0, 1.0))


def taken(degraded: Tensor, restored: Tensor) -> tuple[float, Tensor]:
    """The detail that a result still has beside what was taken out, and how much of that counts, (1, H, W).

    Noise is the same in even parts and in detailed ones. So what was taken from the evenest twentieth of the blocks is
    taken for noise, and where more was taken only so much of it counts, by variance. A camera's noise is soft after its
    own processing and differs with brightness, so that this would keep too much of it; but then the picture has little
    of the finest detail, far less than what was taken out, and all of that counts.
    """
    variance = (degraded - restored).square().mean(0)
    detail = F.conv2d(restored[:, None], restored.new_tensor(MASK)[None, None] / 6, padding=1).square().mean()
    figure = float((detail / variance.mean().clamp_min(1e-12)).sqrt())
    certain = SIGNS["denoise"].weight(figure)
    budget = _evenest(degraded, variance)
    share = around((budget / around(variance, NEAR).clamp_min(1e-12)).clamp_max(1), SMOOTH)
    return figure, (share + certain * (1 - share))[None]


def _evenest(degraded: Tensor, variance: Tensor) -> float:
    """The variance in the evenest blocks that are neither black nor white."""
    side = min(BLOCK, *variance.shape)
    blocks = F.avg_pool2d(torch.stack((variance, luma(degraded)))[None], side)[0]
    shown = (blocks[1] > CLIPPED) & (blocks[1] < 1 - CLIPPED)
    return quantile(blocks[0][shown] if int(shown.sum()) >= BLOCK else blocks[0], EVEN)


def level(picture: Tensor) -> float:
    """The standard deviation of luma's noise in (3, H, W), of 255, where the picture is evenest."""
    plane = luma(picture)
    if min(plane.shape) < 3 * BLOCK:
        return 0.0
    noise = F.conv2d(plane[None, None], plane.new_tensor(MASK)[None, None] / 6).square()
    blocks = F.avg_pool2d(torch.cat((noise, plane[None, None, 1:-1, 1:-1])), 2 * BLOCK)[:, 0]
    shown = (blocks[1] > DARK) & (blocks[1] < 1 - DARK)
    found = blocks[0][shown] if int(shown.sum()) >= BLOCK else blocks[0]
    return 255 * math.sqrt(quantile(found, LEVEL))
