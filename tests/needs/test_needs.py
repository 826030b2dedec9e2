"""What a picture needs: damage shows, clean pictures have none of it."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile
from torch import Tensor
from torch.nn import functional as F

from irsde_cli import checkpoint
from irsde_cli.engine.restoration import Restoration
from irsde_cli.engine.settings import Settings
from irsde_cli.images import read_picture, to_tensor
from irsde_cli.needs import AFTER, BEFORE, GLANCED, JUDGED, KEPT, SIGNS, Need, need, noise, planes
from irsde_cli.needs.blocks import WITHIN, find_grid, transformed
from irsde_cli.needs.planes import luma
from irsde_cli.needs.reduction import BAND, consistent, copy_of, resized
from irsde_cli.needs.tempering import GLANCE, glanced, tempered
from irsde_cli.weights import shipped_path
from tests.benchmarks.trust import One, read

SIDE = 128


@pytest.fixture(scope="module")
def clean() -> Tensor:
    """Discs of many sizes and colours, (3, H, W) in 8-bit steps: sharp edges in all directions."""
    generator = np.random.default_rng(0)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    picture = np.full((3, SIDE, SIDE), 0.5)
    for _ in range(60):
        row, column, radius = generator.integers(0, SIDE, 3)
        inside = (rows - row) ** 2 + (columns - column) ** 2 < (3 + radius / 6) ** 2
        picture = np.where(inside, generator.uniform(0, 1, (3, 1, 1)), picture)
    return torch.from_numpy((picture * 255).round() / 255).float()


def saved(picture: Tensor, quality: int) -> Tensor:
    pixels = (picture * 255).round().byte().permute(1, 2, 0).numpy()
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=quality)
    return to_tensor(read_picture(stream.getvalue(), "a.jpg"))


def moved(picture: Tensor) -> Tensor:
    """Blurred along the rows alone."""
    return F.avg_pool2d(F.pad(picture[None], (5, 5, 0, 0), mode="replicate"), (1, 11), stride=1)[0]


def test_every_measure_has_its_figures_and_every_figure_its_measure() -> None:
    assert sorted((*BEFORE, *AFTER, *GLANCED)) == sorted(SIGNS), "each has one"
    assert set(JUDGED) == {*SIGNS, *KEPT}


@pytest.mark.parametrize("task", BEFORE)
def test_a_clean_picture_needs_nothing(task: str, clean: Tensor) -> None:
    found = need(task, clean)
    assert found.weight == 0, found.words


def test_damage_is_seen(clean: Tensor) -> None:
    damaged = {"deblur": moved(clean), "jpeg": saved(clean, 30), "lowlight": clean / 8}
    assert set(damaged) == set(BEFORE)
    for task, picture in damaged.items():
        found = need(task, picture)
        assert found.weight == 1, found.words


@pytest.mark.parametrize("task", BEFORE)
@pytest.mark.parametrize("size", [(1, 1), (3, 40), (17, 9)])
def test_any_size_is_measured(task: str, size: tuple[int, int]) -> None:
    found = need(task, torch.rand(3, *size))
    assert 0 <= found.weight <= 1


@pytest.mark.parametrize("quality", [20, 50])
def test_the_steps_of_a_jpeg_are_read_from_its_pixels(quality: int, clean: Tensor) -> None:
    """They are those of its table, also where the first rows and columns are gone."""
    stream = io.BytesIO()
    Image.new("L", (8, 8)).save(stream, "JPEG", quality=quality)
    stream.seek(0)
    table = torch.tensor(JpegImageFile(stream).quantization[0]).reshape(8, 8)
    for top, left in ((0, 0), (3, 5)):
        grid = find_grid(saved(clean, quality)[:, top:, left:])
        assert grid is not None
        assert ((grid.top + top) % 8, (grid.left + left) % 8) == (0, 0)
        shown = (grid.steps > 1) & (table <= 64)
        assert int(shown.sum()) >= 5
        torch.testing.assert_close(grid.steps[shown], table[shown].float(), rtol=0.05, atol=0)


def test_a_restored_jpeg_could_have_been_rounded_to_what_it_was(clean: Tensor) -> None:
    """Every cosine stays near that of the file, which takes a wrong result nearer to the clean picture."""
    degraded = saved(clean, 20)
    grid = find_grid(degraded)
    assert grid is not None
    wrong = (degraded + 0.2 * torch.rand(degraded.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 1)
    restored, _ = tempered(degraded, wrong.clone(), need("jpeg", degraded))
    assert (grid.top, grid.left) == (0, 0)
    given, made = (transformed(255 * luma(image)).reshape(-1, 8, 8) for image in (degraded, restored))
    inner = (255 * restored > 1).all() & (255 * restored < 254).all()  # what is clipped moves again
    allowed = WITHIN * torch.where(grid.steps > 1, grid.steps, grid.steps[grid.steps > 1].median())
    missed = ((made - given).abs() - allowed).clamp_min(0)
    assert float(missed.mean()) < (0.01 if inner else 0.5)
    assert float((restored - clean).square().mean()) < float((wrong - clean).square().mean())


def test_a_fine_jpeg_needs_nothing(clean: Tensor) -> None:
    assert need("jpeg", saved(clean, 95)).weight == 0


def test_noise_counts_and_detail_does_not(clean: Tensor) -> None:
    """What is taken alike everywhere is noise; what is taken from edges alone is the picture's own."""
    noisy = clean + 12 / 255 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    restored, found = tempered(noisy, clean.clone(), need("denoise", noisy))
    assert found.weight > 0.8
    assert float((restored - clean).square().mean()) < 0.1 * float((noisy - clean).square().mean())

    smooth = F.avg_pool2d(F.pad(clean[None], (1,) * 4, mode="replicate"), 3, stride=1)[0]
    restored, found = tempered(clean, torch.lerp(clean, smooth, 0.3), need("denoise", clean))
    assert found.weight == 0, found.words
    assert torch.equal(restored, clean)


def test_noise_in_a_half_of_a_picture_is_taken_from_that_half(clean: Tensor) -> None:
    """The other half keeps its detail, of which a denoiser took a part; no edge shows in how much is taken."""
    wide = clean.repeat(1, 2, 4)
    middle = wide.shape[2] // 2
    smooth = F.avg_pool2d(F.pad(wide[None], (1,) * 4, mode="replicate"), 3, stride=1)[0]
    noise = 25 / 255 * torch.randn(wide.shape, generator=torch.Generator().manual_seed(0))
    noise[..., :middle] = 0
    share = AFTER.load("denoise")(wide + noise, torch.lerp(wide, smooth, 0.3))[1](slice(0, SIDE))
    result, _ = tempered(wide + noise, torch.lerp(wide, smooth, 0.3), need("denoise", wide))
    lost = [
        float((result - wide)[..., part].square().mean().sqrt()) for part in (slice(middle - 64), slice(middle, None))
    ]
    assert lost[0] < 1.4 / 255, "45 dB"
    assert lost[1] < 0.2 * 25 / 255
    assert float((share[..., 1:] - share[..., :-1]).abs().max()) < 0.2


def test_uneven_noise_counts_however_uneven(clean: Tensor) -> None:
    """Noise of the light alone leaves nothing like detail, and noise of the even parts alone is no texture."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(clean.shape, generator=generator)
    flat = F.avg_pool2d(F.pad(clean[None], (8,) * 4, mode="replicate"), 17, stride=1)[0]
    bright = (flat + 0.3 * flat**2 * noise).clamp(0, 1)
    _, found = tempered(bright, flat.clone(), need("denoise", bright))
    assert found.weight > 0.9, found.words

    edges = (clean - flat).abs().mean(0).sqrt()
    even = clean + 8 / 255 * (1 - edges).clamp_min(0) ** 2 * noise
    _, found = tempered(even, clean.clone(), need("denoise", even))
    assert found.weight > 0.9, found.words


def test_streaks_count_and_structures_do_not(clean: Tensor) -> None:
    """Slanted lines all over are rain; discs that vanish are none."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    streaks = torch.from_numpy(((columns + rows // 3) % 16 < 2) * 0.3).float()
    rainy = (clean * 0.7 + streaks).clamp(0, 1)
    restored, found = tempered(rainy, clean * 0.7, need("derain", rainy))
    assert found.weight == 1, found.words
    torch.testing.assert_close(restored, clean * 0.7)

    restored, found = tempered(clean, torch.full_like(clean, 0.5), need("derain", clean))
    assert found.weight == 0, found.words
    assert torch.equal(restored, clean)


def test_structures_of_the_picture_count_less_than_rain() -> None:
    """Upright lines that lose a half of their height go where upright lines stay."""
    lines = torch.from_numpy(np.tile((np.arange(SIDE) % 11 < 4) * 0.4 + 0.3, (3, SIDE, 1))).float()
    _, of_its_own = tempered(lines, 0.5 + (lines - 0.5) / 2, need("derain", lines))
    _, rain = tempered(lines, torch.full_like(lines, 0.3), need("derain", lines))
    assert of_its_own.weight < 0.5 < rain.weight == 1


def test_what_may_be_texture_is_changed_by_no_more_than_nobody_sees(clean: Tensor) -> None:
    """Fine detail everywhere, of which a denoiser took a part in proportion: 45 dB stay."""
    rows, columns = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    strength = 0.02 + 0.1 * columns / SIDE
    detail = (strength * torch.sin(1.9 * columns + 0.7 * rows)).expand(3, -1, -1)
    textured = (0.5 + detail).clamp(0, 1)
    smoothed = (0.5 + 0.5 * detail).clamp(0, 1)
    assert float((textured - smoothed).square().mean().sqrt()) > 3 / 255
    restored, _ = tempered(textured, smoothed.clone(), need("denoise", textured))
    assert float((textured - restored).square().mean().sqrt()) < 1.4 / 255


def test_haze_counts_and_a_little_more_contrast_does_not(clean: Tensor) -> None:
    """Haze takes contrast from most of a scene."""
    transmission = torch.linspace(0.3, 0.7, SIDE)[:, None]
    hazy = clean * transmission + 0.85 * (1 - transmission)
    found = glanced(hazy, need("dehaze", hazy), lambda _: clean)
    assert found.weight == 1, found.words
    torch.testing.assert_close(tempered(hazy, clean.clone(), found)[0], clean)

    livelier = (0.5 + 1.2 * (clean - 0.5)).clamp(0, 1)
    found = glanced(clean, need("dehaze", clean), lambda _: livelier)
    assert found.weight == 0, found.words


def test_haze_does_not_depend_on_the_size_of_the_picture(clean: Tensor) -> None:
    """A network that does less to larger pictures is asked about a copy of one size."""
    hazy = (0.5 * clean + 0.4).repeat_interleave(8, 1).repeat_interleave(8, 2)
    sides: list[int] = []

    def weak(image: Tensor) -> Tensor:
        sides.append(image.shape[-1])
        return (image - 0.4 * min(1, 350 / image.shape[-1])) * (1 + min(1, 350 / image.shape[-1]))

    found = [glanced(picture, need("dehaze", picture), weak) for picture in (hazy, (hazy[:, ::2, ::2] * 255).byte())]
    assert [one.weight for one in found] == [1, 1], found
    assert sides[0] == sides[1] <= 1.01 * GLANCE**0.5


def test_the_copy_of_a_large_picture_keeps_its_means() -> None:
    """Also where rows and columns are left out first; a small picture is its own copy."""
    slope = torch.linspace(0, 1, 900).expand(3, 700, -1)
    copy = copy_of(slope, 900)
    assert copy.shape == (3, 26, 34)
    torch.testing.assert_close(copy.mean((0, 1)), (torch.arange(34) + 0.5) / 34, atol=0.02, rtol=0)
    assert torch.equal(copy_of(slope, 700 * 900), slope)


@pytest.mark.parametrize("task", AFTER)
@pytest.mark.parametrize("size", [(1, 1), (3, 40), (17, 9)])
def test_what_a_network_did_is_measured_at_any_size(task: str, size: tuple[int, int]) -> None:
    restored, found = tempered(torch.rand(3, *size), torch.rand(3, *size), need(task, torch.rand(3, *size)))
    assert 0 <= found.weight <= 1
    assert bool(restored.isfinite().all())


@pytest.mark.parametrize("task", ["sr2", "sr3", "sr4"])
def test_an_enlarged_picture_made_small_again_is_its_input(task: str, clean: Tensor) -> None:
    """Whatever the network made of it, one step of back-projection leaves a fraction of what is missed."""
    scale = int(task[2:])
    wrong = F.interpolate(clean[None], scale_factor=scale, mode="nearest")[0] * 0.9
    found = need(task, clean)
    assert (found.weight, found.open) == (1, False)
    restored, _ = tempered(clean, wrong.clone(), found)
    missed = [float((resized(image, clean) - clean).square().mean().sqrt()) for image in (wrong, restored)]
    assert missed[1] < 0.4 * missed[0]


def test_bands_of_an_enlarged_picture_leave_no_seam() -> None:
    """What is added band by band is what the whole picture at once would get."""
    generator = torch.Generator().manual_seed(0)
    degraded = torch.rand(3, 2 * BAND + 5, 9, generator=generator) * 0.4 + 0.3
    wrong = torch.rand(3, 2 * degraded.shape[1], 18, generator=generator) * 0.4 + 0.3
    whole = (wrong + resized(degraded - resized(wrong, degraded), wrong)).clamp(0, 1)
    torch.testing.assert_close(consistent(degraded, wrong.clone()), whole)


def test_a_half_need_is_a_half_of_the_difference() -> None:
    degraded, restored = torch.zeros(3, 4, 4), torch.ones(3, 4, 4)
    half, _ = tempered(degraded, restored, Need("jpeg", 0.5))
    torch.testing.assert_close(half, torch.full((3, 4, 4), 0.5))


@pytest.mark.parametrize("task", BEFORE)
def test_photographs_without_damage_need_nothing(task: str, shared: Path) -> None:
    """Every second one of Kodak, but for at most one of each task: dusk looks like darkness."""
    places = sorted((shared / "data/testsets/kodak24").iterdir())[::2]
    needed = [path.name for path in places if need(task, to_tensor(read_picture(path, path.name))).weight]
    assert len(needed) <= 1, needed


def test_noisy_photographs_are_restored(shared: Path) -> None:
    """Phones in the dark, scans and old cameras: hardly anything of what the network takes out is left."""
    restoration = Restoration(checkpoint.load(shipped_path("denoise-photo")), Settings(), torch.device("cpu"))
    paths = sorted((shared / "data/real/noise").iterdir())
    assert paths
    for path in paths:
        picture = read(path, 128)
        *_, outputs = restoration.sample([One(path.name, picture)])
        assert isinstance(outputs, list), "the last thing that a batch yields is its outputs"
        restored = outputs[0].images[""].float().clone()
        _, found = tempered(picture, restored, need("denoise", picture))
        assert found.weight > 0.7, path.name


def test_hazy_photographs_are_found_at_their_own_size(shared: Path) -> None:
    """Whatever that is; of clear ones a few that are pale are not told from them."""
    restoration = Restoration(checkpoint.load(shipped_path("dehaze-photo")), Settings(), torch.device("cpu"))

    def weight(path: Path) -> float:
        picture = to_tensor(read_picture(path, path.name))
        settled = restoration.settled(One(path.name, picture, need=need("dehaze", picture)))
        assert settled is not None
        return settled.weight

    for folder in ("data/real/haze", "data/testsets/sots_outdoor/LQ"):
        for path in (shared / folder).iterdir():
            assert weight(path) > 0, path.name
    clear = [path.name for path in sorted((shared / "data/photos_free/val").iterdir()) if weight(path)]
    assert len(clear) <= 2, clear


@pytest.mark.parametrize("task", [*AFTER, "jpeg"])
@pytest.mark.parametrize("top", [0, 3])
def test_bands_of_a_picture_change_no_bit(task: str, top: int, clean: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is told of a picture, and taken of its result, is what the whole picture at once would get."""
    generator = torch.Generator().manual_seed(0)
    degraded = saved(clean.repeat(1, 3, 2) + 0.03 * torch.randn(3, 3 * SIDE, 2 * SIDE, generator=generator), 20)[
        :, top:-3, 5:
    ]
    restored = F.avg_pool2d(F.pad(degraded[None], (1,) * 4, mode="replicate"), 3, stride=1)[0]
    samples = (degraded * 255).round().byte()
    found = []
    for band, windows, picture in ((4096, 1 << 20, degraded), (16, 1, degraded), (40, 7, samples)):
        monkeypatch.setattr(planes, "BAND", band)
        monkeypatch.setattr(noise, "WINDOWS", windows)
        result = restored.clone()
        made, needed = tempered(picture, result, replace(need(task, picture), weight=0.7))
        assert made is result
        found.append((made, round(needed.weight, 5), needed.words))
    assert not torch.equal(found[0][0], restored)
    for other in found[1:]:
        assert torch.equal(other[0], found[0][0])
        assert other[1:] == found[0][1:]
