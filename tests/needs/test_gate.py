"""What is a guess falls back, smoothly; what is measured stays."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from irsde_cli.engine.gating import Gate, to_input
from irsde_cli.needs.gate import doubt, layer
from irsde_cli.needs.interval import Evidence, Interval
from irsde_cli.observation import Observation

# Changed by more than 0.1: in doubt altogether.
INTERVAL = Interval({"change near": 25.0}, 1.0, 1, 1, "", "")


@pytest.fixture
def pair() -> Iterator[tuple[Tensor, Tensor]]:
    """A picture, and one that is another in its right half, (3, 32, 64)."""
    generator = torch.Generator().manual_seed(0)
    picture = torch.rand(3, 32, 64, generator=generator) * 0.4 + 0.3
    other = picture.clone()
    other[..., 32:] += 0.25
    yield picture, other


def test_what_was_changed_most_is_in_doubt_and_no_edge_shows(pair: tuple[Tensor, Tensor]) -> None:
    degraded, restored = pair
    found = doubt(Evidence(degraded, restored), INTERVAL)
    assert not found[:, :24].any()
    assert bool((found[:, 40:] == 1).all())
    assert (found[:, 1:] - found[:, :-1]).abs().max() < 0.15


def test_the_input_comes_back_where_a_result_is_a_guess(pair: tuple[Tensor, Tensor]) -> None:
    degraded, restored = pair
    gated = to_input(restored, degraded, INTERVAL, 1)
    torch.testing.assert_close(gated[..., 40:], degraded[..., 40:])
    torch.testing.assert_close(gated[..., :24], restored[..., :24])


def test_the_mean_comes_back_where_a_draw_is_a_guess(pair: tuple[Tensor, Tensor]) -> None:
    """In a batch whose canvas is larger than its pictures; beyond them as far as asked."""
    degraded, draw = pair
    canvas = F.pad(torch.stack((degraded, degraded)), (0, 8, 0, 8))
    mean, drawn = canvas, F.pad(torch.stack((draw, degraded)), (0, 8, 0, 8))
    gate = Gate(0.8, INTERVAL, Observation(canvas), [(32, 64), (32, 64)], 1)
    amounts = gate(mean, drawn)
    assert amounts.shape == (2, 1, 40, 72)
    assert not amounts[0, :, :32, 40:64].any()
    torch.testing.assert_close(amounts[0, :, :, :24], torch.full((1, 40, 24), 0.8))
    torch.testing.assert_close(amounts[1], torch.full((1, 40, 72), 0.8))


def test_a_larger_picture_that_is_another_when_made_small_is_a_guess() -> None:
    """However narrow its interval."""
    small = torch.full((3, 16, 16), 0.5)
    large = F.interpolate(small[None], scale_factor=2)[0]
    narrow = Interval({"constant": 1.0}, 1.0, 1, 1, "", "")
    assert not doubt(Evidence(large, large), narrow, 2, small).any()
    other = large + 0.05
    assert bool((doubt(Evidence(large, other), narrow, 2, small) == 1).all())


def test_holes_are_guesses_without_a_calibration(pair: tuple[Tensor, Tensor]) -> None:
    degraded, restored = pair
    known = torch.ones(32, 64, dtype=torch.bool)
    known[8:16] = False
    found = doubt(Evidence(degraded, restored, known), None)
    assert torch.equal(found, (~known).float())
    shown = layer(restored, found)
    grey = shown.amax(0) - shown.amin(0)
    assert not grey[known].any()
    assert bool((grey[~known] > 0.1).all())
