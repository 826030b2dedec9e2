"""Memory that is short, as people meet it: what is said, what is recorded, and what goes on."""

import json
from pathlib import Path

import pytest

from irsde_cli.engine import memory
from tests.cli.stub import Program, picture

GB = 10**9


def test_the_manifest_says_the_tile(
    tmp_path: Path, restore: Program, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A run that goes on with less memory keeps what is done, restores the rest in smaller tiles, and records both."""
    for name in ("a", "b"):
        picture(tmp_path / "in" / f"{name}.png", 300, 400)
    monkeypatch.setattr(memory, "TILE_BYTES", 2_000_000)
    restore(tmp_path / "in", tmp_path / "out", "--limit", 1)
    before = (tmp_path / "out" / "a.png").read_bytes()
    monkeypatch.setattr(memory, "free_memory", lambda _: 9_000_000)
    shown = restore(tmp_path / "in", tmp_path / "out").stderr
    assert "1 done, 0 failed, 1 up to date" in shown
    assert "memory is short: tiles of" in caplog.text
    assert (tmp_path / "out" / "a.png").read_bytes() == before
    lines = [json.loads(line) for line in (tmp_path / "out" / ".irsde" / "manifest.jsonl").read_text().splitlines()]
    tiles = [line["tile"] for line in lines if line["event"] == "done"]
    assert len(tiles) == 2 and tiles[0] > tiles[1] > 0
    monkeypatch.setattr(memory, "free_memory", lambda _: 64 * GB)
    restore(tmp_path / "in" / "b.png", tmp_path / "by-hand", "--tile", tiles[1])
    assert (tmp_path / "by-hand" / "b.png").read_bytes() == (tmp_path / "out" / "b.png").read_bytes()


def test_a_picture_that_cannot_fit_fails_alone(
    tmp_path: Path, restore: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a CPU memory that ends is a kill, so it is refused beforehand; the others are restored."""
    picture(tmp_path / "in" / "a.png", 40, 40)
    picture(tmp_path / "in" / "b.png", 500, 700)
    monkeypatch.setattr(memory, "free_memory", lambda _: 15_000_000)
    shown = restore(tmp_path / "in", tmp_path / "out", code=3).stderr
    assert "b.png" in shown and "GB of memory" in " ".join(shown.split())
    assert (tmp_path / "out" / "a.png").exists() and not (tmp_path / "out" / "b.png").exists()
