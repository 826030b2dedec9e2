"""`irsde restore` leaves alone what needs nothing."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from irsde_cli.cli.program import app
from tests.cli.stub import Program, picture, pixels


def run(*words: object, code: int = 0) -> Result:
    result = CliRunner().invoke(app, ["restore", *map(str, words)])
    assert result.exit_code == code, f"{result.exit_code}: {result.output} {result.exception!r}"
    return result


@pytest.fixture
def sharp(tmp_path: Path) -> Path:
    """A JPEG without blocks: a fine one."""
    generator = np.random.default_rng(0)
    levels = generator.integers(0, 255, (6, 6, 3), np.uint8).repeat(8, 0).repeat(8, 1)
    (tmp_path / "in").mkdir()
    Image.fromarray(levels).save(tmp_path / "in" / "fine.jpg", quality=97)
    return tmp_path / "in"


def test_what_needs_nothing_comes_back_byte_for_byte(sharp: Path, tmp_path: Path) -> None:
    """By default, with its name in the end; a run after that is up to date."""
    result = run(sharp, tmp_path / "out", "--task", "jpeg")
    assert "1 picture needed nothing: fine.jpg" in result.stderr
    assert (tmp_path / "out/fine.jpg").read_bytes() == (sharp / "fine.jpg").read_bytes()
    assert "1 up to date" in run(sharp, tmp_path / "out", "--task", "jpeg").stderr


def test_strength_1_restores_it_all_the_same(sharp: Path, tmp_path: Path) -> None:
    result = run(sharp, tmp_path / "out", "--task", "jpeg", "--strength", "1", "--steps", "1")
    assert "needed nothing" not in result.stderr
    assert (pixels(tmp_path / "out/fine.jpg") != pixels(sharp / "fine.jpg")).any()


def test_other_draws_and_their_spread_are_there_too(sharp: Path, tmp_path: Path) -> None:
    """All files that are asked for, in the format that is asked for."""
    words = ("--task", "jpeg", "--samples", "2", "--spread", "--trajectory", "2", "--format", "png")
    run(sharp, tmp_path / "out", *words)
    out = tmp_path / "out"
    assert {path.name for path in out.iterdir() if path.is_file()} == {
        "fine.png",
        "fine.1.png",
        "fine.spread.png",
        "fine.trajectory.png",
    }
    for name in ("fine.png", "fine.1.png"):
        assert (pixels(out / name) == pixels(sharp / "fine.jpg")).all()
    assert not pixels(out / "fine.spread.png").any()


def test_the_command_says_what_it_saw(sharp: Path, tmp_path: Path) -> None:
    picture(sharp / "coarse.jpg", 48, 48, quality=20)
    result = run(sharp, tmp_path / "out", "--task", "jpeg", "--steps", "1", "--verbose")
    assert "coarse.jpg: takes 100% of what was restored; steps of JPEG" in result.stderr
    assert "fine.jpg: takes 0% of what was restored" in result.stderr


def test_weights_that_somebody_names_restore_all(restore: Program, sharp: Path, tmp_path: Path) -> None:
    """Unless auto is asked for."""
    assert "needed nothing" not in restore(sharp, tmp_path / "a", task="jpeg").stderr
    assert "needed nothing" in restore(sharp, tmp_path / "b", "--strength", "auto", task="jpeg").stderr


def test_auto_goes_with_tasks_that_have_a_measure(restore: Program, sharp: Path, tmp_path: Path) -> None:
    result = restore(sharp, tmp_path / "out", "--strength", "auto", task="deshadow", code=2)
    assert "--strength auto does not know what the task 'deshadow' is for" in result.stderr
