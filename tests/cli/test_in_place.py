"""Originals that are replaced: nothing that they hold is lost without leave, and they keep their outside."""

import os
import stat
import struct
from pathlib import Path

import pytest
from PIL import Image

from irsde_cli.storage import outside
from tests.cli.stub import Program, picture, tree
from tests.images.test_read_picture import chunk, saved
from tests.reliability.holdings import holdings, photo, png_with, raws

posix = pytest.mark.skipif(os.name != "posix", reason="needs POSIX rights")


@pytest.fixture
def held(tmp_path: Path) -> Path:
    """A folder of files that hold more than a picture, and of raw photographs."""
    folder = tmp_path / "in"
    folder.mkdir()
    for holding in holdings():
        (folder / holding.name).write_bytes(holding.data)
    for name, data in raws().items():
        (folder / f"{name}.tif").write_bytes(data)
    return folder


def test_what_a_result_would_lack_stays(restore: Program, held: Path) -> None:
    """A file of which anything would be lost is refused and stays byte for byte; the others are replaced."""
    before = tree(held)
    failed = {event["name"]: event["reason"] for event in restore.events(held, "--in-place", code=3)
              if event["event"] == "failed"}  # fmt: skip
    after = tree(held)
    for holding in holdings():
        if holding.lost:
            assert after[holding.name] == before[holding.name] == holding.data
            assert all(title in failed[holding.name] for title in holding.lost)
        else:
            assert holding.name not in failed
            written = after[holding.name].replace(holding.name.encode(), b"")  # what made it says its name
            assert not [text for text in holding.stale if text in written], holding.name
    for name in raws():
        assert after[f"{name}.tif"] == before[f"{name}.tif"] and "raw photograph" in failed[f"{name}.tif"]
    assert set(failed) == {h.name for h in holdings() if h.lost} | {f"{name}.tif" for name in raws()}


@pytest.mark.parametrize("leave", ["--allow-loss", "--backup"])
def test_with_leave_it_is_done_and_named(restore: Program, held: Path, leave: str) -> None:
    """Each loss is counted once a run, with the first files by name; --backup keeps every original byte for byte."""
    before = tree(held)
    ended = restore(held, "--in-place", leave, code=3)
    after = tree(held)
    raw = {f"{name}.tif" for name in raws()}
    for name in before.keys() - raw:
        assert after[name] != before[name]
        assert after.get(f"{name}.orig") == (before[name] if leave == "--backup" else None)
    lines = [line for line in ended.stderr.splitlines() if line.startswith("not kept: ")]
    assert len(lines) == len({title for holding in holdings() for title in holding.lost})
    pages = sum("further pages" in holding.lost for holding in holdings())
    assert any(f"further pages, of {pages} files: " in line and "and" in line for line in lines)
    assert ended.stderr.count("dangling.tif") == 1
    again = tree(held)
    restore(held, "--in-place", leave, code=3)
    assert tree(held) == again


def test_verbose_names_every_file(restore: Program, held: Path, tmp_path: Path) -> None:
    """One line for each file, with how much there is of it."""
    lines = restore(held, tmp_path / "out", "--verbose", code=3).stderr.splitlines()
    for holding in holdings():
        named = [line for line in lines if line.startswith(f"{holding.name}: not kept: ")]
        assert len(named) == bool(holding.lost)
        assert all(title in named[0] for title in holding.lost)
    assert any(line == "mpo.jpg: not kept: further pictures (2)" for line in lines)


def test_strict_makes_losses_failures(restore: Program, tmp_path: Path) -> None:
    """--strict fails where something would be named."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.tif").write_bytes(
        saved(Image.fromarray(photo()), "tiff", save_all=True, append_images=[Image.fromarray(photo(1))])
    )
    assert (
        "further pages (1), which is not kept" in restore(tmp_path / "in", tmp_path / "out", "--strict", code=3).stderr
    )
    assert not tree(tmp_path / "out")


def test_stripping_is_no_loss(restore: Program, tmp_path: Path) -> None:
    """Comments that --metadata strip leaves out are not counted, and nothing is refused for them."""
    place = tmp_path / "in"
    place.mkdir()
    wanted = [holding for holding in holdings() if holding.name == "segment-extended-xmp.jpg"]
    (place / "a.jpg").write_bytes(wanted[0].data)
    restore(place, "--in-place", code=3)
    assert "not kept" not in restore(place, "--in-place", "--metadata", "strip").stderr


@posix
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o444, 0o664])
@pytest.mark.parametrize("way", ["--in-place", "--overwrite"])
def test_rights_are_kept(restore: Program, tmp_path: Path, mode: int, way: str) -> None:
    """A private picture stays private, in place and where an older result is replaced."""
    source = picture(tmp_path / "in" / "a.png", 16, 16)
    target = source if way == "--in-place" else picture(tmp_path / "out" / "a.png", 9, 9)
    before = target.read_bytes()
    target.chmod(mode)
    restore(source, *([] if way == "--in-place" else [target]), way)
    assert stat.S_IMODE(target.stat().st_mode) == mode and target.read_bytes() != before


@posix
@pytest.mark.skipif(os.name == "posix" and os.geteuid() != 0, reason="needs root")
def test_owner_and_group_are_kept(restore: Program, tmp_path: Path) -> None:
    """A file of another user stays his."""
    source = picture(tmp_path / "in" / "a.png", 16, 16)
    os.chown(source, 1234, 5678)
    source.chmod(0o640)
    restore(source, "--in-place")
    found = source.stat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (1234, 5678, 0o640)


@posix
def test_a_file_whose_owner_cannot_be_kept_is_refused(
    restore: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With leave it is replaced, and what its group was allowed is not handed to another group."""
    source = picture(tmp_path / "in" / "a.png", 16, 16)
    source.chmod(0o664)
    before = source.read_bytes()
    monkeypatch.setattr(outside, "may_give", lambda status, folder: False)
    assert "its owner or group" in restore(source, "--in-place", code=3).stderr
    assert source.read_bytes() == before
    restore(source, "--in-place", "--allow-loss")


def test_attributes_are_kept(restore: Program, tmp_path: Path) -> None:
    """Extended attributes, of which access lists are some, where the system has them."""
    source = picture(tmp_path / "in" / "a.png", 16, 16)
    rights = struct.pack("<I", 2) + b"".join(
        struct.pack("<HHI", tag, allowed, name)
        for tag, allowed, name in (
            (1, 6, 2**32 - 1),
            (2, 4, 4321),
            (4, 4, 2**32 - 1),
            (16, 6, 2**32 - 1),
            (32, 0, 2**32 - 1),
        )
    )
    try:
        os.setxattr(source, "user.note", b"by hand")
    except (AttributeError, OSError):
        pytest.skip("no extended attributes here")
    listed = {"user.note": b"by hand"}
    try:
        os.setxattr(source, "system.posix_acl_access", rights)
        listed["system.posix_acl_access"] = rights
    except OSError:
        pass
    restore(source, "--in-place")
    assert {name: os.getxattr(source, name) for name in listed} == listed


@posix
def test_further_names_are_said(restore: Program, tmp_path: Path) -> None:
    """A file with other names is refused; with leave the others keep the original, and the tie is named."""
    source = picture(tmp_path / "in" / "a.png", 16, 16)
    before = source.read_bytes()
    os.link(source, tmp_path / "other.png")
    assert "hard links) (1)" in restore(source, "--in-place", code=3).stderr
    assert source.read_bytes() == before
    assert "hard links), of 1 file: a.png" in restore(source, "--in-place", "--allow-loss").stderr
    assert source.read_bytes() != before == (tmp_path / "other.png").read_bytes()


@posix
def test_further_names_of_older_results_are_said(restore: Program, tmp_path: Path) -> None:
    """An older result that is replaced lets go of its other names, which keep what they hold."""
    source, older = picture(tmp_path / "in" / "a.png", 16, 16), picture(tmp_path / "out" / "a.png", 9, 9)
    os.link(older, tmp_path / "kept.png")
    before = older.read_bytes()
    said = restore(source, older, "--overwrite").stderr
    assert "hard links), of 1 file: a.png" in said and (tmp_path / "kept.png").read_bytes() == before


def test_names_as_long_as_names_can_be(restore: Program, tmp_path: Path) -> None:
    """They are replaced; a backup, which needs a longer name, is refused in a sentence."""
    source = picture(tmp_path / "in" / ("x" * 251 + ".png"), 16, 16)
    before = source.read_bytes()
    assert "cannot be kept as" in restore(source, "--in-place", "--backup", code=3).stderr
    assert source.read_bytes() == before
    restore(source, "--in-place")
    assert source.read_bytes() != before


def test_dates_are_kept(restore: Program, tmp_path: Path) -> None:
    """In place always, elsewhere with --keep-times; what was made is known again."""
    when = 1_000_000_000_123_456_789
    source = tmp_path / "in" / "a.png"
    source.parent.mkdir()
    source.write_bytes(png_with(chunk(b"tIME", bytes(7))))  # its result is smaller
    os.utime(source, ns=(when, when))
    restore(source, tmp_path / "now.png")
    restore(source, tmp_path / "then.png", "--keep-times")
    assert (tmp_path / "now.png").stat().st_mtime_ns != source.stat().st_mtime_ns
    assert (tmp_path / "then.png").stat().st_mtime_ns == source.stat().st_mtime_ns
    assert "1 up to date" in restore(source, tmp_path / "then.png", "--keep-times").stderr
    before = source.stat().st_mtime_ns
    restore(source, "--in-place")
    assert source.stat().st_mtime_ns == before
    assert "1 up to date" in restore(source, "--in-place").stderr


def test_a_result_of_the_same_size_and_date_is_known(restore: Program, tmp_path: Path) -> None:
    """A BMP is as large as its result: the date moves by as little as the file system can tell."""
    source = picture(tmp_path / "in" / "a.png", 16, 16).with_suffix(".bmp")
    source.write_bytes(saved(photo(), "bmp"))
    os.utime(source, (1_000_000_000, 1_000_000_000))
    before, data = source.stat(), source.read_bytes()
    restore(source, "--in-place")
    after = source.stat()
    assert source.read_bytes() != data and after.st_size == before.st_size
    assert 0 < after.st_mtime_ns - before.st_mtime_ns <= 2_000_000_000
    once = source.read_bytes()
    assert "1 up to date" in restore(source, "--in-place").stderr
    source.write_bytes(data)
    os.utime(source, ns=(before.st_atime_ns, before.st_mtime_ns))
    restore(source, "--in-place")
    assert source.read_bytes() == once, "the original is back, and is restored anew"


def test_a_backup_is_never_replaced(restore: Program, tmp_path: Path) -> None:
    """Somebody's file of that name stays, and so does the picture; our own backup outlives further restorations."""
    source = picture(tmp_path / "in" / "a.png", 16, 16)
    original, kept = source.read_bytes(), source.with_name("a.png.orig")
    kept.write_bytes(b"mine")
    assert "'a.png.orig' is there already" in restore(source, "--in-place", "--backup", code=3).stderr
    assert (source.read_bytes(), kept.read_bytes()) == (original, b"mine")
    kept.unlink()
    restore(source, "--in-place", "--backup")
    once = source.read_bytes()
    restore(source, "--in-place", "--backup", "--overwrite", "--seed", 1, "--sampler", "euler-maruyama")
    assert source.read_bytes() not in (once, original) and kept.read_bytes() == original
    assert "--backup goes with --in-place" in restore(source, tmp_path / "out", "--backup", code=2).stderr


def test_a_backup_without_second_names(restore: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the file system has no hard links the original is copied, with its date."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(1, "not here")

    monkeypatch.setattr(os, "link", refuse)
    source = picture(tmp_path / "in" / "a.png", 16, 16)
    os.utime(source, (1_000_000_000, 1_000_000_000))
    original = source.read_bytes()
    restore(source, "--in-place", "--backup")
    kept = source.with_name("a.png.orig")
    assert kept.read_bytes() == original and kept.stat().st_mtime == 1_000_000_000
    assert sorted(path.name for path in source.parent.iterdir() if path.name != ".irsde") == ["a.png", "a.png.orig"]


def test_colours_are_not_changed_by_a_format(restore: Program, tmp_path: Path) -> None:
    """A PNG with a gamma of its own does not become a JPEG without it; what sRGB says in other words may go."""
    place = tmp_path / "in"
    place.mkdir()
    for holding in holdings():
        if holding.name in ("colour-gAMA.png", "colour-cICP.png", "chunk-text.png"):
            (place / holding.name).write_bytes(holding.data)
    ended = restore(place, tmp_path / "out", "--format", "jpeg", code=3)
    assert "has colours of its own" in ended.stderr and "--allow-loss" in ended.stderr
    assert "not kept: comments, of 1 file: chunk-text.png" in ended.stderr
    assert list(tree(tmp_path / "out")) == ["chunk-text.jpg"]
    restore(place, tmp_path / "out", "--format", "jpeg", "--allow-loss")
    assert len(tree(tmp_path / "out")) == 3
