"""`--realism` and `--strength` as grey pictures: how much, where."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from irsde_cli import checkpoint
from irsde_cli.cli.program import app
from irsde_cli.systems.one_pass import OnePass, OnePassConfig
from tests.cli.stub import NETWORK, Program, picture, pixels, tree

HEIGHT, WIDTH = 12, 18


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Two pictures, and a map of each: half black and half white, and the other way round."""
    levels = np.zeros((HEIGHT, WIDTH), np.uint8)
    levels[:, 9:] = 255
    for name, level in (("a", levels), ("b", 255 - levels)):
        picture(tmp_path / "in" / f"{name}.png", HEIGHT, WIDTH)
        (tmp_path / "maps").mkdir(exist_ok=True)
        Image.fromarray(level).save(tmp_path / "maps" / f"{name}.png")
    return tmp_path


def restored(program: Program, place: Path, out: str, *words: object) -> dict[str, np.ndarray]:
    program(place / "in", place / out, "--sampler", "ode-2", *words, steps=3)
    return {name: pixels(place / out / f"{name}.png") for name in ("a", "b")}


@pytest.mark.parametrize("option", ["--realism", "--strength"])
def test_a_map_says_how_much_where(place: Path, stub: Path, option: str) -> None:
    """Black is what 0 gives and white what 1 gives, in each picture by its own map; a file serves all."""
    program = Program(stub)
    none, all_of_it = (restored(program, place, f"out{amount}", option, amount) for amount in (0, 1))
    mapped = restored(program, place, "mapped", option, place / "maps")
    one_for_all = restored(program, place, "one", option, place / "maps" / "a.png")
    left, right = np.s_[:, :9], np.s_[:, 9:]
    for found, name, black, white in (
        (mapped["a"], "a", left, right),
        (mapped["b"], "b", right, left),
        (one_for_all["b"], "b", left, right),
    ):
        assert np.array_equal(found[black], none[name][black]) and np.array_equal(found[white], all_of_it[name][white])
    assert not np.array_equal(none["a"], all_of_it["a"])


def test_a_grey_of_16_bits_is_a_number(place: Path, stub: Path) -> None:
    """32768 of 65535 is a half; batches of unequal sizes have their own maps."""
    program = Program(stub)
    half = restored(program, place, "half", "--strength", 32768 / 65535)
    for name in "ab":
        Image.fromarray(np.full((HEIGHT, WIDTH), 32768, np.uint16)).save(place / "maps" / f"{name}.png")
    mapped = restored(program, place, "mapped", "--strength", place / "maps", "--batch-size", 2)
    assert all(np.abs(mapped[name] - half[name]).max() <= 1 for name in "ab")


def test_a_changed_map_is_restored_again(place: Path, stub: Path) -> None:
    """The manifest holds that there is a map, and with each picture which one; what is up to date stays."""
    program, words = Program(stub), ("--sampler", "ode-2", "--realism", place / "maps")
    program(place / "in", place / "out", *words)
    before = tree(place / "out")
    again = program.events(place / "in", place / "out", *words)
    assert [one["event"] for one in again if one["event"] in ("done", "skipped")] == ["skipped"] * 2
    Image.fromarray(np.full((HEIGHT, WIDTH), 77, np.uint8)).save(place / "maps" / "b.png")
    changed = program.events(place / "in", place / "out", *words)
    assert [one["name"] for one in changed if one["event"] == "done"] == ["b.png"]
    after = tree(place / "out")
    assert after["a.png"] == before["a.png"] and after["b.png"] != before["b.png"]
    manifest = next((place / "out").rglob("manifest*.jsonl")).read_text()
    assert '"realism": "map"' in manifest or '"realism":"map"' in manifest


def test_maps_that_are_none_fail_their_picture(place: Path, stub: Path) -> None:
    """A colour picture, one of another size, one that is missing: in a sentence, and the others are restored."""
    program, maps = Program(stub), place / "maps"
    for name in ("c", "d", "e"):
        picture(place / "in" / f"{name}.png", HEIGHT, WIDTH)
    picture(maps / "b.png", HEIGHT, WIDTH)
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(maps / "c.png")
    picture(maps / "d.png", HEIGHT, WIDTH, "RGBA")
    events = program.events(place / "in", place / "out", "--sampler", "ode-2", "--realism", maps, code=3)
    reasons = {one["name"]: one["reason"] for one in events if one["event"] == "failed"}
    assert set(reasons) == {"b.png", "c.png", "d.png", "e.png"}
    assert "has colours" in reasons["b.png"] and "is 9 x 9, but" in reasons["c.png"]
    assert "transparent in parts" in reasons["d.png"] and "e.png" in reasons["e.png"]
    assert set(tree(place / "out")) == {"a.png"}


@pytest.mark.parametrize(
    ("words", "steps", "message"),
    [
        (("--realism", "nowhere.png"), 2, "--realism is neither a number nor a picture"),
        (("--strength", "much"), 2, "--strength is neither a number nor a picture"),
        (("--realism", "maps", "--sampler", "posterior"), 1, "nothing to blend"),
        (("--realism", "2"), 2, "--realism goes from 0"),
        (("--strength", "nan"), 2, "--strength goes from 0"),
    ],
)
def test_where_a_map_means_nothing_it_is_refused(
    place: Path, stub: Path, words: tuple[str, ...], steps: int, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before a picture is opened."""
    monkeypatch.chdir(place)
    result = Program(stub)("in", "out", *words, steps=steps, code=2)
    assert message in " ".join(result.stderr.split()) and not (place / "out").exists()


def test_ways_of_evaluate_take_maps(place: Path, stub: Path) -> None:
    """By the pictures' names; a pair without one is a problem of its own."""
    (place / "maps" / "b.png").unlink()
    words = ["evaluate", "--gt", place / "in", "--lq", place / "in", "--task", "denoise", "--model", stub, "--quiet"]
    words += ["--way", f"ode-2:3,realism={place / 'maps'}", "--save", place / "saved"]
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == 3 and "it has no map of realism" in result.stderr
    saved = next(path for path in (place / "saved").iterdir() if path.name not in ("input", "known"))
    mapped = restored(Program(stub), place, "out", "--realism", place / "maps" / "a.png")
    assert np.abs(pixels(saved / "a.png") - mapped["a"]).max() <= 1


def test_networks_of_one_pass_take_maps_of_strength_alone(place: Path) -> None:
    """They know the mean alone."""
    model = place / "one.safetensors"
    checkpoint.save(model, OnePass(OnePassConfig(NETWORK)), task="denoise")
    words = ["restore", place / "in", place / "out", "--task", "denoise", "--model", model]
    for option, code in (("--realism", 2), ("--strength", 0)):
        result = CliRunner().invoke(app, [str(word) for word in [*words, option, place / "maps"]])
        assert result.exit_code == code
