"""Masks of holes: white is known, black is a hole, and nothing else is believed."""

import numpy as np
from numpy.typing import NDArray

from irsde_cli.errors import InputError
from irsde_cli.images.picture import Picture, Pixels

HOW = "A mask is white where the picture is known and black where there is a hole."
BLACK, WHITE = 32, 223
COLOURFUL = 64
MOST_COLOUR = 0.01
# Labels of classes are dark and cover much; a brush with a soft edge is grey along its edge.
MOST_DARK = 0.1
MOST_GREY = 0.25
MOST_HOLES = 0.9
LOSSY = ("jpeg", "webp")


def known_by(mask: Picture) -> tuple[NDArray[np.bool_], tuple[str, ...]]:
    """(H, W): where a mask of 8 bits says that the picture is known; and what may surprise, one sentence each.

    White with transparent holes is taken too. Soft edges are divided at half.

    Raises:
        InputError: it does not look like a mask, so that what its holes are would be a guess.
    """
    level = _level(mask)
    dark, white, share = level < BLACK, level > WHITE, float((level < 128).mean())
    if white.all():
        return white, ("its mask is all white, so that nothing is filled; holes are black",)
    if not white.any():
        raise _refused(mask, f"has no white: its values reach from {level.min()} to {level.max()} of 255")
    if not dark.any():
        raise _refused(mask, f"has no black: its values reach from {level.min()} to {level.max()} of 255")
    if (~(dark | white)).mean() > MOST_GREY:
        raise _refused(mask, f"is grey in {(~(dark | white)).mean():.0%} of its pixels")
    if mask.format not in LOSSY and (dark & (level > 0)).mean() > MOST_DARK:
        raise _refused(mask, "has values just above black, like labels of classes")
    if share > MOST_HOLES:
        raise _refused(mask, f"is black but for {1 - share:.1%} of its pixels, as if it were inverted")
    many = f"its mask makes {share:.0%} of it a hole; white is what is known"
    return level >= 128, (many,) if share > 0.5 else ()


def _level(mask: Picture) -> Pixels:
    """(H, W) uint8: how white the mask is, from its colours or from its transparency."""
    lowest, highest = mask.pixels.min(-1), mask.pixels.max(-1)
    if ((highest - lowest) > COLOURFUL).mean() > MOST_COLOUR:
        raise _refused(mask, "has colours")
    level: Pixels = np.rint(mask.pixels.mean(-1)).astype(np.uint8)
    if mask.alpha is None or mask.alpha.min() > WHITE:
        return level
    if not mask.alpha.max() > WHITE:
        raise _refused(mask, "is transparent everywhere")
    if (level[mask.alpha > BLACK] <= WHITE).any():
        raise _refused(mask, "is transparent in parts, and not white in the others")
    return mask.alpha


def _refused(mask: Picture, why: str) -> InputError:
    return InputError(f"the mask '{mask.name}' {why}.", hint=HOW)
