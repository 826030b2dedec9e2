"""mu, where the forward process ends: the degraded images, prepared."""

from collections.abc import Callable
from typing import Literal

from torch import Tensor
from torch.nn import functional as F

from irsde_cli.centres.exposed import exposed
from irsde_cli.centres.filled import filled

Upsampling = Literal["bicubic", "nearest"]
Centre = Literal["degraded", "filled", "exposed"]
PREPARED: dict[Centre, Callable[[Tensor], Tensor]] = {
    "degraded": lambda images: images,
    "filled": filled,
    "exposed": exposed,
}


def centre(degraded: Tensor, scale: int, upsampling: Upsampling, kind: Centre = "degraded") -> Tensor:
    """mu: the degraded images (B, 3, H, W), prepared, at the size of the restored ones."""
    degraded = PREPARED[kind](degraded)
    if scale == 1:
        return degraded
    if upsampling == "nearest":
        return F.interpolate(degraded, scale_factor=scale, mode="nearest")
    return F.interpolate(degraded, scale_factor=scale, mode="bicubic", align_corners=False)
