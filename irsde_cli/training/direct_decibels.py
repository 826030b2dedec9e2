"""PSNR itself, for systems of one pass: a sample weighs as many decibels as it gains.

A mean of absolute differences is decided by the worst samples, and a network may blur good photographs for nothing.
Chen et al., "Simple Baselines for Image Restoration" (ECCV 2022), train with PSNR too.
"""

import torch
from torch import Tensor

from irsde_cli.systems.one_pass import OnePass
from irsde_cli.training.direct_regression import told_levels

FLOOR = 1e-6  # of the mean squared error, 60 dB: below, nothing is left to gain


def direct_decibels(system: OnePass, x0: Tensor, mu: Tensor, t: Tensor, noise: Tensor) -> Tensor:
    """Half the logarithm of the mean squared error of each image."""
    return decibels(system.predict(mu, levels=told_levels(system, x0, mu, noise)), x0)


def decibels(restored: Tensor, x0: Tensor) -> Tensor:
    """Half the logarithm of the mean squared error of each image (B, C, H, W), (B,)."""
    return torch.log((restored - x0).square().flatten(1).mean(1) + FLOOR) / 2
