"""Each picture's own damage is seen; what has none is left alone."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from irsde_cli.needs.choosing import ASKED, RULES, choose, looked_at
from irsde_cli.needs.noise import level
from irsde_cli.needs.tempering import GLANCE
from irsde_cli.tasks import TASKS
from tests.needs.test_needs import clean, moved, saved

__all__ = ["clean"]


def rainy(picture: Tensor) -> Tensor:
    """With slanted bright lines."""
    rows, columns = torch.meshgrid(torch.arange(picture.shape[1]), torch.arange(picture.shape[2]), indexing="ij")
    return (picture + 0.35 * ((columns * 3 + rows) % 21 < 3)).clamp(0, 1)


def noisy(picture: Tensor, sigma: float) -> Tensor:
    noise = torch.randn(picture.shape, generator=torch.Generator().manual_seed(0))
    return (picture + noise * sigma / 255).clamp(0, 1)


def test_every_damage_that_has_a_measure_is_chosen(clean: Tensor) -> None:
    damaged = {
        "jpeg": saved(clean, 20),
        "lowlight": clean / 8,
        "deblur": moved(moved(clean)),
        "derain": rainy(clean),
        "denoise": noisy(clean, 20),
    }
    assert set(damaged) == set(RULES)
    for task, picture in damaged.items():
        choice = choose(picture)
        assert choice.task == task, f"{task}: {choice}"
        assert any(character.isdigit() for character in choice.words)
        assert TASKS[task].weights is not None


def test_a_clean_picture_gets_nothing_and_all_figures_are_said(clean: Tensor) -> None:
    choice = choose(clean)
    assert choice.task == "", choice
    assert choice.words.count(";") == len(RULES) - 1


@pytest.mark.parametrize("task", ASKED)
def test_what_shows_only_to_a_network_is_chosen(task: str, clean: Tensor) -> None:
    """By what that makes of a part; the networks of other tasks leave that part as it is."""
    clean = clean.repeat(1, 2, 2)
    rows, columns = torch.meshgrid(torch.arange(clean.shape[1]), torch.arange(clean.shape[2]), indexing="ij")
    faint = {
        "derain": clean + 0.02 * ((columns * 3 + rows) % 21 < 3),
        "denoise": noisy(clean, 2.2),
        "dehaze": clean * 0.5 + 0.4,
    }
    assert set(faint) == set(ASKED)

    def look(asked: str) -> tuple[Tensor, Tensor]:
        return faint[task], clean if asked == task else faint[task]

    assert choose(clean, look).task == task
    assert choose(clean, lambda _: (clean, clean)).task == ""
    assert TASKS[task].weights is not None


def test_a_network_is_shown_the_middle_or_the_whole_made_small() -> None:
    large = torch.rand(3, 700, 900)
    assert looked_at("denoise", large).shape == (3, 332, 332)
    assert looked_at("dehaze", large).shape[1:].numel() <= 1.01 * GLANCE
    assert looked_at("derain", large[:, :5, :7]).shape == (3, 5, 7)


def test_a_picture_of_one_pixel_needs_nothing() -> None:
    assert choose(torch.full((3, 1, 1), 0.5)).task == ""


def test_noise_is_measured_where_a_picture_is_even(clean: Tensor) -> None:
    """Grey noise as it is; of white noise R - G has 1.4 times as much, which is counted twice."""
    even = clean * 0.6 + 0.2
    for sigma in (5.0, 20.0):
        grey = (even + noisy(torch.full((1, *clean.shape[1:]), 0.5), sigma) - 0.5).clamp(0, 1)
        assert 0.7 * sigma < level(grey) < 1.1 * sigma
        assert 2.0 * sigma < level(noisy(even, sigma)) < 3.0 * sigma


def test_soft_noise_is_seen_by_its_colours(clean: Tensor) -> None:
    """What a camera smoothed hardly shows in luma."""
    even = clean * 0.2 + 0.4
    grains = torch.randn(even.shape, generator=torch.Generator().manual_seed(0)) * 16 / 255
    soft = even + F.avg_pool2d(F.pad(grains[None], (1,) * 4, mode="reflect"), 3, stride=1)[0]
    assert choose(soft).task == "denoise"
    assert choose(even + (soft - even).mean(0)).task != "denoise"
