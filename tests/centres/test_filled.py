"""Holes are filled with what their border says."""

import pytest
import torch

from irsde_cli.centres.filled import filled
from irsde_cli.degradations.free_form_mask import FreeFormMask
from irsde_cli.observation import Observation

# Of decibels: 54.0 with 16 sweeps a level, 47.9 with 8, 45.1 with one.
FLOOR = 53.0


def strokes(height: int, width: int, seed: int = 0) -> torch.Tensor:
    return FreeFormMask(0.3, 0.3).masks(1, height, width, torch.Generator().manual_seed(seed))


def ramp(height: int, width: int) -> torch.Tensor:
    """A plane through the colours; it is harmonic."""
    down, across = torch.linspace(0, 1, height)[:, None], torch.linspace(0, 1, width)
    planes = (0.2 + 0.6 * down, 0.9 - 0.5 * across, 0.1 + 0.4 * (down + across))
    return torch.stack([plane.expand(height, width) for plane in planes])[None]


def test_what_is_known_is_no_hole_even_where_it_is_white() -> None:
    """A white picture stays white, however it was painted in its holes."""
    image, known = torch.ones(1, 3, 20, 30), strokes(20, 30)
    assert torch.equal(Observation(image * 0.5, known).painted() == 1, (~known).expand_as(image))
    assert (filled(image.masked_fill(~known, 0.2), known) > 0.999).all()


@pytest.mark.parametrize("size", [(64, 96), (33, 47)])
def test_a_plane_is_found_again(size: tuple[int, int]) -> None:
    """Strokes over a harmonic image vanish to half a level in the mean; at the border its slope is unknown."""
    image, known = ramp(*size), strokes(*size)
    out = filled(image.masked_fill(~known, 1), known)
    assert torch.equal(out[known.expand_as(out)], image[known.expand_as(out)])
    error = (out - image).abs() * 255
    assert error[..., 10:-10, 10:-10].mean() < 0.5
    assert error.mean() < 2


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (90, 2), (3, 3)])
def test_every_size_has_a_surface(size: tuple[int, int]) -> None:
    """One known pixel is enough for all the others."""
    known = torch.zeros(1, 1, *size, dtype=torch.bool)
    known[..., 0, 0] = True
    torch.testing.assert_close(
        filled(torch.full((1, 3, *size), 0.3).masked_fill(~known, 1), known), torch.full((1, 3, *size), 0.3)
    )


def test_a_hole_stays_between_its_borders() -> None:
    """A harmonic surface has its extremes on the border, however wide the hole is."""
    image = torch.rand(2, 3, 70, 80, generator=torch.Generator().manual_seed(0))
    known = torch.ones(1, 1, 70, 80, dtype=torch.bool)
    known[..., 5:66, 7:77] = False
    out = filled(image.masked_fill(~known, 1), known)
    for before, after in zip(image, out, strict=True):
        for old, new in zip(before, after, strict=True):
            lowest, highest = old[known[0, 0]].aminmax()
            assert lowest <= new.min() and new.max() <= highest


def test_images_of_a_batch_do_not_meet() -> None:
    """An image that is all holes becomes white beside others, and one without holes is handed back as it is."""
    image, known = ramp(40, 50), strokes(40, 50)
    none, all_ = torch.zeros_like(known), torch.ones_like(known)
    together = filled(image.repeat(3, 1, 1, 1), torch.cat((known, none, all_)))
    assert torch.equal(together[:1], filled(image, known))
    assert (together[1] == 1).all()
    assert torch.equal(together[2:], image)
    assert filled(image, None) is image and filled(image, all_) is image


def test_a_wide_hole_has_a_smooth_surface() -> None:
    """Harmonic surfaces are found again across a hole of 58 x 53 pixels; too few sweeps leave coarse steps."""
    down, across = torch.linspace(-1, 1, 96)[:, None], torch.linspace(-1, 1, 96)
    planes = [across**2 - down**2, 2 * across * down, across**3 - 3 * across * down**2]
    image = (0.5 + 0.2 * torch.stack([plane.expand(96, 96) for plane in planes]))[None]
    known = torch.ones(1, 1, 96, 96, dtype=torch.bool)
    known[..., 19:77, 13:66] = False
    out = filled(image.masked_fill(~known, 1), known)
    error = (out - image)[..., 19:77, 13:66].square().mean()
    assert -10 * float(error.log10()) > FLOOR
