"""What training sees: crops that keep pairs together, and depend on their generator alone."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from irsde_cli.degradations import DegradationConfig, build_degradation
from irsde_cli.errors import UsageError
from irsde_cli.observation import Observation
from irsde_cli.operators import OperatorConfig, build_recipe
from irsde_cli.training.config import TrainConfig
from irsde_cli.training.data import (
    Augmentation,
    Batch,
    CleanSource,
    Pictures,
    batches,
    load_clean,
    load_pairs,
    mirrored,
)
from irsde_cli.workflows.train.beginning import matched
from irsde_cli.workflows.train.options import RunConfig
from tests.extras import ALONE

CPU = torch.device("cpu")


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def photos(folder: Path, count: int = 3, size: tuple[int, int] = (90, 100)) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for index in range(count):
        Image.fromarray((rng.random((*size, 3)) * 255).astype(np.uint8)).save(folder / f"{index}.png")
    return folder


def images(batch: Batch) -> tuple[Tensor, Tensor]:
    return batch.clean, batch.observation.image


@pytest.mark.parametrize("name", ALONE)
def test_a_sample_depends_on_its_generator_alone(tmp_path: Path, name: str) -> None:
    """Crops come with their surroundings where the degradation reads beyond them, and have their scale."""
    degradation = build_degradation(DegradationConfig(name))
    source = load_clean(photos(tmp_path / "p"), degradation, crop=32, device=CPU, skip_bad=None)
    sample, again = source.sample(32, seeded(5)), source.sample(32, seeded(5))
    assert sample.clean.shape == (1, 3, 32, 32)
    assert sample.observation.image.shape == (1, 3, 32 // degradation.scale, 32 // degradation.scale)
    assert torch.equal(sample.clean, again.clean)
    assert torch.equal(sample.observation.image, again.observation.image)
    assert (sample.observation.known is not None) == name.endswith("-mask")
    assert not torch.equal(sample.clean, source.sample(32, seeded(6)).clean)
    name_, whole = source.pair(1, 64, 0)
    assert (name_, whole.clean.shape) == ("1", (1, 3, 64, 64))
    assert torch.equal(whole.observation.image, source.pair(1, 64, 0)[1].observation.image)


@pytest.mark.parametrize(
    ("name", "operator", "settings"),
    [
        ("motion-blur", "blur", {"kernel": "motion"}),
        ("defocus-blur", "blur", {"kernel": "gaussian"}),
        ("downsampling", "bicubic", {"factor": 4}),
        ("random-mask", "mask", {"share": 0.5}),
        ("free-form-mask", "mask", {"share": 0.5}),
        ("gaussian-noise", "identity", {}),
    ],
)
def test_training_damages_with_the_operators_of_restoring(
    tmp_path: Path, name: str, operator: str, settings: dict[str, Any]
) -> None:
    """One implementation: what a lesson was damaged with is what zero-shot restoration would be told, and did it."""
    degradation = build_degradation(DegradationConfig(name))
    source = load_clean(photos(tmp_path / "p"), degradation, crop=64, device=CPU, skip_bad=None)
    _, lesson = source.pair(1, 64, 0)
    told, seen = lesson.observation.operator, lesson.observation
    assert type(told) is type(build_recipe(OperatorConfig(operator, settings)).build((64, 64)))
    missed = told.seen(seen.image) - told.forward(lesson.clean)
    noise = 1 / 255 if seen.noise_std is None else seen.noise_std
    assert float(missed.square().mean().sqrt()) <= noise + 0.5 / 255


def test_hidden_colours_are_not_learnt(tmp_path: Path) -> None:
    """Pictures that look alike are one lesson, on either side of a pair."""
    degradation = build_degradation(DegradationConfig("gaussian-noise"))
    alpha = np.zeros((90, 100, 1), np.uint8)
    alpha[20:60, 30:80] = 255
    for name, value in (("black", 0), ("white", 255)):
        for path in photos(tmp_path / name).iterdir():
            colours = np.where(alpha > 0, np.asarray(Image.open(path)), value).astype(np.uint8)
            Image.fromarray(np.dstack([colours, alpha])).save(path)
    sources = [
        load_clean(tmp_path / name, degradation, crop=32, device=CPU, skip_bad=None) for name in ("black", "white")
    ]
    pairs = load_pairs(
        tmp_path / "black", tmp_path / "white", template="{stem}", crop=32, scale=1, device=CPU, skip_bad=None
    )
    for seed in range(5):
        one, other = (source.sample(32, seeded(seed)).clean for source in sources)
        assert torch.equal(one, other)
        assert torch.equal(*images(pairs.sample(32, seeded(seed))))


def test_a_degraded_crop_is_a_crop_of_the_degraded_picture(tmp_path: Path) -> None:
    """For downsampling, which draws nothing, in every symmetry and place."""
    degradation = build_degradation(DegradationConfig("downsampling", {"quantised": False}))
    source = load_clean(photos(tmp_path / "p", 1, (96, 96)), degradation, crop=32, device=CPU, skip_bad=None)
    for seed in range(12):
        clean, degraded = images(source.sample(32, seeded(seed)))
        inner = (..., slice(2, -2), slice(2, -2))  # what is outside the crop lies two small pixels deep
        again = degradation.apply(clean, seeded(0))
        torch.testing.assert_close(degraded[inner], again[inner], atol=1e-5, rtol=0)


def test_some_samples_are_enlarged_before_they_are_degraded(tmp_path: Path) -> None:
    """Their pixels are as soft as those of a camera, noise is not; none are where nobody asked for it."""
    degradation = build_degradation(DegradationConfig("gaussian-noise", {"sigma_min": 50, "sigma_max": 50}))
    folder = photos(tmp_path / "p")

    def roughness(image: Tensor) -> float:
        return float((image[..., 1:] - image[..., :-1]).std() / image.std())

    plain = load_clean(folder, degradation, crop=32, device=CPU, skip_bad=None)
    some = load_clean(folder, degradation, crop=32, device=CPU, skip_bad=None, augmentation=Augmentation(0.5, 3.0))
    rough = [roughness(plain.sample(32, seeded(seed)).clean) for seed in range(24)]
    soft = [roughness(some.sample(32, seeded(seed)).clean) for seed in range(24)]
    assert min(rough) > 1.3 and max(soft) > 1.3 and min(soft) < 0.9
    assert 6 <= sum(found < min(rough) for found in soft) <= 18
    clean, degraded = images(some.sample(32, seeded(soft.index(min(soft)))))
    assert clean.shape == degraded.shape == (1, 3, 32, 32)
    assert roughness(degraded - clean) > 1.3


def test_some_samples_are_cut_larger_and_reduced(tmp_path: Path) -> None:
    """They show more of a picture, at most all of it, and are as sharp as the others."""
    folder = tmp_path / "p"
    folder.mkdir()
    ramp = np.tile(np.linspace(0, 255, 90).astype(np.uint8)[:, None, None], (1, 120, 3))
    Image.fromarray(ramp).save(folder / "ramp.png")
    nothing = build_degradation(DegradationConfig("gaussian-noise", {"sigma_min": 0, "sigma_max": 0}))
    some = load_clean(
        folder,
        nothing,
        crop=32,
        device=CPU,
        skip_bad=None,
        augmentation=Augmentation(reduced_share=0.5, reduced_max=8.0),
    )
    views = [float(image.max() - image.min()) for image in (some.sample(32, seeded(seed)).clean for seed in range(40))]
    assert sum(view < 0.4 for view in views) >= 10 and sum(view > 0.9 for view in views) >= 5


def test_some_samples_get_lines_that_both_pictures_show(tmp_path: Path) -> None:
    """They are parallel, lie over a part, and the degradation comes after them."""
    folder = tmp_path / "p"
    folder.mkdir()
    Image.new("RGB", (96, 96), (128, 128, 128)).save(folder / "grey.png")
    nothing = build_degradation(DegradationConfig("gaussian-noise", {"sigma_min": 0, "sigma_max": 0}))
    some = load_clean(folder, nothing, crop=64, device=CPU, skip_bad=None, augmentation=Augmentation(lined_share=0.5))
    lined = 0
    for seed in range(30):
        clean, degraded = images(some.sample(64, seeded(seed)))
        torch.testing.assert_close(clean, degraded, atol=0.6 / 255, rtol=0)  # what a file of 8 bits rounds away
        if clean.std() > 1e-3:
            lined += 1
            spectrum = torch.fft.rfft2(clean[0, 0] - clean.mean()).abs()
            assert spectrum.max() > 8 * spectrum.mean()
    assert 8 <= lined <= 22


@pytest.mark.parametrize("scale", [1, 4])
def test_flips_and_turns_keep_pairs_together(tmp_path: Path, scale: int) -> None:
    """A degraded file that is the clean one at a lower resolution stays so in every sample."""
    for index, path in enumerate(sorted(photos(tmp_path / "GT", 2, (64, 48)).iterdir())):
        with Image.open(path) as image:
            small = np.asarray(image)[::scale, ::scale]
            enlarged = small.repeat(scale, 0).repeat(scale, 1)
        Image.fromarray(enlarged).save(path)
        (tmp_path / "LQ").mkdir(exist_ok=True)
        Image.fromarray(small).save(tmp_path / "LQ" / f"{index}.png")
    source = load_pairs(
        tmp_path / "GT", tmp_path / "LQ", template="{stem}", crop=16, scale=scale, device=CPU, skip_bad=None
    )
    seen = set()
    for seed in range(40):
        clean, degraded = images(source.sample(16, seeded(seed)))
        assert torch.equal(clean, degraded.repeat_interleave(scale, -1).repeat_interleave(scale, -2))
        seen.add(clean.sum().item())
    assert len(seen) > 30
    clean, degraded = images(source.pair(0, 40, 0)[1])
    assert torch.equal(clean, degraded.repeat_interleave(scale, -1).repeat_interleave(scale, -2))


def test_small_pictures_are_mirrored() -> None:
    """Until they are large enough, and at any scale in the same way."""
    image = torch.arange(6).reshape(1, 2, 3)
    assert mirrored(image, 5)[0].tolist() == [
        [0, 1, 2, 2, 1],
        [3, 4, 5, 5, 4],
        [3, 4, 5, 5, 4],
        [0, 1, 2, 2, 1],
        [0, 1, 2, 2, 1],
    ]
    assert torch.equal(mirrored(image, 2), image)
    enlarged = image.repeat_interleave(4, -1).repeat_interleave(4, -2)
    assert torch.equal(mirrored(enlarged, 40), mirrored(image, 10).repeat_interleave(4, -1).repeat_interleave(4, -2))


def test_pictures_beyond_the_memory_are_read_again(tmp_path: Path) -> None:
    """What does not fit gives the same samples."""
    paths = sorted(photos(tmp_path / "p").iterdir())
    kept, read = (Pictures(paths, root=tmp_path, smallest=16, memory=memory, device=CPU) for memory in (10**9, 30000))
    assert kept.load() == read.load() == []
    assert [picture is None for picture in read._kept] == [False, True, True]
    noise = build_degradation(DegradationConfig("gaussian-noise"))
    for seed in range(6):
        one, other = (CleanSource(pictures, noise, CPU).sample(16, seeded(seed)) for pictures in (kept, read))
        assert torch.equal(one.observation.image, other.observation.image)


@pytest.mark.parametrize("workers", [1, 3])
def test_batches_come_in_order(tmp_path: Path, workers: int) -> None:
    """Whoever makes them; and nothing runs on when the consumer stops."""
    noise = build_degradation(DegradationConfig("gaussian-noise"))
    source = load_clean(photos(tmp_path / "p"), noise, crop=16, device=CPU, skip_bad=None)
    made = list(batches(source, 16, ([seeded(2 * n), seeded(2 * n + 1)] for n in range(9)), workers))
    assert len(made) == 9
    for n, batch in enumerate(made):
        clean, degraded = images(source.sample(16, seeded(2 * n + 1)))
        assert torch.equal(batch.clean[1:], clean) and torch.equal(batch.observation.image[1:], degraded)
    endless = batches(source, 16, ([seeded(n)] for n in range(10**9)), workers)
    next(endless)
    endless.close()  # type: ignore[attr-defined]


def test_holes_are_told_beside_the_picture() -> None:
    """Of samples together, of parts that make none, and where a pair is swapped."""
    clean = torch.rand(6, 3, 16, 16)
    blind = build_degradation(
        DegradationConfig("mixture", {"parts": [{"name": "free-form-mask"}, {"name": "gaussian-noise"}]})
    )
    seen = blind.observe(clean, seeded(3))
    assert seen.known is not None
    holes = ~seen.known.flatten(1).all(1)
    assert 0 < holes.sum() < 6, "this seed draws both parts"
    assert (seen.image.masked_select(~seen.known) == 1).all()
    one, known = clean[:1], seen.known[:1]
    together = Batch.of([Batch(one, Observation(one)), Batch(one, Observation(one, ~known))]).observation.known
    assert together is not None and torch.equal(together, torch.cat((torch.ones_like(known), ~known)))
    parts = [{"name": "free-form-mask"}, {"name": "downsampling"}]
    after = build_degradation(DegradationConfig("sequence", {"parts": parts}))
    small = after.observe(clean, seeded(3))
    assert small.known is not None and small.known.shape[-2:] == small.image.shape[-2:]


def test_damage_is_matched_to_pairs(tmp_path: Path) -> None:
    """The amounts of crops of the pairs go into the settings; then crops are changed as much as those are."""
    folder = photos(tmp_path / "clean")
    for path in folder.glob("*.png"):
        for half, sigma in (("GT", 0), ("LQ", 15)):
            (tmp_path / "pairs" / half).mkdir(parents=True, exist_ok=True)
            noise = np.random.default_rng(1).normal(0, sigma, (90, 100, 3))
            pixels = np.clip(np.asarray(Image.open(path)) + noise, 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "pairs" / half / path.name)
    config = TrainConfig(
        task="denoise",
        model={"network": {"name": "pocket-unet"}},
        degradation=DegradationConfig("gaussian-noise"),
        crop=32,
    )
    again = [matched(config, tmp_path / "pairs", RunConfig()) for _ in range(2)]
    assert again[0] == again[1], "the same pairs give the same settings, so that a run goes on"
    found = again[0].degradation
    assert found is not None and found.name == "matched"
    assert len(found.options["amounts"]) >= 64
    means = torch.tensor(found.options["amounts"])[:, 0]
    assert means.min() > 0.03 and means.max() < 0.06  # the mean size of noise of 15 is 12 of 255
    source = load_clean(folder, build_degradation(found), crop=32, device=torch.device("cpu"), skip_bad=None)
    changed = []
    for seed in range(24):
        one = source.sample(32, seeded(seed))
        changed.append(float((one.clean - one.observation.image.clamp(0, 1)).abs().mean()))
    assert sum(changed) / 24 == pytest.approx(float(means.mean()), rel=0.1)
    with pytest.raises(UsageError, match="no folders of pairs to match"):
        matched(config, folder, RunConfig())
    with pytest.raises(UsageError, match="these settings damage none"):
        matched(replace(config, degradation=None), tmp_path / "pairs", RunConfig())
