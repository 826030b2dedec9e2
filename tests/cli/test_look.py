"""A look before a run: one part of one picture, with a few settings, on a page."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from irsde_cli.errors import UsageError
from irsde_cli.workflows.restore.look import Crop, _part
from tests.cli.stub import Program, picture, save_stub


def page(result: Any) -> tuple[Path, dict[str, Any]]:
    path = Path(result.stdout.strip())
    text = path.read_text(encoding="utf-8")
    found = re.search(r'<script[^>]*type="application/json"[^>]*>(.*?)</script>', text, re.DOTALL)
    assert found, "the page holds its data"
    return path, json.loads(found[1])


def test_a_preview_shows_settings_side_by_side(restore: Program, tmp_path: Path) -> None:
    """Of the first picture of a folder; nothing else is written, and each label is what to add."""
    picture(tmp_path / "in" / "b.png", 40, 60)
    picture(tmp_path / "in" / "a.png", 40, 60)
    before = sorted(tmp_path.rglob("*"))
    path, data = page(restore(tmp_path / "in", "--preview", "--crop", "32x24+8+4"))
    assert sorted(tmp_path.rglob("*")) == before
    (row,) = data["rows"]
    assert row["key"] == "a.png 32x24+8+4" and row["size"] == [32, 24]
    assert data["labels"][:2] == ["input", "as asked"]
    assert {"--strength 0.5", "--strength 1.3", "--realism 0"} <= set(data["labels"])
    shown = np.asarray(Image.open(path.parent / row["pictures"]["input"]).convert("RGB"))
    np.testing.assert_array_equal(shown, np.asarray(Image.open(tmp_path / "in" / "a.png").convert("RGB"))[4:28, 8:40])
    written = [(path.parent / name).read_bytes() for name in row["pictures"].values()]
    assert len(set(written)) == len(written), "no two settings give one picture"


def test_a_preview_of_one_picture_on_a_page_of_ones_own(restore: Program, tmp_path: Path) -> None:
    """With OUTPUT or without it, which is not touched."""
    source = picture(tmp_path / "a.png", 40, 60)
    for words in ([source], [source, tmp_path / "out"]):
        path, data = page(restore(*words, "--preview", "--report", tmp_path / "page"))
        assert path == tmp_path / "page" / "index.html" and data["rows"][0]["key"] == "a.png 60x40+0+0"
    assert not (tmp_path / "out").exists()


def test_a_preview_of_holes_is_where_they_are(tmp_path: Path) -> None:
    """With its mask: the part holds the hole, what is known of it is as it was, and the input shows the hole white."""
    stub = save_stub(tmp_path / "stub.safetensors", "inpaint")
    source = picture(tmp_path / "a.png", 400, 300)
    mask = np.full((400, 300), 255, np.uint8)
    mask[300:310, 200:240] = 0
    Image.fromarray(mask).save(tmp_path / "mask.png")
    restore = Program(stub)
    path, data = page(restore(source, "--preview", "--mask", tmp_path / "mask.png", "--crop", "64x64", task="inpaint"))
    (row,) = data["rows"]
    left, top = (int(part) for part in row["key"].split("+")[1:])
    assert left <= 200 and left + 64 >= 240 and top <= 300 and top + 64 >= 310
    hole = mask[top : top + 64, left : left + 64] == 0
    whole = np.asarray(Image.open(source).convert("RGB"))[top : top + 64, left : left + 64]
    seen, made = (
        np.asarray(Image.open(path.parent / row["pictures"][name]).convert("RGB")) for name in ("input", "as asked")
    )
    assert (seen[hole] == 255).all() and (seen[~hole] == whole[~hole]).all() and (made[~hole] == whole[~hole]).all()
    assert not (made[hole] == 255).all()
    assert "needs --mask" in restore(source, "--preview", code=2, task="inpaint").stderr


def test_what_a_preview_is_not_for(restore: Program, tmp_path: Path) -> None:
    """One sentence each."""
    source = picture(tmp_path / "a.png", 40, 60)
    for words, said in (
        ([source, "--preview", "--crop", "100x10"], "does not lie in the picture"),
        ([source, "--preview", "--crop", "ten"], "--crop is WIDTHxHEIGHT"),
        ([source, tmp_path / "out", "--crop", "10x10"], "--crop goes with --preview"),
        (["-", "--preview"], "no pipe"),
        ([tmp_path / "absent.png", "--preview"], "absent.png"),
    ):
        assert said in restore(*words, code=2).stderr


@pytest.mark.parametrize(("top", "left"), [(0, 0), (40, 100), (120, 60)])
def test_the_part_is_where_detail_is(top: int, left: int) -> None:
    """And not where there is noise alone."""
    pixels = np.random.default_rng(0).integers(100, 140, (200, 240, 3), dtype=np.uint8)
    board = (np.indices((64, 64)).sum(0) // 8 % 2 * 255).astype(np.uint8)
    pixels[top : top + 64, left : left + 64] = board[..., None]
    found = _part(pixels, Crop(64, 64))
    assert abs(found[0] - top) <= 8 and abs(found[1] - left) <= 8 and found[2:] == (64, 64)


@pytest.mark.parametrize("size", [(1, 1), (3, 50), (7, 7), (256, 256), (300, 20)])
def test_any_picture_has_a_part(size: tuple[int, int]) -> None:
    """Within it."""
    top, left, height, width = _part(np.zeros((*size, 1), np.uint8), None)
    assert 0 <= top <= size[0] - height and 0 <= left <= size[1] - width and height > 0 and width > 0


@pytest.mark.parametrize("text", ["", "10", "0x5", "10x10+5", "-1x4", "4x4+-1+2", "1e3x4"])
def test_parts_that_are_none(text: str) -> None:
    with pytest.raises(UsageError):
        Crop.parse(text)


def test_a_page_for_a_single_file(restore: Program, tmp_path: Path) -> None:
    """`--report` shows before and after of one picture too."""
    source = picture(tmp_path / "a.png", 20, 24)
    result = restore(source, tmp_path / "out.png", "--report", tmp_path / "page")
    assert "the page is" in result.stderr and (tmp_path / "page" / "index.html").is_file()
