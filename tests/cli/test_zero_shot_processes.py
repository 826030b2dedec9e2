"""`--model zero-shot` in processes of its own: whole commands, and what they say of nonsense."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from irsde_cli.operators.blur import Blur
from tests.cli.test_processes import irsde
from tests.cli.test_zero_shot import distance, scene, write

SIZE = (64, 80)
LINE = np.pad(np.full((1, 7), 200, np.uint8), ((2, 6), (9, 0)))  # off the middle, as a photographer crops it


@pytest.fixture
def blurred(tmp_path: Path) -> Path:
    """A folder of one picture, and the kernel that blurred it beside the folder."""
    kernel = torch.zeros(7, 7, dtype=torch.float64)
    kernel[3] = 1 / 7
    noise = 2 / 255 * torch.randn(1, 3, *SIZE, generator=torch.Generator().manual_seed(0))
    write(tmp_path / "blurred" / "a.png", Blur(kernel[None], SIZE).forward(scene(*SIZE)) + noise)
    Image.fromarray(LINE).save(tmp_path / "psf.png")
    return tmp_path / "blurred"


def test_the_command_of_the_documentation(blurred: Path, tmp_path: Path) -> None:
    """A kernel's file and the noise: the folder comes back sharper, and standard error says nothing of a fault."""
    words = ["restore", "blurred", "sharp", "--task", "deblur", "--model", "zero-shot"]
    done = irsde(*words, "--set", "operator.kernel=psf.png", "--set", "noise=2", cwd=tmp_path)
    assert done.returncode == 0, done.stderr.decode()
    assert b"Traceback" not in done.stderr
    clean = scene(*SIZE)
    assert distance(tmp_path / "sharp" / "a.png", clean) < 0.7 * distance(blurred / "a.png", clean)


def test_a_mask_s_file(tmp_path: Path) -> None:
    """White is known and stays to the level; the holes are filled."""
    clean = scene(*SIZE)
    known = torch.rand(*SIZE, generator=torch.Generator().manual_seed(1)) > 0.5
    write(tmp_path / "torn.png", torch.where(known, clean, 1.0))
    Image.fromarray((known.numpy() * 255).astype(np.uint8)).save(tmp_path / "known.png")
    words = ["restore", "torn.png", "whole.png", "--task", "inpaint", "--model", "zero-shot", "--mask", "known.png"]
    done = irsde(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr.decode()
    torn, whole = (np.asarray(Image.open(tmp_path / name)) for name in ("torn.png", "whole.png"))
    assert (torn[known.numpy()] == whole[known.numpy()]).all()
    assert distance(tmp_path / "whole.png", clean) < 0.3 * distance(tmp_path / "torn.png", clean)


def test_evaluating_hands_the_true_operator_over(tmp_path: Path) -> None:
    """With the kernel that blurred them pictures are restored; with one that was named instead, they are not."""
    write(tmp_path / "clean" / "a.png", scene(*SIZE))
    words = ["evaluate", "--gt", "clean", "--degradation", "motion-blur", "--task", "deblur", "--model", "zero-shot"]
    gains = []
    for more in ([], ["--zero-shot", "operator.kernel=gaussian", "--zero-shot", "operator.sigma=4"]):
        done = irsde(*words, *more, "--figures", "-", cwd=tmp_path)
        assert done.returncode == 0, done.stderr.decode()
        figures = json.loads(done.stdout)["images"][0]["figures"]
        restored = next(values for name, values in figures.items() if name != "input")
        gains.append(restored["psnr"] - figures["input"]["psnr"])
    assert gains[0] > 3 and gains[1] < gains[0] - 3


@pytest.mark.parametrize(
    ("values", "said"),
    [(-np.ones((3, 3)), "the sum -9"), (255.0 - np.pad(np.full((1, 7), 255.0), 4), "Invert it")],
    ids=["negative sum", "dark on bright ground"],
)
def test_nonsense_is_refused_in_one_sentence(blurred: Path, tmp_path: Path, values: Any, said: str) -> None:
    """Exit 2 before a picture is touched, and no trace of Python; tests/operators has more kinds of nonsense."""
    np.save(tmp_path / "psf.npy", values)
    words = ["restore", "blurred", "sharp", "--task", "deblur", "--model", "zero-shot"]
    done = irsde(*words, "--set", "operator.kernel=psf.npy", cwd=tmp_path)
    complaint = " ".join(done.stderr.decode().split())
    assert done.returncode == 2, complaint
    assert said in complaint and "psf.npy" in complaint and "Traceback" not in complaint
    assert not (tmp_path / "sharp" / "a.png").exists()
