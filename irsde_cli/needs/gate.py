"""Where a result is a guess, and what a page shows of that.

A guess is what may be far off, by the calibrated interval, and what contradicts its input: made small again it would be
another picture. What is in doubt goes from 0 to 1 smoothly, so that no edge shows where a gate falls back.
"""

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from irsde_cli.needs.interval import Evidence, Interval, half_width
from irsde_cli.needs.planes import around, luma

Fallback = Literal["off", "mean", "input"]
# To what a gate falls back where nobody says it; other tasks have none. docs/trust.md has what it does.
USUAL: dict[str, Fallback] = {"sr4": "mean", "jpeg": "mean"}
WIDE = 32 / 255  # half the width of an interval from which on a result is in doubt; twice that is all of it
OTHER = 4 / 255  # likewise, what it differs by when it is made small again
SMOOTH = 9
TINT = (1.0, 0.55, 0.1)
PALE = 0.35


def doubt(seen: Evidence, interval: Interval | None, scale: int = 1, small: Tensor | None = None) -> Tensor:
    """(H, W) in [0, 1]: how far a result is a guess.

    Args:
        seen: the result, with what is seen of it.
        interval: what was calibrated for its network; `None` where nothing was: then holes alone are guesses.
        scale: how many times larger the result is than its input.
        small: that input, (3, H / scale, W / scale), where it is smaller.
    """
    if interval is not None:
        found = _beyond(half_width(interval, seen), WIDE)
    elif seen.known is not None:
        return (~seen.known).float()
    else:
        found = seen.restored.new_zeros(seen.restored.shape[-2:])
    if small is not None and scale > 1:
        found = torch.maximum(found, _beyond(contradicted(seen.restored, small, scale), OTHER))
    smooth = around(found, SMOOTH)
    return smooth if seen.known is None else smooth.masked_fill(seen.known, 0.0)


def contradicted(restored: Tensor, small: Tensor, scale: int) -> Tensor:
    """(H, W): what a picture, made small again by means of squares, differs by from its input; smoothed likewise."""
    reduced = F.avg_pool2d(restored[None], scale)
    apart = F.avg_pool2d(reduced - small[None], 3, stride=1, padding=1, count_include_pad=False).abs().mean(1)
    size = (restored.shape[-2], restored.shape[-1])
    return F.interpolate(apart[None], size=size, mode="bilinear", align_corners=False)[0, 0]


def layer(restored: Tensor, doubted: Tensor) -> Tensor:
    """(3, H, W): a result in grey where it is measured, and tinted where it is a guess, (H, W)."""
    grey = PALE + (1 - PALE) * luma(restored).clamp(0, 1)
    tint = restored.new_tensor(TINT)[:, None, None] * grey
    return torch.lerp(grey.expand(3, -1, -1), tint, doubted[None].to(restored))


def _beyond(values: Tensor, most: float) -> Tensor:
    return ((values - most) / most).clamp(0, 1)
