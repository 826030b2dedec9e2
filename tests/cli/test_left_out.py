"""What is no picture is passed over, what is one and is not restored is said."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from irsde_cli.cli.program import app
from irsde_cli.datasets.discovery import PICTURES
from irsde_cli.images import SUFFIXES
from tests.cli.stub import Program, picture, tree

UNREAD = sorted(PICTURES - set(SUFFIXES))


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """Two pictures, five of other kinds, one below, and rubbish."""
    folder = tmp_path / "mixed"
    picture(folder / "a.png")
    picture(folder / "b.jpg")
    for name in ("1.PSD", "2.psd", "3.gif", "4.xcf", "5.SVG", "._a.png", "Thumbs.db", "@eaDir/a.png", ".x/a.png"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"\0\5\x16\7 no picture")
    picture(folder / "sub" / "c.png")
    return folder


def test_what_is_not_restored_is_counted_and_named(restore: Program, mixed: Path, tmp_path: Path) -> None:
    result = restore(mixed, tmp_path / "out")
    assert list(tree(tmp_path / "out")) == ["a.png", "b.jpg"]
    assert f"{mixed}: 5 files of kinds that are not read: 2 psd, 1 " in result.stderr
    assert f"{mixed}: 1 subfolder with pictures is left out; -r reads it." in result.stderr
    assert f"{mixed}: 1 hidden picture is passed over." in result.stderr
    deep = restore(mixed, tmp_path / "out", "-r")
    assert list(tree(tmp_path / "out")) == ["a.png", "b.jpg", "sub/c.png"]
    assert "5 files of kinds" in deep.stderr and "subfolder" not in deep.stderr
    assert "kinds" not in restore(mixed, tmp_path / "out", "-q").stderr
    (planned,) = [event for event in restore.events(mixed, tmp_path / "out") if event["event"] == "planned"]
    assert planned["left_out"] == {
        "unread": {"psd": 2, "gif": 1, "xcf": 1, "svg": 1}, "hidden": 1, "links": 0, "folders": 1, "unknown": 0
    }  # fmt: skip


def test_strict_makes_it_a_failure(restore: Program, mixed: Path, tmp_path: Path) -> None:
    """The rest is restored all the same; rubbish is no loss."""
    result = restore(mixed, tmp_path / "out", "--strict", code=3)
    assert list(tree(tmp_path / "out")) == ["a.png", "b.jpg"]
    assert f"failed: {mixed}: 5 files of kinds" in result.stderr and "failed: " in result.stderr.split("subfolder")[0]
    assert result.stderr.count("subfolder") == result.stderr.count("kinds") == 1
    restore(mixed, tmp_path / "first", "--strict", "--fail-fast", code=3)
    assert not (tmp_path / "first").exists()
    for name in ("1.PSD", "2.psd", "3.gif", "4.xcf", "5.SVG"):
        (mixed / name).unlink()
    restore(mixed, tmp_path / "out", "--strict", "-r")


@pytest.mark.parametrize("seed", range(3))
def test_a_folder_of_nothing_else_says_what_is_there(restore: Program, tmp_path: Path, seed: int) -> None:
    for suffix in UNREAD[seed::3]:
        (tmp_path / "in").mkdir(exist_ok=True)
        (tmp_path / "in" / f"a{suffix}").touch()
    result = restore(tmp_path / "in", tmp_path / "out", code=2)
    words = " ".join(result.stderr.split())
    assert f"{len(UNREAD[seed::3])} files of kinds that are not read: " in words
    assert all(f"1 {suffix[1:]}" in words for suffix in UNREAD[seed::3])


@pytest.mark.parametrize("suffix", [*UNREAD, ".GIF", ".Dng", ".exr", ".pgn", ".mp4", ".pdf", ".txt", ".v1"])
def test_a_file_of_a_kind_that_is_not_written(restore: Program, photos: Path, tmp_path: Path, suffix: str) -> None:
    """It is refused, and becomes no folder, from a file or from a pipe."""
    target = tmp_path / f"result{suffix}"
    data = (photos / "p1.png").read_bytes()
    for source in (photos / "p1.png", "-"):
        assert "is no kind that is written" in restore(source, target, code=2, input=data).stderr
    assert not target.exists()


def test_folders_may_be_called_anything(restore: Program, photos: Path, tmp_path: Path) -> None:
    """One that is there, ends with a slash, or cannot be meant as a file."""
    (tmp_path / "there.gif").mkdir()
    for source, target in (
        (photos / "p1.png", f"{tmp_path}/there.gif"),
        (photos / "p1.png", f"{tmp_path}/new.gif/"),
        (photos / "p1.png", f"{tmp_path}/2024.01.05"),
        (photos / "p1.png", f"{tmp_path}/v1.25"),
        (photos / "p1.png", f"{tmp_path}/photos.restored"),
        (photos, f"{tmp_path}/photos.v2"),
    ):
        restore(source, target)
        assert "p1.png" in tree(Path(target))
    restore(photos, tmp_path / "photos.gif", code=2)


@pytest.mark.parametrize("name", ["x.jpg", "x.jpeg", "x.webp", "x.TIF"])
def test_a_format_and_a_name_that_differ(restore: Program, photos: Path, tmp_path: Path, name: str) -> None:
    """No file holds what its name denies."""
    restore(photos / "p1.png", tmp_path / name, "--format", "png", code=2)
    assert not (tmp_path / name).exists()
    restore(photos / "p1.png", tmp_path / name, "--format", "keep")
    assert (tmp_path / name).read_bytes()[:4] != b"\x89PNG"


def test_evaluate_says_it_too(mixed: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It measures the pictures that restore -r finds, and counts the others."""
    scored = CliRunner().invoke(app, ["evaluate", "--gt", str(mixed), "--from", str(mixed)])
    assert scored.exit_code == 0 and "3 pairs" in scored.stdout, scored.output
    assert any("5 files of kinds that are not read" in record.message for record in caplog.records)
