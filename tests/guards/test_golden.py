"""What users get stays what it was, byte for byte where the machine allows it."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from irsde_cli import checkpoint
from irsde_cli.weights import SHIPPED
from tests.guards.golden import (
    COMMANDS,
    FOLDER,
    FORMAT_1,
    MACHINE,
    RUNS,
    Pixels,
    evaluated,
    is_ours,
    kept,
    pixels,
    restored,
    shipped,
    stub_run,
    trained,
)


def compare(name: str, found: Pixels) -> None:
    stored = pixels(FOLDER / f"{name}.png")
    assert found.shape == stored.shape
    if is_ours():
        assert found.tobytes() == stored.tobytes(), name
    assert np.abs(found.astype(int) - stored).max() <= 1, name


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_network_gives_the_pixels_that_it_gave(name: str, tmp_path: Path) -> None:
    """Float32, one thread, the settings that it ships with."""
    compare(f"shipped/{name}", shipped(tmp_path, name))


@pytest.mark.parametrize("name", RUNS)
def test_restore_gives_the_pixels_that_it_gave(name: str, tmp_path: Path) -> None:
    """Samplers, tiles, draws and their mean: each file that a run writes."""
    found = stub_run(tmp_path, name)
    assert sorted(found) == sorted(path.stem for path in (FOLDER / "restore").glob(f"{name}-*.png"))
    for file, written in found.items():
        compare(f"restore/{file}", written)


def test_evaluate_gives_the_figures_that_it_gave(tmp_path: Path) -> None:
    stored = json.loads(MACHINE.read_text(encoding="utf-8"))["evaluate"]
    for label, figures in evaluated(tmp_path).items():
        assert figures == pytest.approx(stored[label], abs=0 if is_ours() else 0.02), label


def test_train_gives_the_losses_that_it_gave(tmp_path: Path) -> None:
    stored = json.loads(MACHINE.read_text(encoding="utf-8"))["train"]
    assert trained(tmp_path) == pytest.approx(stored, rel=1e-6 if is_ours() else 1e-3)


def test_the_other_commands_give_what_they_gave(tmp_path: Path) -> None:
    """Weights, their header and their way back, a model card, and what problems are reported with."""
    assert json.loads(json.dumps(kept(tmp_path))) == json.loads(COMMANDS.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", FORMAT_1)
def test_checkpoints_of_format_1_stay_readable(name: str) -> None:
    """Files as the first release wrote them rebuild the system that they were saved from."""
    path = FOLDER / "format-1" / f"{name}.safetensors"
    with safe_open(path, "pt") as file:
        assert json.loads(file.metadata()[checkpoint.KEY])["format"] == 1
    compare(f"format-1/{name}", restored(path))
