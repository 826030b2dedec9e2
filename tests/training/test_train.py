"""Training runs: learning, resuming exactly, and what is refused before the first step."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from irsde_cli import checkpoint
from irsde_cli.config import from_mapping, to_mapping
from irsde_cli.degradations import DegradationConfig
from irsde_cli.degradations.gaussian_noise import GaussianNoise
from irsde_cli.degradations.motion_blur import MotionBlur
from irsde_cli.errors import MachineError, UsageError
from irsde_cli.systems.mean_reverting import MeanRevertingConfig
from irsde_cli.systems.parts import NetworkConfig
from irsde_cli.training.photos import load_photos, training_pair
from irsde_cli.training.trainer import TrainConfig, Trainer
from irsde_cli.workflows import train as workflow

TINY = TrainConfig(
    task="denoise",
    model=MeanRevertingConfig(
        NetworkConfig("pocket-unet", {"widths": [8, 8], "blocks": [1, 1], "time_dim": 8}), prediction="clean"
    ),
    degradation=DegradationConfig("gaussian-noise", {"sigma_min": 25, "sigma_max": 25}),
    objective="clean-matching",
    steps=12,
    crop=16,
    batch_size=2,
    warm_up=2,
)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for index in range(3):
        ramp = np.linspace(0, 255, 24)[:, None, None] * rng.random((1, 20, 3))
        Image.fromarray(ramp.astype(np.uint8)).save(folder / f"{index}.png")
    return folder


def run(config: TrainConfig, photos: Path, folder: Path, **options: Any) -> list[Any]:
    settings = {"report_every": 1, "save_every": 4, **options}
    return list(workflow.train(config, photos, folder, **settings))


def losses(events: list[Any]) -> list[float]:
    return [event.loss for event in events if isinstance(event, workflow.Progress)]


def test_a_resumed_run_is_the_unbroken_run(photos: Path, tmp_path: Path) -> None:
    """Stopped anywhere and started again, the losses and the weights are those of a run that never stopped."""
    whole = losses(run(TINY, photos, tmp_path / "whole"))
    halved = tmp_path / "halved"
    seen: list[float] = []
    for event in workflow.train(TINY, photos, halved, report_every=1, save_every=4):
        assert isinstance(event, workflow.Progress)
        seen.append(event.loss)
        if event.step == 6:  # two steps after the last checkpoint: they are done again
            break
    resumed = losses(run(TINY, photos, halved))
    assert seen[:4] + resumed == whole
    a, b = (checkpoint.load(tmp_path / name / "model.safetensors").restorer for name in ("whole", "halved"))
    for name, tensor in a.state_dict().items():
        assert torch.equal(tensor, b.state_dict()[name]), name


def test_a_stopped_run_is_saved(photos: Path, tmp_path: Path) -> None:
    """A signal ends the run after the current step, with a checkpoint of it."""
    calls = iter(range(100))
    run(TINY, photos, tmp_path / "run", stopped=lambda: next(calls) == 5)
    assert sorted(path.name for path in (tmp_path / "run").glob("step-*"))[-1] == "step-00000006"


def test_few_checkpoints_are_kept(photos: Path, tmp_path: Path) -> None:
    """The last two steps stay, and the newest averaged weights lie at the top; no half-written folder is left."""
    run(replace(TINY, steps=20), photos, tmp_path / "run")
    names = sorted(path.name for path in (tmp_path / "run").iterdir())
    assert names == ["log.jsonl", "model.safetensors", "settings.json", "step-00000016", "step-00000020"]
    header = checkpoint.read_header(tmp_path / "run" / "model.safetensors")
    assert (header.task, header.step) == ("denoise", 20)


def test_a_half_written_step_is_passed_over(photos: Path, tmp_path: Path) -> None:
    """What a killed run left while saving does not count."""
    folder = tmp_path / "run"
    run(replace(TINY, steps=4), photos, folder)
    (folder / "step-00000099.part").mkdir()
    assert losses(run(TINY, photos, folder)) == losses(run(TINY, photos, tmp_path / "other"))[4:]


def test_learning_lowers_the_loss(photos: Path, tmp_path: Path) -> None:
    """Validation sees the averaged weights, which come to denoise better than nothing does."""
    config = replace(TINY, steps=400, learning_rate=1e-2, warm_up=10, batch_size=8, ema_decay=0.95)
    events = run(config, photos, tmp_path / "run", validation=photos, report_every=400, save_every=1000)
    final = events[-2]
    assert final.psnr > final.input_psnr + 1


def test_other_settings_are_refused(photos: Path, tmp_path: Path) -> None:
    """A run's folder goes on with its own settings only; more steps are welcome."""
    run(TINY, photos, tmp_path / "run")
    with pytest.raises(UsageError, match="'learning_rate' was"):
        run(replace(TINY, learning_rate=1.0), photos, tmp_path / "run")
    assert len(losses(run(replace(TINY, steps=14), photos, tmp_path / "run"))) == 2


def test_a_batch_depends_on_seed_and_step_alone(photos: Path) -> None:
    """Crops come with their surroundings where the degradation reads beyond them."""
    pictures = load_photos(photos, smallest=1)
    for degradation, crop in ((GaussianNoise(), 16), (MotionBlur(4, 6), 8)):
        pairs = [training_pair(pictures, degradation, crop, 2, torch.Generator().manual_seed(5)) for _ in range(2)]
        assert all(image.shape == (2, 3, crop, crop) for pair in pairs for image in pair)
        assert torch.equal(pairs[0][1], pairs[1][1])


def test_unusable_photographs_are_named_at_once(photos: Path, tmp_path: Path) -> None:
    """All of them, before the first step."""
    (photos / "broken.png").write_bytes(b"no picture")
    Image.new("RGB", (4, 4)).save(photos / "small.png")
    with pytest.raises(UsageError, match=r"2 pictures(?s:.)*broken(?s:.)*small"):
        run(TINY, photos, tmp_path / "run")
    with pytest.raises(UsageError, match="no such folder"):
        run(TINY, tmp_path / "absent", tmp_path / "run")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="no pictures"):
        run(TINY, tmp_path / "empty", tmp_path / "run")


def test_a_loss_that_is_not_finite_stops_the_run(photos: Path, tmp_path: Path) -> None:
    """The last checkpoint stays as it was."""
    trainer = Trainer(TINY, torch.device("cpu"))
    with torch.no_grad():
        next(trainer.system.parameters()).fill_(float("nan"))
    with pytest.raises(MachineError, match="step 0"):
        next(trainer.train(load_photos(photos, smallest=16)))


@pytest.mark.parametrize("name", workflow.preset_names())
def test_presets_are_whole(name: str) -> None:
    """Every preset that ships builds its trainer."""
    config = from_mapping(TrainConfig, workflow.read_preset(name), name)
    assert json.loads(json.dumps(to_mapping(config)))["task"] == config.task
    Trainer(config, torch.device("cpu"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"leraning_rate": 1}, "Did you mean 'learning_rate'"),
        ({"steps": "many"}, "'steps' must be int"),
        ({"steps": 0}, "'steps' must be positive"),
        ({"precision": "fp8"}, "'fp32', 'bf16'"),
        ({"model": {"network": {"name": "pocket-unet"}, "predction": "clean"}}, "Did you mean 'prediction'"),
    ],
)
def test_settings_are_checked(change: dict[str, Any], words: str) -> None:
    """A misspelt key, a wrong type or an impossible value is named with its place."""
    with pytest.raises(UsageError, match=words):
        from_mapping(TrainConfig, to_mapping(TINY) | change, "'mine.toml'")


def test_unknown_parts_are_named() -> None:
    """Presets, objectives and degradations have nearest neighbours."""
    with pytest.raises(UsageError, match="Did you mean 'denoise-small'"):
        workflow.read_preset("denoise-smal")
    with pytest.raises(UsageError, match="Did you mean 'clean-matching'"):
        Trainer(replace(TINY, objective="clean-machting"), torch.device("cpu"))
    with pytest.raises(UsageError, match="Did you mean 'motion-blur'"):
        Trainer(replace(TINY, degradation=DegradationConfig("motion-blurr")), torch.device("cpu"))
    with pytest.raises(UsageError, match="unknown key 'sigma'"):
        Trainer(replace(TINY, degradation=DegradationConfig("gaussian-noise", {"sigma": 3})), torch.device("cpu"))
