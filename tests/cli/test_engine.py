"""`--engine openvino`: the same pictures, and a record that says what made them."""

import json
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

import irsde_cli
from irsde_cli import checkpoint
from irsde_cli.workflows.restore.events import Done, Ready
from tests.cli.stub import Program, call, picture, pixels, tree
from tests.systems.test_restorers import build

here = pytest.mark.skipif(find_spec("openvino") is None, reason="the extra 'openvino' is not installed")


@pytest.fixture(autouse=True)
def store(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """One for all: each network is converted once."""
    monkeypatch.setenv("IRSDE_WEIGHTS", str(tmp_path_factory.getbasetemp() / "store-of-engines"))


@pytest.fixture(scope="session")
def one_pass(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("one") / "one.safetensors"
    checkpoint.save(path, build("one-pass"), task="denoise")
    return path


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for name, height, width in (("a", 20, 33), ("b", 64, 48), ("c", 20, 33)):
        picture(tmp_path / "in" / f"{name}.png", height, width)
    return tmp_path / "in"


def runs(folder: Path) -> list[dict[str, str]]:
    """What decided the pixels of each run that wrote to a folder."""
    (path,) = (folder / ".irsde").glob("manifest*.jsonl")
    lines = map(json.loads, path.read_text().splitlines())
    return [line["settings"] for line in lines if line["event"] == "run"]


@here
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("how", [(), ("--batch-size", "2"), ("--tile", "32")])
@pytest.mark.parametrize("kind", ["stub", "one_pass"])
def test_pictures_are_those_of_torch(
    request: pytest.FixtureRequest, photos: Path, tmp_path: Path, kind: str, how: tuple[str, ...], precision: str
) -> None:
    """In several evaluations and in one, alone, together and in tiles."""
    restore = Program(request.getfixturevalue(kind))
    words = ("--precision", precision, *how)
    steps = 2 if kind == "stub" else 1
    restore(photos, tmp_path / "torch", *words, steps=steps)
    restore(photos, tmp_path / "openvino", *words, "--engine", "openvino", steps=steps)
    for name in tree(tmp_path / "torch"):
        apart = np.abs(pixels(tmp_path / "torch" / name) - pixels(tmp_path / "openvino" / name))
        assert apart.max() <= (1 if precision == "fp32" else 5), name


@here
def test_the_record_names_the_engine_and_a_run_keeps_it(restore: Program, photos: Path, tmp_path: Path) -> None:
    """Its version and precision too; the same command goes on with it, and one without it is another run."""
    out, words = tmp_path / "out", ("--engine", "openvino", "--precision", "bf16")
    first = restore(photos, out, *words)
    assert "on cpu by OpenVINO" in first.stderr
    events = restore.events(photos, out, *words)
    assert [event["name"] for event in events if event["event"] == "skipped"] == ["a.png", "b.png", "c.png"]
    picture(photos / "d.png", 16, 16)
    restore(photos, out, *words)
    for settings in runs(out):
        assert settings["engine"] == "openvino" and settings["precision"] == "bfloat16"
        assert settings["engine_version"].count(".") == 2
    events = restore.events(photos, out, "--precision", "bf16")
    assert sum(event["event"] == "done" for event in events) == 4
    assert "engine" not in runs(out)[-1] and "engine_version" not in runs(out)[-1]


@here
def test_a_result_says_its_engine_and_is_made_again(restore: Program, photos: Path, tmp_path: Path) -> None:
    restore(photos, tmp_path / "out", "--engine", "openvino")
    result = tmp_path / "out" / "a.png"
    said = call("env", "--file", result).stdout
    assert "engine            openvino" in said and "engine_version    20" in said
    again = call("env", "--file", result, "--original", photos / "a.png", "--model", restore.model)
    assert "the same file, byte for byte" in again.stdout


@here
def test_python_has_it_too(restore: Program, photos: Path, tmp_path: Path) -> None:
    events = list(
        irsde_cli.restore(
            photos, tmp_path / "out", task="denoise", model=str(restore.model), steps=1, engine="openvino"
        )
    )
    assert [event.engine for event in events if isinstance(event, Ready)] == ["openvino"]
    assert sum(isinstance(event, Done) for event in events) == 3


@here
def test_figures_are_those_of_torch(stub: Path, photos: Path, tmp_path: Path) -> None:
    """And they say what they are of."""
    words = ("evaluate", "--gt", photos, "--degradation", "gaussian-noise", "--task", "denoise", "--model", stub)
    figures = {}
    for engine in ("torch", "openvino"):
        path = tmp_path / f"{engine}.json"
        call(*words, "--way", "posterior:2", "--engine", engine, "--figures", path)
        figures[engine] = json.loads(path.read_text())
    told = json.dumps(figures["openvino"])
    assert '"engine": "openvino 20' in told and '"engine": "torch"' in json.dumps(figures["torch"])
    one, other = (
        next(value for key, value in figures[engine]["means"].items() if key != "input")["psnr"]["mean"]
        for engine in figures
    )
    assert abs(one - other) < 0.01


@here
@pytest.mark.slow
def test_several_processes_share_one_conversion(restore: Program, photos: Path, tmp_path: Path) -> None:
    restore(photos, tmp_path / "one", "--engine", "openvino")
    restore(photos, tmp_path / "two", "--engine", "openvino", "--jobs", "2")
    assert tree(tmp_path / "one") == tree(tmp_path / "two")


@here
def test_what_it_cannot_run_is_a_usage_error(tmp_path: Path, photos: Path, restore: Program) -> None:
    """Weights of another kind, and another device; nothing is written."""
    checkpoint.save(tmp_path / "w.safetensors", build("autoencoder"), task="denoise")
    words = ("--task", "denoise", "--engine", "openvino")
    found = call("restore", photos, tmp_path / "out", "--model", tmp_path / "w.safetensors", *words, code=2)
    assert "OpenVINO cannot run weights of this kind ('autoencoder')" in found.stderr
    found = restore(photos, tmp_path / "out", "--engine", "openvino", "--device", "cuda", code=2)
    assert "runs on the CPU, not on 'cuda'" in found.stderr
    assert not tree(tmp_path / "out")


def test_without_the_extra_it_says_what_to_install(
    restore: Program, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And torch does not take its place."""
    monkeypatch.setitem(sys.modules, "openvino", None)
    found = restore(photos, tmp_path / "out", "--engine", "openvino", code=5)
    assert "--engine openvino needs OpenVINO, which is not installed." in found.stderr
    assert "irsde[openvino]" in found.stderr and not (tmp_path / "out" / "a.png").exists()
    words = ("--degradation", "gaussian-noise", "--task", "denoise", "--model", restore.model)
    found = call("evaluate", "--gt", photos, *words, "--engine", "openvino", code=5)
    assert "irsde[openvino]" in found.stderr


def test_records_of_torch_are_as_they_were(restore: Program, photos: Path, tmp_path: Path) -> None:
    """What was restored before there were engines stays up to date."""
    restore(photos, tmp_path / "out")
    assert not [key for settings in runs(tmp_path / "out") for key in settings if key.startswith("engine")]
