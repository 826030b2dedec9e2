"""Whether a picture needs a restoration at all: one file and one row a damage. No torch.

Some damages are measured before a network is asked; noise and rain are told by what it took out, and haze by what it
makes of a small copy of the scene. The figures from which on a result is taken are measured: docs/trust.md has them.
"""

from dataclasses import dataclass
from math import isnan
from typing import TYPE_CHECKING, Literal

from irsde_cli.registry import Registry

if TYPE_CHECKING:
    from torch import Tensor

AUTO: Literal["auto"] = "auto"


@dataclass(frozen=True)
class Sign:
    """What shows a damage, and how much of it.

    Attributes:
        nothing: the figure of a picture that has none of it.
        full: from this figure on, on the other side of `nothing`, the result is taken whole; between them, in part.
        words: the figure, for people.
    """

    nothing: float
    full: float
    words: str

    def weight(self, figure: float) -> float:
        """From 0, the picture has nothing of it, to 1; a figure that is no number is 1: the result is judged then."""
        return 1.0 if isnan(figure) else min(max((figure - self.nothing) / (self.full - self.nothing), 0.0), 1.0)


@dataclass(frozen=True)
class Need:
    """How much of a restoration a picture needs.

    Attributes:
        task: what is to be undone.
        weight: from 0, nothing, to 1, all of it; what stands before the network has been asked if `open`.
        words: what was seen.
        open: whether what the network makes of it has yet to say it.
    """

    task: str
    weight: float
    words: str = ""
    open: bool = False

    @property
    def of_network(self) -> bool:
        """Whether its network decides, so that what that makes of the picture says how sure it is."""
        return self.open or self.task in GLANCED


# Functions of a picture (3, H, W) in [0, 1] that give a figure.
BEFORE = Registry(
    "damage",
    {
        "deblur": "irsde_cli.needs.blur:sharpness",
        "jpeg": "irsde_cli.needs.blocks:coarseness",
        "lowlight": "irsde_cli.needs.darkness:brightness",
    },
)
# Functions of a degraded and a restored picture that give a figure, and how much of their difference is kept, where.
AFTER = Registry(
    "damage",
    {
        "denoise": "irsde_cli.needs.noise:taken",
        "derain": "irsde_cli.needs.streaks:taken",
    },
)
# Functions of a small copy of a picture and of what the network makes of that copy, that give a figure: a network sees
# only so far, so that what it makes of a whole scene depends on how large the scene is.
GLANCED = Registry("damage", {"dehaze": "irsde_cli.needs.haze:gained"})
# Functions of a degraded and a restored picture that take the second nearer to what the first allows.
KEPT = Registry(
    "damage",
    {
        "jpeg": "irsde_cli.needs.blocks:consistent",
        "sr2": "irsde_cli.needs.reduction:consistent",
        "sr3": "irsde_cli.needs.reduction:consistent",
        "sr4": "irsde_cli.needs.reduction:consistent",
    },
)
SIGNS = {
    "denoise": Sign(nothing=0.62, full=0.5, words="detail beside what was taken out {:.2f}"),
    "deblur": Sign(nothing=0.64, full=0.52, words="sharpest edges across the softest direction {:.2f}"),
    "derain": Sign(nothing=0.51, full=0.57, words="streaks of one direction {:.2f}"),
    "dehaze": Sign(nothing=1.34, full=1.37, words="contrast that haze had taken, times {:.2f}"),
    "jpeg": Sign(nothing=5.0, full=9.0, words="steps of JPEG {:.0f} of 255"),
    "lowlight": Sign(nothing=0.35, full=0.31, words="nine tenths of it darker than {:.2f}"),
}
JUDGED = tuple(dict.fromkeys((*SIGNS, *KEPT)))


def need(task: str, picture: "Tensor") -> Need:
    """What a picture (3, H, W) needs of a task of `JUDGED`, before any network is asked.

    It is in [0, 1], or samples that `irsde_cli.images.in_unit` makes so.
    """
    if task in AFTER or task in GLANCED:
        return Need(task, 1.0, open=True)
    if task not in SIGNS:
        return Need(task, 1.0, "made larger, and kept to what it is when it is made small again")
    from irsde_cli.images import in_unit

    return needed(task, BEFORE.load(task)(in_unit(picture)))


def needed(task: str, figure: float) -> Need:
    """What a figure of a task of `SIGNS` says."""
    sign = SIGNS[task]
    return Need(task, sign.weight(figure), sign.words.format(figure))
