"""The page's files: what is copied, what is kept, and what is never overwritten."""

import errno
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from irsde_cli.errors import InputError, MachineError, UsageError
from irsde_cli.report.page import PICTURE_FOLDER, Report


def image(seed: int = 0, height: int = 12, width: int = 20) -> Tensor:
    """Every pixel is one of 256 levels."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (1, 3, height, width), generator=generator) / 255


def contents(page: Path) -> Any:
    return json.loads(page.read_text().split('type="application/json">')[1].split("</script>")[0])


def pixels(page: Path, path: str) -> Any:
    return np.asarray(Image.open(page.parent / path).convert("RGB")).astype(int)


def test_pictures_are_copied_without_loss(tmp_path: Path) -> None:
    """What the page shows are the pixels; the clean picture comes last, whatever the order."""
    report = Report(tmp_path, "title")
    images = {"clean": image(1), "input": image(2), "ours": image(3)}
    report.pictures("a", images)
    page = report.write("caption")
    data = contents(page)
    assert data["labels"] == ["input", "ours", "clean"]
    row = data["rows"][0]
    assert row["size"] == [20, 12] and row["reduced"] == 1
    for label, expected in images.items():
        levels = (expected[0] * 255).round().permute(1, 2, 0).numpy()
        assert np.array_equal(pixels(page, row["pictures"][label]), levels), label


def test_error_maps_are_the_mean_difference_in_four_colours(tmp_path: Path) -> None:
    """Black for none, then red, yellow, and white from 64 of 255 on; pictures of another size have none."""
    clean = torch.full((3, 4, 4), 100 / 255)
    worse = clean.clone()
    worse[:, 0] += 64 / 255
    worse[:, 1] -= 100 / 255
    worse[0, 2] += 64 / 255
    report = Report(tmp_path, "title")
    report.pictures("a", {"input": torch.rand(3, 2, 2), "ours": worse, "clean": clean})
    page = report.write("caption")
    errors = contents(page)["rows"][0]["errors"]
    assert list(errors) == ["ours"]
    found = pixels(page, errors["ours"])
    assert (found[:2] == 255).all() and (found[3] == 0).all()
    assert (found[2] == [255, 0, 0]).all()


def test_figures_may_be_infinite_or_missing(tmp_path: Path) -> None:
    """Figures come before or after their pictures; columns are those that were measured."""
    report = Report(tmp_path, "title")
    report.figures("b", {"ours": {"psnr": math.inf, "lpips": None}, "input": {"psnr": math.nan, "lpips": 0.5}})
    for key in ("a", "b"):
        report.pictures(key, {"input": image(), "ours": image(1)})
    data = contents(report.write("caption", table=[["", "PSNR (dB)"], ["ours", "equal"]]))
    assert [column["name"] for column in data["columns"]] == ["psnr", "lpips"]
    assert [column["higher"] for column in data["columns"]] == [True, False]
    assert "figures" not in data["rows"][0]
    assert data["rows"][1]["figures"] == {
        "ours": {"psnr": "equal", "lpips": None},
        "input": {"psnr": None, "lpips": 0.5},
    }
    assert data["table"] == [["", "PSNR (dB)"], ["ours", "equal"]]


def test_what_a_browser_cannot_show_is_made_smaller(tmp_path: Path) -> None:
    """WebP ends at 16383 pixels a side; the page says how many times smaller, and keeps the true size."""
    report = Report(tmp_path, "title")
    report.pictures("long", {"input": torch.rand(3, 2, 40_000), "ours": torch.rand(3, 1, 10)})
    page = report.write("caption")
    row = contents(page)["rows"][0]
    assert row["reduced"] == 3
    assert pixels(page, row["pictures"]["input"]).shape == (1, 13_334, 3)


def test_a_picture_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """The others are shown; their numbers do not depend on it."""

    def unreadable() -> dict[str, Tensor]:
        raise InputError("'b' is damaged.")

    def absent() -> dict[str, Tensor]:
        (tmp_path / "nothing").read_bytes()
        return {}

    report = Report(tmp_path / "page", "title")
    for key, load in (("a", lambda: {"input": image()}), ("b", unreadable), ("c", absent)):
        report.read(key, load)
    report.read("d", lambda: {"input": image()}, "a note")
    data = contents(report.write("caption", [("e", "it has no partner.")]))
    assert [(row["key"], row["note"]) for row in data["rows"]] == [("a", ""), ("d", "a note")]
    assert [problem["key"] for problem in data["problems"]] == ["e", "b", "c"]
    assert data["problems"][1]["reason"] == "'b' is damaged." and "No such file" in data["problems"][2]["reason"]


def test_another_page_is_not_overwritten(tmp_path: Path) -> None:
    """A folder with somebody's index.html is refused before anything is measured, and so is a file."""
    (tmp_path / "index.html").write_text("<p>my home page")
    with pytest.raises(UsageError, match="no page of irsde"):
        Report(tmp_path, "title")
    with pytest.raises(UsageError, match="not a folder"):
        Report(tmp_path / "index.html", "title")
    assert [path.name for path in tmp_path.iterdir()] == ["index.html"]


def test_a_new_page_takes_the_place_of_the_old(tmp_path: Path) -> None:
    """The old one is whole until then; its pictures go and other files stay."""
    first = Report(tmp_path, "first")
    first.pictures("a", {"input": image()})
    page = first.write("caption")
    old = set((tmp_path / PICTURE_FOLDER).iterdir())
    mine = tmp_path / PICTURE_FOLDER / "mine.webp"
    mine.write_bytes(b"a picture of mine")
    second = Report(tmp_path, "second")
    second.pictures("a", {"input": image()})
    assert contents(page)["title"] == "first" and all(path.is_file() for path in old)
    data = contents(second.write("caption"))
    assert data["title"] == "second" and mine.is_file()
    assert not any(path.exists() for path in old)
    assert all((tmp_path / path).is_file() for path in data["rows"][0]["pictures"].values())


def test_a_full_disk_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error is that of the machine, and an earlier page stays."""
    page = Report(tmp_path, "first").write("caption")
    report = Report(tmp_path, "second")

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    report.pictures("a", {"input": image()})
    with pytest.raises(MachineError, match="No space left"):
        report.write("caption")
    assert contents(page)["title"] == "first"


def test_few_pictures_wait_in_memory(tmp_path: Path) -> None:
    """However fast rows come, only a handful of them is alive at once."""
    import weakref

    report, alive, most = Report(tmp_path, "title"), weakref.WeakSet[Tensor](), 0
    for number in range(30):
        one = image(number, 64, 64)
        alive.add(one)
        report.pictures(str(number), {"input": one})
        most = max(most, len(alive))
    report.write("caption")
    assert most <= 5
