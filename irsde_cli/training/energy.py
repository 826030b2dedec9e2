"""What teaches a network of two heads to draw in one evaluation: the mean, and a difference from it for each noise.

For two noises the draws are g_i = mean + difference_i, the mean held fixed there. The energy score (Gneiting and
Raftery 2007) of a patch is smallest for draws from its own law and for nothing else, so that no adversary and no
teacher is needed: half of |x - g_1| + |x - g_2| - |g_1 - g_2|, |.| the Euclidean norm. Patches of several scales make
it see both texture and shape. A result is mean + A difference, with the error (1 + A^2) D where D is that of the mean.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from irsde_cli.errors import UsageError
from irsde_cli.networks.quarter_unet import QuarterUNet
from irsde_cli.systems.two_heads import TwoHeads
from irsde_cli.training.direct_decibels import FLOOR

PATCH = 8
SCALES = 3
INSIDE_THE_ROOT = 1e-6


def two_heads(system: TwoHeads, x0: Tensor, mu: Tensor, t: Tensor, noise: Tensor) -> Tensor:
    """Regression and energy score of the two heads for two noises: the sample's own, and its neighbour's moved by half.

    The grid of patches lies elsewhere at each step, as chance in `noise` decides.

    Raises:
        UsageError: the system is another.
    """
    _check(system, "two-heads")
    first, second = (system.heads(mu, one) for one in (noise, _other(noise)))
    unit = difficulty(first[0], x0)
    return unit.flatten() * score(first, second, x0, unit, _shift(noise))


def drawing(system: TwoHeads, x0: Tensor, mu: Tensor, t: Tensor, noise: Tensor) -> Tensor:
    """The energy score of two draws, for the drawing branch alone: all else stays as it is.

    Raises:
        UsageError: the system is another, or its network has no such branch.
    """
    _check(system, "drawing")
    network, std = system.network, system.config.noise_std
    if not isinstance(network, QuarterUNet) or network.drawing is None:
        raise UsageError(
            "the objective 'drawing' is for networks with a drawing branch.",
            hint="Give the network 'quarter-unet' the option drawing = 2.",
        )
    states = [mu + std * one for one in (noise, _other(noise))]
    residual, differences = network.drawn(mu, torch.ones(len(mu), device=mu.device), states)
    mean = mu + residual.to(mu.dtype)
    unit = difficulty(mean, x0)
    first, second = ((mean + difference.to(mu.dtype)) / unit for difference in differences)
    return unit.flatten() * energy(first, second, x0 / unit, _shift(noise))


def _check(system: object, objective: str) -> None:
    """Refuse systems whose network has no two heads."""
    if not isinstance(system, TwoHeads):
        raise UsageError(f"the objective '{objective}' is for the system 'two-heads'.")


def _other(noise: Tensor) -> Tensor:
    """Another noise: that of the neighbour in the batch, moved by half."""
    return noise.roll((1, noise.shape[-2] // 2, noise.shape[-1] // 2), (0, 2, 3))


def _shift(noise: Tensor) -> Tensor:
    """How far the grid of patches is moved, by chance in the noise."""
    if noise.is_meta:  # as where a step is only counted
        return torch.zeros(2, dtype=torch.long, device="cpu")
    return (1e3 * noise.flatten()[:2].abs()).long().cpu() % PATCH


def difficulty(mean: Tensor, clean: Tensor) -> Tensor:
    """The unit of each image's loss, (B, 1, 1, 1): how far its mean is from the truth now, a constant to gradients.

    Regression is squared in this unit, so that its gradient is as long for a hard image as for an easy one. By the
    logarithm of errors, as in `direct-decibels`, what is nearly clean would decide, and by their square the worst. A
    crop has so many pixels that the unit says nothing of how this truth lies among those that were possible.
    """
    return (mean.detach() - clean).square().mean((1, 2, 3), keepdim=True).add(FLOOR).sqrt()


def score(
    first: tuple[Tensor, Tensor], second: tuple[Tensor, Tensor], clean: Tensor, unit: float | Tensor, shift: Tensor
) -> Tensor:
    """The loss of each image, (B,).

    Args:
        first: mean and difference for one noise, (B, C, H, W) each.
        second: those for another.
        clean: the truth.
        unit: of errors, for all images or (B, 1, 1, 1).
        shift: how far the grid of patches is moved down and right, (2,) integers from 0 to 7, another at each step.
    """
    regression = torch.stack([((mean - clean) / unit).square().flatten(1).mean(1) for mean, _ in (first, second)])
    draws = [(mean.detach() + difference) / unit for mean, difference in (first, second)]
    return regression.mean(0) + energy(draws[0], draws[1], clean / unit, shift)


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
