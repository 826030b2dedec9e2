"""mu, where the forward process ends: the degraded images, prepared."""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from irsde_cli import room
from irsde_cli.centres.exposed import exposed
from irsde_cli.centres.filled import filled
from irsde_cli.centres.lifted import lifted
from irsde_cli.centres.marked import marked
from irsde_cli.observation import Observation

Upsampling = Literal["bicubic", "nearest"]
Centre = Literal["degraded", "filled", "marked", "exposed", "lifted"]
ROWS = 128  # of what is enlarged, where that is done in bands
NEIGHBOURS = 4  # more than any filter looks at

PREPARED: dict[Centre, Callable[[Observation], Tensor]] = {
    "degraded": Observation.painted,
    "filled": lambda seen: filled(seen.image, seen.known),
    "marked": lambda seen: marked(seen.image, seen.known),
    "exposed": lambda seen: exposed(seen.painted()),
    "lifted": lambda seen: lifted(seen.painted()),
}


def centre(seen: Observation, scale: int, upsampling: Upsampling, kind: Centre = "degraded") -> Tensor:
    """mu: the degraded images, prepared, at the size of the restored ones, (B, 3, H * scale, W * scale)."""
    degraded = PREPARED[kind](seen)
    if scale == 1:
        return degraded
    if torch.is_grad_enabled() or not room.is_large(degraded.numel() * scale**2, degraded.device):
        return enlarged(degraded, scale, upsampling)
    batch, channels, height, width = degraded.shape
    result = room.zeros((batch, channels, height * scale, width * scale), degraded)
    for top in range(0, height, ROWS):
        first, last = max(top - NEIGHBOURS, 0), min(top + ROWS, height)
        band = enlarged(degraded[..., first : last + NEIGHBOURS, :], scale, upsampling)
        result[..., top * scale : last * scale, :] = band[..., (top - first) * scale : (last - first) * scale, :]
        room.rest()
    return result


def enlarged(image: Tensor, scale: int, upsampling: Upsampling) -> Tensor:
    """An image (B, C, H, W) as large as the restored one."""
    if upsampling == "nearest":
        return F.interpolate(image, scale_factor=scale, mode="nearest")
    return F.interpolate(image, scale_factor=scale, mode="bicubic", align_corners=False)
