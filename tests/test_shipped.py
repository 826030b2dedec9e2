"""The weights in the package: small enough, rebuilt from themselves, and each better than nothing at its task."""

from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

import irsde_cli
from irsde_cli import checkpoint
from irsde_cli.cli.program import app
from irsde_cli.degradations import DegradationConfig, build_degradation
from irsde_cli.degradations.free_form_mask import FreeFormMask
from irsde_cli.images import read_picture, to_tensor
from irsde_cli.metrics.psnr import psnr
from irsde_cli.samplers.settings import Sampling
from irsde_cli.tasks import TASKS
from irsde_cli.weights import SHIPPED, shipped_path
from tests.benchmarks.recipes import RECIPES, commands

GAINS: dict[str, tuple[DegradationConfig, float]] = {
    "denoise": (DegradationConfig("gaussian-noise", {"sigma_min": 25, "sigma_max": 25}), 8.0),
    "deblur": (DegradationConfig("motion-blur"), 1.0),
    "derain": (DegradationConfig("rain"), 4.0),
    "dehaze": (DegradationConfig("haze"), 3.0),
    "inpaint": (DegradationConfig("free-form-mask"), 10.0),
    "sr4": (DegradationConfig("downsampling"), 0.3),
    "jpeg": (DegradationConfig("jpeg", {"quality_min": 10, "quality_max": 10}), 0.6),
    "lowlight": (DegradationConfig("low-light"), 6.0),
}


def test_all_weights_fit_into_the_package() -> None:
    """24 MB together, and nothing beside them."""
    folder = shipped_path(SHIPPED[0]).parent
    assert {path.stem for path in folder.glob("*.safetensors")} == set(SHIPPED)
    assert sum(shipped_path(name).stat().st_size for name in SHIPPED) <= 24e6
    assert {row.weights for row in TASKS.values()} - {None} == set(SHIPPED)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_header_says_what_it_is(name: str) -> None:
    """The task, the data with their terms, the steps, and the tolerance of tiles."""
    header = checkpoint.read_header(shipped_path(name))
    assert TASKS[header.task].weights == name
    assert header.step > 0 and "BSDS500" in header.data and "non-commercial" in header.licence
    assert header.tile_tolerance is not None


@pytest.mark.parametrize("task", [task for task, row in TASKS.items() if row.weights])
def test_each_task_is_done(task: str, shared: Path) -> None:
    """On crops of photographs that no training saw, one evaluation is better than the input by the stated decibels."""
    config, least = GAINS[task]
    degradation, restorer = build_degradation(config), irsde_cli.load(task)
    gains = []
    for index, path in enumerate(sorted((shared / "data/photos/val").iterdir())[:6]):
        clean = to_tensor(read_picture(path, path.name))[None, :, :192, :256]
        degraded = degradation.apply(clean, torch.Generator().manual_seed(index))
        restored = restorer(degraded, sampling=Sampling("ode-1", 1))
        if isinstance(degradation, FreeFormMask):
            known = degradation.masks(1, 192, 256, torch.Generator().manual_seed(index))
            restored = torch.where(known, degraded, restored)
        before = torch.nn.functional.interpolate(degraded, size=clean.shape[-2:], mode="bicubic", antialias=True)
        gains.append(float(psnr(restored, clean) - psnr(before.clamp(0, 1), clean)))
    assert sum(gains) / len(gains) > least


def test_each_network_has_its_recipe(tmp_path: Path) -> None:
    """One command trains it, in parts that `irsde train` takes, for as many steps as its header says of the last."""
    assert set(RECIPES) == set(SHIPPED)
    for name in SHIPPED:
        for words in commands(name, tmp_path, tmp_path):
            told = words[:3] + words[5:]  # all but --data
            assert words[3] == "--data" and "--steps" in told
            result = CliRunner().invoke(app, told)
            assert result.exit_code == 2 and "--data is missing" in result.stderr, result.output
        steps = int(words[words.index("--steps") + 1])
        assert checkpoint.read_header(shipped_path(name)).step == steps
