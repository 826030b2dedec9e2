"""What cannot be seen never decides what can, and what is grey stays grey."""

import io
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from irsde_cli.images import Picture, encode_picture, read_picture, to_tensor, with_restored

Pixels = NDArray[Any]


def alphas(height: int, width: int) -> dict[str, Pixels]:
    """Transparency of many kinds, uint8."""
    draw = np.random.default_rng(3)
    y, x = np.mgrid[:height, :width]
    disc = np.hypot(y - height / 2, x - width / 2)
    return {
        "disc": np.where(disc < height / 3, 255, 0),
        "soft disc": np.clip(255 - 40 * (disc - height / 4), 0, 255),
        "faint": np.where(disc < height / 3, 200, 5),
        "one pixel": np.where((y == 3) & (x == 4), 255, 0),
        "holes": np.where(draw.random((height, width)) < 0.2, 0, 255),
        "half": np.where(x < width / 2, 0, 128),
        "weak everywhere": np.where(x < width / 2, 0, 9),
    }


def coloured(alpha: Pixels, fill: int, depth: int, grey: bool = False) -> Picture:
    """The same visible colours whatever `fill` is put where less than a sixteenth of the strongest alpha is."""
    kind = np.uint8 if depth == 8 else np.uint16
    top = np.iinfo(kind).max
    colours = np.random.default_rng(5).integers(0, top, (*alpha.shape, 1 if grey else 3)).astype(kind)
    colours[alpha < alpha.max() / 16] = fill
    return Picture(colours, (alpha.astype(np.uint32) * top // 255).astype(kind))


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("grey", [False, True])
@pytest.mark.parametrize("kind", alphas(1, 1))
def test_hidden_colours_never_reach_a_network(kind: str, grey: bool, depth: int) -> None:
    """Whatever lies under transparency, the image is the same: the visible colours, and between them a surface."""
    alpha = alphas(24, 31)[kind].astype(np.uint8)
    one, other = (coloured(alpha, fill, depth, grey) for fill in (0, 255))
    image = to_tensor(one)
    assert torch.equal(image, to_tensor(other))
    shown = one.shown
    assert shown is not None and 0 < shown.sum() < shown.size
    expected = np.moveaxis(one.pixels, -1, 0)[:, shown] / (2**depth - 1)
    np.testing.assert_allclose(
        image[:, torch.from_numpy(shown)], np.broadcast_to(expected, (3, shown.sum())), atol=1e-6
    )
    inside = image[:, torch.from_numpy(shown)]
    assert (image.amin((1, 2)) >= inside.amin(1) - 1e-6).all() and (image.amax((1, 2)) <= inside.amax(1) + 1e-6).all()


@pytest.mark.parametrize("scale", [1, 4])
@pytest.mark.parametrize("depth", [8, 16])
def test_hidden_colours_come_back(scale: int, depth: int) -> None:
    """A result has the input's colours where it is fully transparent, and the restored ones everywhere else."""
    alpha = alphas(24, 31)["soft disc"].astype(np.uint8)
    picture = coloured(alpha, 77, depth)
    restored = with_restored(picture, torch.full((3, 24 * scale, 31 * scale), 0.5))
    assert restored.alpha is not None
    hidden = restored.alpha == 0
    source = np.kron(picture.pixels.transpose(2, 0, 1), np.ones((scale, scale), int)).transpose(1, 2, 0)
    np.testing.assert_array_equal(restored.pixels[hidden], source[hidden])
    assert (restored.pixels[~hidden] == round((2**depth - 1) / 2)).all()


def test_a_picture_of_which_nothing_shows_is_taken_as_it_is() -> None:
    """There is no visible colour that could be protected, and all colours come back."""
    picture = coloured(np.zeros((9, 14), np.uint8), 3, 8)
    assert torch.equal(to_tensor(picture), to_tensor(Picture(picture.pixels)))
    np.testing.assert_array_equal(with_restored(picture, torch.rand(3, 9, 14)).pixels, picture.pixels)


def test_opaque_alpha_changes_nothing() -> None:
    """A channel of full opacity is none."""
    pixels = coloured(np.full((9, 14), 255, np.uint8), 3, 8).pixels
    assert torch.equal(to_tensor(Picture(pixels, np.full((9, 14), 255, np.uint8))), to_tensor(Picture(pixels)))


def test_flat_is_what_is_seen() -> None:
    """One visible colour is flat, whatever hides beside it."""
    alpha = np.zeros((4, 4), np.uint8)
    alpha[0] = 255
    pixels = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    pixels[0] = 9
    assert Picture(pixels, alpha).flat and not Picture(pixels).flat


@pytest.mark.parametrize("form", ["png", "jpeg", "webp", "tiff", "bmp"])
def test_grey_files_with_three_channels_read_as_grey(form: str) -> None:
    """No decoder adds colours to R = G = B."""
    grey = np.random.default_rng(1).integers(0, 256, (33, 40, 1), dtype=np.uint8).repeat(3, -1)
    buffer = io.BytesIO()
    Image.fromarray(grey).save(buffer, form, **({"lossless": True} if form == "webp" else {}))
    image = to_tensor(read_picture(buffer.getvalue(), "x"))
    assert (image == image[:1]).all()
    data = encode_picture(with_restored(read_picture(buffer.getvalue(), "x"), image), format="png")
    written = np.asarray(Image.open(io.BytesIO(data)))
    assert (written == written[..., :1]).all()
