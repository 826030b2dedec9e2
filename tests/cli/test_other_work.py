"""A result of other work is never overwritten in silence; moved and copied inputs are known again."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from tests.cli.stub import Program, picture, tree


def pictures(folder: Path, level: int) -> Path:
    """Files of equal names, sizes and times that differ in content alone."""
    for name in ("a.bmp", "sub/b.bmp"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (12, 8), (level, 30, 60)).save(folder / name)
        os.utime(folder / name, (1_700_000_000, 1_700_000_000))
    return folder


def by_folder(folder: Path, work: Path) -> list[object]:
    return [folder, "-r"]


def by_single_file(folder: Path, work: Path) -> list[object]:
    return [folder / "a.bmp"]


def by_list_below(folder: Path, work: Path) -> list[object]:
    (work / "list").write_text("a.bmp\nsub/b.bmp")
    return [folder, "--files-from", work / "list"]


def by_absolute_list(folder: Path, work: Path) -> list[object]:
    """Where INPUT is a third folder, files of a list are known by their last name."""
    (work / "empty").mkdir(exist_ok=True)
    (work / "list").write_text(f"{folder / 'a.bmp'}\n")
    return [work / "empty", "--files-from", work / "list"]


WAYS: list[Callable[[Path, Path], list[object]]] = [by_folder, by_single_file, by_list_below, by_absolute_list]


def place(words: list[object], out: Path) -> list[object]:
    return [words[0], out, *words[1:]]


@pytest.mark.parametrize("first", WAYS)
@pytest.mark.parametrize("second", WAYS)
def test_the_first_result_stays(
    restore: Program,
    tmp_path: Path,
    first: Callable[[Path, Path], list[object]],
    second: Callable[[Path, Path], list[object]],
) -> None:
    """The item fails with the reason, whichever way each came; --overwrite replaces it, and is asked for each time."""
    one, other, out = pictures(tmp_path / "one", 200), pictures(tmp_path / "other", 90), tmp_path / "out"
    restore(*place(first(one, tmp_path), out))
    before = tree(out)
    picture(other / "c.bmp")
    for _ in range(2):
        failed = restore(*place(second(other, tmp_path), out), code=3)
        assert "a.bmp' was made from another picture of that name" in failed.stderr
        assert {name: data for name, data in tree(out).items() if name in before} == before
    assert ("c.bmp" in tree(out)) == (second is by_folder)
    restore(*place(second(other, tmp_path), out), "--overwrite")
    after = tree(out)
    assert after["a.bmp"] != before["a.bmp"]
    assert "another picture" in restore(*place(first(one, tmp_path), out), code=3).stderr
    assert tree(out)["a.bmp"] == after["a.bmp"]


def test_draws_of_another_picture_stay(restore: Program, tmp_path: Path) -> None:
    """x.1.png may be the second draw of x.png, or the result of x.1.png."""
    picture(tmp_path / "one" / "x.png")
    picture(tmp_path / "other" / "x.1.png")
    restore(tmp_path / "one", tmp_path / "out", "--samples", 2)
    before = tree(tmp_path / "out")
    assert "failed: x.1.png" in restore(tmp_path / "other", tmp_path / "out", code=3).stderr
    assert tree(tmp_path / "out") == before


def test_another_picture_from_a_pipe(restore: Program, photos: Path, tmp_path: Path) -> None:
    """The same bytes again are up to date; others fail."""
    one, other = ((photos / name).read_bytes() for name in ("p0.png", "p1.png"))
    for target in (tmp_path / "x.png", tmp_path / "folder"):
        restore("-", target, input=one)
        before = target.read_bytes() if target.is_file() else tree(target)
        assert "1 up to date" in restore("-", target, input=one).stderr
        assert "another picture" in restore("-", target, input=other, code=3).stderr
        assert (target.read_bytes() if target.is_file() else tree(target)) == before
        restore("-", target, "--overwrite", input=other)


def moved(source: Path, target: Path) -> Path:
    return source.rename(target)


def copied(source: Path, target: Path) -> Path:
    """With new times."""
    shutil.copytree(source, target, copy_function=shutil.copyfile)
    return target


def linked(source: Path, target: Path) -> Path:
    target.symlink_to(source)
    return target


def mirrored(source: Path, target: Path) -> Path:
    """As a backup does, with times."""
    shutil.copytree(source, target)
    return target


@pytest.mark.parametrize("way", [moved, copied, linked, mirrored])
def test_an_input_in_another_place_is_known_again(
    restore: Program, tmp_path: Path, way: Callable[[Path, Path], Path]
) -> None:
    """Unchanged files are up to date, and other settings do them anew; a changed one is another picture."""
    source, out = pictures(tmp_path / "in", 200), tmp_path / "out"
    restore(source, out, "-r")
    there = way(source, tmp_path / "there")
    assert "0 done, 0 failed, 2 up to date" in restore(there, out, "-r").stderr
    if way is not linked:
        kept = there / "a.bmp"
        shutil.copy2(kept, tmp_path / "kept")
        Image.new("RGB", (12, 8), (1, 2, 3)).save(kept)
        assert "failed: a.bmp" in restore(there, out, "-r", code=3).stderr
        shutil.copy2(tmp_path / "kept", kept)
    assert "2 done, 0 failed, 0 up to date" in restore(there, out, "-r", "--seed", 1).stderr
    assert "0 done, 0 failed, 2 up to date" in restore(there, out, "-r", "--seed", 1).stderr


def test_a_changed_file_is_done_anew(restore: Program, tmp_path: Path) -> None:
    source, out = pictures(tmp_path / "in", 200), tmp_path / "out"
    restore(source, out, "-r")
    before = tree(out)
    picture(source / "a.bmp", 9, 9)
    assert "1 done, 0 failed, 1 up to date" in restore(source, out, "-r").stderr
    assert tree(out)["a.bmp"] != before["a.bmp"]


def test_manifests_that_know_names_alone(restore: Program, tmp_path: Path) -> None:
    """What an older version wrote still proves what is done, and protects what it does not know."""
    source, out = pictures(tmp_path / "in", 200), tmp_path / "out"
    restore(source, out, "-r")
    manifest = out / ".irsde" / "manifest.jsonl"
    lines = [json.loads(line) for line in manifest.read_text().splitlines()]
    new = ("input_path", "input_blake2b")
    old = [{key: value for key, value in line.items() if key not in new} for line in lines]
    assert old != lines
    manifest.write_text("".join(json.dumps(line) + "\n" for line in old))
    assert "0 done, 0 failed, 2 up to date" in restore(source, out, "-r").stderr
    before = tree(out)
    picture(source / "a.bmp", 9, 9)
    assert "failed: a.bmp" in restore(source, out, "-r", code=3).stderr
    assert tree(out) == before


def test_a_file_by_several_spellings_is_one_picture(restore: Program, tmp_path: Path) -> None:
    """Its first spelling names it."""
    source = pictures(tmp_path / "in", 200)
    (tmp_path / "link").symlink_to(source)
    (source / "inner").symlink_to(source / "sub")
    spellings = [
        "./a.bmp", "a.bmp", "sub/../a.bmp", "sub/.././a.bmp", f"{source}/a.bmp", f"{tmp_path}/link/a.bmp",
        f"{tmp_path}/in/../in/a.bmp", "sub/b.bmp", "inner/b.bmp", "../link/sub/b.bmp",
    ]  # fmt: skip
    for turn in range(len(spellings)):
        (tmp_path / "list").write_text("\n".join(spellings[turn:] + spellings[:turn]))
        result = restore(source, tmp_path / f"out{turn}", "--files-from", tmp_path / "list")
        assert "2 done, 0 failed" in result.stderr
        made = set(tree(tmp_path / f"out{turn}"))
        assert "a.bmp" in made and made - {"a.bmp"} <= {"sub/b.bmp", "inner/b.bmp"}


@pytest.mark.skipif(os.name != "posix", reason="needs hard links")
def test_two_names_are_two_pictures(restore: Program, tmp_path: Path) -> None:
    """Hard links, and links to a file."""
    source = pictures(tmp_path / "in", 200)
    os.link(source / "a.bmp", source / "hard.bmp")
    (source / "soft.bmp").symlink_to("a.bmp")
    (tmp_path / "list").write_text("a.bmp\nhard.bmp\nsoft.bmp\n")
    restore(source, tmp_path / "out", "--files-from", tmp_path / "list")
    assert list(tree(tmp_path / "out")) == ["a.bmp", "hard.bmp", "soft.bmp"]
