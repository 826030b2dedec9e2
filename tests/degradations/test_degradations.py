import io
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from irsde_cli.degradations import DEGRADATIONS, DegradationConfig, build_degradation
from irsde_cli.degradations.camera_noise import poisson_gaussian, soften
from irsde_cli.degradations.defocus_blur import DefocusBlur
from irsde_cli.degradations.degradation import Degradation
from irsde_cli.degradations.downsampling import Downsampling
from irsde_cli.degradations.free_form_mask import FreeFormMask
from irsde_cli.degradations.gaussian_noise import GaussianNoise
from irsde_cli.degradations.haze import Haze, brightest, made_up_depth
from irsde_cli.degradations.jpeg import Jpeg
from irsde_cli.degradations.low_light import LowLight
from irsde_cli.degradations.matched import Matched, amounts, bins
from irsde_cli.degradations.mixture import Mixture
from irsde_cli.degradations.motion_blur import MotionBlur
from irsde_cli.degradations.rain import Rain
from irsde_cli.degradations.random_mask import RandomMask
from irsde_cli.degradations.second_order import SecondOrder
from irsde_cli.degradations.sensor_noise import SensorNoise, _demosaicing
from irsde_cli.degradations.sequence import Sequence
from irsde_cli.errors import UsageError
from irsde_cli.operators.blur import Blur
from irsde_cli.operators.identity import Identity
from irsde_cli.operators.kernels import arc_kernels
from irsde_cli.operators.operator import Operator
from tests.extras import ALONE


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def on_8_bit_grid(image: torch.Tensor) -> bool:
    return bool((image * 255 - (image * 255).round()).abs().max() < 1e-4 and image.min() >= 0 and image.max() <= 1)


@pytest.mark.parametrize("name", ALONE)
def test_the_same_seed_gives_the_same_damage(name: str) -> None:
    """Every degradation is reproducible, differs between seeds and images, and keeps dtype and input."""
    degradation: Degradation = DEGRADATIONS.load(name)()
    clean = torch.rand(1, 3, 44, 52, generator=seeded(9)).expand(3, -1, -1, -1).clone()
    before = clean.clone()
    first = degradation.apply(clean, seeded(1))
    assert torch.equal(first, degradation.apply(clean, seeded(1)))
    if name != "downsampling":
        assert not torch.equal(first, degradation.apply(clean, seeded(2)))
        assert not torch.equal(first[0], first[1])
    assert first.shape == (3, 3, 44 // degradation.scale, 52 // degradation.scale)
    assert first.dtype == clean.dtype
    assert torch.isfinite(first).all()
    assert torch.equal(clean, before)


@pytest.mark.parametrize("name", ALONE)
def test_a_margin_makes_crops_of_whole_images(name: str) -> None:
    """Margins fit the scale; what a crop's degraded version depends on lies within."""
    degradation: Degradation = DEGRADATIONS.load(name)()
    assert degradation.margin % degradation.scale == 0


LINEAR: dict[str, Degradation] = {
    "motion-blur": MotionBlur(quantised_share=0.0, noise_min=2.0),
    "defocus-blur, circular": DefocusBlur(quantised_share=0.0, boundary="circular"),
    "downsampling": Downsampling(quantised=False),
    "downsampling by 3": Downsampling(3, quantised=False),
    "free-form-mask": FreeFormMask(),
    "random-mask": RandomMask(),
    "gaussian-noise": GaussianNoise(quantised_share=0.0),
}


def test_every_linear_degradation_is_tested() -> None:
    clean = torch.rand(1, 3, 32, 32)
    linear = {name for name in ALONE if DEGRADATIONS.load(name)().observe(clean, seeded()).operator is not None}
    assert linear == {name.split(",")[0].split(" ")[0] for name in LINEAR}


@pytest.mark.parametrize("name", LINEAR)
def test_what_is_told_of_the_damage_is_what_was_done(name: str) -> None:
    """The observed image is A x and noise of the told level, where it is known."""
    clean = torch.rand(1, 3, 120, 96, generator=seeded())
    seen = LINEAR[name].observe(clean, seeded(4))
    assert torch.equal(seen.image, LINEAR[name].apply(clean, seeded(4)))
    assert seen.operator is not None
    missed = seen.image - seen.operator.forward(clean)
    if seen.known is None:
        assert seen.noise_std is not None
        assert float(missed.square().mean().sqrt()) == pytest.approx(seen.noise_std, rel=0.02, abs=1e-6)
    else:
        assert missed[seen.known.expand_as(missed)].abs().max() <= 0.5001 / 255
        assert (seen.image[~seen.known.expand_as(missed)] == 1).all()


def test_one_operator_is_that_of_training_and_of_restoring() -> None:
    """What `operator` draws is what `observe` draws from the same seed."""
    clean = torch.rand(2, 3, 40, 36, generator=seeded())
    for degradation in (MotionBlur(), FreeFormMask(), RandomMask(), Downsampling()):
        drawn, seen = degradation.operator(clean, seeded(4)), degradation.observe(clean, seeded(4)).operator
        assert isinstance(drawn, Operator) and isinstance(seen, Operator)
        assert torch.equal(drawn.forward(clean), seen.forward(clean))
    assert isinstance(GaussianNoise().observe(clean, seeded()).operator, Identity)


@pytest.mark.parametrize("data_set", ["set5", "set14"])
def test_downsampling_is_that_of_the_field(shared: Path, data_set: str) -> None:
    """The published LQ_x4 files, a border of 4 pixels ignored: every pixel of every image is equal."""
    for path in sorted((shared / "data/testsets" / data_set / "GT").iterdir()):
        clean, small = (
            torch.from_numpy(np.atleast_3d(np.asarray(Image.open(file)))[..., :3].copy()).permute(2, 0, 1)[None] / 255
            for file in (path, path.parents[1] / "LQ_x4" / path.name)
        )
        inner = (..., slice(4, -4), slice(4, -4))
        difference = (Downsampling().apply(clean.double(), seeded()) - small)[inner].abs().max() * 255
        assert difference < 1e-3, path.name


def test_camera_noise_has_the_stated_variance() -> None:
    """Poisson and Gaussian variances add, and softening keeps the sum."""
    light = torch.tensor([0.0, 0.2, 0.8]).reshape(3, 1, 1, 1).expand(3, 3, 256, 256)
    shot, read = torch.full((3,), 0.01), torch.full((3,), 0.02)
    noise = poisson_gaussian(light, shot, read, seeded()) - light
    expected = torch.sqrt(0.01 * torch.tensor([0.0, 0.2, 0.8]) + 0.02**2)
    torch.testing.assert_close(noise.flatten(1).std(1), expected, rtol=0.02, atol=0)
    torch.testing.assert_close(noise.flatten(1).mean(1), torch.zeros(3), rtol=0, atol=1e-3)
    softened = soften(noise, torch.tensor([0.0, 0.5, 1.0]))
    torch.testing.assert_close(softened[0], noise[0], atol=1e-6, rtol=1e-4)
    torch.testing.assert_close(softened.flatten(1).std(1), expected, rtol=0.03, atol=0)
    neighbours = (softened[2, :, :, 1:] * softened[2, :, :, :-1]).mean() / softened[2].square().mean()
    assert neighbours > 0.5


@pytest.mark.parametrize("kind", [0, 1])
def test_demosaicing_keeps_what_a_mosaic_says(kind: int) -> None:
    """Measured samples stay as they are, and a picture whose colours change evenly comes back whole."""
    rows, columns = torch.meshgrid(torch.arange(24.0), torch.arange(20.0), indexing="ij")
    picture = torch.stack([0.2 + 0.01 * rows, 0.5 - 0.01 * columns, 0.3 + 0.005 * (rows + columns)])
    if kind == 1:  # it takes the edges of one colour for those of all
        picture = picture[:1].expand(3, -1, -1)
    mosaic = picture[1].clone()
    mosaic[::2, ::2] = picture[0, ::2, ::2]
    mosaic[1::2, 1::2] = picture[2, 1::2, 1::2]
    weight = _demosaicing()[kind].flatten(0, 1)
    blocks = F.pixel_unshuffle(F.pad(mosaic[None, None], (2, 2, 2, 2), mode="replicate"), 2)
    planes = F.pixel_shuffle(F.conv2d(blocks, weight), 2)[0]
    torch.testing.assert_close(planes[:, 4:-4, 4:-4], picture[:, 4:-4, 4:-4], atol=1e-5, rtol=0)
    assert torch.equal(planes[0, ::2, ::2], mosaic[::2, ::2])
    assert torch.equal(planes[2, 1::2, 1::2], mosaic[1::2, 1::2])


def test_the_noise_of_a_sensor_grows_with_light_and_its_colour_is_coarse() -> None:
    """More shot noise is more noise; smoothed colour is correlated farther than brightness is; no noise, no change."""
    grey = torch.full((24, 3, 64, 64), 0.5)

    def noise(**settings: Any) -> torch.Tensor:
        plain = {"luma_max": 0.0, "chroma_max": 0.0, "sharpening_max": 0.0, "resized_share": 0.0, "jpeg_share": 0.0}
        return SensorNoise(**{**plain, **settings}).apply(grey, seeded(3)) - grey

    def farther(images: torch.Tensor) -> float:
        """Correlation of neighbours."""
        return float((images[..., 1:] * images[..., :-1]).mean() / images.square().mean())

    little, much = (noise(shot_min=shot, shot_max=shot) for shot in (0.0001, 0.012))
    assert 4 * little.std() < much.std()
    assert noise(shot_min=1e-8, shot_max=1e-8).abs().max() < 1.1 / 255
    smooth = noise(shot_min=0.012, chroma_max=4.0)
    colour = smooth[:, 0] - smooth[:, 1]
    assert farther(colour - colour.mean((-2, -1), keepdim=True)) > farther(much[:, 0] - much[:, 1]) + 0.05
    assert farther(noise(shot_min=0.012, luma_max=1.0)) > farther(much)
    assert farther(noise(shot_min=0.012, sharpening_max=4.0)) < farther(much)


def test_the_noise_of_a_sensor_leaves_the_picture_where_it_is() -> None:
    """Only noise goes through the camera: the mean of many photographs is the picture, its details included."""
    clean = (0.3 + 0.4 * torch.rand(1, 3, 40, 40, generator=seeded(5))).expand(400, -1, -1, -1)
    mean = SensorNoise(shot_max=0.001, jpeg_share=0.0).apply(clean, seeded(6)).mean(0)
    assert float((mean - clean[0]).abs().max()) < 0.02


def test_defocus_is_a_disc_of_the_stated_radius() -> None:
    """The second moment of a disc is radius^2 / 4 along each axis."""
    kernel = DefocusBlur(radius_min=5, radius_max=5).kernels(1, seeded())[0].double()
    position = torch.arange(len(kernel)).double() - len(kernel) // 2
    assert 2 * math.sqrt(kernel.sum(0) @ position**2) == pytest.approx(5, rel=0.03)
    assert kernel.sum().item() == pytest.approx(1)


def test_rain_only_adds_light_along_its_fall() -> None:
    """Without tilt the streaks are vertical: columns are alike and rows are not."""
    rain = Rain(tilt_max=0, spread_max=0, length_min=40, density_min=0.1, density_max=0.3)
    light = rain.streaks(2, 96, 96, seeded())
    assert light.min() >= 0
    assert (light[..., 1:, :] - light[..., :-1, :]).abs().mean() < 0.25 * (
        light[..., 1:] - light[..., :-1]
    ).abs().mean()
    clean = torch.rand(2, 3, 96, 96, generator=seeded())
    wet = Rain().apply(clean, seeded())
    assert (wet >= clean - 1 / 255).all()
    assert on_8_bit_grid(wet[0])


def test_far_rain_is_finer_and_lies_behind_a_veil() -> None:
    """Far drops are shorter; a veil draws the picture towards grey, most where it is far, and hides contrast."""
    settings: dict[str, Any] = {
        "tilt_max": 0,
        "spread_max": 0,
        "length_min": 60,
        "density_min": 0.1,
        "density_max": 0.3,
    }
    near, far = (Rain(**settings, distance_max=most).streaks(8, 96, 96, seeded()) for most in (1.0, 8.0))

    def roughness(light: torch.Tensor) -> float:
        return float((light[..., 1:, :] - light[..., :-1, :]).abs().mean() / light.mean())

    assert roughness(far) > 1.5 * roughness(near)
    clean = torch.rand(6, 3, 48, 48, generator=seeded())
    dry: dict[str, Any] = {"strength_min": 0.0, "strength_max": 0.0}
    veiled = Rain(**dry, veil_max=1.0).apply(clean, seeded())
    assert torch.equal(Rain(**dry).apply(clean, seeded()), (clean * 255).round() / 255)
    spread = veiled.flatten(1).std(1) / clean.flatten(1).std(1)
    assert (spread < 1).all() and spread.max() > 0.75 and spread.min() < 0.6
    assert on_8_bit_grid(veiled[0])


def test_a_sky_may_be_the_air_itself() -> None:
    """Air of the colour of what is brightest leaves that as it is, and veils the rest as other air does."""
    clean = torch.rand(4, 3, 48, 40, generator=seeded()) * 0.3
    sky = torch.tensor([0.55, 0.7, 0.9])[:, None, None]
    clean[..., :16, :] = sky
    settings = {"beta_min": 2.0, "beta_max": 2.0}
    torch.testing.assert_close(brightest(clean), sky[None].expand(4, -1, -1, -1))
    own = Haze(**settings, own_air_share=1.0).apply(clean, seeded())
    other = Haze(**settings).apply(clean, seeded())
    assert (own - clean)[..., :16, :].abs().max() < 1 / 255 < (other - clean)[..., :16, :].abs().mean()
    assert (own - clean)[..., 20:, :].mean() > 0.1


def test_haze_pulls_towards_the_air() -> None:
    """Thick haze is the air's own light; without optical depth nothing changes."""
    clean = (torch.rand(2, 3, 48, 40, generator=seeded()) * 255).round() / 255
    thick = Haze(beta_min=40, beta_max=40, near_max=1, light_min=0.8, light_max=0.8, cast_max=0).apply(clean, seeded())
    assert (thick - 0.8).abs().median() < 0.01
    torch.testing.assert_close(Haze(beta_min=0, beta_max=0).apply(clean, seeded()), clean)
    depth = made_up_depth(clean, 0.4, seeded())
    assert (depth >= 0).all() and (depth.amin((1, 2, 3)) < 0.9).all()
    torch.testing.assert_close(depth.amax((1, 2, 3)), torch.ones(2))


def test_low_light_takes_the_stated_share() -> None:
    """In linear light, on average."""
    clean = torch.full((4, 3, 64, 64), 0.9)
    dark = LowLight(light_min=0.1, light_max=0.1, cast_max=0, shot_max=1e-6, read_max=0).apply(clean, seeded())
    torch.testing.assert_close(dark.double().pow(2.2).mean() / 0.9**2.2, torch.tensor(0.1).double(), rtol=0.03, atol=0)


def test_highlights_stay_bright_in_the_dark() -> None:
    """White is as many times brighter than the light says, what is dark is not, and order is kept."""
    ramp = torch.linspace(0, 1, 64).expand(6, 3, 8, 64)
    settings: dict[str, Any] = {"light_min": 0.1, "light_max": 0.1, "cast_max": 0, "shot_max": 1e-8, "read_max": 0}
    plain, lit = (LowLight(**settings, highlights_max=most).apply(ramp, seeded()) for most in (1.0, 100.0))
    white = lit[..., -1].mean((1, 2)) / plain[..., -1].mean((1, 2))
    assert white.min() > 1 and white.max() > 2 and lit.max() <= 1
    torch.testing.assert_close(lit[..., 8], plain[..., 8], atol=2 / 255, rtol=0)
    assert (lit.mean(2).diff(dim=-1) > -2 / 255).all()


@pytest.mark.parametrize("factor", [1, 2, 3, 4])
def test_what_is_passed_on_keeps_its_place(factor: int) -> None:
    """Rounds of blur, sizes, noise and files in any order: an 8-bit file of the stated size, nothing moved."""
    ramp = torch.linspace(0.2, 0.8, 48).expand(4, 3, 60, 48).clone()
    passed = SecondOrder(factor).apply(ramp, seeded())
    assert passed.shape == (4, 3, 60 // factor, 48 // factor) and all(map(on_8_bit_grid, passed))
    small = torch.nn.functional.avg_pool2d(ramp, factor)
    assert (passed.mean((1, 2)) - small.mean((1, 2)))[:, 2:-2].abs().max() < 0.05
    assert SecondOrder(factor).margin % factor == 0


def test_a_setting_of_each_step_decides_how_much_is_left() -> None:
    """More of each step is more damage; without any step the picture comes back."""
    clean = torch.nn.functional.interpolate(
        torch.rand(4, 3, 12, 12, generator=seeded()), scale_factor=4, mode="bicubic"
    )
    clean = (clean.clamp(0, 1) * 255).round() / 255
    assert torch.equal(SecondOrder(left_out=1.0).apply(clean, seeded()), clean)
    mild = {"left_out": 0.0, "blur_max": 0.1, "size_min": 1.0, "size_max": 1.0, "noise_max": 0.0, "quality_min": 95}

    def error(**settings: Any) -> float:
        return float((SecondOrder(**{**mild, **settings}).apply(clean, seeded()) - clean).square().mean())

    least = error()
    for worse in ({"blur_max": 3.0}, {"size_min": 0.3}, {"noise_max": 40.0}, {"quality_min": 5, "quality_max": 5}):
        assert error(**worse) > 1.5 * least


def test_jpeg_is_the_encoder() -> None:
    """The pixels are those of a file that is written and read with Pillow; the quality decides."""
    clean = torch.nn.functional.interpolate(torch.rand(1, 3, 8, 8, generator=seeded()), size=(40, 52), mode="bicubic")
    pixels = (clean.clamp(0, 1) * 255).round().byte()[0].permute(1, 2, 0).numpy()
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=10, subsampling=2)
    expected = torch.from_numpy(np.asarray(Image.open(stream)).copy()).permute(2, 0, 1)[None] / 255
    assert torch.equal(Jpeg(10, 10, full_colour_share=0).apply(clean, seeded()), expected)
    errors = [(Jpeg(q, q).apply(clean, seeded()) - clean.clamp(0, 1)).square().mean() for q in (5, 30, 95)]
    assert errors[0] > errors[1] > errors[2]


def test_holes_cover_the_stated_share_and_are_white() -> None:
    masks = FreeFormMask(0.3, 0.3).masks(4, 200, 180, seeded())
    assert masks.shape == (4, 1, 200, 180)
    assert masks.dtype == torch.bool
    assert (masks.float().mean((1, 2, 3)) - 0.7).abs().max() < 0.05
    holed = FreeFormMask().apply(torch.zeros(2, 3, 64, 64), seeded())
    assert set(holed.flatten().tolist()) == {0.0, 1.0}


def test_a_mixture_takes_its_parts_as_often_as_it_says() -> None:
    """Untouched images come back as they were; each other image is one part's work."""
    parts = (DegradationConfig("low-light", {"light_max": 0.01}), DegradationConfig("free-form-mask"))
    mixture = Mixture(parts, shares=(3, 1), untouched=0.2)
    clean = torch.full((400, 3, 16, 16), 0.5)
    images = mixture.apply(clean, seeded())
    untouched = (images == clean).flatten(1).all(1)
    dark = images.flatten(1).amax(1) < 0.4
    assert untouched.float().mean().item() == pytest.approx(0.2, abs=0.06)
    assert dark.float().mean().item() == pytest.approx(0.6, abs=0.08)


def test_a_sequence_is_one_after_another() -> None:
    """Its scale is the product, its margin in pixels of the clean image."""
    chain = Sequence((DegradationConfig("downsampling", {"factor": 2}), DegradationConfig("jpeg")))
    clean = torch.rand(2, 3, 64, 64, generator=seeded())
    generator = seeded(3)
    expected = Jpeg().apply(Downsampling(2).apply(clean, generator), generator)
    assert torch.equal(chain.apply(clean, seeded(3)), expected)
    assert (chain.scale, chain.margin) == (2, 4 + 2 * 16)


@pytest.mark.parametrize("name", ALONE)
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
    torch.testing.assert_close(Blur(kernels, (41, 41)).forward(points)[:, 0, 9:32, 9:32], kernels)


@pytest.mark.parametrize("size", [(40, 33), (7, 5), (1, 12)])
def test_blur_keeps_size_and_flat_areas(size: tuple[int, int]) -> None:
    """Reflection works on whole photos, and on images smaller than the kernel."""
    flat = torch.full((2, 3, *size), 0.3)
    torch.testing.assert_close(
        Blur(MotionBlur().kernels(2, seeded()), (flat.shape[-2], flat.shape[-1])).forward(flat), flat
    )


def test_blurred_photos_look_like_files() -> None:
    blurred = MotionBlur().apply(torch.rand(2, 3, 24, 24, generator=seeded()), seeded())
    assert all(on_8_bit_grid(image) for image in blurred)


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("motion-blur", {"length_min": 30.0}, "paths from 30 to 21"),
        ("motion-blur", {"length_min": 0.0}, "paths from 0"),
        ("motion-blur", {"noise_min": 3.0}, "noise from 3 to 2"),
        ("defocus-blur", {"radius_max": 0.2}, "radii"),
        ("gaussian-noise", {"sigma_min": -1.0}, "noise from -1"),
        ("gaussian-noise", {"sigma_min": 60.0}, "noise from 60 to 55"),
        ("camera-noise", {"shot_max": 2.0}, "shot noise"),
        ("sensor-noise", {"shot_min": 0.02}, "shot noise"),
        ("sensor-noise", {"size_min": 0.01}, "size"),
        ("sensor-noise", {"quality_max": 101}, "quality"),
        ("rain", {"layers_max": 0}, "layers"),
        ("rain", {"distance_max": 0.5}, "distance"),
        ("rain", {"veil_max": 1.5}, "veil"),
        ("haze", {"own_air_share": 2.0}, "own air"),
        ("low-light", {"highlights_max": 0.5}, "highlights"),
        ("second-order", {"rounds": 0}, "rounds"),
        ("second-order", {"size_min": 0.01}, "size"),
        ("second-order", {"quality_max": 101}, "quality"),
        ("haze", {"beta_min": 3.0}, "beta"),
        ("low-light", {"light_min": 0.0}, "light"),
        ("jpeg", {"quality_max": 101}, "quality"),
        ("downsampling", {"factor": 1}, "factor"),
        ("free-form-mask", {"hole_max": 1.0}, "holes"),
        ("mixture", {"parts": []}, "one or more"),
        ("mixture", {"shares": [1]}, "2 parts have 1 shares"),
        ("mixture", {"parts": [{"name": "jpeg"}, {"name": "downsampling"}]}, "one scale"),
        ("mixture", {"parts": [{"name": "jpegg"}]}, "Did you mean 'jpeg'"),
        ("sequence", {"parts": []}, "at least one part"),
        ("motion-blur", {"boundary": "zero"}, "'mirror', 'circular'"),
    ],
)
def test_impossible_settings_are_refused(name: str, options: dict[str, Any], words: str) -> None:
    """With the name of the degradation and of the setting."""
    with pytest.raises(UsageError, match=words):
        build_degradation(DegradationConfig(name, options))


def test_bins_are_those_of_gendeg(shared: Path) -> None:
    """The official quantiser's examples."""
    recorded = json.loads((shared / "golden" / "systems1_fingerprints.json").read_text())["gendeg_bins"]
    for column, name in enumerate(("mu", "sigma")):
        for value, number in recorded[name]:
            assert int(bins(torch.full((1, 2), value, dtype=torch.float64))[0, column]) == number, (name, value)


def test_amounts_are_mean_and_spread_of_the_change() -> None:
    """Over all pixels and channels, of what a file can hold."""
    clean = torch.rand(2, 3, 20, 20, generator=seeded())
    degraded = clean + torch.randn(clean.shape, generator=seeded(1))
    change = np.abs(clean.numpy() - degraded.clamp(0, 1).numpy()).reshape(2, -1)
    expected = torch.from_numpy(np.stack((change.mean(1), change.std(1)), axis=1))
    torch.testing.assert_close(amounts(clean, degraded), expected)


def test_matched_damage_is_as_strong_as_the_pairs() -> None:
    """Means come near those of the pairs where the damage alone is far from them; some are drawn evenly between."""
    clean = F.interpolate(torch.rand(400, 3, 4, 4, generator=seeded()), size=(16, 16), mode="bilinear")
    weak, strong = 0.8 * 8 / 255, 0.8 * 40 / 255  # the mean size of normal noise of 8 and of 40
    pairs = ((weak, 0.6 * 8 / 255), (strong, 0.6 * 40 / 255))
    part = DegradationConfig("gaussian-noise", {"quantised_share": 0.0})
    matched = Matched(part, pairs, tries=64, even_share=0.0)
    found = amounts(clean, matched.apply(clean, seeded(1)))[:, 0]
    near = (found - weak).abs() < 0.01, (found - strong).abs() < 0.01
    assert 0.4 < near[0].float().mean() < 0.6 and (near[0] | near[1]).float().mean() > 0.97
    alone = amounts(clean, GaussianNoise(quantised_share=0.0).apply(clean, seeded(1)))[:, 0]
    assert (((alone - weak).abs() < 0.01) | ((alone - strong).abs() < 0.01)).float().mean() < 0.5
    even = replace(matched, even_share=0.25).wanted(4000, seeded())
    between = (even[:, 0] > weak + 1e-6) & (even[:, 0] < strong - 1e-6)
    assert float(between.float().mean()) == pytest.approx(0.25, abs=0.03)
    assert even.amin(0).tolist() == pytest.approx(list(pairs[0])) and even.amax(0).tolist() == pytest.approx(pairs[1])


def test_matched_damage_keeps_holes_and_tasks() -> None:
    """What the part says of a picture is that of the draw that was kept."""
    parts = ({"name": "free-form-mask"}, {"name": "gaussian-noise", "options": {"sigma_min": 20}})
    clean = torch.rand(12, 3, 32, 32, generator=seeded())
    matched = Matched(DegradationConfig("mixture", {"parts": parts}), ((0.06, 0.05), (0.15, 0.28)), tries=4)
    assert matched.tasks == ("free-form-mask", "gaussian-noise")
    assert matched.margin == build_degradation(matched.part).margin
    seen, tasks = matched.draw(clean, seeded())
    assert tasks is not None and seen.known is not None
    holes = ~seen.known.flatten(1).all(1)
    assert torch.equal(holes, tasks == 0) and 0 < int(holes.sum()) < 12
    assert bool((seen.image.movedim(1, -1)[~seen.known[:, 0]] == 1).all())
    with pytest.raises(ValueError, match="changes the size"):
        Matched(DegradationConfig("downsampling"))
    with pytest.raises(ValueError, match="a mean and a spread"):
        Matched(amounts=((1.2, 0.1),))
