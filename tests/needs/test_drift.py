"""What contradicts the input is named."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from irsde_cli.needs.drift import BAND, KEEP_MEANS, cells, drifts

PICTURE = torch.rand(3, 96, 64, generator=torch.Generator().manual_seed(0)) * 0.5 + 0.2


def smooth(side: int) -> Tensor:
    """Texture of about that many pixels, (3, 96, 96)."""
    generator = torch.Generator().manual_seed(1)
    coarse = torch.rand(1, 3, 96 // side + 2, 96 // side + 2, generator=generator) * 0.5 + 0.2
    return F.interpolate(coarse, size=(96, 96), mode="bicubic", align_corners=False)[0].clamp(0, 1)


def enlarged(picture: Tensor, task: str) -> Tensor:
    scale = int(task[2:]) if task.startswith("sr") else 1
    return F.interpolate(picture[None], scale_factor=scale, mode="nearest")[0]


@pytest.mark.parametrize("task", KEEP_MEANS)
def test_what_keeps_its_means_is_not_named(task: str) -> None:
    """Detail within a pixel that came changes no mean."""
    restored = enlarged(PICTURE, task)
    assert drifts(task, PICTURE, restored) == []


def test_noise_that_went_is_no_texture() -> None:
    clean = smooth(12)
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(2)) * 20 / 255
    assert drifts("denoise", clean + noise, clean) == []


def test_brightness_colours_and_places_are_named() -> None:
    brighter = PICTURE + 4 / 255
    assert drifts("jpeg", PICTURE, brighter) == ["its brightness changed by 4.0 of 255"]
    redder = PICTURE.clone()
    redder[0] += 4 / 255
    redder[1:] -= 2 / 255
    assert drifts("jpeg", PICTURE, redder) == ["its colours changed by 4.0 of 255"]
    stained = PICTURE.clone()
    stained[:, :32, :32] += 12 / 255
    stained[:, 32:64, :32] -= 12 / 255
    assert drifts("jpeg", PICTURE, stained) == ["the brightness of a place in it changed by 12 of 255"]


def test_lost_texture_is_named() -> None:
    """Texture of eight pixels beside an even wall, smoothed away."""
    picture = smooth(8)
    picture[:, :32] = 0.5
    blurred = F.avg_pool2d(F.pad(picture[None], (8,) * 4, mode="reflect"), 17, stride=1)[0]
    (said,) = drifts("derain", picture, blurred)
    assert said.endswith("of its texture is lost")


def test_rain_only_adds_light() -> None:
    darker = PICTURE.clone()
    darker[:, :64] -= 20 / 255
    assert drifts("derain", PICTURE, darker) == []
    (said,) = drifts("derain", darker, PICTURE)
    assert said == "a place in it became brighter by 20 of 255, though rain only adds light"


def test_a_larger_picture_that_is_another_is_named() -> None:
    """Its means may stay, but made small again it is not what was given."""
    picture = smooth(6)
    other = enlarged(picture.flip(-1), "sr4")
    assert any(said.startswith("made small again it differs") for said in drifts("sr4", picture, other))


def test_what_is_to_change_brightness_may() -> None:
    assert drifts("lowlight", PICTURE, PICTURE * 1.5) == []
    assert drifts("dehaze", PICTURE, PICTURE * 1.5) == []


def test_a_picture_too_small_for_means_is_not_judged() -> None:
    assert drifts("sr4", torch.zeros(3, 1, 1), torch.ones(3, 4, 4)) == []


def test_bands_are_the_whole_picture() -> None:
    """Whole numbers of a file, reduced in bands, give what the picture in floats gives at once."""
    samples = torch.randint(0, 256, (3, BAND + 37, 20), dtype=torch.uint8)
    whole = F.avg_pool2d(samples[None].float() / 255, 4)[0]
    torch.testing.assert_close(cells(samples, 4), whole)
