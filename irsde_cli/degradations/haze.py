"""Haze: the farther a point, the more of the air's own light lies over it.

The atmospheric scattering model I = J t + A (1 - t), t = exp(-beta d), with the ranges of RESIDE's indoor set (Li et
al., "Benchmarking Single-Image Dehazing and Beyond", IEEE TIP 2019). Photographs come without depth, so it is made up:
a room, or ground with hills, and in it things that are regions of the photograph, for real depth jumps at borders.
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
        near_max: out of doors: largest share of that depth that the nearest point has.
        light_min: darkest air, of 1.
        light_max: brightest.
        cast_max: largest difference of a channel of the air from its grey.
        own_air_share: share of the images whose air has the colour of what is brightest in them, mostly their sky: it
            stays as it is, as a sky should. Where that is too dark or colourful for air, it is as in the others. He et
            al., "Single Image Haze Removal Using Dark Channel Prior", CVPR 2009, find the air there.
    """

    beta_min: float = 0.4
    beta_max: float = 2.4
    near_max: float = 0.4
    light_min: float = 0.7
    light_max: float = 1.0
    cast_max: float = 0.03
    own_air_share: float = 0.0

    def __post_init__(self) -> None:
        check_range("beta", self.beta_min, self.beta_max)
        check_range("light", self.light_min, self.light_max, most=1)
        check_range("nearness", 0, self.near_max, most=1)
        check_range("cast", 0, self.cast_max, most=1)
        check_range("share of own air", 0, self.own_air_share, most=1)

    def apply(self, clean: Tensor, generator: torch.Generator) -> Tensor:
        """A new scene and a new air for each image, in an 8-bit file."""
        count = len(clean)
        beta = uniform(self.beta_min, self.beta_max, count, generator)
        light = per_image(uniform(self.light_min, self.light_max, count, generator), clean)
        cast = uniform(-self.cast_max, self.cast_max, 3 * count, generator).reshape(count, 3, 1, 1).to(clean)
        depth = made_up_depth(clean, self.near_max, generator)
        transmission = torch.exp(-per_image(beta, clean) * depth)
        air = light + cast
        if self.own_air_share:
            colour = brightest(clean)
            light_enough = (colour.mean(1, keepdim=True) > 0.5) & (colour.amax(1, True) - colour.amin(1, True) < 0.4)
            own = per_image(uniform(0, 1, count, generator), clean) < self.own_air_share
            air = torch.where(own & light_enough, colour, air)
        return as_file(clean * transmission + air * (1 - transmission))


def brightest(clean: Tensor) -> Tensor:
    """The mean colour (B, 3, 1, 1) of the hundredth of each image (B, 3, H, W) that has the brightest dark channel."""
    dark = -F.max_pool2d(-clean.amin(1, keepdim=True), 7, stride=1, padding=3)
    limit = torch.quantile(dark.flatten(1), 0.99, dim=1)[:, None, None, None]
    chosen = (dark >= limit).to(clean)
    return (clean * chosen).sum((-2, -1), keepdim=True) / chosen.sum((-2, -1), keepdim=True)


def made_up_depth(clean: Tensor, near_max: float, generator: torch.Generator) -> Tensor:
    """Depth (B, 1, H, W), 1 where it is largest, for images (B, 3, H, W): a room, or open ground, with things in it."""
    count, _, height, width = clean.shape
    indoors = torch.rand(count, 1, 1, 1, generator=generator, device=generator.device) < 0.5
    depth = torch.where(
        indoors, _room(count, height, width, generator), _open(count, height, width, near_max, generator)
    )
    depth = depth.to(clean)
    nearer = per_image(uniform(0, 0.6, count, generator), clean)
    depth = depth * (1 - _thing(clean, generator) * nearer)
    return depth / depth.amax((-2, -1), keepdim=True)


def _rays(height: int, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Rightwards and downwards, (H, W) each, of a view as wide as that of usual lenses."""
    scale = 0.6 / max(height, width)
    down = torch.linspace(-scale * height, scale * height, height, device=device)
    right = torch.linspace(-scale * width, scale * width, width, device=device)
    rows, columns = torch.meshgrid(down, right, indexing="ij")
    return columns, rows


def _room(count: int, height: int, width: int, generator: torch.Generator) -> Tensor:
    """A box seen from within, turned sideways and up or down: how far its nearest wall is along each ray."""
    right, down = _rays(height, width, generator.device)
    turn, tilt = (uniform(-low, low, count, generator)[:, None, None] for low in (0.7, 0.3))
    ahead = torch.cos(turn) - right * torch.sin(turn)
    aside = right * torch.cos(turn) + torch.sin(turn)
    below = down + tilt
    walls = []
    for direction, least, most in (
        (aside, 0.5, 2.5), (-aside, 0.5, 2.5), (below, 0.6, 1.6), (-below, 0.6, 1.6), (ahead, 1.5, 6.0),
    ):  # fmt: skip
        away = uniform(least, most, count, generator)[:, None, None]
        walls.append(torch.where(direction > 1e-3, away / direction.clamp_min(1e-3), torch.inf))
    depth = torch.stack(walls).amin(0)[:, None]
    return depth / depth.amax((-2, -1), keepdim=True)


def _open(count: int, height: int, width: int, near_max: float, generator: torch.Generator) -> Tensor:
    """Tilted ground with smooth hills."""
    right, down = _rays(height, width, generator.device)
    slope = torch.randn(count, 1, 1, 1, generator=generator, device=generator.device) * 0.4
    rise = uniform(0, 1, count, generator)[:, None, None, None]
    share = uniform(0, 1, count, generator)[:, None, None, None]
    hills = torch.zeros(count, 1, height, width, device=generator.device)
    for cells in (2, 4, 8):
        coarse = torch.randn(count, 1, cells, cells, generator=generator, device=generator.device)
        hills += F.interpolate(coarse, size=(height, width), mode="bicubic", align_corners=True) / cells
    near = uniform(0, near_max, count, generator)[:, None, None, None]
    return near + (1 - near) * _unit(share * _unit(slope * right - rise * down) + (1 - share) * _unit(hills))


def _thing(clean: Tensor, generator: torch.Generator) -> Tensor:
    """A share (B, 1, H, W) in [0, 1] of regions whose borders are the photograph's: there real depth jumps."""
    count, _, height, width = clean.shape
    mixing = torch.randn(count, 3, generator=generator, device=generator.device).to(clean)
    regions = torch.einsum("bchw,bc->bhw", clean, mixing)[:, None]
    # A wide mean takes texture out and leaves straight borders where they are.
    regions = F.avg_pool2d(F.pad(regions, (4, 4, 4, 4), mode="replicate"), 9, stride=1)
    coarse = torch.randn(count, 1, 3, 3, generator=generator, device=generator.device).to(clean)
    place = F.interpolate(coarse, size=(height, width), mode="bicubic", align_corners=True)
    spread = regions.std((-2, -1), keepdim=True).clamp_min(1e-3)
    return torch.sigmoid(10 * ((regions - regions.mean((-2, -1), keepdim=True)) / spread + place))


def _unit(field: Tensor) -> Tensor:
    low, high = field.amin((-2, -1), keepdim=True), field.amax((-2, -1), keepdim=True)
    return (field - low) / (high - low).clamp_min(1e-6)
