"""Frames of a film: with one noise for all, equal frames stay equal."""

from pathlib import Path

import pytest
from PIL import Image

from tests.cli.stub import Program, picture, pixels, shown, tree


@pytest.fixture
def frames(tmp_path: Path) -> Path:
    """Five equal frames, one of them below, and another one of the same size."""
    source = picture(tmp_path / "in" / "frame_0000.png", 24, 32).read_bytes()
    for name in ("frame_0001.png", "frame_0002.png", "other.png", "sub/frame_0003.png"):
        (tmp_path / "in" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "in" / name).write_bytes(source)
    picture(tmp_path / "in" / "frame_0004.png", 24, 32)
    return tmp_path / "in"


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--samples", 3, "--spread"],
        ["--estimate", "mean", "--samples", 2],
        ["--tile", 16, "--tile-overlap", 4],
        ["--shard", "1/1"],
    ],
)
def test_equal_frames_give_equal_results(restore: Program, frames: Path, tmp_path: Path, words: list[object]) -> None:
    """Wherever they lie and whatever they are called; without the option each has noise of its own.

    Their records name the frames that they were made of, so that pixels are compared and not files.
    """
    restore(frames, tmp_path / "own", "-r", *words)
    restore(frames, tmp_path / "one", "-r", "--shared-noise", *words)
    own, one = shown(tmp_path / "own"), shown(tmp_path / "one")
    equal = ["frame_0000.png", "frame_0001.png", "frame_0002.png", "other.png", "sub/frame_0003.png"]
    assert len({own[name] for name in equal}) == 5
    assert len({one[name] for name in equal}) == 1
    assert one["frame_0004.png"] != one["frame_0000.png"]
    for name in one:
        if not name.startswith(("frame_0004", "sub/")):
            assert one[name] == one[name.replace("0001", "0000").replace("0002", "0000").replace("other", "frame_0000")]


def test_a_batch_of_frames(restore: Program, frames: Path, tmp_path: Path) -> None:
    restore(frames, tmp_path / "out", "--shared-noise", "--batch-size", 3)
    first = pixels(tmp_path / "out" / "frame_0000.png")
    for name in ("frame_0001.png", "frame_0002.png", "other.png"):
        assert abs(pixels(tmp_path / "out" / name) - first).max() <= 1


def test_a_frame_from_a_pipe_is_one_of_them(restore: Program, frames: Path, tmp_path: Path) -> None:
    restore(frames, tmp_path / "out", "--shared-noise")
    for words in ([], ["--shared-noise"]):
        data = restore("-", "-", *words, input=(frames / "frame_0001.png").read_bytes()).stdout_bytes
        (tmp_path / "piped.png").write_bytes(data)
        with Image.open(tmp_path / "piped.png") as one, Image.open(tmp_path / "out" / "frame_0000.png") as other:
            assert one.tobytes() == other.tobytes()


def test_the_noise_is_the_seeds_and_part_of_the_record(restore: Program, frames: Path, tmp_path: Path) -> None:
    """A run with the option does anew what was done without it, and another seed gives other frames."""
    restore(frames, tmp_path / "out")
    before = tree(tmp_path / "out")
    assert "5 done, 0 failed, 0 up to date" in restore(frames, tmp_path / "out", "--shared-noise").stderr
    shared = tree(tmp_path / "out")
    assert shared != before
    assert "0 done, 0 failed, 5 up to date" in restore(frames, tmp_path / "out", "--shared-noise").stderr
    restore(frames, tmp_path / "out", "--shared-noise", "--seed", 1)
    assert tree(tmp_path / "out")["frame_0000.png"] != shared["frame_0000.png"]
