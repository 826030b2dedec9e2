"""`irsde evaluate`: pairs, protocols, comparisons, outputs, and what goes wrong."""

import csv
import itertools
import json
import math
import re
import shutil
import subprocess
import sys
import tracemalloc
import unicodedata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from irsde_cli import checkpoint
from irsde_cli.cli.program import app
from irsde_cli.datasets.pairing import Pair
from irsde_cli.engine.restoration import Draws
from irsde_cli.images import read_picture
from irsde_cli.metrics.luma import luma
from irsde_cli.metrics.protocols import PROTOCOLS
from irsde_cli.metrics.psnr import psnr
from irsde_cli.metrics.scoring import Scorer
from irsde_cli.metrics.statistics import bootstrap
from irsde_cli.networks.pocket_unet import PocketUNet
from irsde_cli.observation import Observation
from irsde_cli.systems.mean_reverting import MeanReverting
from irsde_cli.systems.one_pass import OnePass, OnePassConfig
from irsde_cli.systems.parts import NetworkConfig
from irsde_cli.workflows.evaluate import run
from irsde_cli.workflows.evaluate.pairs import Loaded
from irsde_cli.workflows.evaluate.run import _drawn
from tests.cli.stub import Program
from tests.extras import ALONE


def photo(path: Path, height: int = 24, width: int = 32, seed: int = 0, change: int = 0) -> np.ndarray:
    pixels = np.random.default_rng(seed).integers(40, 200, (height, width, 3)) + change
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.astype(np.uint8)).save(path)
    return pixels.astype(np.uint8)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    for index in range(3):
        photo(tmp_path / "GT" / f"{index}.png", seed=index)
        photo(tmp_path / "LQ" / f"{index}.png", seed=index, change=10 + index)
        photo(tmp_path / "ours" / f"{index}.png", seed=index, change=4)
        photo(tmp_path / "theirs" / f"{index}.jpg", seed=index, change=20)
    return tmp_path


def evaluate(*words: object) -> Any:
    return CliRunner().invoke(app, ["evaluate", *map(str, words)])


def report(*words: object) -> dict[str, Any]:
    result = evaluate(*words, "--figures", "-", "--quiet")
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_pictures_of_any_tool_are_scored_by_name(place: Path) -> None:
    """Each folder is a column; the figures are those of the formula; the first is compared with the others."""
    found = report("--gt", place / "GT", "--lq", place / "LQ", "--from", place / "ours", "--from", place / "theirs")
    assert found["means"]["ours"]["psnr"]["mean"] == pytest.approx(20 * math.log10(255 / 4))
    expected = [20 * math.log10(255 / (10 + index)) for index in range(3)]
    assert [row["figures"]["input"]["psnr"] for row in found["images"]] == pytest.approx(expected)
    gains = [row["figures"]["theirs"]["psnr"] - row["figures"]["ours"]["psnr"] for row in found["images"]]
    assert found["differences"]["theirs"]["psnr"]["mean"] == pytest.approx(sum(gains) / 3)
    assert (found["pairs"], found["protocol"], found["seed"]) == (3, "plain-rgb", 0)


@pytest.mark.parametrize(
    ("protocol", "crop", "y"),
    [("plain-rgb", 0, False), ("irsde", 4, False), ("irsde-y", 4, True), ("deraining-y", 0, True), ("sr-y", 4, True)],
)
def test_protocols_crop_and_convert(place: Path, protocol: str, crop: int, y: bool) -> None:
    noise = np.random.default_rng(9).integers(0, 50, (24, 32, 3))
    clean = np.asarray(Image.open(place / "GT" / "0.png"))
    for index in range(3):
        Image.fromarray((np.asarray(Image.open(place / "GT" / f"{index}.png")) + noise).astype(np.uint8)).save(
            place / "ours" / f"{index}.png"
        )
    found = report("--gt", place / "GT", "--from", place / "ours", "--protocol", protocol)
    a, b = (torch.from_numpy(x.copy()).permute(2, 0, 1)[None].double() / 255 for x in (clean, (clean + noise)))
    inner = (..., slice(crop, 24 - crop), slice(crop, 32 - crop))
    a, b = a[inner], b[inner]
    expected = psnr(luma(a), luma(b)) if y else psnr(a, b)
    assert found["images"][0]["figures"]["ours"]["psnr"] == pytest.approx(expected.item(), abs=1e-6)


def test_the_mean_of_the_clean_picture_can_be_borrowed(place: Path) -> None:
    """`lol-gt-mean` scales a picture that is too dark; `lol` does not."""
    for index in range(3):
        dark = np.asarray(Image.open(place / "GT" / f"{index}.png")) // 2
        Image.fromarray(dark).save(place / "ours" / f"{index}.png")
    plain, scaled = (
        report("--gt", place / "GT", "--from", place / "ours", "--protocol", name)["means"]["ours"]["psnr"]["mean"]
        for name in ("lol", "lol-gt-mean")
    )
    assert scaled > plain + 10


def test_weights_are_evaluated_as_they_restore(place: Path, stub: Path) -> None:
    """The picture that is scored is the one that `restore` writes, for each way of sampling."""
    Program(stub)(place / "LQ", place / "restored")
    found = report(
        "--gt",
        place / "GT",
        "--lq",
        place / "LQ",
        "--task",
        "denoise",
        "--model",
        stub,
        "--way",
        "posterior:2",
        "--from",
        place / "restored",
    )
    assert found["differences"]["restored"]["psnr"]["mean"] == 0
    assert len(found["contenders"]["stub posterior:2"]["sha256"]) == 64
    ways = report(
        "--gt", place / "GT", "--lq", place / "LQ", "--task", "denoise", "--model", stub,
        "--way", "posterior:3", "--way", "ode-1:1", "--way", "posterior:3x2", "--limit", 2,
    )  # fmt: skip
    assert list(ways["means"]) == ["input", "stub posterior:3", "stub ode-1:1", "stub posterior:3x2"]
    assert ways["contenders"]["stub posterior:3x2"]["draws"] == 2
    named = f"stub posterior:3x2: stub.safetensors (SHA-256 {ways['contenders']['stub ode-1:1']['sha256'][:12]})"
    assert f"{named}, posterior, 3 steps, mean of 2 draws; " in ways["notes"][0]
    assert ways["measured"] == 2


def test_pictures_in_folders_have_the_noise_of_their_paths(tmp_path: Path, stub: Path) -> None:
    """As in `restore`: two frames of one name in two sequences differ, and the figures are those of its files."""
    for sequence in ("one", "two"):
        photo(tmp_path / "GT" / sequence / "000001.png", seed=3)
        photo(tmp_path / "LQ" / sequence / "000001.png", seed=3, change=10)
    Program(stub)(tmp_path / "LQ", tmp_path / "restored", "--recursive")
    found = report(
        "--gt", tmp_path / "GT", "--lq", tmp_path / "LQ", "--task", "denoise", "--model", stub,
        "--way", "posterior:2", "--from", tmp_path / "restored",
    )  # fmt: skip
    one, two = (row["figures"] for row in found["images"])
    assert one["stub posterior:2"] == one["restored"] and two["stub posterior:2"] == two["restored"]
    assert one["restored"]["psnr"] != two["restored"]["psnr"]


def test_what_nobody_foresaw_fails_one_picture(place: Path, stub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the network or in a metric: named with what it was, the other pictures are measured, exit code 3."""
    steps, score = MeanReverting.steps, Scorer.score

    def fragile_steps(self: MeanReverting, observation: Observation, *more: Any) -> Any:
        if observation.image.shape[-1] == 33:
            raise RuntimeError("odd width")
        return steps(self, observation, *more)

    def fragile_score(self: Scorer, image: torch.Tensor, *more: Any, **named: Any) -> Any:
        if image.shape[-1] == 35:
            raise ZeroDivisionError("no pixels")
        return score(self, image, *more, **named)

    monkeypatch.setattr(MeanReverting, "steps", fragile_steps)
    monkeypatch.setattr(Scorer, "score", fragile_score)
    for index, width in ((7, 33), (8, 35)):
        photo(place / "GT" / f"{index}.png", width=width)
        photo(place / "LQ" / f"{index}.png", width=width)
    words = ["--gt", place / "GT", "--lq", place / "LQ", "--task", "denoise", "--model", stub, "--way", "posterior:2"]
    result = evaluate(*words, "--figures", "-")
    assert result.exit_code == 3, result.output
    assert "7: stub posterior:2: unexpected RuntimeError: odd width" in result.stderr
    assert "8: cannot be measured: unexpected ZeroDivisionError" in result.stderr
    found = json.loads(result.stdout)
    assert (found["measured"], found["means"]["stub posterior:2"]["psnr"]["count"]) == (4, 3)


def test_a_flat_result_is_no_result(place: Path, stub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The post-condition of `restore` holds for what is measured, too."""
    monkeypatch.setattr(MeanReverting, "steps", lambda self, seen, *more: iter([seen.image * 0]))
    result = evaluate("--gt", place / "GT", "--lq", place / "LQ", "--task", "denoise", "--model", stub)
    assert result.exit_code == 3
    assert "0: stub: the result is one flat colour" in result.stderr


def test_the_mean_of_draws_is_that_of_restore(place: Path, stub: Path) -> None:
    Program(stub)(place / "LQ", place / "restored", "--samples", 3, "--estimate", "mean")
    found = report(
        "--gt", place / "GT", "--lq", place / "LQ", "--task", "denoise", "--model", stub,
        "--way", "posterior:2x3", "--way", "posterior:2", "--from", place / "restored",
    )  # fmt: skip
    for row in found["images"]:
        figures = row["figures"]
        assert figures["stub posterior:2x3"] == figures["restored"] != figures["stub posterior:2"]


def test_out_of_memory_takes_tiles(tmp_path: Path, stub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in `restore`: the picture is tiled, and the figures are those of its file."""
    photo(tmp_path / "GT" / "0.png", 150, 260)
    photo(tmp_path / "LQ" / "0.png", 150, 260, change=10)
    forward, sizes = PocketUNet.forward, set()

    def limited(self: PocketUNet, x: torch.Tensor, *more: torch.Tensor) -> torch.Tensor:
        if x.shape[-1] * x.shape[-2] > 160 * 160:
            raise RuntimeError("[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory")
        sizes.add(x.shape[-1])
        return forward(self, x, *more)

    monkeypatch.setattr(PocketUNet, "forward", limited)
    Program(stub)(tmp_path / "LQ", tmp_path / "restored")
    found = report(
        "--gt", tmp_path / "GT", "--lq", tmp_path / "LQ", "--task", "denoise", "--model", stub,
        "--way", "posterior:2", "--from", tmp_path / "restored",
    )  # fmt: skip
    assert sizes and found["differences"]["restored"]["psnr"]["mean"] == 0


def test_not_finite_in_half_precision_is_done_again(place: Path, stub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in `restore`: the figures are those of float32."""
    forward = PocketUNet.forward

    def fragile(self: PocketUNet, x: torch.Tensor, *more: torch.Tensor) -> torch.Tensor:
        found = forward(self, x, *more)
        return found * torch.nan if torch.is_autocast_enabled("cpu") or found.dtype == torch.bfloat16 else found

    words = ["--gt", place / "GT", "--lq", place / "LQ", "--task", "denoise", "--model", stub, "--way", "posterior:2"]
    whole = report(*words, "--precision", "fp32")
    monkeypatch.setattr(PocketUNet, "forward", fragile)
    again = report(*words, "--precision", "bf16")
    assert [row["figures"] for row in again["images"]] == [row["figures"] for row in whole["images"]]


def test_one_pass_stands_beside_samplers(place: Path, stub: Path) -> None:
    """Ways of sampling say nothing to it, so it appears once."""
    direct = OnePass(OnePassConfig(NetworkConfig("dncnn", {"depth": 2, "width": 4})))
    checkpoint.save(place / "direct.safetensors", direct, task="denoise")
    words = ["--gt", place / "GT", "--lq", place / "LQ", "--task", "denoise", "--model", stub, "--model"]
    found = report(*words, place / "direct.safetensors", "--way", "posterior:2", "--way", "ode-1:1")
    assert list(found["means"]) == ["input", "stub posterior:2", "stub ode-1:1", "direct"]


def test_damage_is_made_on_the_fly(place: Path, stub: Path) -> None:
    """From the seed alone; settings are shown in the caption."""
    words = ["--gt", place / "GT", "--task", "denoise", "--model", stub, "--degradation", "gaussian-noise"]
    settings = ["--set", "sigma_min=25", "--set", "sigma_max=25", "--set", "quantised_share=0"]
    one, other, third = (report(*words, *settings, "--seed", seed) for seed in (0, 0, 1))
    assert one["images"][0]["figures"] == other["images"][0]["figures"]
    assert one["means"]["input"] != third["means"]["input"]
    assert "sigma_min 25" in one["caption"]
    assert 19.5 < one["means"]["input"]["psnr"]["mean"] < 21.5


@pytest.mark.parametrize("degradation", ALONE)
def test_a_neighbour_changes_no_damage(place: Path, degradation: str) -> None:
    """Pictures that come before, between or after, in folders or not, and --limit: each keeps its figures."""
    for index in range(3):
        photo(place / "GT" / f"{index}.png", 64, 64, seed=index)
        photo(place / "ours" / f"{index}.png", 64, 64, seed=index, change=4)
    words = ["--gt", place / "GT", "--from", place / "ours", "--degradation", degradation]

    def figures(*more: object) -> dict[str, Any]:
        result = evaluate(*words, *more, "--figures", "-", "-q")
        return {row["key"]: row["figures"]["input"] for row in json.loads(result.stdout)["images"]}

    alone = figures()
    assert len({row["psnr"] for row in alone.values()}) == 3
    assert figures("--limit", 2).items() <= alone.items()
    for name in ("!", "0a", "9", "a/0", "1/1"):
        for folder in ("GT", "ours"):
            photo(place / folder / f"{name}.png", 64, 64, seed=9, change=4 * (folder == "ours"))
    assert alone.items() <= figures().items()


@pytest.mark.parametrize("given", ["", "LQ"])
def test_damaged_pictures_are_not_damaged_again(place: Path, given: str) -> None:
    """A folder of pairs, or its damaged half, in the place of clean pictures; the clean half is what it is."""
    shutil.rmtree(place / "ours")
    shutil.rmtree(place / "theirs")
    words = ["--degradation", "gaussian-noise", "--from"]
    refused = evaluate("--gt", place / given, *words, place / "GT")
    assert refused.exit_code == 2 and f"'{place}/LQ' belongs to '{place}/GT'" in refused.stderr
    assert report("--gt", place / "GT", *words, place / "LQ")["measured"] == 3


def test_pictures_are_saved_for_other_tools(place: Path, stub: Path) -> None:
    """The degraded files are those that were made, the restored ones score as they did, and nothing is overwritten."""
    words = ["--gt", place / "GT", "--task", "denoise", "--degradation", "gaussian-noise", "--set", "quantised_share=1"]
    more = ["--model", stub, "--way", "posterior:2", "--from", place / "ours", "--save", place / "kept"]
    found = report(*words, *more)
    names = sorted(path.relative_to(place / "kept").as_posix() for path in (place / "kept").rglob("*.png"))
    assert names == [f"{folder}/{index}.png" for folder in ("input", "stub-posterior-2") for index in range(3)]
    (place / "kept" / "input").rename(place / "kept" / "noisy")
    again = report(*words, "--from", place / "kept" / "noisy", "--from", place / "kept" / "stub-posterior-2")
    for row, old in zip(again["images"], found["images"], strict=True):
        assert row["figures"]["noisy"] == row["figures"]["input"] == old["figures"]["input"]
        assert row["figures"]["stub-posterior-2"] == old["figures"]["stub posterior:2"]
    refused = evaluate(*words, *more)
    assert refused.exit_code == 2 and "kept' is not empty" in refused.stderr


def test_small_inputs_are_saved_at_their_own_size(place: Path) -> None:
    """What another tool enlarges is the small picture, not ours made large for the comparison."""
    words = ["--gt", place / "GT", "--from", place / "ours", "--degradation", "downsampling", "--save", place / "kept"]
    report(*words)
    with Image.open(place / "kept" / "input" / "0.png") as small:
        assert small.size == (8, 6)


def test_holes_are_saved_as_masks(place: Path, stub: Path) -> None:
    """With the saved masks the same holes are made again."""
    words = ["--gt", place / "GT", "--task", "inpaint", "--model", stub]
    made = report(*words, "--degradation", "free-form-mask", "--save", place / "kept")
    again = report(*words, "--mask", place / "kept" / "known")
    assert [row["figures"] for row in again["images"]] == [row["figures"] for row in made["images"]]


def test_holes_are_measured_alone(place: Path, stub: Path) -> None:
    """Known pixels come back as they were, so the error lies in the holes."""
    found = report("--gt", place / "GT", "--task", "inpaint", "--model", stub, "--degradation", "free-form-mask")
    row = found["images"][0]["figures"]
    assert row["stub"]["psnr"] > row["stub"]["psnr_hole"]
    assert row["input"]["psnr"] > row["input"]["psnr_hole"]


def test_holes_of_mask_files(place: Path, stub: Path) -> None:
    """White is known and comes back as it was; by name, over clean pictures or degraded ones; all else is refused."""
    mask = np.full((24, 32), 255, np.uint8)
    mask[4:12, 8:20] = 0
    (place / "masks").mkdir()
    for index in range(2):
        Image.fromarray(mask).save(place / "masks" / f"{index}.png")
    Image.fromarray(mask[:, :-1]).save(place / "masks" / "2.png")
    words = ["--gt", place / "GT", "--task", "inpaint", "--model", stub, "--mask", place / "masks"]
    result = evaluate(*words, "--figures", "-")
    assert result.exit_code == 3
    assert "2.png' is 31 x 24, and the picture 32 x 24" in result.stderr
    found = json.loads(result.stdout)
    clean = np.asarray(Image.open(place / "GT" / "0.png")) / 255
    hole = 1 - clean[4:12, 8:20]
    row = found["images"][0]["figures"]
    assert row["input"]["psnr_hole"] == pytest.approx(-10 * np.log10((hole**2).mean()), abs=1e-4)
    share = 8 * 12 / (24 * 32)
    assert row["stub"]["psnr"] == pytest.approx(row["stub"]["psnr_hole"] - 10 * math.log10(share), abs=1e-4)
    (place / "masks" / "2.png").unlink()
    unmasked = evaluate(*words)
    assert unmasked.exit_code == 3 and "2: it has no mask" in unmasked.stderr
    damaged = report(*words[:2], "--lq", place / "LQ", *words[2:-1], place / "masks" / "0.png")
    assert damaged["images"][0]["figures"]["input"]["psnr"] < row["input"]["psnr"]


def test_tables(place: Path) -> None:
    """On the terminal, as Markdown, and a row an image as CSV; the caption names the protocol."""
    words = ["--gt", place / "GT", "--lq", place / "LQ", "--from", place / "ours"]
    shown = evaluate(*words, "--csv", place / "rows.csv", "--markdown", place / "deep" / "table.md")
    assert shown.exit_code == 0
    assert "protocol plain-rgb (RGB, border 0, 8-bit), seed 0" in shown.stdout
    assert "LPIPS is left out" in shown.stderr
    with (place / "rows.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["image"], row["contender"]) for row in rows][:2] == [("0", "input"), ("0", "ours")]
    table = (place / "deep" / "table.md").read_text()
    assert "| ours | 36.09 [36.09, 36.09] |" in table


def test_what_is_wrong_is_named_and_the_rest_counts(place: Path) -> None:
    """Alone, unreadable, of another size, missing: exit code 3, and the other pairs are scored."""
    for index in range(3, 7):
        photo(place / "GT" / f"{index}.png", seed=index)
        photo(place / "ours" / f"{index}.png", seed=index)
        photo(place / "LQ" / f"{index}.png", seed=index)
    (place / "LQ" / "3.png").unlink()
    (place / "LQ" / "4.png").write_bytes(b"no picture")
    photo(place / "ours" / "5.png", 48, 64)
    (place / "ours" / "6.png").unlink()
    result = evaluate("--gt", place / "GT", "--lq", place / "LQ", "--from", place / "ours", "--figures", "-")
    assert result.exit_code == 3
    found = json.loads(result.stdout)
    assert found["measured"] == 5
    assert found["means"]["ours"]["psnr"]["count"] == 3
    sizes = "5: ours: the clean picture is 32 x 24, 2 times smaller, and the other 64 x 48; they should be equal"
    assert all(words in result.stderr for words in ("3.png: it has no partner", "failed: 4: ", sizes, "6: ours: '"))
    shown = evaluate("--gt", place / "GT", "--lq", place / "LQ", "--from", place / "ours").stdout
    assert re.search(r"ours +36\.09 \[.*?\] \(3 of 6\)", shown), "no mean over fewer pictures in silence"


def test_folders_of_other_tools(place: Path) -> None:
    """Suffixes in capitals are suffixes; two files for one picture are refused rather than chosen from."""
    (place / "ours" / "0.png").rename(place / "ours" / "0.PNG")
    assert report("--gt", place / "GT", "--from", place / "ours")["measured"] == 3
    photo(place / "ours" / "1.webp")
    refused = evaluate("--gt", place / "GT", "--from", place / "ours")
    assert refused.exit_code == 2 and "1.png' and '" in refused.stderr and "keep one" in refused.stderr


@pytest.mark.parametrize(
    "template", ["{stem}_out", "{stem}_x4", "SwinIR_{stem}", "{stem}-*", "x{stem}y", "{stem}x4_GAN"]
)
@pytest.mark.parametrize("degraded", [False, True])
def test_names_of_other_tools(place: Path, template: str, degraded: bool) -> None:
    """A pattern pairs them; without it the hint names the option and the pattern, which works as it stands."""
    for path in list((place / "ours").iterdir()):
        path.rename(path.with_name(f"{template.replace('*', 'v2').format(stem=path.stem)}.png"))
    words = ["--gt", place / "GT", *(["--lq", place / "LQ"] if degraded else []), "--from", place / "ours"]
    refused = evaluate(*words)
    assert refused.exit_code == 2 and "not one of the 3 pictures" in refused.stderr
    hinted = re.search(r"--from-pairs '(\S+)'", refused.stderr)
    assert hinted is not None
    for text in (template, hinted[1]):
        found = report(*words, "--from-pairs", text)
        assert found["means"]["ours"]["psnr"]["mean"] == pytest.approx(20 * math.log10(255 / 4))
    if not degraded:
        assert report(*words, "--pairs", template)["measured"] == 3
    both = report(*words, "--from", place / "theirs", "--from-pairs", template, "--from-pairs", "{stem}")
    assert both["means"]["theirs"]["psnr"]["count"] == both["means"]["ours"]["psnr"]["count"] == 3
    bad = evaluate(*words, "--from-pairs", "out")
    assert bad.exit_code == 2 and "must hold {stem} once" in bad.stderr
    third = evaluate(*words, *["--from-pairs", template] * 2)
    assert third.exit_code == 2 and "once for each of the 1" in third.stderr


def test_two_results_of_one_picture_are_refused(place: Path) -> None:
    photo(place / "ours" / "0_out.png")
    photo(place / "ours" / "0_two.png")
    refused = evaluate("--gt", place / "GT", "--from", place / "ours", "--from-pairs", "{stem}_*")
    assert refused.exit_code == 2 and "are both results of '0'" in refused.stderr


@pytest.mark.parametrize("multiple", [2, 3, 4, 8, 16])
@pytest.mark.parametrize("protocol", ["plain-rgb", "irsde", "sr-y"])
def test_results_cropped_to_a_multiple(place: Path, multiple: int, protocol: str) -> None:
    """All are measured on the part that all have, and it is said; figures are those of files that are cropped alike."""
    for index in range(3):
        for folder, change in (("GT", 0), ("LQ", 10 + index), ("ours", 4), ("theirs", 20)):
            pixels = photo(place / folder / f"{index}.png", 61, 59, seed=index, change=change)
            (place / "theirs" / f"{index}.jpg").unlink(missing_ok=True)
            rows, columns = (size // multiple * multiple for size in pixels.shape[:2])
            (place / "cut" / folder).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels[:rows, :columns]).save(place / "cut" / folder / f"{index}.png")
    for index in range(2):
        (place / "ours" / f"{index}.png").write_bytes((place / "cut" / "ours" / f"{index}.png").read_bytes())
    words = ["--gt", place / "GT", "--lq", place / "LQ", "--from", place / "ours", "--from", place / "theirs"]
    found = report(*words, "--protocol", protocol)
    cut = [place / "cut" / folder for folder in ("GT", "LQ", "ours", "theirs")]
    other = report("--gt", cut[0], "--lq", cut[1], "--from", cut[2], "--from", cut[3], "--protocol", protocol)
    assert [row["figures"] for row in found["images"][:2]] == [row["figures"] for row in other["images"][:2]]
    said = "Cropped to a multiple: ours on 2 of 3 pairs; there all are measured on the common part, the upper left one."
    assert said in found["notes"] and not any("Cropped" in note for note in other["notes"])


@pytest.mark.parametrize(("height", "width"), [(24, 31), (23, 32), (25, 32), (12, 16), (24, 16), (0, 0)])
def test_other_sizes_are_no_crops(place: Path, height: int, width: int) -> None:
    """A pixel less on one side, more pixels, another scale: named, and not measured."""
    photo(place / "ours" / "1.png", height or 24, width or 33)
    result = evaluate("--gt", place / "GT", "--from", place / "ours")
    assert result.exit_code == 3 and "failed: 1: ours: the clean picture is 32 x 24" in result.stderr


@pytest.mark.parametrize("names", [("GT", "LQ"), ("GT", "ours"), ("LQ", "ours")])
def test_composed_and_decomposed_names_are_one(place: Path, names: tuple[str, str]) -> None:
    """A folder that came from another system pairs with one that did not."""
    for index, stem in enumerate(("été", "写真ガ", "Ångström")):
        for folder in ("GT", "LQ", "ours"):
            text = unicodedata.normalize("NFD", stem) if folder in names[1:] else nfc(stem)
            path = place / folder / f"{index}.png"
            path.rename(path.with_name(f"{text}.png"))
    found = report("--gt", place / "GT", "--lq", place / "LQ", "--from", place / "ours")
    assert found["measured"] == 3
    assert [row["key"] for row in found["images"]] == sorted(map(nfc, ("été", "写真ガ", "Ångström")), key=str)


def nfc(text: str) -> str:
    return unicodedata.normalize("NFC", text)


@pytest.mark.parametrize("words", [["--json", "FILE"], ["--json=FILE"], ["--figures", "FILE"]])
def test_figures_as_earlier_scripts_ask_for_them(place: Path, words: list[str]) -> None:
    """`--json FILE` is `--figures FILE`; the flag alone prints events."""
    asked = ["--gt", place / "GT", "--from", place / "ours"]
    named = [word.replace("FILE", str(place / "f.json")) for word in words]
    assert evaluate(*asked, *named, "-q").exit_code == 0
    assert json.loads((place / "f.json").read_text())["measured"] == 3
    lines = [json.loads(line) for line in evaluate(*asked, "--json", "-q").stdout.splitlines()]
    assert {"planned", "scored", "result"} <= {line["event"] for line in lines}


def test_a_limit_goes_with_an_incomplete_set(place: Path, stub: Path) -> None:
    """Who asks for two pictures knows that it is not the whole; the caption says so."""
    (place / "sets" / "Rain100H").mkdir(parents=True)
    for folder in ("GT", "LQ"):
        (place / folder).rename(place / "sets" / "Rain100H" / folder)
    words = ["--dataset", "rain100h", "--data-root", place / "sets", "--model", stub]
    assert "2 of 100 pairs" in report(*words, "--limit", 2)["caption"]
    assert evaluate(*words).exit_code == 2


def test_pictures_made_worse_are_counted(place: Path) -> None:
    """By each metric against the input, with the worst by name: in the table, in JSON and in Markdown."""
    photo(place / "ours" / "1.png", seed=1, change=30)
    photo(place / "ours" / "2.png", seed=2, change=12)
    photo(place / "LQ" / "0.png", seed=0)
    words = ["--gt", place / "GT", "--lq", place / "LQ", "--from", place / "ours", "--from", place / "LQ"]
    found = report(*words, "--markdown", place / "table.md")
    worse = found["worse"]["ours"]["psnr"]
    assert (worse["share"], worse["count"], worse["of"]) == (pytest.approx(2 / 3), 2, 3)
    assert worse["worst"] == "0" and worse["change"] is None, "from equal pictures there is no larger loss"
    assert (worse["low"], worse["high"]) == pytest.approx((0.2077, 0.9385), abs=1e-4), "Wilson's interval"
    none = found["worse"]["LQ"]["psnr"]
    assert (none["share"], none["count"], none["worst"], none["change"]) == (0, 0, None, None)
    assert none["low"] == 0 and none["high"] == pytest.approx(0.5615, abs=1e-4), "none of three may be one of two"
    assert list(found["worse"]["ours"]) == ["psnr", "ssim"] and "input" not in found["worse"]
    assert "Made worse most, by PSNR: ours: 0, from equal." in found["notes"]
    named = found["worse"]["ours"]["ssim"]
    by_ssim = f"Made worse most, by SSIM: ours: {named['worst']} {named['change']:+.4f}."
    assert by_ssim in found["notes"], "each metric names its own"
    shown = evaluate(*words).stdout
    assert re.search(r"^ +PSNR \(dB\) +SSIM +Made worse$", shown, re.MULTILINE)
    assert re.search(r"^ours .* 67% \[21%, 94%\] PSNR, \d+% \[\d+%, \d+%\] SSIM$", shown, re.MULTILINE)
    assert re.search(r"^LQ - ours .* -$", shown, re.MULTILINE) and re.search(r"^input .* -$", shown, re.MULTILINE)
    assert "| Made worse |" in (place / "table.md").read_text()
    photo(place / "LQ" / "0.png", seed=0, change=10)
    again = report(*words)["worse"]["ours"]["psnr"]
    assert (again["worst"], again["count"]) == ("1", 1)
    assert again["change"] == pytest.approx(20 * math.log10(11 / 30))
    assert "Made worse" not in evaluate("--gt", place / "GT", "--from", place / "ours").stdout, "there is no input"


def test_draws_are_measured_against_the_truth(place: Path, stub: Path) -> None:
    """Spread and calibration are those of the draws that restore writes; the first of them is scored."""
    words = ["--gt", place / "GT", "--lq", place / "LQ", "--task", "denoise", "--model", stub]
    found = report(*words, "--way", "posterior:2", "--way", "ode-2:2x3", "--draws", 4, "--save", place / "saved")
    alone = report(*words, "--way", "posterior:2")
    assert [row["figures"] for row in alone["images"]] == [
        {label: row["figures"][label] for label in ("input", "stub posterior:2")} for row in found["images"]
    ], "further draws change nothing of the first"
    variances, errors = [], []
    Program(stub)(place / "LQ", place / "out", "--sampler", "posterior", "--samples", 4, "--depth", 16)
    for row in found["images"]:
        names = [f"{row['key']}{suffix}.png" for suffix in ("", ".1", ".2", ".3")]
        read = [
            torch.as_tensor(read_picture(place / "out" / name, name).pixels.astype(float) / 65535) for name in names
        ]
        clean = torch.as_tensor(np.asarray(Image.open(place / "GT" / names[0])) / 255)
        drawn = torch.stack(read)
        variances.append(float(drawn.var(0).mean()))
        errors.append(float((drawn.mean(0) - clean).square().mean()))
        kept = row["draws"]["stub posterior:2"]
        assert (kept["variance"], kept["error"]) == pytest.approx((variances[-1], errors[-1]), rel=1e-3)
        assert (kept["count"], row["draws"]["stub ode-2:2x3"]["count"]) == (4, 3)
    means = found["means"]["stub posterior:2"]
    assert means["calibration"]["mean"] == pytest.approx(1.25 * sum(variances) / sum(errors), rel=1e-3)
    assert means["calibration"]["low"] <= means["calibration"]["mean"] <= means["calibration"]["high"]
    assert means["spread"]["mean"] == pytest.approx(sum(255 * v**0.5 for v in variances) / 3, rel=1e-3)
    assert "spread" not in found["means"]["input"] and any("4 draws" in note for note in found["notes"])


def test_draws_of_holes_are_those_of_the_holes(place: Path, stub: Path) -> None:
    """What is known neither spreads nor errs, and is not counted; true draws have a calibration of one."""
    known = torch.zeros(1, 1, 24, 32, dtype=torch.bool)
    known[..., :16] = True
    generator = torch.Generator().manual_seed(0)
    clean, *drawn = (torch.randn(3, 24, 32, generator=generator) * 0.1 for _ in range(9))
    several = Draws(torch.stack(drawn).mean(0), torch.stack(drawn).var(0), 8)
    pair = Pair("a", place / "GT" / "0.png", place / "LQ" / "0.png")
    found = _drawn(several, Loaded(pair, clean[None], Observation(clean[None], known), False, None))
    hole = torch.stack(drawn)[..., 16:]
    assert found.variance == pytest.approx(float(hole.var(0).mean()), rel=1e-5)
    assert found.error == pytest.approx(float((hole.mean(0) - clean[..., 16:]).square().mean()), rel=1e-5)
    assert found.expected / found.error == pytest.approx(1, abs=0.15)


def test_time_stands_beside_that_of_one_pass(place: Path, stub: Path) -> None:
    """Each way of restoring has its seconds for a megapixel, and how many times those of regression."""
    network = NetworkConfig("pocket-unet", {"widths": (8, 8), "blocks": (1, 1), "time_dim": 8})
    checkpoint.save(place / "regression.safetensors", OnePass(OnePassConfig(network)), task="denoise")
    words = ["--gt", place / "GT", "--lq", place / "LQ", "--task", "denoise", "--from", place / "ours"]
    words += ["--model", stub, "--model", place / "regression.safetensors", "--way", "posterior:3"]
    found = report(*words)
    costs = found["costs"]
    assert set(costs) == {"stub posterior:3", "regression"}, "of pictures in a folder nobody knows"
    assert costs["regression"]["times"] is None and costs["stub posterior:3"]["reference"] == "regression"
    both = [row["seconds"] for row in found["images"]]
    ratios = sorted(row["stub posterior:3"] / row["regression"] for row in both)
    assert costs["stub posterior:3"]["times"] == pytest.approx(ratios[1])
    assert found["images"][0]["megapixels"] == pytest.approx(24 * 32 / 1e6)
    assert re.search(r"s/MP +Made worse$", evaluate(*words, "--quiet").stdout, re.MULTILINE)


def test_draws_that_are_only_measured_cost_one(place: Path, stub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time of a result: a mean takes all of its draws, and of those made to see their spread each is a result."""
    ticks = itertools.count()
    monkeypatch.setattr(run, "time", SimpleNamespace(perf_counter=lambda: float(next(ticks))))
    words = ["--gt", place / "GT", "--lq", place / "LQ", "--task", "denoise", "--model", stub, "--draws", 4]
    found = report(*words, "--way", "posterior:1", "--way", "posterior:1x2")
    assert [row["seconds"] for row in found["images"]] == [{"stub posterior:1": 0.25, "stub posterior:1x2": 1.0}] * 3


def test_sizes_that_differ(place: Path, stub: Path) -> None:
    """By the scale: said so. By a few pixels: not measured, rather than stretched."""
    photo(place / "LQ" / "0.png", 12, 16)
    photo(place / "LQ" / "1.png", 24, 31)
    words = ["--gt", place / "GT", "--lq", place / "LQ"]
    result = evaluate(*words, "--task", "denoise", "--model", stub, "--way", "posterior:2", "--figures", "-")
    assert result.exit_code == 3
    assert (
        "0: stub posterior:2: the clean picture is 32 x 24, 2 times larger, and the other 16 x 12; they"
        in result.stderr
    )
    assert "1: the clean picture is 32 x 24, and the other 31 x 24; they should be equal" in result.stderr
    assert [row["key"] for row in json.loads(result.stdout)["images"]] == ["0", "2"]
    small = evaluate(*words, "--from", place / "ours")
    assert small.exit_code == 3 and "1: the clean picture" in small.stderr and "0: " not in small.stderr


def test_names_that_never_agree(place: Path) -> None:
    """Both sides are counted, with an example of each."""
    for index in range(3):
        (place / "LQ" / f"{index}.png").rename(place / "LQ" / f"blurred{index}.png")
    result = evaluate("--gt", place / "GT", "--lq", place / "LQ", "--from", place / "ours")
    assert result.exit_code == 2
    expected = "no pairs to measure: 3 clean pictures like '0.png' and 3 degraded pictures like 'blurred0.png'."
    assert expected in result.stderr and "--pairs" in result.stderr


def test_nothing_can_be_computed(place: Path) -> None:
    """Each pair is named, and the exit code is 2."""
    for index in range(3):
        (place / "LQ" / f"{index}.png").write_bytes(b"no picture")
    result = evaluate("--gt", place / "GT", "--lq", place / "LQ", "--from", place / "ours")
    assert result.exit_code == 2
    assert all(f"failed: {index}: " in result.stderr for index in range(3))
    assert "not one pair could be measured" in result.stderr


@pytest.mark.parametrize("protocol", [name for name, row in PROTOCOLS.items() if row.reference])
def test_one_pixel_under_each_protocol(place: Path, stub: Path, protocol: str) -> None:
    """Restored and measured as far as it goes: a border may leave nothing of it."""
    for folder in ("GT", "LQ"):
        photo(place / "one" / folder / "a.png", 1, 1, change=5 * (folder == "LQ"))
    words = ["--gt", place / "one" / "GT", "--lq", place / "one" / "LQ", "--task", "denoise", "--model", stub]
    figures = report(*words, "--protocol", protocol)["images"][0]["figures"]["stub"]
    assert (figures["psnr"] is None) == (PROTOCOLS[protocol].border > 0) and figures["ssim"] is None


def test_equal_pictures_are_said_to_be_equal(place: Path) -> None:
    """Infinite PSNR is null with a flag in JSON, and left out of the mean by name."""
    found = report("--gt", place / "GT", "--lq", place / "LQ", "--from", place / "GT")
    row = found["images"][0]["figures"]["GT"]
    assert row["psnr"] is None and row["equal"] is True
    assert found["means"]["GT"]["psnr"] | {"mean": 0} == {
        "mean": 0, "low": None, "high": None, "count": 0, "infinite": 3,
    }  # fmt: skip
    assert "equal" in evaluate("--gt", place / "GT", "--from", place / "GT").stdout


def test_odd_pictures(place: Path) -> None:
    """One pixel, greyscale and 16 bits beside RGB: what can be computed is."""
    photo(place / "GT" / "a.png", 1, 1)
    photo(place / "ours" / "a.png", 1, 1, change=3)
    grey = np.asarray(Image.open(place / "GT" / "0.png").convert("L"))
    Image.fromarray(grey).save(place / "GT" / "b.png")
    Image.fromarray(grey.astype(np.uint16) * 257).save(place / "ours" / "b.png")
    found = report("--gt", place / "GT", "--from", place / "ours")
    figures = {row["key"]: row["figures"]["ours"] for row in found["images"]}
    assert figures["a"]["psnr"] is not None and figures["a"]["ssim"] is None
    assert figures["b"]["equal"] is True


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--dataset", "gopr"], 2, "Did you mean 'gopro'"),
        (["--dataset", "gopro"], 2, "is not here"),
        (
            ["--dataset", "cbsd68", "--data-root", "."],
            2,
            "'cbsd68' (CBSD68 with white noise) is not here; looked at 'cbsd68'",
        ),
        (["--gt", "GT"], 2, "--task is missing"),
        (["--gt", "GT", "--task", "denoise"], 2, "--lq is missing"),
        (["--gt", "absent", "--from", "ours"], 2, "no such folder: 'absent'"),
        (["--gt", "empty", "--from", "ours"], 2, "no pairs"),
        (["--gt", "GT", "--lq", "empty", "--from", "ours"], 2, "3 clean pictures like '0.png' and 0 degraded pictures"),
        (["--gt", "GT", "--from", "absent"], 2, "no such folder: 'absent'"),
        (["--gt", "GT", "--from", "ours", "--protocol", "plain"], 2, "Did you mean 'plain-"),
        (["--gt", "GT", "--from", "ours", "--lpips", "absent"], 2, "no such file: 'absent'"),
        (
            ["--gt", "GT", "--from", "ours", "--lpips", "GT/0.png"],
            4,
            "not a whole safetensors file: it is a PNG picture",
        ),
        (["--gt", "GT", "--from", "ours", "--from", "ours"], 2, "two contenders are called 'ours'"),
        (["--gt", "GT", "--from", "ours", "--metric", "fdi"], 2, "Did you mean 'fid'"),
        (["--gt", "GT", "--from", "input"], 2, "cannot be called 'input'"),
        (["--gt", "GT", "--lq", "LQ", "--task", "denoise", "--way", "posterior"], 2, "--way takes"),
        (["--gt", "GT", "--lq", "LQ", "--task", "denoise", "--way", "posteriro:8"], 2, "Did you mean 'posterior'"),
        (["--gt", "GT", "--lq", "LQ", "--task", "denoise", "--way", "Posterior:8"], 2, "Did you mean 'posterior'"),
        (["--gt", "GT", "--lq", "LQ", "--task", "deshadow"], 4, "no weights ship"),
        (["--gt", "GT", "--from", "ours", "--set", "a=1"], 2, "--set belongs"),
        (["--dataset", "set5", "--gt", "GT"], 2, "not both"),
        (["--gt", "GT", "--lq", "LQ", "--degradation", "jpeg", "--from", "ours"], 2, "--degradation makes others"),
        (["--gt", "GT", "--mask", "absent", "--from", "ours"], 2, "no masks at 'absent'"),
        (["--gt", "GT", "--mask", "GT", "--degradation", "jpeg", "--from", "ours"], 2, "--mask makes the damage"),
    ],
)
def test_bad_input(place: Path, words: list[str], code: int, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence and the right exit code."""
    (place / "empty").mkdir()
    monkeypatch.chdir(place)
    monkeypatch.delenv("IRSDE_DATA", raising=False)
    result = evaluate(*words)
    assert result.exit_code == code, result.output
    assert message in result.stderr
    assert "Traceback" not in result.output


def test_data_sets_are_found_and_must_be_whole(place: Path, stub: Path) -> None:
    """Below a root, by its usual names; an incomplete one is measured with --partial, and the caption says so."""
    (place / "sets").mkdir()
    for folder in ("GT", "LQ"):
        (place / folder).rename(place / "sets" / folder)
    (place / "sets").rename(place / "Rain100H")
    words = ["--dataset", "rain100h", "--data-root", place, "--model", stub]
    refused = evaluate(*words)
    assert refused.exit_code == 2 and "has 3 of 100 pairs" in refused.stderr
    found = report(*words, "--partial")
    assert "3 of 100 pairs" in found["caption"] and found["protocol"] == "irsde-y"
    (place / "Rain100H" / "GT").rename(place / "Rain100H" / "other")
    assert "found LQ, other" in evaluate(*words).stderr


def test_intervals_hold_what_they_say() -> None:
    """The bootstrap's interval of a normal sample is near the textbook's; one value has no width."""
    sample = np.random.default_rng(1).normal(30, 2, 400)
    mean = bootstrap(list(sample))
    assert mean.low is not None and mean.high is not None
    half = 1.96 * sample.std() / math.sqrt(400)
    assert (mean.high - mean.low) / 2 == pytest.approx(half, rel=0.1)
    one = bootstrap([3.0])
    assert (one.mean, one.low, one.high) == (3.0, 3.0, 3.0)
    assert bootstrap([math.inf, 1.0]).infinite == 1


def test_intervals_of_many_images_take_little_memory() -> None:
    """Blocks of resamples give the numbers that all at once would."""
    sample = np.random.default_rng(2).normal(30, 2, 16801)
    tracemalloc.start()
    mean = bootstrap(list(sample))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40e6
    draws = np.random.default_rng(0).integers(len(sample), size=(2000, len(sample)))
    assert (mean.low, mean.high) == tuple(np.percentile([sample[row].mean() for row in draws], (2.5, 97.5)))


MEMORY = """
import json, resource, sys
from pathlib import Path
from types import SimpleNamespace
from irsde_cli.workflows.evaluate.run import evaluate
from irsde_cli.workflows.evaluate.options import Contender, EvaluateOptions
from irsde_cli.workflows.evaluate.events import Scored

root, peaks = Path(sys.argv[1]), []
options = EvaluateOptions((Contender("ours", folder=root / "LQ"),), clean=root / "GT", degraded=root / "LQ")
for event in evaluate(options):
    if isinstance(event, Scored):
        peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
print(json.dumps(peaks))
"""


def test_memory_does_not_grow_with_the_number_of_images(tmp_path: Path) -> None:
    """100 pairs of half a megabyte a picture, in a process of its own: the peak after 20 is about the last one."""
    photo(tmp_path / "GT" / "0.png", 200, 200)
    photo(tmp_path / "LQ" / "0.png", 200, 200, change=5)
    for index in range(1, 100):
        for folder in ("GT", "LQ"):
            (tmp_path / folder / f"{index}.png").symlink_to(tmp_path / folder / "0.png")
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, tmp_path], capture_output=True, text=True, check=True, timeout=200
    )
    peaks = json.loads(done.stdout)
    assert len(peaks) == 100
    assert peaks[-1] - peaks[19] < 40_000, "kilobytes; keeping every picture would take 120,000"


class Means(torch.nn.Module):
    """Features with a known answer, in place of Inception's."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.mean((2, 3))


def test_metrics_of_whole_sets(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Brighter by d in three channels is a FID of 3 d^2; one figure a contender, with a warning about few pictures."""
    monkeypatch.setattr("irsde_cli.workflows.evaluate.run.Inception", Means)
    words = ["--gt", place / "GT", "--lq", place / "LQ", "--from", place / "ours", "--metric", "fid", "--metric", "kid"]
    (place / "ours" / "3.png").write_bytes((place / "ours" / "2.png").read_bytes())
    found = report(*words)
    figure = found["means"]["ours"]["fid"]
    assert figure["mean"] == pytest.approx(3 * (4 / 255) ** 2, rel=1e-3) and figure["low"] is None
    assert figure["count"] == 3 and "FID and KID of 3 pictures: below 2000" in found["notes"][0]
    assert "kid" in found["means"]["input"] and "FID and KID on Inception" in found["caption"]
    shown = evaluate(*words, "--csv", place / "rows.csv", "--markdown", place / "table.md").stdout
    assert re.search(r"ours +36\.09 \[.*\] .* 0\.00 +0\.0\d{4} +0% \[0%, 56%\] PSNR, 0% \[.*\] SSIM\n", shown)
    assert (
        "FID and KID of 3 pictures: below 2000 not to be" in shown
        and "FID and KID of 3" in (place / "table.md").read_text()
    )
    assert "fid" not in (place / "rows.csv").read_text()


def test_what_metrics_of_sets_need_is_said(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the library the other columns are computed, and the exit code is 3."""
    for package in ("torch_fidelity", "piq"):
        monkeypatch.setitem(sys.modules, package, None)
    words = ["--metric", "fid", "--metric", "dists", "--figures", "-"]
    result = evaluate("--gt", place / "GT", "--from", place / "ours", *words)
    assert result.exit_code == 3
    assert (
        "failed: fid: it needs torch-fidelity, which is not installed. Run: pip install 'irsde[fid]'" in result.stderr
    )
    assert "failed: dists: it needs piq, which is not installed. Run: pip install 'irsde[piq]'" in result.stderr
    assert json.loads(result.stdout)["means"]["ours"]["psnr"]["count"] == 3


def test_pictures_without_clean_ones_are_measured_alone(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """How natural they look, and how far they went from the input; never against themselves as clean ones."""

    class Brisque(torch.nn.Module):
        def forward(self, restored: torch.Tensor, clean: torch.Tensor) -> torch.Tensor:
            return restored.std().reshape(1)

    monkeypatch.setattr("irsde_cli.metrics.brisque.Brisque", Brisque)
    (place / "sets/RealIR-Bench").mkdir(parents=True)
    shutil.copytree(place / "LQ", place / "sets/RealIR-Bench/noise")
    shutil.copytree(place / "ours", place / "restored/noise")
    words = ["--dataset", "realir-bench", "--data-root", place / "sets", "--from", place / "restored", "--partial"]
    found = report(*words, "--metric", "brisque")
    assert found["protocol"] == "no-reference" and [row["key"] for row in found["images"]] == [
        "noise/0", "noise/1", "noise/2",
    ]  # fmt: skip
    assert list(found["means"]["restored"]) == ["brisque"] and not any(found["worse"].values())
    for more, said in (
        ((), "nothing can be measured here"),
        (("--metric", "dists"), "DISTS would need clean pictures"),
        (("--protocol", "plain-rgb"), "its protocol is 'no-reference'"),
    ):
        result = evaluate(*words, *more)
        assert result.exit_code == 2 and said in result.stderr, result.stderr


def test_lists() -> None:
    """Data sets and protocols within 80 columns; terms and page of one that is named."""
    shown = evaluate("--list").stdout
    assert "gopro" in shown and "deraining-y" in shown and max(map(len, shown.splitlines())) <= 80
    about = evaluate("--list", "--dataset", "GoPro").stdout
    assert "CC BY 4.0" in about and "https://seungjunnah.github.io/Datasets/gopro" in about


def test_the_field_s_sets_are_read_and_measured(shared: Path) -> None:
    """The baseline of super-resolution: bicubic on Set5 is 28.4 dB on luma, as every paper says."""
    found = report(
        "--dataset", "set5", "--data-root", shared / "data/testsets", "--from", shared / "data/testsets/set5/GT"
    )
    assert found["means"]["input"]["psnr"]["mean"] == pytest.approx(28.42, abs=0.03)


@pytest.mark.parametrize(("file", "backbone"), [("lpips_alex", "AlexNet"), ("lpips_squeeze", "SqueezeNet")])
def test_lpips_in_the_table(shared: Path, file: str, backbone: str) -> None:
    """The caption says which; the figures are those recorded beside the weights."""
    root, weights = shared / "data/testsets", shared / f"weights/{file}.safetensors"
    words = ["--gt", root / "rain100l/GT", "--lq", root / "rain100l/LQ", "--from", root / "rain100l/LQ"]
    found = report(*words, "--limit", 2, "--lpips", weights)
    expected = [0.3761, 0.1681] if backbone == "AlexNet" else [0.2377, 0.1305]
    assert [row["figures"]["LQ"]["lpips"] for row in found["images"]] == pytest.approx(expected, abs=6e-5)
    assert f"LPIPS 0.1 on {backbone}" in found["caption"]


def test_lpips_of_pictures_that_are_too_small(place: Path, shared: Path) -> None:
    """The column stays, and has no figure."""
    found = report("--gt", place / "GT", "--from", place / "ours", "--lpips", shared / "weights/lpips_alex.safetensors")
    assert found["images"][0]["figures"]["ours"]["lpips"] is None and found["means"]["ours"]["lpips"]["count"] == 0
    assert found["means"]["ours"]["psnr"]["count"] == 3


def test_what_transparency_hides_is_not_measured(place: Path) -> None:
    """PSNR and SSIM count what shows, on the clean picture's own terms; the table says so."""
    alpha = np.full((24, 32), 255, np.uint8)
    alpha[:, :16] = 0
    for index in range(3):
        clean = np.asarray(Image.open(place / "GT" / f"{index}.png"))
        ours = np.asarray(Image.open(place / "ours" / f"{index}.png")).copy()
        ours[:, :16] = 0
        Image.fromarray(np.dstack([clean, alpha])).save(place / "GT" / f"{index}.png")
        Image.fromarray(np.dstack([ours, alpha])).save(place / "ours" / f"{index}.png")
        Image.fromarray(np.where(alpha[..., None] == 0, 0, clean).astype(np.uint8)).save(
            place / "theirs" / f"{index}.jpg", quality=100, subsampling=0
        )
    words = ["--gt", place / "GT", "--from", place / "ours", "--from", place / "theirs"]
    means = report(*words)["means"]
    assert means["ours"]["psnr"]["mean"] == pytest.approx(20 * math.log10(255 / 4))
    assert means["theirs"]["psnr"]["mean"] > 40
    assert "3 of 3 clean pictures are transparent in parts" in evaluate(*words).stdout
    Image.fromarray(np.dstack([clean, 255 - alpha])).save(place / "ours" / "2.png")
    hiding = evaluate(*words)
    assert hiding.exit_code == 3 and "2: ours: it is transparent where the clean picture is not" in hiding.stderr
    Image.fromarray(np.dstack([clean, 0 * alpha])).save(place / "GT" / "2.png")
    assert "'2.png' is entirely transparent" in evaluate(*words).stderr


def test_masks_of_labels_are_refused(place: Path, stub: Path) -> None:
    """What is a hole is never guessed."""
    Image.fromarray(np.eye(24, 32, dtype=np.uint8)).save(place / "labels.png")
    words = ["--gt", place / "GT", "--task", "inpaint", "--model", stub, "--mask", place / "labels.png"]
    refused = evaluate(*words)
    assert refused.exit_code == 2 and "has no white" in refused.stderr
