"""mu, where the forward process ends: the degraded images, prepared."""

from collections.abc import Callable
from typing import Literal

from torch import Tensor
from torch.nn import functional as F

from irsde_cli.centres.exposed import exposed
from irsde_cli.centres.filled import filled
from irsde_cli.centres.lifted import lifted
from irsde_cli.observation import Observation

Upsampling = Literal["bicubic", "nearest"]
Centre = Literal["degraded", "filled", "exposed", "lifted"]


PREPARED: dict[Centre, Callable[[Observation], Tensor]] = {
    "degraded": Observation.painted,
    "filled": lambda seen: filled(seen.image, seen.known),
    "exposed": lambda seen: exposed(seen.painted()),
    "lifted": lambda seen: lifted(seen.painted()),
}


def centre(seen: Observation, scale: int, upsampling: Upsampling, kind: Centre = "degraded") -> Tensor:
    """mu: the degraded images, prepared, at the size of the restored ones, (B, 3, H * scale, W * scale)."""
    degraded = PREPARED[kind](seen)
    if scale == 1:
        return degraded
    if upsampling == "nearest":
        return F.interpolate(degraded, scale_factor=scale, mode="nearest")
    return F.interpolate(degraded, scale_factor=scale, mode="bicubic", align_corners=False)
