"""The weights in the package: small enough, rebuilt from themselves, and each better than nothing at its task."""

from pathlib import Path

import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

import irsde_cli
from irsde_cli import checkpoint
from irsde_cli.cli.program import app
from irsde_cli.degradations import DegradationConfig, build_degradation
from irsde_cli.images import read_picture, to_tensor
from irsde_cli.metrics.lpips import LpipsAlex
from irsde_cli.metrics.psnr import psnr
from irsde_cli.samplers.settings import Sampling
from irsde_cli.systems.diffusion import Diffusion
from irsde_cli.tasks import TASKS
from irsde_cli.weights import PRIOR, SHIPPED, find_weights, shipped_path
from irsde_cli.workflows.weights.push import repository
from tests.benchmarks import dead, gpu, spared
from tests.benchmarks.recipes import DEAD, FREE, RECIPES, commands

CLEAN = 34.0  # dB; the eight evaluations of denoise-small leave 33.9

GAINS: dict[str, tuple[DegradationConfig, float]] = {
    "denoise": (DegradationConfig("gaussian-noise", {"sigma_min": 25, "sigma_max": 25}), 7.5),
    "deblur": (DegradationConfig("motion-blur"), 1.0),
    "derain": (DegradationConfig("rain"), 4.0),
    "dehaze": (DegradationConfig("haze"), 3.0),
    "inpaint": (DegradationConfig("free-form-mask"), 10.0),
    "sr4": (DegradationConfig("downsampling"), 0.3),
    "jpeg": (DegradationConfig("jpeg", {"quality_min": 10, "quality_max": 10}), 0.6),
    "lowlight": (DegradationConfig("low-light"), 6.0),
}


def test_all_weights_fit_into_the_package() -> None:
    """4.1 MB each and 40 MB together, and nothing beside them."""
    folder = shipped_path(SHIPPED[0]).parent
    assert {path.stem for path in folder.glob("*.safetensors")} == set(SHIPPED)
    rows = [(row.weights, row.fast, row.sampled) for row in TASKS.values()]
    assert sorted([PRIOR, *(name for row in rows for name in row if name)]) == sorted(SHIPPED)
    assert all(shipped_path(name).stat().st_size <= 4.1e6 for name in SHIPPED)
    assert sum(shipped_path(name).stat().st_size for name in SHIPPED) <= 40e6


@pytest.mark.parametrize("name", SHIPPED)
def test_a_header_says_what_it_is(name: str) -> None:
    """The task, the data with their terms, the steps, and the tolerance of tiles; free ones have a licence too."""
    header, row = checkpoint.read_header(shipped_path(name)), TASKS[checkpoint.read_header(shipped_path(name)).task]
    assert name in (row.weights, row.fast, row.sampled, PRIOR)
    assert header.step > 0 and header.tile_tolerance is not None
    if name in FREE:
        assert "free photographs" in header.data and "CC BY" in header.licence
        assert header.weights_licence == "Apache-2.0"
    else:
        assert "BSDS500" in header.data and "non-commercial" in header.licence and not header.weights_licence


@pytest.mark.parametrize("name", SHIPPED)
def test_each_network_can_be_published(name: str) -> None:
    """Its card says the licence of free weights, and the terms of the data of all."""
    card = repository(name, "me/mine")["README.md"]
    assert isinstance(card, bytes)
    assert f"license: {'apache-2.0' if name in FREE else 'other'}\n" in card.decode()
    assert checkpoint.read_header(shipped_path(name)).licence in card.decode()


def test_what_is_known_stays_however_white() -> None:
    """A hole is what the mask says, never a colour: a white square that is known is still there."""
    image = torch.rand(3, 48, 64, generator=torch.Generator().manual_seed(0))
    image[:, 10:30, 8:28] = 1.0
    known = torch.ones(48, 64, dtype=torch.bool)
    known[34:40, 40:60] = False
    restorer = irsde_cli.load("inpaint")
    for mask in (None, known):
        restored = restorer(image, known=mask, sampling=Sampling(sampler="ode-1", steps=1))
        assert restored[:, 14:26, 12:24].min() > 0.9
    black = image.masked_fill(~known, 0.0)
    settings = {"known": known, "sampling": Sampling(sampler="ode-1", steps=1)}
    assert torch.equal(restorer(black, **settings), restorer(image, **settings))


@pytest.mark.parametrize("task", [task for task, row in TASKS.items() if row.weights])
def test_each_task_is_done(task: str, shared: Path) -> None:
    """On crops of photographs that no training saw, one evaluation is better than the input by the stated decibels."""
    config, least = GAINS[task]
    degradation, restorer = build_degradation(config), irsde_cli.load(task)
    once = Sampling("ode-1", 1) if isinstance(restorer, Diffusion) else None
    gains = []
    for index, path in enumerate(sorted((shared / "data/photos/val").iterdir())[:6]):
        clean = to_tensor(read_picture(path, path.name))[None, :, :192, :256]
        seen = degradation.observe(clean, torch.Generator().manual_seed(index))
        degraded = seen.image
        restored = restorer(degraded, known=seen.known, sampling=once)
        if seen.known is not None:
            restored = torch.where(seen.known, degraded, restored)
        before = torch.nn.functional.interpolate(degraded, size=clean.shape[-2:], mode="bicubic", antialias=True)
        gains.append(float(psnr(restored, clean) - psnr(before.clamp(0, 1), clean)))
    assert sum(gains) / len(gains) > least


@pytest.mark.parametrize("task", [task for task, row in TASKS.items() if row.fast])
def test_two_evaluations_of_a_fast_network_are_worth_eight(task: str, shared: Path) -> None:
    """LPIPS no worse than that of the task's other network at its default, and what is asked for is what is run."""
    config, _ = GAINS[task]
    degradation, lpips = build_degradation(config), LpipsAlex.load(shared / "weights" / "lpips_alex.safetensors")
    fast, usual = (checkpoint.load(find_weights(None, task, short=short).path).restorer for short in (True, False))
    distances = []
    for index, path in enumerate(sorted((shared / "data/photos/val").iterdir())[:6]):
        clean = to_tensor(read_picture(path, path.name))[None, :, :192, :256]
        degraded = degradation.apply(clean, torch.Generator().manual_seed(index))
        images = [fast(degraded, sampling=Sampling(steps=2)), usual(degraded)]
        with torch.inference_mode():
            distances.append([float(lpips(image, clean)) for image in images])
    few, many = torch.tensor(distances).mean(0)
    assert few <= many


@pytest.mark.parametrize(
    ("words", "fast"),
    [
        (["--steps", "2"], True),
        (["--steps", "4", "--seed", "3"], True),
        (["--steps", "5"], False),
        ([], False),
        (["--steps", "2", "--sampler", "ode-1"], False),
        (["--nodes", "100,50"], False),
        (["--steps", "2", "--nodes", "auto"], False),
        (["--steps", "2", "--estimate", "mean"], False),
    ],
)
def test_few_evaluations_take_the_fast_network(words: list[str], fast: bool, tmp_path: Path) -> None:
    """Unless anything else of the way to sample is said; the first line names what was taken."""
    task = next(task for task, row in TASKS.items() if row.fast)
    Image.new("RGB", (16, 16), (90, 120, 60)).save(tmp_path / "a.png")
    result = CliRunner().invoke(
        app, ["restore", str(tmp_path / "a.png"), str(tmp_path / "b.png"), "--task", task, *words]
    )
    assert result.exit_code == 0, result.stderr
    assert f", with {TASKS[task].fast if fast else TASKS[task].weights} on" in result.stderr.splitlines()[0]


def test_photographs_gain_and_clean_ones_stay(shared: Path) -> None:
    """Pairs of real photographs are better for it, and what has no noise is hardly touched."""
    restorer = irsde_cli.load("denoise")
    kept = []
    for path in sorted((shared / "data/photos/val").iterdir())[:4]:
        clean = to_tensor(read_picture(path, path.name))[None, :, :256, :256]
        kept.append(float(psnr(restorer(clean), clean)))
    assert sum(kept) / len(kept) > CLEAN
    for name, least in (("noise_cc", 1.0), ("noise_polyu", 0.7)):
        gains = []
        noisy, clean_files = (sorted((shared / "data/testsets" / name / part).iterdir()) for part in ("LQ", "GT"))
        for one, other in list(zip(noisy, clean_files, strict=True))[:: len(noisy) // 4]:
            degraded, clean = (
                to_tensor(read_picture(file, file.name))[None, :, 96:352, 96:352] for file in (one, other)
            )
            gains.append(float(psnr(restorer(degraded), clean) - psnr(degraded, clean)))
        assert sum(gains) / len(gains) > least


def test_the_network_for_noise_can_be_told(shared: Path) -> None:
    """What it is told decides how much it takes away."""
    restorer = irsde_cli.load("denoise")
    path = sorted((shared / "data/photos/val").iterdir())[0]
    clean = to_tensor(read_picture(path, path.name))[None, :, :128, :128]
    noisy = (clean + torch.randn(clean.shape, generator=torch.Generator().manual_seed(0)) * 15 / 255).clamp(0, 1)
    changes = [
        float((restorer(noisy, sampling=Sampling(noise_level=level)) - noisy).std()) for level in (2.0, 15.0, 50.0)
    ]
    assert changes == sorted(changes)


@pytest.mark.parametrize(
    ("words", "sampled"),
    [
        ([], False),
        (["--steps", "1"], False),
        (["--noise-level", "10"], False),
        (["--steps", "2"], True),
        (["--sampler", "ode-2", "--steps", "2"], True),
        (["--nodes", "100,50"], True),
        (["--samples", "2", "--steps", "2"], True),
        (["--estimate", "mean", "--steps", "2"], True),
    ],
)
def test_whoever_asks_for_a_sampler_gets_a_network_that_has_one(
    words: list[str], sampled: bool, tmp_path: Path
) -> None:
    """The default restores in one pass; the first line names what was taken."""
    Image.new("RGB", (16, 16), (90, 120, 60)).save(tmp_path / "a.png")
    result = CliRunner().invoke(
        app, ["restore", str(tmp_path / "a.png"), str(tmp_path / "b.png"), "--task", "denoise", *words]
    )
    assert result.exit_code == 0, result.stderr
    row = TASKS["denoise"]
    assert f", with {row.sampled if sampled else row.weights} on" in result.stderr.splitlines()[0]


@pytest.mark.parametrize("name", gpu.PRESETS)
def test_what_a_gpu_is_asked_to_train_is_what_train_takes(name: str, tmp_path: Path) -> None:
    """Each word of the prepared script's commands, from its own defaults."""
    given = gpu.parser().parse_args([str(tmp_path), str(tmp_path / "out"), "--work", str(tmp_path), "--device", "cpu"])
    words = gpu.words(name, given)
    at = words.index("--data")
    result = CliRunner().invoke(app, words[:at] + words[at + 2 :])
    assert result.exit_code == 2 and "--data is missing" in result.stderr, result.output


def test_what_a_gpu_is_asked_to_measure_is_what_is_measured(tmp_path: Path) -> None:
    given = gpu.parser().parse_args([str(tmp_path), str(tmp_path / "out"), "--device", "cpu", "--frame", "64x48"])
    measured = spared.parser().parse_args(gpu.sparing(given))
    assert (measured.frame, measured.size, measured.device) == ((64, 48), given.speed_size, "cpu")


def test_each_network_has_its_recipe(tmp_path: Path) -> None:
    """One command trains it, in parts that `irsde train` takes, for as many steps as its header says of the last."""
    assert set(RECIPES) == set(SHIPPED)
    for name in SHIPPED:
        for program, *words in commands(name, tmp_path, tmp_path):
            if program == DEAD:
                assert dead.parser().parse_args(words).out is not None
                continue
            told = words[:3] + words[5:]  # all but --data
            assert words[3] == "--data" and "--steps" in told
            result = CliRunner().invoke(app, told)
            assert result.exit_code == 2 and "--data is missing" in result.stderr, result.output
        steps = int(words[words.index("--steps") + 1])
        assert checkpoint.read_header(shipped_path(name)).step == steps
