"""What `--precision auto` takes on a CPU, and that a run goes on as it began, on whatever machine."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from irsde_cli import runtime
from tests.cli.stub import Program, picture, tree

Units = Callable[[bool], None]


@pytest.fixture
def units(monkeypatch: pytest.MonkeyPatch) -> Units:
    """Makes this machine's CPU one that has units for matrices of bfloat16, or none."""

    def set_(there: bool) -> None:
        monkeypatch.setattr(runtime, "has_matrix_units", lambda: there)

    return set_


@pytest.fixture
def shipped() -> Program:
    """The program with a network that ships."""
    return Program(Path("denoise-small"))


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    return picture(tmp_path / "in" / "a.png", 16, 16).parent


def precisions(folder: Path) -> list[str]:
    """Of the runs that wrote to a folder, in order."""
    found = []
    for path in (folder / ".irsde").glob("manifest*.jsonl"):
        lines = map(json.loads, path.read_text().splitlines())
        found += [line["settings"]["precision"] for line in lines if line["event"] == "run"]
    return found


@pytest.mark.parametrize(("first", "kept"), [(True, "bfloat16"), (False, "float32")])
def test_a_run_goes_on_as_it_began(
    shipped: Program, photo: Path, tmp_path: Path, units: Units, first: bool, kept: str
) -> None:
    """The CPU decides once; the next run, on a CPU of the other kind, finds everything up to date."""
    out = tmp_path / "out"
    units(first)
    shipped(photo, out)
    before = tree(out)
    units(not first)
    events = shipped.events(photo, out)
    assert [event["name"] for event in events if event["event"] == "skipped"] == ["a.png"]
    picture(photo / "b.png", 16, 16)
    shipped(photo, out)
    assert precisions(out) == [kept] * 3
    assert tree(out)["a.png"] == before["a.png"]


def test_who_says_so_gets_it(shipped: Program, photo: Path, tmp_path: Path, units: Units) -> None:
    """A precision that is named is taken whatever was there, and from then on it is what auto keeps."""
    out = tmp_path / "out"
    units(True)
    shipped(photo, out)
    shipped(photo, out, "--precision", "fp32")
    shipped(photo, out)
    assert precisions(out) == ["bfloat16", "float32", "float32"]


def test_where_machines_may_differ_and_where_nothing_was_measured(
    shipped: Program, photo: Path, tmp_path: Path, units: Units, restore: Program
) -> None:
    """Shards, and weights that do not ship, are in float32."""
    units(True)
    shipped(photo, tmp_path / "shard", "--shard", "1/1")
    restore(photo, tmp_path / "own")
    assert precisions(tmp_path / "shard") == precisions(tmp_path / "own") == ["float32"]
