"""Haze: the farther a point, the more of the air's own light lies over it.

The atmospheric scattering model I = J t + A (1 - t), t = exp(-beta d), with the ranges of RESIDE's indoor set (Li et
al., "Benchmarking Single-Image Dehazing and Beyond", IEEE TIP 2019). Photographs come without depth, so it is made up:
a tilted ground, smooth hills, and the photograph's own regions, whose borders are where real depth jumps.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from irsde_cli.degradations.degradation import Degradation, as_file, check_range, per_image, uniform


@dataclass(frozen=True)
class Haze(Degradation):
    """Haze over a made-up scene.

    Attributes:
        beta_min: thinnest haze: the optical depth at the farthest point.
        beta_max: thickest.
        near_max: largest share of that depth that the nearest point has.
        light_min: darkest air, of 1.
        light_max: brightest.
        cast_max: largest difference of a channel of the air from its grey.
    """

    beta_min: float = 0.2
    beta_max: float = 1.7
    near_max: float = 0.6
    light_min: float = 0.7
    light_max: float = 1.0
    cast_max: float = 0.03

    def __post_init__(self) -> None:
        check_range("beta", self.beta_min, self.beta_max)
        check_range("light", self.light_min, self.light_max, most=1)
        check_range("nearness", 0, self.near_max, most=1)
        check_range("cast", 0, self.cast_max, most=1)

    def apply(self, clean: Tensor, generator: torch.Generator) -> Tensor:
        """A new scene and a new air for each image, in an 8-bit file."""
        count = len(clean)
        beta = uniform(self.beta_min, self.beta_max, count, generator)
        light = per_image(uniform(self.light_min, self.light_max, count, generator), clean)
        cast = uniform(-self.cast_max, self.cast_max, 3 * count, generator).reshape(count, 3, 1, 1).to(clean)
        near = per_image(uniform(0, self.near_max, count, generator), clean)
        depth = near + (1 - near) * made_up_depth(clean, generator)
        transmission = torch.exp(-per_image(beta, clean) * depth)
        return as_file(clean * transmission + (light + cast) * (1 - transmission))


def made_up_depth(clean: Tensor, generator: torch.Generator) -> Tensor:
    """Depth (B, 1, H, W) from 0 to 1 for images (B, 3, H, W)."""
    count, _, height, width = clean.shape
    device = generator.device
    rows = torch.linspace(1, -1, height, device=device)[:, None]
    columns = torch.linspace(-1, 1, width, device=device)
    slope = torch.randn(count, 1, 1, 1, generator=generator, device=device) * 0.4
    rise = uniform(0, 1, count, generator)[:, None, None, None]
    ground = slope * columns - rise * rows
    hills = torch.zeros(count, 1, height, width, device=device)
    for cells in (2, 4, 8):
        coarse = torch.randn(count, 1, cells, cells, generator=generator, device=device)
        hills += F.interpolate(coarse, size=(height, width), mode="bicubic", align_corners=True) / cells
    mixing = torch.randn(count, 3, generator=generator, device=device).to(clean)
    regions = torch.einsum("bchw,bc->bhw", clean, mixing)[:, None]
    regions = F.avg_pool2d(F.pad(regions, (2, 2, 2, 2), mode="replicate"), 5, stride=1)
    regions = torch.sigmoid(8 * (regions - regions.mean((-2, -1), keepdim=True)))
    shares = torch.rand(3, count, generator=generator, device=device)
    mixed = sum(
        per_image(share, part.to(clean)) * _unit(part.to(clean))
        for share, part in zip(shares, (ground, hills, regions), strict=True)
    )
    assert isinstance(mixed, Tensor)
    return _unit(mixed)


def _unit(field: Tensor) -> Tensor:
    low, high = field.amin((-2, -1), keepdim=True), field.amax((-2, -1), keepdim=True)
    return (field - low) / (high - low).clamp_min(1e-6)
