"""A folder of a phone, end to end."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from irsde_cli.datasets.discovery import LeftOut
from irsde_cli.images import read_picture
from tests.cli.stub import Program, picture
from tests.images.test_formats import dng, heic, mosaic
from tests.images.test_read_picture import exif

TAKEN = 1_600_000_000


@pytest.fixture
def phone(tmp_path: Path) -> Path:
    """HEIC upright and turned, a JPEG, a film, and a HEIC that is named otherwise."""
    pytest.importorskip("pillow_heif", reason="HEIC needs the extra irsde[heif]")
    folder = tmp_path / "phone"
    picture(folder / "IMG_1.jpg", 20, 24, exif=b"Exif\0\0" + exif(1))
    samples = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    (folder / "IMG_2.HEIC").write_bytes(heic(samples, "RGB", exif=exif(1)))
    (folder / "IMG_3.heic").write_bytes(heic(samples, "RGB", exif=exif(6)))
    (folder / "IMG_3.mov").write_bytes(b"\0\0\0\x14ftypqt  film")
    for path in folder.iterdir():
        os.utime(path, (TAKEN, TAKEN))
    return folder


@pytest.mark.parametrize("format", [None, "jpeg"])
def test_a_folder_of_a_phone(restore: Program, phone: Path, tmp_path: Path, format: str | None) -> None:
    """HEIC in, HEIC or JPEG out, upright, with the camera's words, and dates where they are asked for."""
    asked = [] if format is None else ["--format", format]
    done = restore(phone, tmp_path / "out", "--keep-times", *asked)
    names = ["IMG_1.jpg", "IMG_2.HEIC", "IMG_3.heic"] if format is None else ["IMG_1.jpg", "IMG_2.jpg", "IMG_3.jpg"]
    assert sorted(path.name for path in (tmp_path / "out").glob("IMG*")) == names
    assert "3 done, 0 failed" in done.stderr
    for name, size in zip(names, [(20, 24), (24, 32), (32, 24)], strict=True):
        path = tmp_path / "out" / name
        found = read_picture(path, name)
        assert found.size == size and path.stat().st_mtime == TAKEN
        assert found.format == ("heic" if format is None and name != "IMG_1.jpg" else "jpeg")
        tags = Image.Exif()
        assert found.exif is not None
        tags.load(b"Exif\0\0" + found.exif)
        assert tags[ExifTags.Base.Make] == "Camera" and tags.get(ExifTags.Base.Orientation, 1) == 1
    again = restore(phone, tmp_path / "out", "--keep-times", *asked)
    assert "3 up to date" in again.stderr


def test_raw_becomes_tiff(restore: Program, tmp_path: Path) -> None:
    """A raw photograph is only read: its result has 16 bits and the name of a TIFF; linear is another result."""
    pytest.importorskip("rawpy", reason="raw photographs need the extra irsde[raw]")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "DSC_1.DNG").write_bytes(dng(mosaic(500, 32, 48)))
    done = restore(tmp_path / "in", tmp_path / "out")
    out = tmp_path / "out" / "DSC_1.tif"
    assert done.stdout.strip() == str(out) and read_picture(out, "x").depth == 16
    level = read_picture(out, "x").pixels.mean()
    restore(tmp_path / "in", tmp_path / "out", "--raw", "linear")
    assert read_picture(out, "x").pixels.mean() < 0.8 * level
    refused = restore(tmp_path / "in", tmp_path / "out", "--format", "dng", code=2)
    assert "'dng' is read, and not written" in refused.stderr
    before = (tmp_path / "in" / "DSC_1.DNG").read_bytes()
    restore(tmp_path / "in", "--in-place", code=3)
    restore(tmp_path / "in" / "DSC_1.DNG", "--in-place", code=3)
    assert [path.name for path in (tmp_path / "in").glob("DSC*")] == ["DSC_1.DNG"]
    assert (tmp_path / "in" / "DSC_1.DNG").read_bytes() == before


def test_what_is_not_read_says_what_to_install() -> None:
    """Counted, named, and once for each part that reads it."""
    left_out = LeftOut(unread={"heic": 3, "dng": 1, "nef": 2, "gif": 1})
    assert left_out.losses == [
        "7 files of kinds that are not read: 3 heic, 2 nef, 1 dng, 1 gif "
        "(pip install 'irsde[heif]'; pip install 'irsde[raw]')"
    ]


def test_a_pipe_of_heic(restore: Program) -> None:
    """What comes is told by its content, and the same goes."""
    samples = np.full((16, 16, 3), 120, np.uint8)
    done = restore("-", "-", input=heic(samples, "RGB"))
    found = read_picture(done.stdout_bytes, "x")
    assert (found.format, found.size) == ("heic", (16, 16))
