"""What of a folder is a picture: the same for every command, and nothing is left out uncounted."""

import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from irsde_cli.datasets import discovery
from irsde_cli.datasets.discovery import PICTURES, LeftOut, is_rubbish, pictures_below, walk
from irsde_cli.datasets.pairing import pictures_of
from irsde_cli.degradations import DegradationConfig, build_degradation
from irsde_cli.errors import UsageError
from irsde_cli.images import SUFFIXES
from irsde_cli.training.data import load_clean
from tests.cli.stub import picture

FOLDERS = ["@eaDir", ".thumbnails", ".Trash-1000", ".ipynb_checkpoints", "#recycle", "__MACOSX", "$RECYCLE.BIN", ".x"]
UNREAD = sorted(PICTURES - set(SUFFIXES))


def put(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def found(root: Path, *, recursive: bool = True) -> tuple[list[str], LeftOut]:
    left_out = LeftOut()
    return [name for name, _ in walk(root, recursive=recursive, left_out=left_out)], left_out


def mixed_case(name: str, draw: random.Random) -> str:
    return "".join(draw.choice((letter.upper(), letter.lower())) for letter in name)


@pytest.mark.parametrize("seed", range(20))
def test_generated_folders(tmp_path: Path, seed: int) -> None:
    """Whatever lies where, in whatever case: pictures are found, kinds counted, rubbish passed over."""
    draw = random.Random(seed)
    wanted, unread, hidden = [], 0, 0
    for index in range(40):
        where = "/".join(draw.choices(["a", "b", "c.png"], k=draw.randrange(3)))
        place = f"{where}/" if where else ""
        kind = draw.choice(["picture", "unread", "hidden", "in rubbish", "other"])
        suffix = mixed_case(draw.choice(sorted(SUFFIXES)), draw)
        match kind:
            case "picture":
                wanted.append(f"{place}p{index}{suffix}")
                put(tmp_path, wanted[-1])
            case "unread":
                unread += 1
                put(tmp_path, f"{place}p{index}{mixed_case(draw.choice(UNREAD), draw)}")
            case "hidden":
                hidden += 1
                put(tmp_path, f"{place}{draw.choice(['._', '.'])}p{index}{suffix}")
            case "in rubbish":
                put(tmp_path, f"{place}{mixed_case(draw.choice(FOLDERS), draw)}/x/p{index}{suffix}")
            case _:
                put(tmp_path, f"{place}{draw.choice(['Thumbs.db', 'a.txt', 'png', 'a.xmp', 'film.mp4', '.DS_Store'])}")
    names, left_out = found(tmp_path)
    assert sorted(names) == sorted(wanted)
    assert (sum(left_out.unread.values()), left_out.hidden, left_out.folders) == (unread, hidden, 0)
    assert pictures_below(tmp_path) == sorted(tmp_path / name for name in wanted)


@pytest.mark.parametrize("name", FOLDERS)
def test_the_folder_that_is_named_is_read_whatever_its_name(tmp_path: Path, name: str) -> None:
    assert is_rubbish(name)
    assert found(put(tmp_path / name, "a.png"))[0] == ["a.png"]


def load(folder: Path) -> list[Path]:
    degradation = build_degradation(DegradationConfig("gaussian-noise"))
    return list(load_clean(folder, degradation, crop=8, device=torch.device("cpu"), skip_bad=None).pictures.paths)


def listed(folder: Path) -> list[Path]:
    return [folder / name for name, _ in walk(folder, recursive=True)]


def paired(folder: Path) -> list[Path]:
    return list(pictures_of(folder).values())


@pytest.mark.parametrize("way", [listed, paired, load])
def test_every_command_finds_the_same(tmp_path: Path, way: Callable[[Path], list[Path]]) -> None:
    """Restore, evaluate and train."""
    picture(tmp_path / "a.png")
    picture(tmp_path / "sub" / "b.jpg")
    put(tmp_path, "._a.png", ".hidden.jpg", *(f"{folder}/a.png" for folder in FOLDERS), "sub/._b.jpg", "c.psd")
    assert way(tmp_path) == [tmp_path / "a.png", tmp_path / "sub" / "b.jpg"]


def test_what_is_left_out_is_said_in_words(tmp_path: Path) -> None:
    put(tmp_path, "1.PSD", "2.psd", "3.psd", "4.gif", "5.gif", "6.xcf", "._7.jpg", "a/8.png", "b/c/9.JPG", "d/10.txt")
    (tmp_path / "link").symlink_to(tmp_path / "a")
    (tmp_path / "nowhere").symlink_to(tmp_path / "absent")
    (tmp_path / "loop").symlink_to("loop")
    _, left_out = found(tmp_path, recursive=False)
    assert left_out.phrases == [
        "6 files of kinds that are not read: 3 psd, 2 gif, 1 xcf",
        "2 subfolders with pictures are left out; -r reads them",
        "1 hidden picture is passed over",
        "1 link to a folder is not followed",
    ]
    put(tmp_path / "one", "a.svg", "sub/b.png")
    assert found(tmp_path / "one", recursive=False)[1].losses == [
        "1 file of a kind that is not read: 1 svg",
        "1 subfolder with pictures is left out; -r reads it",
    ]
    assert found(tmp_path / "one", recursive=True)[1].losses == ["1 file of a kind that is not read: 1 svg"]
    assert found(put(tmp_path / "none", "a.png", "sub/b.txt", "sub/.c.png"), recursive=False)[1].phrases == []


@pytest.mark.parametrize(
    ("most", "loss"),
    [
        (0, "3 subfolders are left out; -r reads them"),
        (3, "2 subfolders are left out; -r reads them"),
        (6, "at least 1 subfolder with pictures is left out; -r reads it"),
        (7, "1 subfolder with pictures is left out; -r reads it"),
    ],
)
def test_looking_into_subfolders_has_an_end(
    tmp_path: Path, most: int, loss: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was not looked into is said as well."""
    put(tmp_path, *(f"{folder}/{index}.txt" for folder in "ab" for index in range(3)), "c/x.png")
    monkeypatch.setattr(discovery, "MOST_LOOKED_AT", most)
    assert found(tmp_path, recursive=False)[1].losses == [loss]


def test_a_folder_that_cannot_be_listed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, "a.png", "closed/b.png")
    scandir = os.scandir

    def refused(path: Path) -> Any:
        if path.name == "closed":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refused)
    assert list(walk(tmp_path, recursive=True)) == [("a.png", ""), ("closed", "cannot be listed: Permission denied")]
    with pytest.raises(UsageError, match="closed' cannot be listed"):
        pictures_below(tmp_path)


def test_links_that_lead_nowhere_are_not_lost(tmp_path: Path) -> None:
    """They are among the pictures, and fail by name when they are read."""
    (tmp_path / "gone.png").symlink_to(tmp_path / "absent")
    assert pictures_below(tmp_path) == [tmp_path / "gone.png"]
    with pytest.raises(UsageError, match="no such folder"):
        pictures_below(tmp_path / "absent")


def test_a_warning_counts_what_is_not_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Where evaluate and train list a folder."""
    pictures_of(put(tmp_path, "a.png", "b.psd", ".c.png"))
    assert [record.message for record in caplog.records] == [f"'{tmp_path}': 1 file of a kind that is not read: 1 psd"]
