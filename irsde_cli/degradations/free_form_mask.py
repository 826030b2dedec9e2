"""Holes like the strokes of a brush, painted white."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from irsde_cli.degradations.degradation import Degradation, as_file, check_range, uniform
from irsde_cli.observation import Observation
from irsde_cli.operators.mask import Mask
from irsde_cli.operators.operator import Operator


@dataclass(frozen=True)
class FreeFormMask(Degradation):
    """Strokes of random course and width until a share of the image is covered.

    Attributes:
        hole_min: smallest share that is covered.
        hole_max: largest.
        width_min: thinnest brush, in pixels.
        width_max: thickest.
    """

    hole_min: float = 0.2
    hole_max: float = 0.4
    width_min: float = 3.0
    width_max: float = 10.0

    def __post_init__(self) -> None:
        check_range("holes", self.hole_min, self.hole_max, most=0.95)
        check_range("widths", self.width_min, self.width_max, least=1)

    def apply(self, clean: Tensor, generator: torch.Generator) -> Tensor:
        """New holes for each image, white as in the reference."""
        return self.observe(clean, generator).image

    def observe(self, clean: Tensor, generator: torch.Generator) -> Observation:
        """See `Degradation.observe`; the image is white in its holes."""
        known = self.masks(len(clean), clean.shape[-2], clean.shape[-1], generator).to(clean.device)
        return Observation(Observation(as_file(clean), known).painted(), known, Mask(known))

    def operator(self, clean: Tensor, generator: torch.Generator) -> Operator:
        """See `Degradation.operator`: the known pixels, with zero in the holes."""
        return Mask(self.masks(len(clean), clean.shape[-2], clean.shape[-1], generator).to(clean.device))

    def masks(self, count: int, height: int, width: int, generator: torch.Generator) -> Tensor:
        """(`count`, 1, `height`, `width`), true where the image is known."""
        shares = uniform(self.hole_min, self.hole_max, count, generator).tolist()
        return torch.stack([self._mask(height, width, share, generator) for share in shares])

    def _mask(self, height: int, width: int, share: float, generator: torch.Generator) -> Tensor:
        canvas = Image.new("L", (width, height))
        draw = ImageDraw.Draw(canvas)
        painted = np.asarray(canvas)
        while painted.mean() < share * 255:
            self._stroke(draw, height, width, generator)
            painted = np.asarray(canvas)
        return torch.from_numpy(painted == 0)[None]

    def _stroke(self, draw: ImageDraw.ImageDraw, height: int, width: int, generator: torch.Generator) -> None:
        top, left, start, pace, thick = torch.rand(5, generator=generator, device=generator.device).tolist()
        turns = torch.randn(10, generator=generator, device=generator.device).mul(0.6).cumsum(0).tolist()
        brush = self.width_min + (self.width_max - self.width_min) * thick
        y, x, step = top * height, left * width, 8 + 24 * pace
        course = [(x, y)]
        for turn in turns:
            x, y = x + step * math.cos(2 * math.pi * start + turn), y + step * math.sin(2 * math.pi * start + turn)
            course.append((x, y))
        draw.line(course, fill=255, width=round(brush), joint="curve")
        for x, y in (course[0], course[-1]):
            draw.ellipse((x - brush / 2, y - brush / 2, x + brush / 2, y + brush / 2), fill=255)
