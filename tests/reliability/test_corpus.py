"""One run over hundreds of damaged and odd files."""

import importlib.util
import json
import os
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from irsde_cli.images import Picture, read_picture
from tests.reliability.corpus import Kept, Odd, corpus
from tests.reliability.processes import start

pytestmark = pytest.mark.skipif(os.uname().sysname != "Linux", reason="some of the names need a file system like ext4")
SECONDS_A_FILE = 5
MEMORY = 400 << 20


def check(odd: Odd, kept: Kept, picture: Picture) -> None:
    """The result has all that belongs to the picture."""
    assert picture.size == kept.size, odd.name
    assert picture.pixels.shape[-1] == kept.channels, odd.name
    assert picture.pixels.dtype.itemsize * 8 == kept.bits, odd.name
    assert (picture.alpha is not None) == (kept.alpha is not False), odd.name
    if isinstance(kept.alpha, np.ndarray):
        np.testing.assert_array_equal(picture.alpha, kept.alpha, err_msg=odd.name)
    assert picture.icc == kept.icc, odd.name
    if kept.make is not None:
        assert picture.exif is not None and kept.make in picture.exif, odd.name


def test_one_run_over_all_of_them(tmp_path: Path, stub: Path) -> None:
    """Nothing crashes, waits or fills the memory; failures are named with a reason, the rest keeps all it had."""
    odds = corpus()
    for name in ("place", "in"):
        (tmp_path / name).mkdir()
    for odd in odds:
        (tmp_path / "in" / odd.name).write_bytes(odd.data)
    options = ["--task", "denoise", "--model", stub, "--steps", 1, "--json", "--tile", 0]
    running = start("restore", tmp_path / "in", tmp_path / "out", *options, cwd=tmp_path / "place")
    peak, events, first, longest = 0, 0, 0, 0.0
    since = time.monotonic()
    while running.alive:
        try:
            status = dict(line.split(":\t", 1) for line in Path(f"/proc/{running.pid}/status").read_text().splitlines())
            peak = max(peak, int(status["VmHWM"].split()[0]) << 10)
        except (OSError, KeyError):  # it has just ended
            break
        if running.stdout.count("\n") != events:
            events, since = running.stdout.count("\n"), time.monotonic()
            first = first or peak
        longest = max(longest, time.monotonic() - since)
        time.sleep(0.05)
    ended = running.wait()
    assert ended.code == 3, ended.stderr[-2000:]
    assert "Traceback" not in ended.stderr and "unexpected" not in ended.stderr
    assert longest < SECONDS_A_FILE
    assert peak - first < MEMORY, f"{(peak - first) >> 20} MiB more than at the start"
    lines = [json.loads(line) for line in ended.stdout.splitlines()]
    failed = {line["name"]: line["reason"] for line in lines if line["event"] == "failed"}
    done = {line["name"] for line in lines if line["event"] == "done"}
    lost = {line["name"]: set(line["titles"]) for line in lines if line["event"] == "lost"}
    deep_png = importlib.util.find_spec("OpenImageIO") is not None
    assert done | set(failed) == {odd.name for odd in odds} and not done & set(failed)
    for odd in odds:
        if odd.kept is None and odd.name in failed:
            assert odd.reason in failed[odd.name] and failed[odd.name].endswith("."), odd.name
        elif odd.kept is None:
            assert not odd.reason, f"{odd.name} was restored"
            assert read_picture(tmp_path / "out" / odd.name, odd.name).size
        else:
            assert odd.name in done, f"{odd.name}: {failed.get(odd.name)}"
            assert lost.get(odd.name, set()) == set(odd.lost), odd.name
            path = tmp_path / "out" / odd.name
            check(odd, odd.kept, read_picture(path, odd.name))
            # Pillow knows no grey with alpha of 16 bits.
            if odd.kept.bits == 8 or (deep_png and (odd.kept.channels == 3 or odd.kept.alpha is False)):
                with Image.open(path) as image:
                    assert image.getexif().get(274, 1) == 1 and image.size[::-1] == odd.kept.size, odd.name
    assert len(done) > 200 and len(failed) > 100
    memory = f"{(peak - first) >> 20} MiB more at the peak"
    print(f"{len(odds)} files, {len(done)} restored, {len(failed)} failed, {longest:.1f} s, {memory}")  # noqa: T201


def numbered(folder: Path) -> int:
    """The corpus, but for its longest pictures, under names that differ in more than the suffix; how many they are."""
    folder.mkdir()
    odds = [odd for odd in corpus() if not odd.name.startswith("long-")]
    for index, odd in enumerate(odds):
        (folder / f"{index}{Path(odd.name).suffix}").write_bytes(odd.data)
    return len(odds)


@pytest.mark.parametrize(
    "words",
    [
        ["evaluate", "--gt", "in", "--from", "in"],
        ["train", "--preset", "denoise-small", "--data", "in", "--out", "run"],
    ],
    ids=["evaluate", "train"],
)
def test_other_commands_over_all_of_them(tmp_path: Path, words: list[str]) -> None:
    """What cannot be used is named, and counts neither for nor against the rest."""
    (tmp_path / "place").mkdir()
    numbered(tmp_path / "place" / "in")
    ended = start(*words, cwd=tmp_path / "place").wait()
    assert ended.code == 3, ended.stderr[-2000:]
    assert "has no pixels" in ended.complaint or "cannot be used" in ended.complaint
    assert "Traceback" not in ended.stderr and "unexpected" not in ended.stderr and "bug" not in ended.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    "more",
    [
        ["--allow-truncated"],
        ["--strict"],
        ["--depth", 8],
        ["--depth", 16],
        *(["--format", form] for form in ("jpeg", "png", "webp", "tiff", "bmp")),
        ["--metadata", "strip", "--samples", 2, "--spread"],
        ["--batch-size", 4],
        ["--trajectory", 2, "--trajectory-format", "gif"],
        ["--report", "page"],
        ["--in-place"],
    ],
    ids=lambda more: "-".join(map(str, more)).strip("-"),
)
def test_every_way_over_all_of_them(tmp_path: Path, stub: Path, more: list[object]) -> None:
    """Each picture is restored or named, whatever is asked for."""
    place = tmp_path / "place"
    place.mkdir()
    count = numbered(place / "in")
    out = [] if "--in-place" in more else ["out"]
    words = ["restore", "in", *out, "--task", "denoise", "--model", stub, "--steps", 1, "--json", *more]
    ended = start(*words, cwd=place).wait(300)
    assert ended.code == 3, ended.stderr[-2000:]
    assert "Traceback" not in ended.stderr and "unexpected" not in ended.stderr
    summary = json.loads(ended.stdout.splitlines()[-1])
    assert summary["done"] + summary["failed"] == count and summary["done"] > 100
