"""Where the figures of a training go beside its log."""

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from irsde_cli.errors import MachineError
from irsde_cli.workflows.train.options import RunConfig
from irsde_cli.workflows.train.run import train
from irsde_cli.workflows.train.trackers import WeightsAndBiases
from tests.cli.stub import picture
from tests.training.test_train import TINY


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for index in range(2):
        picture(tmp_path / "photos" / f"{index}.png", 24, 20)
    return tmp_path / "photos"


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """What a stand-in for wandb was told: for each run its settings, its figures, and whether it ended."""
    told: list[Any] = []

    class Error(Exception):
        pass

    def init(**settings: Any) -> Any:
        if settings["config"]["task"] == "derain":
            raise Error("no key")
        figures: list[Any] = []
        one = SimpleNamespace(
            settings=settings, figures=figures, id=settings["id"] or "abc", url="", dir="", over=False
        )
        one.log, one.finish = figures.append, lambda: setattr(one, "over", True)
        told.append(one)
        return one

    module = SimpleNamespace(init=init, Error=Error, Settings=dict)
    monkeypatch.setitem(sys.modules, "wandb", module)
    yield told


def learn(photos: Path, steps: int, config: Any = TINY, name: str = "run") -> Path:
    out = photos.parent / name
    run = RunConfig(data=str(photos), out=str(out), report_every=1, tracker="wandb")
    for _ in train(replace(config, steps=steps), run, device=torch.device("cpu")):
        pass
    return out


def test_a_tracker_gets_what_the_log_has(photos: Path, runs: list[Any]) -> None:
    """Each line's figures, with its step; a training that goes on goes on there too."""
    out = learn(photos, 2)
    learn(photos, 3)
    first, second = runs
    assert (first.settings["id"], second.settings["id"]) == (None, "abc") and first.over and second.over
    assert first.settings["name"] == "run" and first.settings["config"]["task"] == "denoise"
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    figures = first.figures + second.figures
    assert [one["step"] for one in figures] == [1, 2, 3] and [one["loss"] for one in figures] == [
        line["loss"] for line in lines
    ]
    assert "psnr" not in figures[0], "what nobody measured is no figure"


def test_a_tracker_that_cannot_begin_says_so(photos: Path, runs: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """In a sentence with the way out, and before the first step; without the package too."""
    with pytest.raises(MachineError, match="wandb cannot begin: no key") as caught:
        learn(photos, 1, replace(TINY, task="derain"))
    assert "WANDB_MODE=offline" in caught.value.hint
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(MachineError, match="--tracker wandb needs wandb, which is not installed") as caught:
        learn(photos, 1, name="other")
    assert "irsde[wandb]" in caught.value.hint


def test_the_real_one_keeps_figures_in_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Offline, with nobody's account."""
    pytest.importorskip("wandb", reason="the extra 'wandb' is not installed")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "run").mkdir()
    for step in (1, 2):
        tracker = WeightsAndBiases(tmp_path / "run", {"task": "denoise"})
        tracker.log({"loss": 0.5}, step)
        tracker.close()
    files = list((tmp_path / "run" / "wandb").glob("offline-run-*/*.wandb"))
    assert files and {path.stem for path in files} == {f"run-{(tmp_path / 'run' / 'wandb.id').read_text()}"}
