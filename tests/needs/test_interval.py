"""Intervals hold what they promise, on data for which the truth is known."""

import pytest
import torch
from torch import Tensor

from irsde_cli.needs.interval import COVERAGE, Evidence, Interval, calibrated, features, half_width, within

SIDE = 48


def picture(seed: int, *, holes: bool = False, drawn: bool = False) -> tuple[Evidence, Tensor]:
    """Errors whose size grows with what was changed, differently in each picture."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(3, SIDE, SIDE, generator=generator)
    level = 0.02 + 0.05 * torch.rand(1, generator=generator)
    levels = level * torch.linspace(0.2, 1, SIDE)
    degraded = 0.5 + noise * levels
    restored = degraded - noise * levels * 0.8
    clean = restored + torch.randn(3, SIDE, SIDE, generator=generator) * levels * 0.5
    known = None
    if holes:
        known = torch.rand(SIDE, SIDE, generator=generator) > 0.3
        clean = torch.where(known, restored, clean)
    variance = (levels * 0.5).square().expand(3, SIDE, SIDE) if drawn else None
    return Evidence(degraded, restored, known, variance), clean


@pytest.mark.parametrize("kind", ["plain", "holes", "drawn"])
def test_other_pictures_lie_within_nine_times_of_ten(kind: str) -> None:
    """Those calibrated on and those not, whatever the damage of each."""
    known = {"holes": kind == "holes", "drawn": kind == "drawn"}
    interval = calibrated([picture(seed, **known) for seed in range(24)], 1, "noise", "2026-01-01")
    found = []
    for seed in range(100, 124):
        seen, clean = picture(seed, **known)
        counted = None if seen.known is None else ~seen.known
        found.append(within(clean, seen.restored, half_width(interval, seen), counted)[0])
    assert sum(found) / len(found) == pytest.approx(COVERAGE, abs=0.02)
    assert min(found) > 0.75, "each picture has its own scale"


def test_nothing_is_in_doubt_where_it_is_known() -> None:
    seen, _ = picture(0, holes=True)
    assert seen.known is not None
    interval = Interval({"constant": 1.0, "hole": 1.0}, 2.0, 1, 1, "", "")
    half = half_width(interval, seen)
    assert not half[seen.known].any()
    assert bool((half[~seen.known] > 0).all())


def test_every_feature_is_finite_and_at_least_zero() -> None:
    """Of a picture of one pixel too."""
    for side in (1, 7):
        ones = torch.ones(3, side, side)
        seen = Evidence(ones, ones * 0.5, torch.zeros(side, side, dtype=torch.bool), ones)
        for name, values in features(seen):
            assert bool(torch.isfinite(values).all() and (values >= 0).all()), name


def test_what_was_drawn_back_may_still_be_damage() -> None:
    """A result that is its input again is as much in doubt as what the network would have taken out."""
    seen, _ = picture(0)
    interval = Interval({"change near": 1.0}, 1.0, 1, 1, "", "")
    back = Evidence(seen.degraded, seen.degraded, network=seen.restored)
    torch.testing.assert_close(half_width(interval, back), half_width(interval, seen))
