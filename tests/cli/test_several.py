"""Several inputs: the last name is OUTPUT, as of cp."""

import os
import random
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from irsde_cli.storage.journal import remembered
from tests.cli.stub import Program, picture, pixels, shown, tree


def files(folder: Path, *names: str) -> list[Path]:
    return [picture(folder / name) for name in names]


def test_files_go_to_a_folder(restore: Program, tmp_path: Path) -> None:
    """As a shell gives them; each is what it would be alone."""
    given = files(tmp_path, "a.png", "b.jpg", "deep/c.png")
    result = restore(*given, tmp_path / "out")
    assert list(tree(tmp_path / "out")) == ["a.png", "b.jpg", "c.png"]
    assert result.stdout.splitlines() == [str(tmp_path / "out" / name) for name in ("a.png", "b.jpg", "c.png")]
    assert ": 3 pictures of 3 inputs into '" in result.stderr
    for path in given:
        restore(path, tmp_path / "alone")
    assert tree(tmp_path / "alone") == tree(tmp_path / "out")
    assert "3 up to date" in restore(*given[::-1], tmp_path / "out").stderr


@pytest.mark.parametrize("seed", range(6))
def test_mixtures_of_files_and_folders(restore: Program, tmp_path: Path, seed: int) -> None:
    """Folders keep their names below OUTPUT, files lie in it; what is below a folder is what it would be alone."""
    draw = random.Random(seed)
    folders = {name: tmp_path / "in" / name for name in ("one", "two", "three")}
    for folder in folders.values():
        files(folder, *draw.sample(["a.png", "b.png", "sub/c.png", "x.jpg"], 3))
    given: list[Path] = [*folders.values(), *files(tmp_path / "in", "a.png", "y.png")]
    draw.shuffle(given)
    words = ["-r"] if seed % 2 else []
    restore(*given, tmp_path / "out", *words)
    expected = {name: pixels(tmp_path / "out" / name).tobytes() for name in ("a.png", "y.png")}
    for name, folder in folders.items():
        restore(folder, tmp_path / "alone" / name, *words)
        expected |= {f"{name}/{key}": data for key, data in shown(tmp_path / "alone" / name).items()}
    assert shown(tmp_path / "out") == dict(sorted(expected.items()))
    assert f"{len(expected)} up to date" in restore(*given, tmp_path / "out", *words).stderr


def test_names_that_collide_are_named(restore: Program, tmp_path: Path) -> None:
    """By their paths, before anything is written."""
    one, other = files(tmp_path, "one/a.png", "other/a.png")
    failed = restore(one, other, tmp_path / "out", code=2)
    assert f"'{one}' and '{other}' would both become 'a.png'" in failed.stderr.replace("\n", "")
    folders = [tmp_path / "x" / "same", tmp_path / "y" / "same"]
    for folder in folders:
        files(folder, "b.png")
    assert "same/b.png" in restore(*folders, tmp_path / "out", code=2).stderr
    assert not (tmp_path / "out").exists()


def test_one_file_by_two_spellings(restore: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files(tmp_path, "a.png", "sub/b.png")
    monkeypatch.chdir(tmp_path)
    restore("a.png", "./a.png", "sub/../a.png", tmp_path / "a.png", "sub/b.png", "out")
    assert list(tree(tmp_path / "out")) == ["a.png", "b.png"]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_forgotten_output_harms_nothing(restore: Program, tmp_path: Path, count: int) -> None:
    """`irsde restore *.jpg` takes the last picture for OUTPUT."""
    given = files(tmp_path, *(f"{index}.png" for index in range(count)))
    before = tree(tmp_path)
    ended = restore(*given, code={1: 2, 2: 3, 3: 2}[count])
    assert ("OUTPUT" in ended.stderr) == (count != 2) and tree(tmp_path) == before


def test_what_several_cannot_be(restore: Program, photos: Path, tmp_path: Path) -> None:
    one, other = photos / "p0.png", photos / "p1.png"
    (tmp_path / "list").write_text("p0.png")
    for words in (
        [one, "-", tmp_path / "out"],
        [one, other, "-"],
        [one, other, tmp_path / "x.png"],
        [one, other, tmp_path / "x.psd"],
        [one, tmp_path / "absent.png", tmp_path / "out"],
        [photos, photos / "sub", tmp_path / "out", "--files-from", tmp_path / "list"],
        [photos, one, photos],
        [one, other, photos],
        [photos, tmp_path / "absent", "--in-place"],
        [one, photos / "sub" / "q.jpg", "--in-place"],
        [],
    ):
        restore(*words, code=2)
    assert not (tmp_path / "out").exists()
    for name in ("empty", "bare"):
        (tmp_path / name).mkdir()
    ended = restore(tmp_path / "empty", tmp_path / "bare", tmp_path / "out", code=2)
    assert "no pictures in 2 inputs" in ended.stderr


def test_files_of_one_folder_in_place(restore: Program, photos: Path) -> None:
    """They are known by the record of their folder, however they were given."""
    before = tree(photos)
    restore(photos / "p0.png", photos / "p1.png", "--in-place")
    once = tree(photos)
    assert {name for name in once if once[name] != before[name]} == {"p0.png", "p1.png"}
    restore(photos, "--in-place")
    assert {name: tree(photos)[name] for name in ("p0.png", "p1.png")} == {
        name: once[name] for name in ("p0.png", "p1.png")
    }


def test_a_page_of_several(restore: Program, photos: Path, tmp_path: Path) -> None:
    """Each result stands beside its own input."""
    restore(photos / "p1.png", photos / "sub", tmp_path / "out", "--report", tmp_path / "page")
    assert (tmp_path / "page" / "index.html").read_text().count("sub/q.jpg") >= 1


@pytest.mark.skipif(os.name != "posix", reason="needs locks of another kind there")
@pytest.mark.parametrize("way", ["file", "folder", "pipe"])
def test_single_pictures_side_by_side(restore: Program, photos: Path, tmp_path: Path, way: str) -> None:
    """Runs for one picture each share a folder; the same picture twice at once is refused, and all know the results."""

    def words(name: str) -> tuple[object, ...]:
        out = tmp_path / "out"
        return (photos / name, out) if way == "folder" else ("-" if way == "pipe" else photos / name, out / name)

    def run(name: str, code: int = 0) -> Any:
        return restore(*words(name), code=code, input=(photos / name).read_bytes())

    run("p0.png")
    (lock,) = remembered(tmp_path / "out").glob("lock*")
    with FileLock(lock):
        run("p1.png")
        run("p0.png", code=5)
    assert "1 up to date" in run("p0.png").stderr
    assert list(tree(tmp_path / "out")) == ["p0.png", "p1.png"]
    if way != "pipe":
        assert "4 done, 0 failed, 2 up to date" in restore(photos, tmp_path / "out").stderr
    picture(tmp_path / "other" / "p0.png", 7, 7)
    assert "another picture" in restore(tmp_path / "other" / "p0.png", tmp_path / "out", code=3).stderr


def test_one_picture_leaves_nothing_beside_it(
    restore: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its record lies in the user's state folder, and does all that one beside it would."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    picture(tmp_path / "a.png", 9, 14)
    out = tmp_path / "desk"
    restore(tmp_path / "a.png", out / "better.png")
    assert [path.name for path in out.iterdir()] == ["better.png"]
    assert "1 up to date" in restore(tmp_path / "a.png", out / "better.png").stderr
    picture(tmp_path / "other" / "b.png", 8, 8)
    before = (out / "better.png").read_bytes()
    assert "--overwrite" in restore(tmp_path / "other" / "b.png", out / "better.png", code=3).stderr
    assert (out / "better.png").read_bytes() == before
    restore(tmp_path / "other", out)  # a folder's record lies beside its results, and knows of the single one
    assert (out / ".irsde").is_dir()
    picture(tmp_path / "third" / "better.png", 8, 8)
    restore(tmp_path / "third", out, code=3)
    assert (out / "better.png").read_bytes() == before


@pytest.mark.skipif(os.name != "posix", reason="needs a place that may not be written")
def test_without_a_state_folder_the_record_lies_beside(
    restore: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A home that cannot be written is no reason to fail."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    picture(tmp_path / "a.png", 9, 14)
    restore(tmp_path / "a.png", tmp_path / "out" / "a.png")
    assert (tmp_path / "out" / ".irsde").is_dir()
    assert "1 up to date" in restore(tmp_path / "a.png", tmp_path / "out" / "a.png").stderr
