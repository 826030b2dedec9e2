import math

import pytest
import torch

from irsde_cli.degradations import DEGRADATIONS
from irsde_cli.degradations.degradation import Degradation
from irsde_cli.degradations.gaussian_noise import GaussianNoise
from irsde_cli.degradations.motion_blur import MotionBlur, arc_kernels, blur, blur_adjoint


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def on_8_bit_grid(image: torch.Tensor) -> bool:
    return bool((image * 255 - (image * 255).round()).abs().max() < 1e-4 and image.min() >= 0 and image.max() <= 1)


@pytest.mark.parametrize("name", DEGRADATIONS)
def test_the_same_seed_gives_the_same_damage(name: str) -> None:
    """Every degradation is reproducible, differs between seeds and images, and keeps shape, dtype and input."""
    degradation: Degradation = DEGRADATIONS.load(name)()
    clean = torch.rand(1, 3, 17, 23, generator=seeded(9)).expand(3, -1, -1, -1).clone()
    before = clean.clone()
    first = degradation.apply(clean, seeded(1))
    assert torch.equal(first, degradation.apply(clean, seeded(1)))
    assert not torch.equal(first, degradation.apply(clean, seeded(2)))
    assert not torch.equal(first[0], first[1])
    assert (first.shape, first.dtype) == (clean.shape, clean.dtype)
    assert torch.equal(clean, before)


@pytest.mark.parametrize("name", DEGRADATIONS)
def test_the_global_generator_is_left_alone(name: str) -> None:
    state = torch.get_rng_state()
    DEGRADATIONS.load(name)().apply(torch.rand(2, 3, 8, 8, generator=seeded()), seeded())
    assert torch.equal(state, torch.get_rng_state())


def test_gaussian_noise_has_the_stated_level() -> None:
    clean = torch.full((4, 3, 64, 64), 0.5)
    noisy = GaussianNoise(sigma_min=25, sigma_max=25, quantised_share=0).apply(clean, seeded())
    assert (noisy - clean).std().item() * 255 == pytest.approx(25, rel=0.02)
    assert (noisy - clean).mean().item() * 255 == pytest.approx(0, abs=0.5)


def test_gaussian_noise_draws_a_level_for_each_image() -> None:
    clean = torch.full((64, 3, 32, 32), 0.5)
    noisy = GaussianNoise(sigma_min=5, sigma_max=55, quantised_share=0).apply(clean, seeded())
    levels = (noisy - clean).flatten(1).std(1) * 255
    assert 4.5 < levels.min() < 10
    assert 50 < levels.max() < 57


def test_a_share_of_the_noisy_images_looks_like_photo_files() -> None:
    """Quantised images lie on the 8-bit grid within [0, 1]; the others keep what noise adds beyond white."""
    noisy = GaussianNoise(sigma_min=40, sigma_max=40, quantised_share=0.25).apply(torch.ones(400, 3, 8, 8), seeded())
    quantised = [on_8_bit_grid(image) for image in noisy]
    assert sum(quantised) / len(quantised) == pytest.approx(0.25, abs=0.06)
    assert all(quantised[index] or image.max() > 1 for index, image in enumerate(noisy))


@pytest.mark.parametrize("settings", [{"sigma_min": -1.0}, {"sigma_min": 60.0}])
def test_impossible_noise_levels_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="sigma_min"):
        GaussianNoise(**settings)


def test_motion_kernels_sum_to_one_and_do_not_shift_the_image() -> None:
    """Each kernel is odd, not negative, sums to 1 and has its centroid in its middle."""
    kernels = MotionBlur().kernels(200, seeded()).double()
    size = kernels.shape[-1]
    position = torch.arange(size).double() - size // 2
    assert size % 2 == 1
    assert kernels.min() >= 0
    torch.testing.assert_close(kernels.sum((1, 2)), torch.ones(200).double(), atol=1e-5, rtol=0)
    assert (kernels.sum(2) @ position).abs().max() < 1e-4
    assert (kernels.sum(1) @ position).abs().max() < 1e-4


@pytest.mark.parametrize("length", [9.0, 14.5, 21.0])
@pytest.mark.parametrize("angle", [0.0, 0.7, 2.5])
def test_a_straight_motion_has_the_stated_length(length: float, angle: float) -> None:
    """Its spread along the motion is that of a bar of this length, and next to nothing across it."""
    kernel = arc_kernels(torch.tensor([length]), torch.tensor([angle]), torch.zeros(1), radius=11)[0].double()
    position = torch.arange(23).double() - 11
    rows, columns = torch.meshgrid(position, position, indexing="ij")
    along = columns * math.cos(angle) + rows * math.sin(angle)
    across = rows * math.cos(angle) - columns * math.sin(angle)
    assert math.sqrt(12 * (kernel * along**2).sum()) == pytest.approx(length, rel=0.03)
    assert math.sqrt((kernel * across**2).sum()) < 0.5


def test_a_bent_motion_stays_inside_its_kernel() -> None:
    """Whatever the bend, no weight is cut off at the border."""
    bends = torch.linspace(-2 * math.pi, 2 * math.pi, 65)
    kernels = arc_kernels(torch.full((65,), 22.0), torch.linspace(0, 6, 65), bends, radius=11)
    torch.testing.assert_close(kernels.sum((1, 2)), torch.ones(65), atol=1e-5, rtol=0)


def test_blur_moves_a_point_to_its_kernel() -> None:
    """It is a convolution, not a correlation, with one kernel for each image."""
    kernels = MotionBlur().kernels(3, seeded())
    points = torch.zeros(3, 1, 41, 41)
    points[:, :, 20, 20] = 1
    torch.testing.assert_close(blur(points, kernels)[:, 0, 9:32, 9:32], kernels)


@pytest.mark.parametrize("size", [(40, 33), (7, 5), (1, 12)])
def test_blur_keeps_size_and_flat_areas(size: tuple[int, int]) -> None:
    """Reflection works on whole photos, and on images smaller than the kernel."""
    flat = torch.full((2, 3, *size), 0.3)
    torch.testing.assert_close(blur(flat, MotionBlur().kernels(2, seeded())), flat)


@pytest.mark.parametrize("size", [(40, 33), (7, 5)])
def test_the_adjoint_of_blur_is_its_transpose(size: tuple[int, int]) -> None:
    kernels = MotionBlur().kernels(2, seeded())
    a, b = torch.rand(2, 2, 3, *size, generator=seeded(), dtype=torch.float64)
    left = (blur(a, kernels) * b).sum()
    torch.testing.assert_close(left, (a * blur_adjoint(b, kernels)).sum())


def test_blurred_photos_look_like_files() -> None:
    blurred = MotionBlur().apply(torch.rand(2, 3, 24, 24, generator=seeded()), seeded())
    assert all(on_8_bit_grid(image) for image in blurred)


@pytest.mark.parametrize("settings", [{"length_min": 30.0}, {"length_min": 0.0}, {"noise_min": 3.0}])
def test_impossible_motion_is_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="expected 0"):
        MotionBlur(**settings)
