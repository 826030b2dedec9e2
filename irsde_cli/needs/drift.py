"""Whether a result contradicts its input where the damage cannot have changed it: told without a clean picture."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from irsde_cli import room
from irsde_cli.images import in_unit
from irsde_cli.needs.planes import detail, luma, pooled, quantile

CELL = 4  # pixels of the degraded picture, of which only means are looked at: noise and rings of JPEG hardly show
SQUARE = 8  # cells
BAND = 512  # rows of the degraded picture that are reduced at a time
# Damages after which means of squares are those of the clean picture.
KEEP_MEANS = ("denoise", "deblur", "jpeg", "sr2", "sr3", "sr4")
# Damages that only add light.
ADD_LIGHT = ("derain",)
# Damages that hide no texture of more than a cell, at least where they changed the mean little.
KEEP_TEXTURE = (*KEEP_MEANS, *ADD_LIGHT)
LITTLE = 8 / 255
FAINT = 1.5  # of 255: texture below it may be noise
CLEAR = 4  # times as much as the noise in the evenest squares


@dataclass(frozen=True)
class Bound:
    """What is said of a result beyond a figure."""

    words: str
    most: float


# Above all of the results of the networks that ship which were measured: docs/trust.md.
BRIGHTNESS = Bound("its brightness changed by {:.1f} of 255", 3.5)
COLOUR = Bound("its colours changed by {:.1f} of 255", 1.5)
PLACE = Bound("the brightness of a place in it changed by {:.0f} of 255", 8.0)
BRIGHTER = Bound("a place in it became brighter by {:.0f} of 255, though rain only adds light", 2.0)
TEXTURE = Bound("{:.0%} of its texture is lost", 0.6)
REDUCED = Bound("made small again it differs from the input by {:.1f} of 255", 3.0)


def drifts(task: str, degraded: Tensor, restored: Tensor) -> list[str]:
    """What is wrong with a restored picture (3, H * scale, W * scale) of a degraded one (3, H, W), in words.

    Args:
        task: what was undone.
        degraded: in [0, 1], or samples that `irsde_cli.images.in_unit` makes so.
        restored: in [0, 1].
    """
    if task not in KEEP_TEXTURE or min(degraded.shape[-2:]) < CELL * SQUARE:
        return []
    scale = restored.shape[-1] // degraded.shape[-1]
    before, after = cells(degraded, CELL), cells(restored, CELL * scale)
    change = 255 * (after - before)
    places = luma(pooled(change, SQUARE))
    found: list[tuple[Bound, float]] = [(TEXTURE, texture_lost(before, after, places.abs() < 255 * LITTLE))]
    if task in ADD_LIGHT:
        found.append((BRIGHTER, float(places.max())))
    if task in KEEP_MEANS:
        channels = change.mean((1, 2))
        mean = channels.mean()
        found = [
            (BRIGHTNESS, float(mean.abs())),
            (COLOUR, float((channels - mean).abs().max())),
            (PLACE, float(places.abs().max())),
            *found,
        ]
        if scale > 1:
            found.append((REDUCED, 255 * contradiction(degraded, restored)))
    return [bound.words.format(value) for bound, value in found if value > bound.most]


def cells(picture: Tensor, side: int) -> Tensor:
    """Means of squares of `side` pixels of (3, H, W), made in bands: of a large picture no second one is held."""
    rows = max(side, BAND // side * side)
    height = picture.shape[-2] // side * side
    found = []
    for top in range(0, height, rows):
        found.append(pooled(in_unit(picture[:, top : min(top + rows, height)]), side))
        room.rest()
    return torch.cat(found, dim=1)


def texture_lost(before: Tensor, after: Tensor, counted: Tensor) -> float:
    """How much of what varies between cells (3, h, w) is gone, from 0 to 1; noise would be the same in all squares.

    Args:
        before: cells of the degraded picture.
        after: of the restored one.
        counted: which squares of `SQUARE` cells tell it.
    """
    old, new = (pooled(_details(image), SQUARE) for image in (before, after))
    noise = max(quantile(old - new, 0.1), 0.0)  # what is gone from the evenest squares
    shown = counted & (old - noise > max((FAINT / 255) ** 2, CLEAR * noise))
    if int(shown.sum()) < 1:
        return 0.0
    kept = float((new[shown] / (old[shown] - noise)).clamp_max(1).mean())
    return 1 - math.sqrt(kept)


def contradiction(degraded: Tensor, restored: Tensor) -> float:
    """The root mean square of what a larger picture, made small again, differs by; in bands, of squares' means.

    Both are smoothed by a square of three pixels: how exactly a picture was made small is not known.
    """
    scale = restored.shape[-1] // degraded.shape[-1]
    small = cells(restored, scale)
    total, count = 0.0, 0
    for top in range(0, degraded.shape[-2], BAND):
        pair = (in_unit(degraded[:, top : top + BAND]), small[:, top : top + BAND])
        given, made = (F.avg_pool2d(image[None], 3, stride=1, padding=1, count_include_pad=False) for image in pair)
        total += float((given - made).square().sum())
        count += given.numel()
    return math.sqrt(total / max(count, 1))


def _details(image: Tensor) -> Tensor:
    """(h, w): the square of what the mask of Immerkaer (1996) finds in the luma of (3, h, w)."""
    return detail(F.pad(luma(image)[None, None], (1, 1, 1, 1), mode="replicate"))[0, 0].square()
