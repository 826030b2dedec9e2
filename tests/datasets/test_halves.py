"""Pairs are told from clean pictures by their names, and clean pictures are never taken for pairs."""

from collections.abc import Callable
from pathlib import Path

import pytest

from irsde_cli.datasets.discovery import pictures_below
from irsde_cli.datasets.halves import check_clean, find_halves, find_pair_folders, read_name
from irsde_cli.errors import UsageError

CASES: list[Callable[[str], str]] = [str, str.lower, str.upper, str.title]
# The clean and the damaged folder of the field's sets, and how stems differ.
FOLDERS = [
    ("clean", "noisy", "{}", "{}"),
    ("clean_images", "noisy_images", "{}", "{}"),
    ("Sharp", "Blur", "{}", "{}"),
    ("sharp", "blur_gamma", "{}", "{}"),
    ("GT", "LQ", "{}", "{}"),
    ("GT", "LQ_x4", "{}", "{}"),
    ("gt", "input", "{}", "{}"),
    ("target", "input", "{}", "{}"),
    ("target_crops", "input_crops", "{}-1", "{}-1"),
    ("train_clean", "train_noisy", "{}", "{}"),
    ("norain", "rain", "norain-{}", "rain-{}"),
    ("norain", "rain/X2", "norain-{}", "rain-{}x2"),
    ("rain_free", "rainy", "{}", "{}"),
    ("groundtruth", "rainy_image", "{}", "{}_1"),
    ("ground_truth", "rainy image", "{}", "{}_14"),
    ("DIV2K_train_HR", "DIV2K_train_LR_bicubic", "{}", "{}"),
    ("DIV2K_train_HR", "DIV2K_train_LR_bicubic/X4", "{}", "{}x4"),
    ("Flickr2K_HR", "Flickr2K_LR_bicubic/X3", "{}", "{}x3"),
    ("HR", "LRx4", "{}", "{}"),
    ("clear", "hazy", "{}", "{}_0.8_0.16"),
    ("GT", "hazy", "{}_GT", "{}_hazy"),
    ("high", "low", "{}", "{}"),
    ("high", "low", "normal{}", "low{}"),
    ("shadow_free", "shadow", "{}", "{}"),
    ("train_C", "train_A", "{}", "{}"),
    ("original", "compressed", "{}", "{}"),
    ("long", "short", "{}", "{}"),
    ("reference-890", "raw-890", "{}", "{}"),
    ("No Haze", "Haze", "{}", "{}"),
]


def place(root: Path, folders: dict[str, str], count: int = 3) -> Path:
    """Empty files: nothing of this opens one."""
    for folder, stem in folders.items():
        for index in range(count):
            path = root / folder / f"{stem.format(f'{index + 1:03}')}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    return root


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("clean", "damaged", "stem", "other"), FOLDERS)
def test_pairs_in_folders_are_refused(
    tmp_path: Path, clean: str, damaged: str, stem: str, other: str, case: Callable[[str], str]
) -> None:
    """In any case, directly below or in sequences; the clean half alone is what it is, the damaged one is not."""
    clean, damaged = case(clean), case(damaged)
    root = place(tmp_path / "set", {clean: stem, damaged: other})
    deep = place(tmp_path / "deep", {f"train/one/{clean}": stem, f"train/one/{damaged}": other})
    for folder, top in ((root, root), (deep, deep / "train" / "one")):
        with pytest.raises(UsageError, match="holds pairs") as refused:
            check_clean(folder, pictures_below(folder))
        assert f"'{top / clean}'" in refused.value.message and f"'{top / clean}'" in refused.value.hint
        assert "--degradation none" in refused.value.hint
    check_clean(root / clean, pictures_below(root / clean))
    with pytest.raises(UsageError, match="is the damaged half of pairs"):
        check_clean(root / damaged, pictures_below(root / damaged))


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("clean", "damaged"), [row[:2] for row in FOLDERS])
def test_pairs_are_found_to_learn_from(tmp_path: Path, clean: str, damaged: str, case: Callable[[str], str]) -> None:
    """The way out works: the folder that is refused as clean pictures is taken for pairs."""
    clean, damaged = case(clean), case(damaged)
    scale = int(damaged[-1]) if damaged[-3:-1].upper() == "/X" else 1
    root = place(tmp_path / "set", {clean: "{}", damaged: "{}"})
    assert find_pair_folders(root, scale) == (root / clean, root / damaged)


@pytest.mark.parametrize(
    ("stem", "other"),
    [
        ("{}_GT_SRGB_010", "{}_NOISY_SRGB_010"),
        ("{}", "{}_noisy"),
        ("{}_clean", "{}_rain"),
        ("norain-{}", "rain-{}"),
        ("{}_GT", "{}_in"),
        ("img_{}_SRF_4_HR", "img_{}_SRF_4_LR"),
        ("{}", "{}x4"),
        ("{}", "{}_blurred"),
        ("sharp{}", "blurry{}"),
        ("{}_shadow_free", "{}_shadow"),
    ],
)
def test_pairs_in_one_folder_are_refused(tmp_path: Path, stem: str, other: str) -> None:
    """As some sets come; a few such names among many pictures are no pairs."""
    root = place(place(tmp_path / "set", {"a": stem}), {"a": other})
    with pytest.raises(UsageError, match="holds pairs") as refused:
        check_clean(root, pictures_below(root))
    assert "--degradation none" in refused.value.hint
    many = place(tmp_path / "set", {"a": "DSC{}"}, count=20)
    check_clean(many, pictures_below(many))


@pytest.mark.parametrize(
    "folders",
    [
        {"train": "{}", "val": "{}"},
        {"photos": "{}", "photos_free": "{}"},
        {"clean": "{}", "thumbs": "{}"},
        {"Rain in Spain": "{}", "Clear skies": "IMG_{}"},
        {"high school": "{}", "low tide": "{}"},
        {"rain": "a{}", "snow": "b{}"},
        {"original": "DSC{}", "snow": "IMG_{}"},
        {"GT": "{}", "masks": "{}"},
        {"HR": "{}"},
        {"blur": "{}"},
        {"2019": "rain_{}", "2020": "rain_{}"},
        {"": "{}"},
    ],
)
def test_clean_pictures_stay_clean(tmp_path: Path, folders: dict[str, str]) -> None:
    root = place(tmp_path / "mine", folders)
    assert find_halves(root, pictures_below(root)) is None


def test_folders_of_results_beside_data_are_no_clean_half(tmp_path: Path) -> None:
    """`data` and `input` are what people call anything."""
    root = place(tmp_path, {"data": "{}", "input": "{}", "output": "{}", "results": "{}", "restored": "{}"})
    for name in ("data", "input"):
        check_clean(root / name, pictures_below(root / name))


def test_pairs_of_others_beside_pictures_say_nothing_of_them(tmp_path: Path) -> None:
    """Two halves that lie beside belong to each other, though numbers are the names of files everywhere."""
    root = place(tmp_path, {"low tide": "{}", "boats_HR": "{}", "boats_LR": "{}"})
    check_clean(root / "low tide", pictures_below(root / "low tide"))


def test_the_sets_at_hand(shared: Path) -> None:
    """Halves of real sets are told apart; photographs to train on are not refused."""
    for folder in (shared / "data" / "photos" / "train", shared / "data" / "testsets" / "kodak24"):
        check_clean(folder, pictures_below(folder))
    for name in ("rain100h", "gopro", "set5", "lol"):
        folder = shared / "data" / "testsets" / name
        with pytest.raises(UsageError, match="holds pairs"):
            check_clean(folder, pictures_below(folder))
        check_clean(folder / "GT", pictures_below(folder / "GT"))
        assert find_pair_folders(folder) is not None


def test_of_several_words_the_last_decides() -> None:
    roles = {name: read_name(name).role for name in ("blur_gt", "sharp_bicubic", "noisy-clean", "photos", "train_B")}
    assert roles == {
        "blur_gt": "clean", "sharp_bicubic": "damaged", "noisy-clean": "clean", "photos": None, "train_B": None,
    }  # fmt: skip


def test_of_several_degraded_folders_the_usual_one_is_taken(tmp_path: Path) -> None:
    root = place(tmp_path, {"GT": "{}", "LQ": "{}", "LQ_x4": "{}", "blur": "{}"})
    assert find_pair_folders(root) == (root / "GT", root / "LQ")
    assert find_pair_folders(root, 4) == (root / "GT", root / "LQ_x4")
    other = place(tmp_path / "reds", {"sharp": "{}", "blur": "{}", "blur_bicubic": "{}"})
    assert find_pair_folders(other) is None
