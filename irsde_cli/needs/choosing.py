"""Which of the networks that ship a picture needs, by what is seen of it, and what networks make of a part; or none."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from torch import Tensor
from torch.nn import functional as F

from irsde_cli.images import in_unit
from irsde_cli.needs import GLANCED, SIGNS, Sign, need
from irsde_cli.needs.blocks import coarseness
from irsde_cli.needs.blur import sharpness
from irsde_cli.needs.darkness import brightness
from irsde_cli.needs.haze import gained
from irsde_cli.needs.noise import BLOCK, WINDOW, level
from irsde_cli.needs.planes import luma, sums
from irsde_cli.needs.reduction import copy_of
from irsde_cli.needs.streaks import SIDE, agreed, directions, taken
from irsde_cli.needs.tempering import GLANCE, tempered

AROUND = 7  # pixels of which streaks stand out
DRAWN, ANYWHERE = 0.6, 0.25
Look = Callable[[str], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Choice:
    """What is to be undone, a row of `irsde_cli.tasks.TASKS` or "" for nothing, and what was seen, with a figure."""

    task: str
    words: str


def choose(picture: Tensor, look: Look | None = None) -> Choice:
    """For a picture (3, H, W) in [0, 1]: the first that shows, as what comes later in the row is hidden by it.

    Coding comes last in the making of a picture, and rounds off the signs of the others; darkness hides them; blur has
    a direction, as rain has; rain has fine detail, as noise has. Light rain, soft noise and haze show only in what
    their networks make of a part, which `look` gives for a task, with that part: see `looked_at`.
    """
    seen: list[str] = []
    for task, (measure, sign) in RULES.items():
        figure = measure(picture)
        said = sign.words.format(figure)
        if sign.weight(figure) > 0:
            return Choice(task, said)
        seen.append(said)
    if look is None:
        return Choice("", "; ".join(seen))
    for task, (compare, sign) in ASKED.items():
        figure = compare(*look(task))
        said = sign.words.format(figure)
        if sign.weight(figure) > 0:
            return Choice(task, said)
        seen.append(said)
    return Choice("", "; ".join(seen))


def looked_at(task: str, samples: Tensor) -> Tensor:
    """What a network of `ASKED` is shown of a picture's samples (3, H, W): a copy of the whole scene, or its middle."""
    if task in GLANCED:
        return copy_of(samples, GLANCE)
    side = math.isqrt(GLANCE)
    top, left = (max(0, size - side) // 2 for size in samples.shape[-2:])
    return in_unit(samples[:, top : top + side, left : left + side])


def streaks(picture: Tensor) -> float:
    """How well what stands out of its surroundings agrees on a direction, from 0 to 1."""
    if min(picture.shape[-2:]) <= AROUND:
        return 0.0
    plane = luma(picture)
    smooth = sums(F.pad(plane[None, None], (AROUND // 2,) * 4, mode="reflect")[0, 0], AROUND).div_(AROUND**2)
    return agreed(directions(plane.sub_(smooth)), directions(smooth))


def moved(picture: Tensor) -> float:
    """How sharp a picture is, less what of it is drawn out in one direction, as motion does it."""
    return sharpness(picture) - DRAWN * max(0.0, streaks(picture) - ANYWHERE)


def directed(degraded: Tensor, restored: Tensor) -> float:
    """How well what was taken out agrees on a direction; 0 of pictures of one square."""
    return taken(degraded, restored)[0] if min(degraded.shape[-2:]) > SIDE else 0.0


def removed(degraded: Tensor, restored: Tensor) -> float:
    """The root mean square, of 255, of what is taken for noise of all that a network took out; 0 of small pictures."""
    if min(degraded.shape[-2:]) < WINDOW * BLOCK:
        return 0.0
    kept, _ = tempered(degraded, restored.clone(), need("denoise", degraded))
    return 255 * float((kept - degraded).square().mean().sqrt())


# Blur and noise are asked for more sternly than where somebody has named the task: a soft camera is no motion. What
# stands out of its surroundings agrees less on a direction than what a network took out.
RULES: dict[str, tuple[Callable[[Tensor], float], Sign]] = {
    "jpeg": (coarseness, SIGNS["jpeg"]),
    "lowlight": (brightness, SIGNS["lowlight"]),
    "deblur": (moved, replace(SIGNS["deblur"], nothing=0.44, full=0.40)),
    "derain": (streaks, replace(SIGNS["derain"], nothing=0.27, full=0.37)),
    "denoise": (level, Sign(nothing=4.5, full=6.0, words="noise {:.1f} of 255 in its evenest places")),
}
# What may be texture is changed by no more than 1.2 of 255: more is noise for certain. Haze is asked for more sternly.
ASKED: dict[str, tuple[Callable[[Tensor, Tensor], float], Sign]] = {
    "derain": (directed, SIGNS["derain"]),
    "denoise": (removed, Sign(nothing=1.6, full=3.0, words="noise {:.1f} of 255 to its network")),
    "dehaze": (gained, replace(SIGNS["dehaze"], nothing=1.5, full=1.55)),
}
