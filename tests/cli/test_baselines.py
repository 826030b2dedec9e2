"""`irsde evaluate --baseline`: classical methods beside the weights."""

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from irsde_cli.degradations import DegradationConfig, build_degradation
from irsde_cli.errors import InputError, UsageError
from irsde_cli.images import read_picture, to_tensor
from irsde_cli.metrics.psnr import psnr
from irsde_cli.observation import Observation
from irsde_cli.randomness import damage_for
from irsde_cli.workflows.evaluate import baselines
from irsde_cli.workflows.evaluate.baselines import BASELINES
from irsde_cli.workflows.evaluate.request import Request, resolved
from tests.cli.stub import save_stub
from tests.cli.test_evaluate import evaluate, photo, report

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def clean() -> torch.Tensor:
    path = ROOT / "docs/samples/shaken/coffee.png"
    return to_tensor(read_picture(path, path.name))[None, :, 40:104, 60:140]


def load(name: str) -> Any:
    for module, _ in BASELINES[name].packages:
        pytest.importorskip(module, reason="the extra 'classical' is not installed")
    return baselines.load(name)


# What each undoes, and by how many decibels at least.
DAMAGE = {
    "nl-means": ("gaussian-noise", {"sigma_min": 25.0, "sigma_max": 25.0, "quantised_share": 1.0}, 1),
    "wavelet": ("gaussian-noise", {"sigma_min": 25.0, "sigma_max": 25.0, "quantised_share": 1.0}, 1),
    "telea": ("free-form-mask", {"hole_min": 0.2, "hole_max": 0.2}, 10),
    "harmonic": ("free-form-mask", {"hole_min": 0.2, "hole_max": 0.2}, 10),
}


def test_every_baseline_has_a_damage() -> None:
    assert {*DAMAGE, "bicubic"} == set(BASELINES)


@pytest.mark.parametrize("name", DAMAGE)
def test_baselines_undo_their_damage(name: str, clean: torch.Tensor) -> None:
    """By decibels; what is known of a picture with holes is left as it was."""
    restore = load(name)
    damage, options, least = DAMAGE[name]
    seen = build_degradation(DegradationConfig(damage, options)).observe(clean, damage_for(0, name))
    image = restore(seen, tuple(clean.shape[-2:]))
    assert image.shape == clean.shape and image.min() >= 0 and image.max() <= 1
    assert float(psnr(image, clean)) > float(psnr(seen.painted(), clean)) + least
    if seen.known is not None:
        torch.testing.assert_close(torch.where(seen.known, image, clean), clean, atol=0.5 / 255 + 1e-6, rtol=0)


def test_the_noise_is_told_or_estimated(clean: torch.Tensor) -> None:
    """Where the damage is made here its level is known; of a file it is estimated, within a tenth or two."""
    restore = load("nl-means")
    noisy = clean + 25 / 255 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    told, wrong, estimated = (restore(Observation(noisy, noise_std=std), (64, 80)) for std in (25 / 255, 5 / 255, None))
    assert float(psnr(told, clean)) > float(psnr(wrong, clean)) + 3
    assert abs(float(psnr(told, clean)) - float(psnr(estimated, clean))) < 0.5


def test_what_a_method_cannot_do_is_said(clean: torch.Tensor) -> None:
    for name, words in (("harmonic", "nothing says where they are"), ("bicubic", "has its size already")):
        with pytest.raises(InputError, match=words):
            baselines.load(name)(Observation(clean), (64, 80))


def test_they_stand_beside_weights_and_folders(tmp_path: Path) -> None:
    """Measured as all others, with whose code it was; bicubic is what the degraded picture is enlarged by."""
    for index in range(2):
        photo(tmp_path / "GT" / f"{index}.png", seed=index)
        photo(tmp_path / "LQ" / f"{index}.png", height=12, width=16, seed=index)
    stub = save_stub(tmp_path / "stub.safetensors", "sr2", scale=2)
    words = ["--gt", tmp_path / "GT", "--lq", tmp_path / "LQ", "--task", "sr2", "--model", stub]
    found = report(*words, "--baseline", "bicubic", "--from", tmp_path / "GT", "--save", tmp_path / "saved")
    assert list(found["means"]) == ["input", "stub", "GT", "bicubic"]
    assert found["means"]["bicubic"] == found["means"]["input"]
    assert "bicubic: torch's bicubic enlargement" in found["notes"][0]
    assert {path.name for path in (tmp_path / "saved").iterdir()} == {"input", "stub", "bicubic"}
    assert "bicubic" in found["costs"] and "GT" not in found["costs"]


def test_several_come_with_commas_and_a_wrong_one_has_a_neighbour() -> None:
    request = Request(clean=ROOT, degraded=ROOT, folders=(ROOT,), baselines=("bicubic,harmonic", "bicubic"))
    assert [one.label for one in resolved(request).contenders][1:] == ["bicubic", "harmonic"]
    with pytest.raises(UsageError, match=r"unknown baseline 'nl_mean'. Did you mean 'nl-means'"):
        resolved(Request(clean=ROOT, degraded=ROOT, folders=(ROOT,), baselines=("nl_mean",)))


def test_without_its_library_one_sentence_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is restored."""
    photo(tmp_path / "GT" / "0.png")
    monkeypatch.setitem(sys.modules, "skimage", None)
    result = evaluate("--gt", tmp_path / "GT", "--from", tmp_path / "GT", "--baseline", "nl-means")
    assert result.exit_code == 5
    assert "the baseline 'nl-means' needs scikit-image, which is not installed." in result.stderr
    assert "pip install 'irsde[classical]'" in result.stderr


def test_the_task_of_a_data_set_is_that_which_was_asked_for() -> None:
    """Another damage than its own needs other weights; without a word it is its own."""
    request = Request(dataset="kodak24", task="inpaint", degradation="random-mask")
    assert resolved(request).task == "inpaint"
    assert resolved(Request(dataset="kodak24")).task == "denoise"
