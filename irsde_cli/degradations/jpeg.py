"""JPEG compression by a real encoder."""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from irsde_cli.degradations.degradation import Degradation, as_file, check_range, uniform


@dataclass(frozen=True)
class Jpeg(Degradation):
    """One coding of a quality drawn for each image.

    Attributes:
        quality_min: lowest quality, as libjpeg counts it.
        quality_max: highest.
        full_colour_share: share of the images whose colours are coded at full resolution, not at half (4:2:0).
    """

    quality_min: int = 10
    quality_max: int = 60
    full_colour_share: float = 0.2

    def __post_init__(self) -> None:
        check_range("quality", self.quality_min, self.quality_max, least=1, most=100)
        check_range("share", 0, self.full_colour_share, most=1)

    @property
    def margin(self) -> int:
        """A block of 4:2:0, so that crops keep the grid of whole files."""
        return 16

    def apply(self, clean: Tensor, generator: torch.Generator) -> Tensor:
        """Encode and decode each image."""
        qualities = uniform(self.quality_min, self.quality_max + 1, len(clean), generator).int().tolist()
        full = (uniform(0, 1, len(clean), generator) < self.full_colour_share).tolist()
        return recode(clean, qualities, full)


def recode(images: Tensor, qualities: Sequence[int], full_colour: Sequence[bool]) -> Tensor:
    """Each of the images (B, 3, H, W) in [0, 1] as a JPEG file of its quality holds it.

    Args:
        images: to be coded.
        qualities: one for each, as libjpeg counts it.
        full_colour: whether its colours are coded at full resolution, not at half (4:2:0).
    """
    pixels = as_file(images).mul(255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
    coded = [_recode(image, quality, full) for image, quality, full in zip(pixels, qualities, full_colour, strict=True)]
    return torch.from_numpy(np.stack(coded)).permute(0, 3, 1, 2).to(images) / 255


def _recode(pixels: np.ndarray, quality: int, full_colour: bool) -> np.ndarray:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=quality, subsampling=0 if full_colour else 2)
    with Image.open(stream) as image:
        return np.asarray(image)
