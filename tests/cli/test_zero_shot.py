"""`--model zero-shot` as people use it: a kernel, a mask, a factor; resuming, tiles, and what cannot be."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from irsde_cli.cli.program import app
from irsde_cli.operators.blur import Blur
from irsde_cli.operators.separable import reduction
from irsde_cli.samplers.settings import Sampling
from tests.cli.stub import pixels, save_stub


def program(*words: object, code: int = 0) -> Any:
    result = CliRunner().invoke(app, list(map(str, words)))
    assert result.exit_code == code, f"{result.exit_code}: {result.output} {result.exception!r}"
    return result


def scene(height: int = 48, width: int = 64) -> torch.Tensor:
    """Squares and a ramp, (1, 3, H, W)."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    squares = ((rows // 12 + columns // 16) % 2).double() * 0.6 + 0.1
    return torch.stack((squares, squares.flip(1), 0.2 + 0.6 * columns / width))[None]


def write(path: Path, image: torch.Tensor) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((image[0].permute(1, 2, 0).clamp(0, 1) * 255).round().byte().numpy()).save(path)
    return path


BLURRED = (96, 128)


def distance(path: Path, clean: torch.Tensor) -> float:
    return float(np.abs(pixels(path) / 255 - clean[0].permute(1, 2, 0).numpy()).mean())


@pytest.fixture
def blurred(tmp_path: Path) -> Path:
    """A picture that was blurred with the kernel beside it."""
    clean = scene(*BLURRED)
    kernel = torch.zeros(7, 7, dtype=torch.float64)
    kernel[3] = 1 / 7
    seen = Blur(kernel[None], BLURRED).forward(clean)
    Image.fromarray(np.pad(np.full((1, 7), 200, np.uint8), ((2, 6), (9, 0)))).save(tmp_path / "psf.png")
    return write(tmp_path / "in" / "a.png", seen)


def test_a_kernel_sharpens_a_picture(blurred: Path, tmp_path: Path) -> None:
    """The command of the documentation; it is up to date until the kernel's content or another setting changes."""
    words = ["restore", blurred.parent, tmp_path / "out", "--task", "deblur", "--model", "zero-shot", "--json"]
    words += ["--set", f"operator.kernel={tmp_path / 'psf.png'}", "--set", "noise=0.3"]

    def summary(*more: str) -> tuple[int, int]:
        last = json.loads(program(*words, *more).stdout.splitlines()[-1])
        return last["done"], last["skipped"]

    clean = scene(*BLURRED)
    assert summary() == (1, 0)
    assert distance(tmp_path / "out" / "a.png", clean) < 0.8 * distance(blurred, clean)
    assert summary() == (0, 1)
    assert summary("--set", "noise=2") == (1, 0)
    Image.fromarray(np.ones((3, 3), np.uint8)).save(tmp_path / "psf.png")
    assert summary("--set", "noise=2") == (1, 0)


def test_a_kernel_that_does_not_fit_is_named(blurred: Path, tmp_path: Path) -> None:
    """The result blurred again is the picture, but for noise, where the kernel is right; else it is said."""
    words = ["--task", "deblur", "--model", "zero-shot", "--set", "noise=1", "--set"]
    said = []
    for name, kernel in (("a", tmp_path / "psf.png"), ("b", "gaussian")):
        done = program("restore", blurred, tmp_path / f"{name}.png", *words, f"operator.kernel={kernel}")
        said.append("the kernel does not fit" in " ".join(done.stderr.split()))
    assert said == [False, True]
    program("restore", blurred, tmp_path / "c.png", *words, "operator.kernel=gaussian", "--strict", code=3)


def test_a_picture_that_is_smaller_than_the_kernel_fails_alone(blurred: Path, tmp_path: Path) -> None:
    """The others of its folder are restored."""
    write(blurred.parent / "small.png", scene(8, 9))
    np.save(tmp_path / "psf.npy", np.eye(11))
    words = ["restore", blurred.parent, tmp_path / "out", "--task", "deblur", "--model", "zero-shot"]
    failed = program(*words, "--set", f"operator.kernel={tmp_path / 'psf.npy'}", "--set", "noise=1", code=3)
    assert "11 pixels wide, and the picture 9 x 8" in " ".join(failed.stderr.split())
    assert (tmp_path / "out" / "a.png").exists() and not (tmp_path / "out" / "small.png").exists()


def test_missing_pixels_are_filled_and_known_ones_kept(tmp_path: Path) -> None:
    """With `--mask`, as other inpainting."""
    clean = scene()
    known = torch.rand(48, 64, generator=torch.Generator().manual_seed(0)) > 0.4
    source = write(tmp_path / "a.png", torch.where(known, clean, 1.0))
    Image.fromarray((known.numpy() * 255).astype(np.uint8)).save(tmp_path / "mask.png")
    words = ["--task", "inpaint", "--model", "zero-shot", "--mask", tmp_path / "mask.png"]
    program("restore", source, tmp_path / "b.png", *words)
    assert distance(tmp_path / "b.png", clean) < 0.05
    assert (pixels(tmp_path / "b.png")[known.numpy()] == pixels(source)[known.numpy()]).all()


@pytest.mark.parametrize("method", ["dpir", "ddrm", "diffpir"])
def test_a_factor_enlarges_a_picture(tmp_path: Path, method: str) -> None:
    """The task says the factor; the result fits what was seen, and has its size."""
    small = write(tmp_path / "a.png", reduction((48, 64), 2).forward(scene()))
    words = ["--task", "sr2", "--model", "zero-shot", "--sampler", method, "--steps", 4]
    program("restore", small, tmp_path / "b.png", *words)
    assert pixels(tmp_path / "b.png").shape == (48, 64, 3)
    assert distance(tmp_path / "b.png", scene()) < 0.06


def test_tiles_share_the_step_to_the_data(blurred: Path, tmp_path: Path) -> None:
    """Tiles are the prior's alone: the picture as a whole fits the data, and differs by a level at most."""
    words = ["--task", "deblur", "--model", "zero-shot", "--set", "noise=0.3", "--precision", "fp32"]
    words += ["--set", f"operator.kernel={tmp_path / 'psf.png'}", "--overwrite"]
    program("restore", blurred, tmp_path / "whole.png", *words, "--tile", 0)
    program("restore", blurred, tmp_path / "tiles.png", *words, "--tile", 48, "--tile-overlap", 24)
    assert np.abs(pixels(tmp_path / "whole.png") - pixels(tmp_path / "tiles.png")).mean() < 1


def test_evaluating_hands_the_true_damage_over(tmp_path: Path) -> None:
    """Of what `--degradation` does, zero-shot restoration knows the kernel, the noise, the mask and the scale."""
    write(tmp_path / "GT" / "a.png", scene(64, 96))
    for damage, task in (("motion-blur", "deblur"), ("random-mask", "inpaint"), ("downsampling", "sr2")):
        words = ["evaluate", "--gt", tmp_path / "GT", "--degradation", damage, "--task", task, "--figures", "-"]
        words += ["--set", "factor=2"] if damage == "downsampling" else []
        found = json.loads(program(*words, "--model", "zero-shot", "--way", "dpir:4").stdout)
        figures = found["images"][0]["figures"]
        assert figures["zero-shot dpir:4"]["psnr"] > figures["input"]["psnr"] + (0 if task == "sr2" else 3)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--task", "deblur", "--model", "zero-shot"], "which kernel"),
        (["--task", "dehaze", "--model", "zero-shot"], "what is known of the damage"),
        (["--task", "deblur", "--model", "zero-shot", "--set", "operator.kernel=absent.png"], "absent.png"),
        (["--task", "deblur", "--model", "zero-shot", "--set", "operator.kernle=a"], "Did you mean 'kernel'"),
        (["--task", "deblur", "--model", "zero-shot", "--set", "nose=2"], "Did you mean 'noise'"),
        (["--task", "deblur", "--model", "zero-shot", "--set", "noise=-2"], "between 0 and 255"),
        (["--task", "deblur", "--model", "zero-shot", "--set", "prior=deblur-small"], "cannot be the prior"),
        (["--task", "sr2", "--model", "zero-shot", "--sampler", "posterior"], "no sampler 'posterior'"),
        (["--task", "sr2", "--model", "zero-shot", "--eta", "0.5"], "means nothing to zero-shot"),
        (["--task", "sr2", "--model", "zero-shot", "--sampler", "rdmd", "--steps", "3"], "2 evaluations a round"),
        (["--task", "denoise", "--set", "noise=2"], "take no --set"),
        (["--task", "denoise", "--model", "denoise-small", "--sampler", "ddrm"], "method of zero-shot"),
        (["--task", "denoise", "--set", "prior=denoise-photo"], "take no --set"),
    ],
)
def test_impossible_pairs_are_refused(tmp_path: Path, words: list[str], said: str) -> None:
    """Each in a sentence, before a picture is touched; a kernel that a picture is too small for, when it comes."""
    write(tmp_path / "a.png", scene())
    result = CliRunner().invoke(app, ["restore", str(tmp_path / "a.png"), str(tmp_path / "b.png"), *words])
    assert result.exit_code in (2, 3, 4), result.output
    assert said in " ".join(result.stderr.split())
    assert not (tmp_path / "b.png").exists()


def test_ddrm_and_a_reflecting_blur_are_an_impossible_pair(blurred: Path, tmp_path: Path) -> None:
    """The sentence says which border would do."""
    words = ["--task", "deblur", "--model", "zero-shot", "--sampler", "ddrm"]
    words += ["--set", f"operator.kernel={tmp_path / 'psf.png'}"]
    failed = program("restore", blurred, tmp_path / "b.png", *words, code=2)
    assert "operator.border=circular" in " ".join(failed.stderr.split())
    program("restore", blurred, tmp_path / "b.png", *words, "--set", "operator.border=circular", "--steps", 3)


def test_other_weights_can_be_the_prior(tmp_path: Path) -> None:
    """Those that can be told of noise; a file as well as a name."""
    small = write(tmp_path / "a.png", reduction((24, 32), 2).forward(scene(24, 32)))
    words = ["restore", small, tmp_path / "b.png", "--task", "sr2", "--model", "zero-shot", "--steps", 2]
    program(*words, "--set", "prior=denoise-photo")
    stub = save_stub(tmp_path / "stub.safetensors")
    failed = program(*words, "--overwrite", "--set", f"prior={stub}", code=2)
    assert "cannot be the prior" in " ".join(failed.stderr.split())


def test_a_kernel_is_found_from_another_folder(blurred: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Machines of a cluster start elsewhere: a kernel's file is named from the root for them, and a formula is not."""
    monkeypatch.chdir(tmp_path)
    asked = Sampling(choices=("operator.kernel=psf.png", "noise=2"))
    assert asked.absolute().choices == (f"operator.kernel={tmp_path / 'psf.png'}", "noise=2")
    formula = Sampling(choices=("operator.kernel=gaussian",))
    assert formula.absolute() == formula
