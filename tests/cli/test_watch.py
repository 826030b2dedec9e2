"""Pictures that arrive while a run goes on."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from irsde_cli.workflows.restore.watch import is_of_interest
from tests.cli.stub import Program, picture, tree
from tests.reliability.processes import start


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What happens, one after another, in the place of time: functions whose results are the changes."""
    pytest.importorskip("watchfiles", reason="--watch needs the extra irsde[watch]")
    happens: list[Any] = []

    def watch(*places: Path, **options: Any) -> Iterator[set[Any]]:
        assert options["yield_on_timeout"] and all(place.is_dir() for place in places)
        for one in happens:
            yield one()

    monkeypatch.setattr("watchfiles.watch", watch)
    return happens


def test_what_arrives_is_restored(restore: Program, watched: list[Any], tmp_path: Path) -> None:
    """What was there at once, what came before the watch began, and what comes later; a bad file is named once."""
    folder, out = tmp_path / "in", tmp_path / "out"
    picture(folder / "a.png")

    def early() -> set[Any]:
        picture(folder / "b.png")
        return set()

    def nothing() -> set[Any]:
        picture(folder / "unseen.png")  # nobody was told
        return set()

    def bad() -> set[Any]:
        (folder / "unseen.png").unlink()
        (folder / "bad.png").write_bytes(b"half")
        return {(1, "bad.png")}

    def late() -> set[Any]:
        picture(folder / "c.png")
        return {(1, "c.png")}

    watched += [early, nothing, bad, late]
    done = restore(folder, out, "--watch")
    assert list(tree(out)) == ["a.png", "b.png", "c.png"]
    assert [Path(line).name for line in done.stdout.splitlines()] == ["a.png", "b.png", "c.png"]
    assert done.stderr.count("failed: bad.png") == 1 and "waiting for more pictures" in done.stderr


def test_an_empty_folder_is_waited_for(restore: Program, watched: list[Any], tmp_path: Path) -> None:
    """Without --watch it is an error."""
    (tmp_path / "in").mkdir()
    restore(tmp_path / "in", tmp_path / "out", code=2)

    def late() -> set[Any]:
        picture(tmp_path / "in" / "c.png")
        return {(1, "c.png")}

    watched.append(late)
    done = restore(tmp_path / "in", tmp_path / "out", "--watch")
    assert "waited for" in done.stderr and list(tree(tmp_path / "out")) == ["c.png"]


def test_what_cannot_be_watched(restore: Program, photos: Path, tmp_path: Path) -> None:
    """Files, what is not there, and runs with an end."""
    for words in ([photos / "p1.png", tmp_path / "out"], [tmp_path / "absent", tmp_path / "out"],
                  [photos, tmp_path / "out", "--dry-run"], [photos, tmp_path / "out", "--limit", 1]):  # fmt: skip
        assert "--watch" in restore(*words, "--watch", code=2).stderr


@pytest.mark.parametrize(
    ("path", "counts"),
    [
        ("/a/b.PNG", True),
        ("/a/.b.png", False),
        ("/a/.irsde/b.png", False),
        ("/a/b.txt", False),
        ("/a/b.png.part", False),
    ],
)
def test_what_makes_a_round(path: str, counts: bool) -> None:
    """Pictures, and neither our own records nor what is being written."""
    assert is_of_interest(path) == counts


def test_it_ends_when_it_is_told_and_goes_on_when_it_is_called(stub: Path, tmp_path: Path) -> None:
    """In a process of its own, with files that really arrive: stopped at any time, nothing is half done."""
    pytest.importorskip("watchfiles", reason="--watch needs the extra irsde[watch]")
    folder, out = tmp_path / "in", tmp_path / "out"
    picture(folder / "a.png")
    words = ("restore", folder, out, "--task", "denoise", "--model", stub, "--steps", 1, "--watch")
    running = start(*words, cwd=tmp_path)

    def wait(name: str) -> None:
        until = time.monotonic() + 60
        while not (out / name).is_file():
            assert running.alive and time.monotonic() < until, running.stderr
            os.sched_yield()

    wait("a.png")
    picture(tmp_path / "b.png").rename(folder / "b.png")
    wait("b.png")
    os.kill(running.pid, signal.SIGTERM)
    ended = running.wait()
    assert ended.code == 143 and "interrupted" in ended.stderr
    assert list(tree(out)) == ["a.png", "b.png"]
