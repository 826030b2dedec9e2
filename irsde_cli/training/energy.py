"""What teaches a network of two heads to draw in one evaluation: the mean, and a difference from it for each noise.

For two noises the draws are g_i = mean + difference_i, the mean held fixed there. The energy score (Gneiting and
Raftery 2007) of a patch is smallest for draws from its own law and for nothing else, so that no adversary and no
teacher is needed: half of |x - g_1| + |x - g_2| - |g_1 - g_2|, |.| the Euclidean norm. Patches of several scales make
it see both texture and shape. A result is mean + A difference, with the error (1 + A^2) D where D is that of the mean.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

PATCH = 8
SCALES = 3
INSIDE_THE_ROOT = 1e-6


def two_heads(mean: Tensor, differences: tuple[Tensor, Tensor], clean: Tensor, unit: float, shift: Tensor) -> Tensor:
    """The loss of each image, (B,).

    Args:
        mean: the first head, (B, C, H, W).
        differences: the second head for two noises.
        clean: the truth.
        unit: typical standard deviation of clean minus degraded.
        shift: how far the grid of patches is moved down and right, (2,) integers from 0 to 7, another at each step.
    """
    regression = ((mean - clean) / unit).square().flatten(1).mean(1)
    held = mean.detach()
    draws = tuple((held + difference) / unit for difference in differences)
    return regression + energy(draws[0], draws[1], clean / unit, shift)


def energy(first: Tensor, second: Tensor, truth: Tensor, shift: Tensor) -> Tensor:
    """The energy score of two draws, (B, C, H, W) each, averaged over patches and summed over scales, (B,)."""
    score = truth.new_zeros(len(truth))
    errors = torch.stack((truth - first, truth - second, first - second))
    for scale in range(SCALES):
        if scale:
            smaller = F.avg_pool2d(errors.flatten(0, 1), 2, ceil_mode=True)
            errors = smaller.reshape(3, -1, *smaller.shape[1:])
        to_first, to_second, apart = _lengths(errors, shift)
        score = score + (to_first + to_second - apart) / 2
        if min(errors.shape[-2:]) < 2:
            break
    return score


def _lengths(errors: Tensor, shift: Tensor) -> Tensor:
    """The mean length of patches (3, B, C, H, W), by the root of how many numbers a patch has, (3, B)."""
    height, width = errors.shape[-2:]
    tall, wide = min(PATCH, height), min(PATCH, width)
    top = int(shift[0]) % tall if height > tall else 0
    left = int(shift[1]) % wide if width > wide else 0
    rows, columns = (height - top) // tall, (width - left) // wide
    if rows == 0 or columns == 0:
        top, left, rows, columns = 0, 0, height // tall, width // wide
    grid = errors[..., top : top + rows * tall, left : left + columns * wide]
    squares = grid.square().reshape(*errors.shape[:3], rows, tall, columns, wide).mean((2, 4, 6))
    return (squares + INSIDE_THE_ROOT).sqrt().mean((2, 3))
