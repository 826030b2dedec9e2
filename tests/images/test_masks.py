"""Masks are read as they are meant, or refused with how they must look."""

import io
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from irsde_cli.errors import InputError
from irsde_cli.images import read_picture
from irsde_cli.images.masks import HOW, known_by
from tests.images.test_read_picture import tiff

Pixels = NDArray[Any]

HEIGHT, WIDTH = 40, 56
HOLE = np.zeros((HEIGHT, WIDTH), bool)
HOLE[10:14, 6:50] = HOLE[20:30, 30:40] = True
MASK = np.where(HOLE, 0, 255).astype(np.uint8)
RED_AND_BLACK = [0, 0, 0, 128, 0, 0] + [0] * 762


def saved(samples: Pixels | Image.Image, form: str = "png", **options: Any) -> bytes:
    buffer = io.BytesIO()
    (samples if isinstance(samples, Image.Image) else Image.fromarray(samples)).save(buffer, form, **options)
    return buffer.getvalue()


def rgba(colour: int, alpha: Pixels) -> bytes:
    return saved(np.dstack([np.full((*alpha.shape, 3), colour, np.uint8), alpha]))


def palette(indices: Pixels, colours: list[int]) -> bytes:
    image = Image.fromarray(indices.astype(np.uint8), "P")
    image.putpalette(colours)
    return saved(image)


def soft() -> Pixels:
    """Edges as a brush makes them, half of the way at the edge of the hole."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    distance = np.hypot(y - 20, x - 28)
    return np.asarray(np.clip(128 + 40 * (distance - 9.5), 0, 255), np.uint8)


@pytest.mark.parametrize(
    ("data", "holes"),
    {
        "grey": (saved(MASK), HOLE),
        "one bit": (saved(Image.fromarray(~HOLE)), HOLE),
        "RGB": (saved(np.dstack([MASK] * 3)), HOLE),
        "opaque RGBA": (saved(np.dstack([MASK] * 3 + [np.full_like(MASK, 255)])), HOLE),
        "nearly opaque RGBA": (saved(np.dstack([MASK] * 3 + [np.where(HOLE, 254, 255).astype(np.uint8)])), HOLE),
        "16 bits": (saved(MASK.astype(np.uint16) * 257), HOLE),
        "16 bits in TIFF": (tiff(MASK.astype(np.uint16) * 257), HOLE),
        "black and white palette": (palette(~HOLE, [0, 0, 0, 255, 255, 255] + [0] * 762), HOLE),
        "palette the other way": (palette(HOLE, [255, 255, 255, 0, 0, 0] + [0] * 762), HOLE),
        "jpeg": (saved(MASK, "jpeg", quality=60), None),
        "webp": (saved(np.dstack([MASK] * 3), "webp", quality=50), None),
        "soft edges": (saved(soft()), soft() < 128),
        "holes in alpha": (rgba(255, MASK), HOLE),
        "soft holes in alpha": (rgba(255, soft()), soft() < 128),
    }.items(),
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_masks_are_taken(data: str, holes: tuple[bytes, Pixels | None]) -> None:
    """Black or transparent is a hole, white is known, in whatever kind of file."""
    known, notes = known_by(read_picture(holes[0], data, depth=8))
    if holes[1] is None:
        assert (known == ~HOLE).mean() > 0.97
    else:
        np.testing.assert_array_equal(known, ~holes[1])
    assert not notes


LABELS = np.where(HOLE, 0, 1).astype(np.uint8)


@pytest.mark.parametrize(
    ("data", "why"),
    {
        "labels 0 and 1": (saved(LABELS), "has no white: its values reach from 0 to 1 of 255"),
        "labels 1 and 0": (saved(1 - LABELS), "has no white: its values reach from 0 to 1 of 255"),
        "labels 1 and 2": (saved(LABELS + 1), "has no white"),
        "16-bit labels": (saved(LABELS.astype(np.uint16)), "has no white: its values reach from 0 to 0"),
        "8 bits in 16": (saved(MASK.astype(np.uint16)), "has no white"),
        "labels and a border": (saved(np.where(HOLE, 255, LABELS * 3)), "like labels of classes"),
        "three labels": (saved(np.where(HOLE, 0, 127 + 128 * (np.arange(WIDTH) > 30)).astype(np.uint8)), "is grey in"),
        "palette of classes": (palette(HOLE, RED_AND_BLACK), "has colours"),
        "red strokes": (saved(np.dstack([np.full_like(MASK, 255), MASK, MASK])), "has colours"),
        "all black": (saved(np.zeros_like(MASK)), "has no white: its values reach from 0 to 0 of 255"),
        "all grey": (saved(np.full_like(MASK, 128)), "has no white"),
        "white and grey": (saved(np.where(HOLE, 128, 255).astype(np.uint8)), "has no black"),
        "inverted": (saved(np.where(np.arange(WIDTH) == 7, 255, np.zeros_like(MASK))), "as if it were inverted"),
        "black with transparent holes": (rgba(0, MASK), "is transparent in parts, and not white in the others"),
        "black strokes on nothing": (rgba(0, 255 - MASK), "is transparent in parts"),
        "entirely transparent": (rgba(255, np.zeros_like(MASK)), "is transparent everywhere"),
        "the photograph": (
            saved(np.random.default_rng(0).integers(0, 256, MASK.shape, dtype=np.uint8)),
            "is grey in",
        ),
    }.items(),
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_could_mean_something_else_is_refused(data: str, why: tuple[bytes, str]) -> None:
    """One sentence says what is wrong, and one how a mask must look."""
    with pytest.raises(InputError, match=why[1]) as caught:
        known_by(read_picture(why[0], "m.png", depth=8))
    assert caught.value.message.startswith("the mask 'm.png' ") and caught.value.hint == HOW


def test_what_may_surprise_is_said() -> None:
    """A mask without holes fills nothing; one with more holes than picture is believed, and named."""
    known, notes = known_by(read_picture(saved(np.full_like(MASK, 255)), "x", depth=8))
    assert known.all() and "all white" in notes[0]
    known, notes = known_by(read_picture(saved(np.where(np.arange(WIDTH) < 20, 255, MASK * 0)), "x", depth=8))
    assert known[:, :20].all() and not known[:, 20:].any() and "64%" in notes[0]
