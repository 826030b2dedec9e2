"""`--task auto`: each picture goes to the network that is for what is seen of it."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from irsde_cli.cli.program import app
from irsde_cli.workflows.restore.made import read
from tests.cli.stub import picture, pixels


def call(*words: object, code: int = 0) -> Result:
    result = CliRunner().invoke(app, ["restore", *map(str, words), "--task", "auto"])
    assert result.exit_code == code, f"{result.exit_code}: {result.output} {result.exception!r}"
    return result


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A dark picture, one with blocks, one that needs nothing, and one that is none."""
    generator = np.random.default_rng(0)
    levels = generator.integers(60, 250, (6, 6, 3), np.uint8).repeat(8, 0).repeat(8, 1)
    (tmp_path / "in/sub").mkdir(parents=True)
    Image.fromarray(levels).save(tmp_path / "in/fine.png")
    Image.fromarray(levels // 8).save(tmp_path / "in/sub/dark.png")
    picture(tmp_path / "in/coarse.jpg", 48, 48, quality=20)
    (tmp_path / "in/broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    return tmp_path / "in"


def test_each_picture_has_its_own_task_and_is_said_why(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = call(folder, out, "-r", "--report", tmp_path / "page", code=3)
    assert "coarse.jpg: jpeg; steps of JPEG" in result.stderr
    assert "sub/dark.png: lowlight; nine tenths of it darker than" in result.stderr
    assert "fine.png: nothing to undo" in result.stderr
    assert "1 picture needed nothing: fine.png" in result.stderr
    assert "failed: broken.png" in result.stderr
    assert "3 done, 1 failed" in result.stderr
    assert (out / "fine.png").read_bytes() == (folder / "fine.png").read_bytes()
    assert read(out / "coarse.jpg")["settings"]["task"] == "jpeg"
    assert read(out / "sub/dark.png")["settings"]["task"] == "lowlight"
    page = (tmp_path / "page/index.html").read_text(encoding="utf-8")
    assert all(name in page for name in ("coarse.jpg", "sub/dark.png", "fine.png"))
    again = call(folder, out, "-r", code=3)
    assert "0 done, 1 failed, 3 up to date" in again.stderr


def test_one_picture_through_a_pipe(folder: Path, tmp_path: Path) -> None:
    data = (folder / "sub/dark.png").read_bytes()
    words = ["restore", "-", str(tmp_path / "a.png"), "--task", "auto"]
    result = CliRunner().invoke(app, words, input=data)
    assert result.exit_code == 0, result.output
    assert pixels(tmp_path / "a.png").mean() > 2 * pixels(folder / "sub/dark.png").mean()


def test_what_it_would_do_is_said_without_doing_it(folder: Path, tmp_path: Path) -> None:
    (folder / "broken.png").unlink()
    result = call(folder, tmp_path / "out", "-r", "--dry-run")
    assert "sub/dark.png: lowlight" in result.stderr
    assert "restore: sub/dark.png" in result.stdout
    assert not (tmp_path / "out").exists()
