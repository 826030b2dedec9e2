"""Pixels that are known, and others of which nothing is."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from irsde_cli.errors import UsageError
from irsde_cli.operators.operator import Operator, Recipe, Spectrum


class Mask(Operator):
    """The known pixels, with zero in the holes: a projection, so its own adjoint and inverse.

    Args:
        known: (B, 1, H, W) or one that broadcasts, true where the image is known.
    """

    alike = False

    def __init__(self, known: Tensor) -> None:
        self.known = known

    def seen(self, image: Tensor) -> Tensor:
        """See `Operator.seen`."""
        return self.forward(image)

    def forward(self, x: Tensor) -> Tensor:
        """See `Operator.forward`; what x holds in the holes may be anything."""
        return torch.where(self.known.to(x.device), x, torch.zeros((), dtype=x.dtype, device=x.device))

    def adjoint(self, y: Tensor) -> Tensor:
        """See `Operator.adjoint`."""
        return self.forward(y)

    def guess(self, y: Tensor, noise_std: float) -> Tensor:
        """See `Operator.guess`: holes get a smooth mean of what is known around them."""
        return filled(y, self.known.to(y.device))

    @property
    def spectrum(self) -> Spectrum:
        """See `Operator.spectrum`; the coefficients are the pixels."""
        return Spectrum(self.known.float(), self.forward, self.forward, self.forward)


@dataclass(frozen=True)
class MaskRecipe(Recipe):
    """The holes that a mask says, or pixels that are missing by chance.

    Attributes:
        share: of the pixels that are missing by chance; 0 where a mask says which.
        seed: of that chance.
    """

    share: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.share < 1:
            raise ValueError(f"the share of missing pixels lies in [0, 1), and is not {self.share:g}")

    def sparse(self, scale: int) -> bool:
        """See `Recipe.sparse`."""
        return True

    def build(self, size: tuple[int, int], known: Tensor | None = None) -> Operator:
        """See `Recipe.build`."""
        if known is None and not self.share:
            raise UsageError("which pixels are known?", hint="--mask names a file or a folder: white is known.")
        if not self.share:
            assert known is not None, "a mask was given"
            return Mask(known)
        chosen = random_mask(1, size, self.share, torch.Generator().manual_seed(self.seed))
        return Mask(chosen if known is None else known & chosen.to(known.device))


def random_mask(count: int, size: tuple[int, int], share: float, generator: torch.Generator) -> Tensor:
    """(`count`, 1, H, W) of booleans; each pixel is missing with the probability `share`."""
    return torch.rand(count, 1, *size, generator=generator, device=generator.device) >= share


def filled(y: Tensor, known: Tensor) -> Tensor:
    """Images (B, C, H, W) whose holes are filled from images of half the size, whose holes are filled alike.

    Args:
        y: the images.
        known: (B, 1, H, W) or one that broadcasts, of booleans.
    """
    weight = known.to(y).expand(len(y), 1, *y.shape[-2:])
    image = torch.where(known, y, torch.zeros((), dtype=y.dtype, device=y.device))
    if bool(known.all()) or not bool(known.any()) or max(y.shape[-2:]) < 2:
        mean = image.sum((2, 3), keepdim=True) / weight.sum((2, 3), keepdim=True).clamp_min(1)
        return torch.where(known, image, mean)
    total = F.avg_pool2d(weight, 2, ceil_mode=True)
    smaller = F.avg_pool2d(image, 2, ceil_mode=True) / total.clamp_min(1e-6)
    coarse = filled(smaller, total > 0)
    finer = F.interpolate(coarse, size=y.shape[-2:], mode="bilinear", align_corners=False)
    return torch.where(known, image, finer)
