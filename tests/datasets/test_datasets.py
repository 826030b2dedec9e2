"""The rows of test sets: each official layout is understood, and the folder of test sets at hand is a data root."""

from pathlib import Path

import pytest

from irsde_cli.datasets import DATASETS, dataset_name, get_dataset
from irsde_cli.datasets.dataset import Dataset, Layout, locate, mask_folder
from irsde_cli.datasets.pairing import find_masks
from irsde_cli.degradations import DEGRADATIONS
from irsde_cli.errors import UsageError
from irsde_cli.metrics.protocols import PROTOCOLS
from irsde_cli.tasks import TASKS
from tests.datasets.test_pairing import files

STEMS = ("0001", "0002", "10")
NAMED = [
    "gopro",
    "hide",
    "realblur",
    "rain100h",
    "rain100l",
    "rain12",
    "rain1400",
    "raindrop",
    "snow100k",
    "sots-indoor",
    "sots-outdoor",
    "lol-v1",
    "lol-v2",
    "istd",
    "srd",
    "cbsd68",
    "kodak24",
    "mcmaster",
    "urban100",
    "set5",
    "set14",
    "bsd100",
    "div2k",
    "celeba-hq",
    "live1",
    "classic5",
    "rain-ssir",
    "foundir",
    "realir-bench",
    "noise-cc",
    "noise-polyu",
]


def test_the_field_s_sets_are_rows() -> None:
    assert set(NAMED) <= set(DATASETS)


@pytest.mark.parametrize("row", DATASETS.values(), ids=DATASETS)
def test_rows_name_what_exists(row: Dataset) -> None:
    """Task, protocol and damage are rows of their own tables; page, terms and citation are there."""
    assert row.task in TASKS and row.protocol in PROTOCOLS and row.count > 0
    assert row.homepage.startswith("https://") and row.licence and row.citation and row.title
    assert row.degradation is None or row.degradation[0] in DEGRADATIONS


def test_no_name_means_two_sets() -> None:
    """Names and folders, whatever their case and dashes, lead to one row."""
    spellings = {name: {name, *row.folders} for name, row in DATASETS.items()}
    for name, known in spellings.items():
        assert {dataset_name(spelling) for spelling in known} == {name}
    assert [dataset_name(text) for text in ("lol", "sots_indoor", "GoPro", "RAIN100H")] == [
        "lol-v1", "sots-indoor", "gopro", "rain100h",
    ]  # fmt: skip
    with pytest.raises(UsageError, match="Did you mean 'kodak24'"):
        get_dataset("kodak")


def in_layout(folder: Path, layout: Layout) -> Path:
    """Two sequences where the layout has a `*`; one degraded file a clean one, named as the templates say."""
    for sequence in ("one", "two") if "*" in layout.clean else ("",):
        for stem in STEMS:
            name = f"{layout.clean.replace('*', sequence)}/{layout.clean_template.format(stem=stem)}.png"
            files(folder, name)
            if layout.degraded is not None:
                degraded = layout.template.replace("*", "1_0.9").format(stem=stem)
                files(folder, f"{layout.degraded.replace('*', sequence)}/{degraded}.jpg")
    return folder


LAYOUTS = [(name, layout) for name, row in DATASETS.items() for layout in row.layouts]


@pytest.mark.parametrize(("name", "layout"), LAYOUTS, ids=lambda part: part if isinstance(part, str) else part.clean)
def test_official_layouts(tmp_path: Path, name: str, layout: Layout) -> None:
    """As its authors pack it: every clean file meets its own degraded one, whatever the folder is called."""
    row = DATASETS[name]
    for spelling in row.folders:
        in_layout(tmp_path / spelling / spelling, layout)
        found = locate(name, row, [tmp_path / spelling])
        count = len(STEMS) * (2 if "*" in layout.clean else 1)
        assert len({pair.key for pair in found.pairing.pairs}) == count and not found.synthetic
        assert not found.pairing.clean_alone and not found.pairing.degraded_alone
        for pair in found.pairing.pairs:
            stems = [stem for stem in STEMS if pair.clean.stem == layout.clean_template.format(stem=stem)]
            assert len(stems) == 1
            assert pair.degraded.stem == layout.template.replace("*", "1_0.9").format(stem=stems[0])
            if "*" in layout.clean:
                sequence = pair.key.split("/")[0]
                assert sequence in pair.clean.parts[-3:] and sequence in pair.degraded.parts[-3:]


@pytest.mark.parametrize("name", DATASETS)
@pytest.mark.parametrize("degraded", ["LQ", "LQ_x4"])
def test_plain_pairs_are_understood_beside_each_layout(tmp_path: Path, name: str, degraded: str) -> None:
    root = files(tmp_path, f"{name}/GT/a.png", f"{name}/{degraded}/a.png", f"{name}/GT/b.png")
    found = locate(name, DATASETS[name], [root])
    assert [pair.key for pair in found.pairing.pairs] == ["a"] and not found.synthetic
    assert [path.name for path in found.pairing.clean_alone] == ["b.png"]


@pytest.mark.parametrize("inner", ["", "GT/"])
def test_clean_pictures_alone_are_damaged_on_the_fly(tmp_path: Path, inner: str) -> None:
    """Flat, or in GT/; what lies deeper beside flat pictures is something else."""
    root = files(tmp_path, f"cbsd68/{inner}a.png", f"cbsd68/{inner}b.png", "cbsd68/masks/thin/000000.png")
    found = locate("cbsd68", DATASETS["cbsd68"], [root])
    assert [pair.key for pair in found.pairing.pairs] == ["a", "b"] and found.synthetic
    files(tmp_path, "kodak24/GT/a.png", "kodak24/LQ/a.png")
    assert not locate("kodak24", DATASETS["kodak24"], [root]).synthetic
    assert locate("kodak24", DATASETS["kodak24"], [root], alone=True).synthetic


def test_what_is_missing_is_explained(tmp_path: Path) -> None:
    """Where it was looked for, what a folder of that name held instead, and how to get it."""
    row = DATASETS["celeba-hq"]
    with pytest.raises(UsageError, match=r"is not here; looked at '.*celeba-hq'") as missing:
        locate("celeba-hq", row, [tmp_path])
    assert "authors' script" in missing.value.hint and "IRSDE_DATA" in missing.value.hint
    files(tmp_path, "rain100h/rainy/1.png", "rain100h/notes.txt")
    with pytest.raises(UsageError, match=r"expected norain/ with rain/X2/ or .*, found notes.txt, rainy"):
        locate("rain100h", DATASETS["rain100h"], [tmp_path])


def test_pictures_without_clean_ones_are_their_own_pairs(tmp_path: Path) -> None:
    """RealIR-Bench, a folder for each kind or flat: nothing is damaged, and nothing is taken for clean."""
    row = DATASETS["realir-bench"]
    files(tmp_path, "RealIR-Bench/rain/1.jpg", "RealIR-Bench/flare/1.jpg", "flat/RealIR-Bench/2.png")
    found = locate("realir-bench", row, [tmp_path])
    assert sorted(pair.key for pair in found.pairing.pairs) == ["flare/1", "rain/1"] and not found.synthetic
    assert all(pair.clean == pair.degraded for pair in found.pairing.pairs)
    assert [pair.key for pair in locate("realir-bench", row, [tmp_path / "flat"]).pairing.pairs] == ["2"]


def test_masks(tmp_path: Path) -> None:
    """By name; numbered sets by the place in the list; a single file for all; sets are named as folders beside."""
    root = files(
        tmp_path, "celeba-hq/a.png", "celeba-hq/b.png", "celeba-hq/c.png",
        "celeba-hq/gt_keep_masks/thin/000000.png", "celeba-hq/gt_keep_masks/thin/000001.png", "own/b.png",
    )  # fmt: skip
    found = locate("celeba-hq", DATASETS["celeba-hq"], [root])
    pairs = found.pairing.pairs
    thin = mask_folder("thin", found.folder)
    assert {key: path.name for key, path in find_masks(thin, pairs).items()} == {"a": "000000.png", "b": "000001.png"}
    assert list(find_masks(mask_folder(str(root / "own"), found.folder), pairs)) == ["b"]
    assert set(find_masks(root / "own/b.png", pairs).values()) == {root / "own/b.png"}
    with pytest.raises(UsageError, match=r"no masks at 'thick', '.*celeba-hq/masks/thick'"):
        mask_folder("thick", found.folder)


AT_HAND = {
    "cbsd68": 68, "classic5": 5, "gopro": 1, "istd": 1, "kodak24": 24, "live1": 10, "lol": 1, "noise_cc": 4,
    "noise_polyu": 43, "rain100h": 7, "rain100l": 7, "rain12": 8, "rain_ssir": 14, "set14": 14, "set5": 5,
    "sots_indoor": 9, "sots_outdoor": 1,
}  # fmt: skip


def test_the_test_sets_at_hand_are_a_data_root(shared: Path) -> None:
    """Every folder is a data set under its own name, and all of its pictures find their partners."""
    root = shared / "data/testsets"
    assert {path.name for path in root.iterdir()} == set(AT_HAND)
    for folder, count in AT_HAND.items():
        name = dataset_name(folder)
        found = locate(name, DATASETS[name], [root])
        assert (found.folder.name, len(found.pairing.pairs)) == (folder, count)
        assert not found.pairing.clean_alone and not found.pairing.degraded_alone
