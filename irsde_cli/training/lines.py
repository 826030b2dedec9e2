"""Lines over a part of a clean picture: corrugated roofs, blinds, fences, wires, which are no rain and must stay."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from irsde_cli.degradations.degradation import uniform

PERIODS = (2.5, 20.0)  # pixels
THINNEST = 12.0  # power of a cosine: lines as thin as a seventh of the period
STRENGTHS = (0.05, 0.4)


def with_lines(clean: Tensor, generator: torch.Generator) -> Tensor:
    """`clean` (1, 3, H, W) in [0, 1] with parallel lines, lighter or darker, over a part with soft borders."""
    height, width = clean.shape[-2:]
    angle, period, thin, strength, dark, phase = uniform(0, 1, 6, generator).tolist()
    period = PERIODS[0] * math.pow(PERIODS[1] / PERIODS[0], period)
    direction = math.pi * angle
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    along = (columns * math.cos(direction) + rows * math.sin(direction)).to(clean)
    wave = (0.5 + 0.5 * torch.cos(2 * math.pi * (along / period + phase))) ** math.pow(THINNEST, thin)
    coarse = torch.randn(1, 1, 3, 3, generator=generator, device=generator.device).to(clean)
    place = torch.sigmoid(12 * F.interpolate(coarse, (height, width), mode="bicubic", align_corners=True))
    most = STRENGTHS[0] + (STRENGTHS[1] - STRENGTHS[0]) * strength
    lined: Tensor = clean + (most if dark < 0.5 else -most) * (wave * place)
    return lined.clamp(0, 1)
