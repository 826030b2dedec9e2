"""Which of the networks that ship a picture needs, by what is seen of it alone; or none."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from torch import Tensor
from torch.nn import functional as F

from irsde_cli.needs import SIGNS, Sign
from irsde_cli.needs.blocks import coarseness
from irsde_cli.needs.blur import sharpness
from irsde_cli.needs.darkness import brightness
from irsde_cli.needs.noise import level
from irsde_cli.needs.streaks import taken

AROUND = 7  # pixels of which streaks stand out
DRAWN, ANYWHERE = 0.6, 0.25


@dataclass(frozen=True)
class Choice:
    """What is to be undone, a row of `irsde_cli.tasks.TASKS` or "" for nothing, and what was seen, with a figure."""

    task: str
    words: str


def choose(picture: Tensor) -> Choice:
    """For a picture (3, H, W) in [0, 1]: the first that shows, as what comes later in the row is hidden by it.

    Coding comes last in the making of a picture, and rounds off the signs of the others; darkness hides them; blur has
    a direction, as rain has; rain has fine detail, as noise has. Haze shows only in what its network makes of it.
    """
    seen: list[str] = []
    for task, (measure, sign) in RULES.items():
        figure = measure(picture)
        said = sign.words.format(figure)
        if sign.weight(figure) > 0:
            return Choice(task, said)
        seen.append(said)
    return Choice("", "; ".join(seen))


def streaks(picture: Tensor) -> float:
    """How well what stands out of its surroundings agrees on a direction, from 0 to 1."""
    if min(picture.shape[-2:]) <= AROUND:
        return 0.0
    padded = F.pad(picture[None], (AROUND // 2,) * 4, mode="reflect")
    return taken(picture, F.avg_pool2d(padded, AROUND, stride=1)[0])[0]


def moved(picture: Tensor) -> float:
    """How sharp a picture is, less what of it is drawn out in one direction, as motion does it."""
    return sharpness(picture) - DRAWN * max(0.0, streaks(picture) - ANYWHERE)


# Blur and noise are asked for more sternly than where somebody has named the task: a soft camera is no motion. What
# stands out of its surroundings agrees less on a direction than what a network took out.
RULES: dict[str, tuple[Callable[[Tensor], float], Sign]] = {
    "jpeg": (coarseness, SIGNS["jpeg"]),
    "lowlight": (brightness, SIGNS["lowlight"]),
    "deblur": (moved, replace(SIGNS["deblur"], nothing=0.44, full=0.40)),
    "derain": (streaks, replace(SIGNS["derain"], nothing=0.27, full=0.37)),
    "denoise": (level, Sign(nothing=4.5, full=6.0, words="noise {:.1f} of 255 in its evenest places")),
}
