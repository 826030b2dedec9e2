"""Signals and progress inside a picture, and what is said before it begins."""

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import torch

from irsde_cli.cli.display import Display, Mode
from irsde_cli.cli.progress import Counter
from irsde_cli.datasets.discovery import LeftOut
from irsde_cli.engine.forecast import Forecast
from irsde_cli.engine.settings import Step, Tile, duration
from irsde_cli.networks.pocket_unet import PocketUNet
from irsde_cli.networks.tiling import Tiles
from irsde_cli.workflows.restore.events import Done, Event, Failed, Planned, Skipped
from tests.cli.stub import Program, picture, save_stub, tree


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", clock)
    return clock


def steps(name: str, megapixels: float, count: int, tiles: int) -> Iterator[Event]:
    for step in range(1, count + 1):
        for tile in range(1, tiles):
            yield Tile((name,), step, count, tile, tiles, megapixels)
        yield Step((name,), step, count, megapixels)


@pytest.mark.parametrize("tiles", [1, 3, 10])
@pytest.mark.parametrize("mode", get_args(Mode))
def test_what_is_left_is_known_before_the_first_picture_ends(clock: Clock, mode: Mode, tiles: int) -> None:
    """Three pictures of 4 megapixels and 5 evaluations at half a megapixel-evaluation a second are 120 seconds."""
    shown = Counter(Display(mode))
    shown.show(Planned(4, LeftOut(), "in"))
    shown.show(Skipped("old", None))
    assert shown.left == ""
    total, passed = 120.0, 0.0
    for name in "abc":
        for event in steps(name, 4, 5, tiles):
            clock.now += 8 / tiles
            passed += 8 / tiles
            shown.show(event)
            assert shown.left == f"about {duration(total - passed)} left"
            assert shown.rate == pytest.approx(0.5)
        shown.show(Done(name, None, 1.0))


def test_larger_pictures_weigh_more(clock: Clock) -> None:
    """What failed before it began is no work; those to come are taken to be like those before."""
    shown = Counter(Display("none"))
    shown.show(Planned(4, LeftOut(), "in"))
    for event in (*steps("small", 1, 2, 1), Done("small", None, 1.0), *steps("large", 9, 2, 1)):
        clock.now += event.megapixels if isinstance(event, Step) else 0
        shown.show(event)
    assert shown.left == "about 20 s left"
    shown.show(Failed("c", "damaged"))
    assert shown.left == "about 10 s left"


def test_what_is_prepared_for_the_first_is_no_measure(clock: Clock) -> None:
    """A large picture is enlarged and given noise for a minute before its first tile."""
    shown = Counter(Display("none"))
    shown.show(Planned(1, LeftOut(), "in"))
    clock.now += 60
    for event in list(steps("a", 10, 2, 10))[:2]:
        clock.now += 2
        shown.show(event)
    assert shown.left == "about 36 s left"


def test_a_picture_that_is_done_again_in_smaller_tiles(clock: Clock) -> None:
    """Its work is not counted twice."""
    shown = Counter(Display("none"))
    shown.show(Planned(1, LeftOut(), "in"))
    clock.now += 10
    for event in (Tile(("a",), 2, 4, 1, 2, 10.0), *steps("a", 10, 4, 4)):
        shown.show(event)
    assert shown.work == 40 and shown.left == "about 1 s left"


def test_lines_come_inside_a_picture(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    shown = Counter(Display("lines"))
    shown.show(Planned(2, LeftOut(), "in"))
    for event in list(steps("a.png", 12, 4, 6))[:8]:
        clock.now += 6
        shown.show(event)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 5
    assert lines[0] == "about 5 min left."
    assert lines[1] == (
        "0 done, 0 failed, 0 up to date of 2; a.png step 1/4, tile 2/6; 0.33 megapixels x steps/s, about 5 min left"
    )


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "1 s"), (89.4, "89 s"), (90, "2 min"), (3599, "60 min"), (3600, "1 h"), (7500, "2 h 5 min"),
        (86399, "24 h"), (86400, "1 d"), (200_000, "2 d 8 h"),
    ],
)  # fmt: skip
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize("tile", [1, 2, 5])
def test_a_signal_is_answered_between_tiles(
    restore: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tile: int
) -> None:
    """No further tile begins; what was finished stays, and the same command finishes."""
    import os
    import signal

    picture(tmp_path / "in" / "a.png", 20, 20)
    picture(tmp_path / "in" / "b.png", 90, 90)
    words = (tmp_path / "in", tmp_path / "out", "--tile", 32, "--tile-overlap", 8)
    restore(tmp_path / "in", tmp_path / "whole", *words[2:])
    forward, seen = PocketUNet.forward, 0

    def watched(self: Any, *inputs: torch.Tensor) -> torch.Tensor:
        nonlocal seen
        seen += 1
        if seen == 2 + tile:
            os.kill(os.getpid(), signal.SIGTERM)
        return forward(self, *inputs)

    with monkeypatch.context() as patch:
        patch.setattr(PocketUNet, "forward", watched)
        ended = restore(*words, code=143)
    assert seen == 2 + tile and "interrupted" in ended.stderr and "1 done, 0 failed" in ended.stderr
    assert list(tree(tmp_path / "out")) == ["a.png"]
    restore(*words)
    assert tree(tmp_path / "out") == tree(tmp_path / "whole")


def test_an_interrupt_before_the_run_begins(restore: Program, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While torch or weights are loaded: 130 and no traceback."""
    import irsde_cli.checkpoint as checkpoint

    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint, "load", interrupted)
    ended = restore(photos, photos.parent / "out", code=130)
    assert "Error: interrupted." in ended.stderr and "Traceback" not in ended.stderr


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_an_estimate_before_anything_is_done(photos: Path, tmp_path: Path, scale: int) -> None:
    """It grows with the pixels, and comes from pictures that are not done."""
    restore = Program(save_stub(tmp_path / "stub.safetensors", scale=scale))
    result = restore(photos, tmp_path / "out", "--dry-run")
    assert re.search(r"about \d+ \w+ for 6 pictures: an estimate", result.stderr)
    restore(photos, tmp_path / "out", "--limit", 5)
    (expected,) = [event for event in restore.events(photos, tmp_path / "out", "--dry-run") if "seconds" in event]
    assert expected["count"] == 1 and expected["seconds"] > 0
    restore(photos, tmp_path / "out")
    assert "an estimate from" not in restore(photos, tmp_path / "out", "--dry-run").stderr


def test_pictures_that_cannot_be_read_have_no_estimate(restore: Program, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no picture")
    assert "an estimate from" not in restore(tmp_path / "a.png", tmp_path / "b.png", "--dry-run").stderr


def test_tiles_that_overlap_count_each_time() -> None:
    from irsde_cli.networks.facts import Facts

    assert Tiles(100, 20).pixels(100, 100, Facts()) == 100 * 100
    assert Tiles(100, 20).pixels(179, 100, Facts()) == 200 * 100
    assert Tiles(100, 20).pixels(50, 50, Facts(scale=2)) == 100 * 100
    assert Tiles(100, 0).pixels(1000, 1000, Facts(multiple=4)) > 1000 * 1000


@pytest.mark.parametrize("dry", [True, False])
def test_what_a_large_result_costs_is_said_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dry: bool) -> None:
    """Where the result has more pixels than a picture may have, and nowhere else."""
    monkeypatch.setattr(Forecast, "seconds", lambda self, size: 7500.0)
    restore = Program(save_stub(tmp_path / "stub.safetensors", scale=4))
    source, small = picture(tmp_path / "in" / "a.png", 20, 30), picture(tmp_path / "in" / "b.png", 5, 5)
    words = [tmp_path / "in", tmp_path / "out", "--max-pixels", 20 * 30, *(["--dry-run"] if dry else [])]
    result = restore(*words)
    said = (
        f"{source.name}: its result has 120 x 80 pixels, 16 times as many as it has and more than --max-pixels: about "
        "2 h 5 min and 0.0 GB of memory"
    )
    assert said in result.stderr and small.name not in result.stderr
    events = restore.events(tmp_path / "in", tmp_path / "again", *words[2:])
    assert any(event["event"] == "warned" and event["name"] == "a.png" for event in events)
    if not dry:
        order = [(event["event"], event.get("name") or event.get("names", [""])[0]) for event in events]
        assert order.index(("warned", "a.png")) < order.index(("step", "a.png"))
        strict = restore(tmp_path / "in", tmp_path / "strict", *words[2:], "--strict", code=3)
        assert "failed: a.png: its result has 120 x 80 pixels" in strict.stderr
        assert list(tree(tmp_path / "strict")) == ["b.png"]
    assert "its result" not in restore(tmp_path / "in", tmp_path / "usual", *words[4:]).stderr
