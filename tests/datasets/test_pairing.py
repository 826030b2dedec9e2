from pathlib import Path

import pytest

from irsde_cli.datasets.halves import find_pair_folders
from irsde_cli.datasets.pairing import pair_folders
from irsde_cli.errors import UsageError


def files(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def keys(clean: Path, degraded: Path, template: str = "{stem}") -> list[tuple[str, str]]:
    pairing = pair_folders(clean, degraded, template)
    return [(pair.clean.relative_to(clean).as_posix(), pair.key) for pair in pairing.pairs]


def test_names_pair_and_positions_do_not(tmp_path: Path) -> None:
    """A missing file shifts nothing; depth and suffix may differ, letters may not."""
    clean = files(tmp_path / "GT", "a.png", "b.png", "deep/c.png", "only.png")
    degraded = files(tmp_path / "LQ", "b.jpg", "deep/c.png", "A.png", "a.jpeg", "extra.png", "notes.txt")
    assert keys(clean, degraded) == [("a.png", "a"), ("b.png", "b"), ("deep/c.png", "deep/c")]
    pairing = pair_folders(clean, degraded)
    assert [path.name for path in pairing.clean_alone] == ["only.png"]
    assert sorted(path.name for path in pairing.degraded_alone) == ["A.png", "extra.png"]


@pytest.mark.parametrize(
    ("template", "degraded", "expected"),
    [
        ("{stem}x4", ["babyx4.png", "baby.png"], [("baby.png", "babyx4")]),
        ("rain-{stem}", ["rain-baby.png"], [("baby.png", "rain-baby")]),
        ("{stem}_*", ["baby_1_0.9.png", "baby_2.png"], [("baby.png", "baby_1_0.9"), ("baby.png", "baby_2")]),
        ("{stem}*", ["baby_2.png", "bird.png"], [("baby_2.png", "baby_2"), ("bird.png", "bird")]),
        ("{stem}.[a]", ["baby.[a].png", "baby.a.png"], [("baby.png", "baby.[a]")]),
    ],
)
def test_templates(tmp_path: Path, template: str, degraded: list[str], expected: list[tuple[str, str]]) -> None:
    """The longest clean name wins where several fit."""
    clean = files(tmp_path / "GT", "baby.png", "baby_2.png", "bird.png")
    assert keys(clean, files(tmp_path / "LQ", *degraded), template) == expected


def test_what_cannot_be_paired_is_refused(tmp_path: Path) -> None:
    clean = files(tmp_path / "GT", "a.png", "a.jpg")
    degraded = files(tmp_path / "LQ", "a.png")
    with pytest.raises(UsageError, match="same name but for the suffix"):
        pair_folders(clean, degraded)
    with pytest.raises(UsageError, match="no such folder"):
        pair_folders(tmp_path / "absent", degraded)
    with pytest.raises(UsageError, match="must hold"):
        pair_folders(degraded, degraded, "x4")


def test_usual_folder_names_are_found(tmp_path: Path) -> None:
    assert find_pair_folders(tmp_path) is None
    files(tmp_path, "GT/a.png", "LQ_x4/a.png")
    assert find_pair_folders(tmp_path) == (tmp_path / "GT", tmp_path / "LQ_x4")
