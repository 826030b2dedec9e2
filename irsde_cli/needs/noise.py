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
FEWEST = 16  # blocks of which something can be told
UNSURE = 1.35 / 255  # the most that is changed, root mean square, where it may be texture: 45 dB and a little
FREE, BOUND = 0.0, 0.15  # how far what was taken goes with the detail that is left, of noise and of texture
SPREAD, UNEVEN = 0.62, 0.52  # what was taken from the evenest blocks, beside the mean, of noise and of texture
DARK, LEVEL = 0.05, 0.1
COLOURED = 2
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
    detail = F.conv2d(restored[:, None], restored.new_tensor(MASK)[None, None] / 6, padding=1).square().mean((0, 1))
    figure = float((detail.mean() / variance.mean().clamp_min(1e-12)).sqrt())
    certain = SIGNS["denoise"].weight(figure)
    budget = _evenest(degraded, variance)
    share = around((budget / around(variance, NEAR).clamp_min(1e-12)).clamp_max(1), SMOOTH)
    share = share + certain * (1 - share)
    changed = float((share.square() * variance).mean().sqrt())
    most = min(1.0, UNSURE / max(changed, 1e-12))
    return figure, (share * (most + _sure(variance, detail, budget) * (1 - most)))[None]


def _sure(variance: Tensor, detail: Tensor, budget: float) -> float:
    """From 0, what was taken may be texture, to 1, it is noise: alike everywhere, or whatever detail there is."""
    side = min(BLOCK, *variance.shape)
    taken_out, left = (F.avg_pool2d(plane[None, None], side).flatten() for plane in (variance, detail))
    if len(left) < FEWEST:
        return 1.0
    spread = budget / max(float(taken_out.mean()), 1e-12)
    pair = torch.stack((taken_out, left)).add(1e-7).log()
    pair = pair - pair.mean(1, keepdim=True)
    bound = float((pair[0] * pair[1]).sum() / (pair[0].norm() * pair[1].norm()).clamp_min(1e-12))
    sure = max((spread - UNEVEN) / (SPREAD - UNEVEN), (BOUND - bound) / (BOUND - FREE))
    return min(max(sure, 0.0), 1.0)


def _evenest(degraded: Tensor, variance: Tensor) -> float:
    """The variance in the evenest blocks that are neither black nor white."""
    side = min(BLOCK, *variance.shape)
    blocks = F.avg_pool2d(torch.stack((variance, luma(degraded)))[None], side)[0]
    shown = (blocks[1] > CLIPPED) & (blocks[1] < 1 - CLIPPED)
    return quantile(blocks[0][shown] if int(shown.sum()) >= BLOCK else blocks[0], EVEN)


def level(picture: Tensor) -> float:
    """The standard deviation of noise in (3, H, W), of 255 of luma, where the picture is evenest.

    A camera's own noise is soft and shows little in luma, but it has colours, which the finest detail of a scene has
    not: what counts is the most of luma's and `COLOURED` times that of R - G, at full and at half size.
    """
    if min(picture.shape[-2:]) < 3 * BLOCK:
        return 0.0
    half = F.avg_pool2d(picture[None], 2)[0]
    planes = [(luma(picture), picture, 2 * BLOCK)]  # smaller squares where detail is denser
    planes += [
        (COLOURED * (image[0] - image[1]), image, side) for image, side in ((picture, BLOCK), (half, BLOCK // 2))
    ]
    return max(_level(*one) for one in planes)


def _level(plane: Tensor, image: Tensor, side: int) -> float:
    """Of a plane (H, W) in squares of an image (3, H, W) that are neither black nor white."""
    noise = F.conv2d(plane[None, None], plane.new_tensor(MASK)[None, None] / 6).square()
    blocks = F.avg_pool2d(torch.cat((noise, luma(image)[None, None, 1:-1, 1:-1])), side)[:, 0]
    shown = (blocks[1] > DARK) & (blocks[1] < 1 - DARK)
    found = blocks[0][shown] if int(shown.sum()) >= BLOCK else blocks[0]
    return 255 * math.sqrt(quantile(found, LEVEL))
