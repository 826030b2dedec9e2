"""Noise: how much of what a denoiser took out was noise, and how much was the picture's own detail."""

import math
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from irsde_cli.images import in_unit
from irsde_cli.needs import SIGNS, planes
from irsde_cli.needs.planes import Share, bands, detail, luma, pooled, quantile

BLOCK = 8
EVEN = 0.05  # of the blocks: those from which least was taken hold noise alone
WINDOW, STEP = 24, 4  # blocks of a window along each side; how far apart windows begin at most
WINDOWS = 2048  # that are looked at at a time
CLIPPED = 0.015
FEWEST = 16  # blocks of which something can be told
UNSURE = 1.2 / 255  # the most that is changed in a window where it may be texture, root mean square: 45 dB of all
FREE, BOUND = 0.0, 0.15  # how far what was taken goes with the detail that is left, of noise and of texture
APART, LOOSE = -0.5, -0.25  # where all of it is noise, however uneven
SPREAD, UNEVEN = 0.62, 0.52  # what was taken from the evenest blocks, beside the mean, of noise and of texture
BARE, EMPTY = 0.3, 0.2  # detail that is left beside what was taken, where that is hardly texture, if it is plain to see
FAINT, PLAIN = 3 / 255, 6 / 255
TIED = 0.5  # `BOUND` there
OTHER, ALIKE = 0.25, 0.6  # what was taken from a block, beside the mean, where the noise is not that of the window
DARK, LEVEL = 0.05, 0.1
COLOURED = 2


def taken(degraded: Tensor, restored: Tensor) -> tuple[float, Share]:
    """The detail that a result still has beside what was taken out, and how much of that counts.

    Noise is the same in even parts and in detailed ones. So what was taken from the evenest twentieth of the blocks is
    taken for noise, and where more was taken only so much of it counts, by variance. A camera's noise is soft after its
    own processing and differs with brightness, so that this would keep too much of it; but then the picture has little
    of the finest detail, far less than what was taken out, and all of that counts. So it does where most was taken from
    where least detail is: a texture would be the other way round.

    That is asked of each of many overlapping windows, and of each block the one counts in which most is noise: noise of
    a part of the picture is known from windows that lie in that part.

    Args:
        degraded: (3, H, W) in [0, 1], or samples that `irsde_cli.images.in_unit` makes so.
        restored: (3, H, W).
    """
    side = min(BLOCK, *degraded.shape[1:])
    means = _means(degraded, restored, side)
    figure = float((means[1].mean() / means[0].mean().clamp_min(1e-12)).sqrt())
    return figure, partial(_finer, _shares(means), side, degraded.shape[2])


def _finer(shares: Tensor, side: int, width: int, rows: slice) -> Tensor:
    """(1, H, W): some rows of shares of blocks (h, w), bilinear."""
    first, last = max(min(rows.start // side, len(shares)) - 1, 0), min(-(-rows.stop // side) + 1, len(shares))
    size = ((last - first) * side, shares.shape[1] * side)
    fine = F.interpolate(shares[None, None, first:last], size=size, mode="bilinear", align_corners=False)
    fine = F.pad(fine, (0, width - size[1], 0, max(rows.stop - last * side, 0)), mode="replicate")
    return fine[0, :, rows.start - first * side : rows.stop - first * side]


def _means(degraded: Tensor, restored: Tensor, side: int) -> Tensor:
    """Means of blocks of `side` pixels (3, h, w): the variance of what was taken, the detail that is left, and luma."""
    found, height = [], degraded.shape[1]
    for rows in bands(height // side * side, max(planes.BAND // side, 1) * side):
        near = restored[:, max(rows.start - 1, 0) : rows.stop + 1]
        near = F.pad(near, (1, 1, int(rows.start == 0), int(rows.stop == height)))
        before = in_unit(degraded[:, rows])
        variance, left = torch.zeros_like(before[0]), torch.zeros_like(before[0])
        for one, other, padded in zip(before, restored[:, rows], near, strict=True):
            apart, fine = one - other, detail(padded)
            variance.addcmul_(apart, apart, value=1 / 3)
            left.addcmul_(fine, fine, value=1 / 3)
        found.append(torch.stack([pooled(plane, side) for plane in (variance, left, luma(before))]))
    return torch.cat(found, 1)


def _shares(means: Tensor) -> Tensor:
    """(h, w): the share of what was taken from blocks that counts, by means of variance, detail and luma, (3, h, w)."""
    sides = [min(WINDOW, size) for size in means.shape[1:]]
    starts = [_starts(size, side) for size, side in zip(means.shape[1:], sides, strict=True)]
    rows, columns = (start[:, None] + torch.arange(side) for start, side in zip(starts, sides, strict=True))
    found = torch.zeros_like(means[0]).flatten()
    for part in torch.split(rows, max(WINDOWS // len(columns), 1)):
        places = (part[:, None, :, None] * means.shape[2] + columns[None, :, None, :]).reshape(-1, sides[0] * sides[1])
        places = places.to(means.device)
        share = _counted(*means.flatten(1)[:, places].unbind())
        found.scatter_reduce_(0, places.flatten(), share.flatten(), "amax")
    return found.reshape(means.shape[1:])


def _counted(variance: Tensor, left: Tensor, light: Tensor) -> Tensor:
    """(N, M): the same share in windows of blocks, of which these are the means."""
    sign, mean = SIGNS["denoise"], variance.mean(1, keepdim=True).clamp_min(1e-12)
    figure = (left.mean(1, keepdim=True) / mean).sqrt()
    bound = _bound(variance, left)
    apart = ((LOOSE - bound) / (LOOSE - APART)).clamp(0, 1)
    certain = torch.maximum((figure - sign.nothing) / (sign.full - sign.nothing), apart).clamp(0, 1)
    budget = _evenest(variance, light)
    share = (budget / variance.clamp_min(1e-12)).clamp_max(1)
    alike = ((variance / mean - OTHER) / (ALIKE - OTHER)).clamp(0, 1)
    share = share + certain * alike * (1 - share)
    changed = (share.square() * variance).mean(1, keepdim=True).sqrt()
    most = (UNSURE / changed.clamp_min(1e-12)).clamp_max(1)
    empty = ((figure - BARE) / (EMPTY - BARE)).clamp(0, 1) * ((mean.sqrt() - FAINT) / (PLAIN - FAINT)).clamp(0, 1)
    tied = BOUND + (TIED - BOUND) * empty
    spread = budget / mean
    sure = torch.maximum((spread - UNEVEN) / (SPREAD - UNEVEN), (tied - bound) / (BOUND - FREE)).clamp(0, 1)
    return share * (most + sure * (1 - most))


def _starts(size: int, side: int) -> Tensor:
    """Where windows of that `side` begin so that they cover a `size`, at most `STEP` apart."""
    return torch.linspace(0, size - side, 1 + -(-(size - side) // STEP)).round().long()


def _bound(variance: Tensor, left: Tensor) -> Tensor:
    """(N, 1): how far what was taken from blocks (N, M) goes with the detail that is left, from -1 to 1."""
    if variance.shape[1] < FEWEST:
        return variance.new_zeros(len(variance), 1)
    pair = torch.stack((variance, left)).add(1e-7).log()
    pair = pair - pair.mean(2, keepdim=True)
    squares = pair.square().sum(2, keepdim=True)
    both = (pair[0] * pair[1]).sum(1, keepdim=True)
    return both / (squares[0] * squares[1]).sqrt().clamp_min(1e-12)


def _evenest(variance: Tensor, light: Tensor) -> Tensor:
    """(N, 1): of windows of blocks (N, M), the variance in the evenest that are neither black nor white."""
    shown = (light > CLIPPED) & (light < 1 - CLIPPED)
    counts = shown.sum(1, keepdim=True)
    shown |= counts < BLOCK  # where hardly any are, all count
    ordered = torch.from_numpy(np.sort(variance.masked_fill(~shown, math.inf).cpu().numpy()))  # 20 times as fast
    return ordered.to(variance).gather(1, (EVEN * (shown.sum(1, keepdim=True) - 1)).round().long())


def level(picture: Tensor) -> float:
    """The standard deviation of noise in (3, H, W), of 255 of luma, where the picture is evenest.

    A camera's own noise is soft and shows little in luma, but it has colours, which the finest detail of a scene has
    not: what counts is the most of luma's and `COLOURED` times that of R - G, at full and at half size.
    """
    if min(picture.shape[-2:]) < 3 * BLOCK:
        return 0.0
    half = pooled(picture, 2)
    looks = [(luma(picture), picture, 2 * BLOCK)]  # smaller squares where detail is denser
    looks += [(COLOURED * (image[0] - image[1]), image, side) for image, side in ((picture, BLOCK), (half, BLOCK // 2))]
    return max(_level(*one) for one in looks)


def _level(plane: Tensor, image: Tensor, side: int) -> float:
    """Of a plane (H, W) in squares of an image (3, H, W) that are neither black nor white."""
    noise = detail(plane).square_()
    blocks = pooled(torch.stack((noise, luma(image)[1:-1, 1:-1])), side)
    shown = (blocks[1] > DARK) & (blocks[1] < 1 - DARK)
    found = blocks[0][shown] if int(shown.sum()) >= BLOCK else blocks[0]
    return 255 * math.sqrt(quantile(found, LEVEL))
