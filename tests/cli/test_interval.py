"""`--spread` of calibrated weights: half the width of intervals, in restore and in evaluate."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from irsde_cli import checkpoint
from irsde_cli.engine.settings import SPREAD_GAIN
from irsde_cli.needs.interval import Evidence, Interval, half_width
from irsde_cli.systems.parts import PublishedSampling
from tests.cli.stub import call, picture, pixels, save_stub
from tests.systems.test_restorers import build

RESULT = {"constant": 4.0, "change near": 0.1, "detail near": 0.1}
MEAN = {"constant": 9.0, "draws near": 1.0}


def interval(weights: dict[str, float], draws: int) -> dict[str, Any]:
    return vars(Interval(weights, 1.5, draws, 56, "photographs", "2026-01-01"))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """The stub, calibrated."""
    stub = checkpoint.load(save_stub(tmp_path / "stub.safetensors"))
    path = tmp_path / "calibrated.safetensors"
    known = {"result": interval(RESULT, 1), "mean": interval(MEAN, 3)}
    checkpoint.save(path, stub.restorer, task="denoise", intervals=known)
    return path


def test_one_result_has_its_interval(model: Path, tmp_path: Path) -> None:
    """From what is seen of it alone: no further draw is made."""
    picture(tmp_path / "a.png", 20, 24)
    call("restore", tmp_path / "a.png", tmp_path / "out", "--model", model, "--spread")
    before, after = (
        torch.from_numpy(pixels(tmp_path / name) / 255).permute(2, 0, 1) for name in ("a.png", "out/a.png")
    )
    expected = half_width(Interval(**interval(RESULT, 1)), Evidence(before.float(), after.float()))
    written = pixels(tmp_path / "out/a.spread.png")
    assert np.abs(written[..., 0] - (255 * SPREAD_GAIN * expected).clamp(0, 255).numpy()).max() <= 2
    assert (written[..., 0] == written[..., 1]).all()


def test_the_mean_of_draws_has_another(model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Of fewer draws than it was calibrated for it is said; several results have the spread of draws, as ever."""
    picture(tmp_path / "a.png", 20, 24)
    words = ("restore", tmp_path / "a.png", tmp_path / "out", "--model", model, "--spread", "--steps", "2")
    call(*words, "--samples", "2", "--estimate", "mean")
    assert "calibrated with other settings" in caplog.text
    assert pixels(tmp_path / "out/a.spread.png").min() >= 1.5 * 3 * SPREAD_GAIN - 1
    call(*words, "--samples", "2", "--overwrite")
    assert pixels(tmp_path / "out/a.spread.png").min() < 1.5 * 3 * SPREAD_GAIN - 1


def test_evaluate_tells_coverage_and_width(model: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        picture(tmp_path / f"GT/{name}.png", 20, 24)
    words = ("evaluate", "--gt", tmp_path / "GT", "--degradation", "gaussian-noise", "--task", "denoise", "--model")
    figures = tmp_path / "figures.json"
    call(*words, model, "--figures", figures)
    found = json.loads(figures.read_text())
    means = next(values for label, values in found["means"].items() if label != "input")
    assert 0 <= means["coverage"]["mean"] <= 1
    assert means["width"]["mean"] >= 2 * 1.5 * 2
    assert any("calibrated intervals hold" in note for note in found["notes"])
    call(*words, tmp_path / "stub.safetensors", "--figures", figures)
    assert "coverage" not in figures.read_text()


def test_two_heads_tell_it_by_one_evaluation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """How far a draw lies from the mean is known when the result is."""
    restorer = build("two-heads")
    for parameter in restorer.parameters():
        parameter.data.add_(0.05 * torch.randn_like(parameter))
    path = tmp_path / "two.safetensors"
    asked: list[int] = []
    known = {"result": interval({"constant": 9.0, "draws near": 0.01}, 1)}
    checkpoint.save(path, restorer, task="denoise", intervals=known)
    network = type(restorer.learnt)
    forward = network.forward

    def counted(*given: Any) -> torch.Tensor:
        asked.append(1)
        result: torch.Tensor = forward(*given)
        return result

    monkeypatch.setattr(network, "forward", counted)
    picture(tmp_path / "a.png", 20, 24)
    call("restore", tmp_path / "a.png", tmp_path / "out", "--model", path, "--spread", "--precision", "fp32")
    assert len(asked) == 1
    written = pixels(tmp_path / "out/a.spread.png")
    assert written.min() >= 1.5 * 3 * SPREAD_GAIN - 1
    assert written.max() > written.min()


def test_weights_without_a_calibration_say_so(tmp_path: Path) -> None:
    path = save_stub(tmp_path / "stub.safetensors")
    picture(tmp_path / "a.png", 20, 24)
    result = call("restore", tmp_path / "a.png", tmp_path / "out", "--model", path, "--spread", code=2)
    assert "not calibrated: --spread needs several draws" in result.stderr


def test_a_gate_falls_back_to_the_mean_or_to_the_input(tmp_path: Path) -> None:
    """By intervals that put all in doubt; usual for some tasks, and off by word."""
    stub = checkpoint.load(save_stub(tmp_path / "stub.safetensors", sampling=PublishedSampling(realism=0.5, steps=2)))
    wide = {"result": interval({"constant": 1e4}, 1)}
    jpeg, denoise = tmp_path / "jpeg.safetensors", tmp_path / "denoise.safetensors"
    for path, task in ((jpeg, "jpeg"), (denoise, "denoise")):
        checkpoint.save(path, stub.restorer, task=task, intervals=wide)
    picture(tmp_path / "a.png", 20, 24)

    def made(model: Path, *words: str) -> Any:
        out = tmp_path / "-".join(("out", model.stem, *words))
        call("restore", tmp_path / "a.png", out, "--model", model, *words)
        return pixels(out / "a.png")

    mean, free = made(jpeg, "--realism", "0"), made(jpeg, "--gate", "off")
    assert (mean != free).any()
    assert (made(jpeg) == mean).all()
    assert (made(denoise) == free).all()
    assert (made(denoise, "--gate", "mean") == mean).all()
    assert (made(denoise, "--gate", "input") == pixels(tmp_path / "a.png")).all()


def test_a_gate_without_anything_to_go_by_is_refused(model: Path, tmp_path: Path) -> None:
    picture(tmp_path / "a.png", 20, 24)
    words = ("restore", tmp_path / "a.png", tmp_path / "out", "--gate", "mean", "--model")
    assert "not calibrated" in call(*words, tmp_path / "stub.safetensors", code=2).stderr
    assert "give the mean already" in call(*words, model, "--realism", "0", code=2).stderr


def test_the_page_shows_what_is_a_guess(model: Path, tmp_path: Path) -> None:
    picture(tmp_path / "in/a.png", 20, 24)
    call("restore", tmp_path / "in", tmp_path / "out", "--model", model, "--report", tmp_path / "page")
    text = (tmp_path / "page/index.html").read_text(encoding="utf-8")
    assert '"labels": ["input", "restored", "measured / guessed"]' in text
    assert "orange is a guess" in text
