"""Training runs: learning, resuming exactly, and what is refused before the first step."""

import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import irsde_cli
from irsde_cli import checkpoint, presets
from irsde_cli.config import from_mapping, to_mapping
from irsde_cli.degradations import DegradationConfig
from irsde_cli.errors import DivergedError, InputError, MachineError, UsageError, WeightsError
from irsde_cli.processes.mean_reverting import MeanRevertingSDE
from irsde_cli.samplers.settings import Sampling
from irsde_cli.systems import SYSTEMS, build_restorer
from irsde_cli.systems.diffusion import Diffusion
from irsde_cli.systems.flux import FluxConfig
from irsde_cli.systems.mean_reverting import MeanReverting
from irsde_cli.systems.one_pass import OnePass
from irsde_cli.training.config import TrainConfig
from irsde_cli.training.estimate import estimate
from irsde_cli.training.ranks import Ranks
from irsde_cli.training.trainer import Trainer
from irsde_cli.workflows.train import run as workflow
from irsde_cli.workflows.train.beginning import find_source
from irsde_cli.workflows.train.events import Finished, Progress, Returned, Started, Warned
from irsde_cli.workflows.train.options import RunConfig
from tests.systems.test_restorers import FLUX_NET, KL_AUTOENCODER, build

POCKET = {"name": "pocket-unet", "options": {"widths": [8, 8], "blocks": [1, 1], "time_dim": 8}}
TINY = TrainConfig(
    task="denoise",
    model={"network": POCKET, "process": {"prediction": "clean"}},
    degradation=DegradationConfig("gaussian-noise", {"sigma_min": 25, "sigma_max": 25}),
    objective="clean-matching",
    steps=12,
    crop=16,
    batch_size=2,
    warm_up=2,
)
CPU = torch.device("cpu")


def held_out(folder: Path) -> str:
    """A copy, as what is learnt from may not be measured on."""
    copy = folder.with_name(f"{folder.name}-held-out")
    shutil.copytree(folder, copy, dirs_exist_ok=True)
    return str(copy)


def events(config: TrainConfig, photos: Path, folder: Path, **options: Any) -> Iterator[Any]:
    stopped = options.pop("stopped", lambda: False)
    settings = {"report_every": 1, "save_every": 4, "data": str(photos), "out": str(folder), **options}
    return workflow.train(config, RunConfig(**settings), stopped=stopped)


def run(config: TrainConfig, photos: Path, folder: Path, **options: Any) -> list[Any]:
    return list(events(config, photos, folder, **options))


def losses(seen: list[Any]) -> list[float]:
    return [event.loss for event in seen if isinstance(event, Progress)]


def same_weights(one: Path, other: Path) -> bool:
    a, b = (checkpoint.load(path).restorer.state_dict() for path in (one, other))
    return all(torch.equal(tensor, b[name]) for name, tensor in a.items())


def test_a_resumed_run_is_the_unbroken_run(photos: Path, tmp_path: Path) -> None:
    """Stopped anywhere and started again, the losses and the weights are those of a run that never stopped."""
    whole = losses(run(TINY, photos, tmp_path / "whole"))
    halved = tmp_path / "halved"
    seen: list[float] = []
    for event in events(TINY, photos, halved):
        if isinstance(event, Progress):
            seen.append(event.loss)
            if event.step == 6:  # two steps after the last checkpoint: they are done again
                break
    resumed = losses(run(TINY, photos, halved))
    assert seen[:4] + resumed == whole
    assert same_weights(tmp_path / "whole" / "model.safetensors", halved / "model.safetensors")


def test_a_stopped_run_is_saved(photos: Path, tmp_path: Path) -> None:
    """A signal ends the run after the current step, with a checkpoint of it."""
    calls = iter(range(100))
    run(TINY, photos, tmp_path / "run", stopped=lambda: next(calls) == 5)
    assert sorted(path.name for path in (tmp_path / "run").glob("step-*"))[-1] == "step-00000006"


def test_a_neighbour_changes_no_validation(photos: Path, tmp_path: Path) -> None:
    """Damage and noise of a validation picture are those of its name: figures stay when pictures are added."""
    trainer = Trainer(TINY, Ranks(CPU))

    def measured() -> dict[str, tuple[float, float]]:
        source = find_source(photos, TINY, RunConfig(), CPU, False, None)
        return {one.name: (one.input_psnr, one.psnr) for one in trainer.validate(source, crop=16)}

    alone = measured()
    assert set(alone) == {"0", "1", "2"}
    for name in ("!", "00", "a/0"):
        (photos / name).parent.mkdir(exist_ok=True)
        (photos / f"{name}.png").write_bytes((photos / "1.png").read_bytes())
    assert alone.items() <= measured().items() and len(measured()) == 6


@pytest.mark.parametrize(
    ("how", "paired"),
    [
        *product(("itself", "link", "links to files", "hard links", "dots"), (False, True)),
        ("inside", False),
        ("around", False),
    ],
)
def test_what_is_learnt_is_not_measured_on(photos: Path, tmp_path: Path, how: str, paired: bool) -> None:
    """By whatever path: a figure on pictures that were learnt says nothing."""
    data = pairs_folder(tmp_path / "pairs") if paired else photos
    other = tmp_path / "other"
    match how:
        case "itself":
            other = data
        case "inside":
            other = data / "inner"
            shutil.copytree(data, other)
        case "around":
            other = data.parent
        case "link":
            other.symlink_to(data)
        case "dots":
            other = data / ".." / data.name
        case _:
            for path in data.rglob("*.png"):
                copy = other / path.relative_to(data)
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.hardlink_to(path) if how == "hard links" else copy.symlink_to(path)
    with pytest.raises(UsageError, match="--validation is to measure what was not learnt"):
        run(PAIRED if paired else TINY, data, tmp_path / "run", validation=str(other))
    if how == "itself":
        run(PAIRED if paired else TINY, data, tmp_path / "run", validation=held_out(data))


def test_few_checkpoints_are_kept(photos: Path, tmp_path: Path) -> None:
    """The newest steps stay, the averaged weights lie at the top; no half-written folder is left."""
    run(replace(TINY, steps=20), photos, tmp_path / "run")
    names = sorted(path.name for path in (tmp_path / "run").iterdir() if path.name != "tensorboard")
    assert names == [".lock", "log.jsonl", "model.safetensors", "settings.json", "step-00000016", "step-00000020"]
    header = checkpoint.read_header(tmp_path / "run" / "model.safetensors")
    assert (header.task, header.step) == ("denoise", 20)
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, 21))
    assert all(0 <= line["waiting"] <= 1 and line["norm"] > 0 and line["rate"] >= 0 for line in lines)


def test_a_half_written_step_is_passed_over(photos: Path, tmp_path: Path) -> None:
    """What a killed run left while saving does not count."""
    folder = tmp_path / "run"
    run(replace(TINY, steps=4), photos, folder)
    (folder / "step-00000099.part").mkdir()
    assert losses(run(TINY, photos, folder)) == losses(run(TINY, photos, tmp_path / "other"))[4:]


def test_learning_lowers_the_loss(photos: Path, tmp_path: Path) -> None:
    """Validation sees the averaged weights, which come to denoise better than nothing does; pictures show it."""
    config = replace(TINY, steps=400, learning_rate=1e-2, warm_up=10, batch_size=8, ema_decay=0.95)
    folder = tmp_path / "run"
    seen = run(
        config, photos, folder, validation=held_out(photos), validate_every=200, report_every=400, save_every=1000
    )
    measured = [event for event in seen if isinstance(event, Progress)]
    assert [event.step for event in measured] == [200, 400]
    assert (measured[-1].psnr or 0) > (measured[-1].input_psnr or 99) + 1
    with Image.open(next((folder / "validation" / "step-00000400").glob("0-*.png"))) as picture:
        assert picture.size == (3 * 20, 24)
    finished = seen[-1]
    assert isinstance(finished, Finished)
    best = max(measured, key=lambda event: event.psnr or 0)
    assert checkpoint.read_header(finished.best).step == best.step
    assert (folder / f"step-{best.step:08d}").is_dir()


def test_the_best_weights_are_the_averaged_ones(photos: Path, tmp_path: Path) -> None:
    """What is validated, and kept as the best and as the newest, is the average and not the last step."""
    run(replace(TINY, ema_decay=0.99), photos, tmp_path / "run", validation=held_out(photos), validate_every=12)
    state = torch.load(tmp_path / "run" / "step-00000012" / "state.pt", weights_only=True)
    for name in ("model.safetensors", "best.safetensors"):
        kept = checkpoint.load(tmp_path / "run" / name).restorer.state_dict()
        assert all(torch.equal(tensor, state["averaged"][f"module.{key}"]) for key, tensor in kept.items())
        assert not all(torch.equal(tensor, state["system"][key]) for key, tensor in kept.items())


def test_other_settings_are_refused(photos: Path, tmp_path: Path) -> None:
    """A run's folder goes on with its own settings only; more steps are welcome."""
    run(TINY, photos, tmp_path / "run")
    with pytest.raises(UsageError, match="'learning_rate' was"):
        run(replace(TINY, learning_rate=1.0), photos, tmp_path / "run")
    assert len(losses(run(replace(TINY, steps=14), photos, tmp_path / "run"))) == 2


def test_unusable_photographs_are_named_at_once(photos: Path, tmp_path: Path) -> None:
    """All of them, before the first step; --skip-bad goes on without them. Small ones are mirrored."""
    (photos / "broken.png").write_bytes(b"no picture")
    (photos / "cut.png").write_bytes((photos / "0.png").read_bytes()[:200])
    Image.new("RGB", (4, 5)).save(photos / "small.png")
    with pytest.raises(InputError, match=r"2 pictures(?s:.)*broken(?s:.)*cut"):
        run(TINY, photos, tmp_path / "run")
    assert not list((tmp_path / "run").glob("step-*"))
    seen = run(TINY, photos, tmp_path / "run", skip_bad=True)
    assert next(event.message for event in seen if isinstance(event, Warned)).startswith("2 pictures")
    assert next(event.pictures for event in seen if isinstance(event, Started)) == 4
    with pytest.raises(UsageError, match="no such folder"):
        run(TINY, tmp_path / "absent", tmp_path / "other")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="no pictures"):
        run(TINY, tmp_path / "empty", tmp_path / "other")


def test_a_lost_run_goes_back_and_gives_up_at_last(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A loss that is no number brings the last good state back, with half the rate each time; then exit code 3."""
    learn = Trainer.train

    def poisoned(self: Trainer, *arguments: Any, **options: Any) -> Iterator[Any]:
        for step in learn(self, *arguments, **options):
            yield step
            if self.step == 6:
                with torch.no_grad():
                    next(self.system.parameters()).fill_(float("nan"))

    monkeypatch.setattr(Trainer, "train", poisoned)
    with pytest.raises(DivergedError, match="loss is nan") as caught:
        run(TINY, photos, tmp_path / "run")
    assert caught.value.exit_code == 3
    seen = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in seen] == [1, 2, 3, 4, 5, 6, 5, 6, 5, 6, 5, 6]
    rates = [line["rate"] for line in seen if line["step"] == 5]
    assert rates == [rates[0] / 2**n for n in range(4)]
    assert len({line["loss"] for line in seen if line["step"] == 5}) == 4, "other samples each time"
    assert all(
        torch.isfinite(x).all() for x in checkpoint.load(tmp_path / "run" / "model.safetensors").restorer.parameters()
    )


def test_a_return_is_remembered(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that is killed after a return goes on with the lower rate, and without the lost steps."""
    original = workflow._validate
    values = iter([20.0, 15.0])
    monkeypatch.setattr(workflow, "_validate", lambda *_: (10.0, next(values), []))
    folder = tmp_path / "run"
    options: dict[str, Any] = {"validation": held_out(photos), "validate_every": 4, "save_every": 2, "keep": 9}
    for event in events(TINY, photos, folder, **options):
        if isinstance(event, Returned):
            break
    assert (event.step, event.to) == (8, 4)
    assert "validation fell from 20.00 to 15.00 dB" in event.reason
    assert sorted(path.name for path in folder.glob("step-*"))[-1] == "step-00000004"
    monkeypatch.setattr(workflow, "_validate", original)
    rates = [event.rate for event in run(TINY, photos, folder) if isinstance(event, Progress)]
    whole = [event.rate for event in run(TINY, photos, tmp_path / "whole") if isinstance(event, Progress)]
    assert rates[0] == pytest.approx(whole[4] / 2)


def pairs_folder(root: Path, scale: int = 1, count: int = 3) -> Path:
    rng = np.random.default_rng(1)
    for index in range(count):
        clean = (rng.random((24, 32, 3)) * 255).astype(np.uint8)
        for name, pixels in (("GT", clean), ("LQ", clean[::scale, ::scale] // 2)):
            (root / name / "deep").mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(root / name / "deep" / f"{index}.png")
    return root


PAIRED = replace(TINY, degradation=None)


def test_pairs_are_learnt_from(tmp_path: Path) -> None:
    """GT/ and LQ/ by name, at any scale, cut and turned together."""
    run(PAIRED, pairs_folder(tmp_path / "pairs"), tmp_path / "run", validation=held_out(tmp_path / "pairs"))
    larger = replace(PAIRED, task="sr4", model={**TINY.model, "scale": 4})
    run(larger, pairs_folder(tmp_path / "sr", 4), tmp_path / "run4", validation=held_out(tmp_path / "sr"))


def test_pairs_that_do_not_fit_are_named_at_once(tmp_path: Path) -> None:
    """Alone, unreadable, of another size: one message, before the first step."""
    folder = pairs_folder(tmp_path / "pairs", count=4)
    (folder / "GT" / "deep" / "3.png").unlink()
    (folder / "LQ" / "deep" / "0.png").write_bytes(b"no picture")
    Image.new("RGB", (31, 24)).save(folder / "LQ" / "deep" / "1.png")
    with pytest.raises(InputError, match=r"3 files(?s:.)*3\.png' has no partner(?s:.)*0\.png(?s:.)*31 x 24 and its"):
        run(PAIRED, folder, tmp_path / "run")
    seen = run(PAIRED, folder, tmp_path / "run", skip_bad=True)
    assert next(event.pictures for event in seen if isinstance(event, Started)) == 1


def test_settings_and_data_must_agree(photos: Path, tmp_path: Path) -> None:
    """Pairs where the settings degrade, none where they do not, and scales that differ."""
    with pytest.raises(UsageError, match="holds pairs"):
        run(TINY, pairs_folder(tmp_path / "pairs"), tmp_path / "run")
    with pytest.raises(UsageError, match="no folders of pairs"):
        run(PAIRED, photos, tmp_path / "other")
    with pytest.raises(UsageError, match="4 times smaller, but the model enlarges 1"):
        run(replace(TINY, degradation=DegradationConfig("downsampling")), photos, tmp_path / "third")
    with pytest.raises(UsageError, match="trained before"):
        run(replace(PAIRED, system="latent", model=LATENT), pairs_folder(tmp_path / "more"), tmp_path / "fourth")
    if find_spec("diffusers") is not None:
        model = to_mapping(FluxConfig(FLUX_NET, KL_AUTOENCODER))
        with pytest.raises(UsageError, match="trained before"):
            run(replace(PAIRED, system="flux-ir", model=model), tmp_path / "more", tmp_path / "fifth")


LATENT = {
    "autoencoder": {"name": "latent-unet", "options": {"ch": 8, "ch_mult": [1, 2], "embed_dim": 4}},
    "network": {
        "name": "nafnet",
        "options": {"img_channel": 4, "width": 8, "enc_blk_nums": [1], "dec_blk_nums": [1], "long_skip": True},
    },
}


def test_every_system_trains_from_start_to_checkpoint(photos: Path, tmp_path: Path) -> None:
    """The autoencoder, DA-CLIP and FLUX come first and stay as they are; the checkpoints restore."""
    looking = build("daclip")
    (tmp_path / "clip").mkdir()
    checkpoint.save(tmp_path / "clip" / "model.safetensors", looking)
    teachers = {"latent": "autoencoder", "daclip": "clip", "flux-ir": "flux", "flux2": "flux-2"}
    models: dict[str, tuple[dict[str, Any], str]] = {
        "mean-reverting": (TINY.model, "clean-matching"),
        "denoising": (
            {"network": {"name": "unet", "options": {"nf": 8, "depth": 2, "conditional": False}}},
            "noise-matching",
        ),
        "one-pass": ({"network": POCKET}, "direct-regression"),
        "autoencoder": ({"autoencoder": LATENT["autoencoder"]}, "reconstruction"),
        "latent": (LATENT, "maximum-likelihood"),
        "daclip": (to_mapping(looking.config), "noise-matching"),
        "two-heads": (dict(SYSTEMS["two-heads"].example), "two-heads"),
        "pmrf": (dict(SYSTEMS["pmrf"].example), "mean-and-flow"),
        "flux-ir": (to_mapping(FluxConfig(FLUX_NET, KL_AUTOENCODER)), "clean-matching"),
        "flux2": (dict(SYSTEMS["flux2"].example), "clean-matching"),
        "codec": (dict(SYSTEMS["codec"].example), "rate-distortion"),
    }
    assert set(models) == set(SYSTEMS)
    if find_spec("diffusers") is None:
        del models["flux-ir"], teachers["flux-ir"], models["flux2"], teachers["flux2"]
    else:
        for name in ("flux-ir", "flux2"):
            (tmp_path / teachers[name]).mkdir()
            checkpoint.save(tmp_path / teachers[name] / "model.safetensors", build(name))
    for system, (model, objective) in models.items():
        config = replace(TINY, system=system, model=model, objective=objective, steps=4, swap_share=0.5)
        init = str(tmp_path / teachers[system] / "model.safetensors") if system in teachers else None
        run(config, photos, tmp_path / system, init=init, validation=held_out(photos))
        restorer = checkpoint.load(tmp_path / system / "model.safetensors").restorer
        assert restorer(torch.rand(3, 16, 16)).shape == (3, 16, 16)
    for system, teacher in teachers.items():
        before, after = (
            checkpoint.load(tmp_path / name / "model.safetensors").restorer.state_dict() for name in (teacher, system)
        )
        part = "network.controlnet." if system == "flux-ir" else "network."
        kept = {name: tensor for name, tensor in before.items() if not name.startswith(part)}
        assert kept and all(torch.equal(tensor, after[name]) for name, tensor in kept.items())
        learnt = before.keys() - kept.keys()
        assert not learnt or any(not torch.equal(after[name], before[name]) for name in learnt)


def test_accumulation_is_the_whole_batch(photos: Path, tmp_path: Path) -> None:
    """A batch in parts gives the same losses and weights, but for rounding."""
    config = replace(TINY, batch_size=4)
    one = losses(run(config, photos, tmp_path / "one"))
    other = losses(run(replace(config, accumulate=4), photos, tmp_path / "other"))
    assert one == pytest.approx(other, rel=1e-4)


@pytest.mark.parametrize("optimiser", ["adam", "adamw", "lion"])
@pytest.mark.parametrize("schedule", ["plateau", "multi-step", "cosine"])
def test_optimisers_and_schedules(photos: Path, tmp_path: Path, optimiser: Any, schedule: Any) -> None:
    """Each pair resumes exactly; a batch of one works."""
    if optimiser == "lion":
        pytest.importorskip("lion_pytorch", reason="the extra 'lion' is not installed")
    config = replace(TINY, optimiser=optimiser, schedule=schedule, milestones=(6,), batch_size=1, steps=8)
    whole = losses(run(config, photos, tmp_path / "whole"))
    calls = iter(range(100))
    half = run(config, photos, tmp_path / "half", stopped=lambda: next(calls) == 4)
    assert losses(half) + losses(run(config, photos, tmp_path / "half")) == whole


def test_rates() -> None:
    """The published schedules: halved at milestones, and a cosine down to the final rate."""
    config = replace(TINY, warm_up=0, steps=700, learning_rate=1e-4)
    steps = Trainer(replace(config, schedule="multi-step", milestones=(200, 400, 600)), Ranks(CPU))
    assert [steps.rate_factor(n) for n in (0, 199, 200, 400, 699)] == [1, 1, 0.5, 0.25, 0.125]
    cosine = Trainer(replace(config, schedule="cosine", final_rate=1e-7), Ranks(CPU))
    reference = torch.optim.lr_scheduler.CosineAnnealingLR(torch.optim.SGD([torch.zeros(1)], 1e-4), 700, 1e-7)
    for step in range(700):
        assert cosine.rate_factor(step) * 1e-4 == pytest.approx(reference.get_last_lr()[0], rel=1e-6)
        reference.optimizer.step()
        reference.step()


def test_times_and_weights() -> None:
    """Times are uniform in t or in half the log of the signal-to-noise ratio; min-snr caps the weight of easy ones."""
    for spacing in ("uniform", "half-log-snr"):
        trainer = Trainer(replace(TINY, timesteps=spacing, terminal_share=0.0, weighting="min-snr"), Ranks(CPU))
        generator = torch.Generator().manual_seed(0)
        times = torch.tensor([trainer._timestep(generator) for _ in range(4000)])
        assert times.min() >= 1 and times.max() <= 100
        assert isinstance(trainer.system, MeanReverting)
        assert isinstance(trainer.system.process, MeanRevertingSDE)
        alpha = torch.exp(-trainer.system.process.theta_bar.double())[times]
        place = times / 100 if spacing == "uniform" else torch.log(alpha / (1 - alpha**2).sqrt())
        place = (place - place.min()) / (place.max() - place.min())
        assert torch.histc(place.float(), 5).min() > 600
        ratio = alpha**2 / (1 - alpha**2)
        torch.testing.assert_close(trainer._weights(times).double(), (5 / ratio).clamp_max(1), rtol=1e-5, atol=0)
    always = Trainer(replace(TINY, terminal_share=1.0), Ranks(CPU))
    assert always._timestep(torch.Generator()) == 100


def test_fine_tuning_begins_with_a_checkpoint(photos: Path, tmp_path: Path) -> None:
    """Ours or the reference's; one that does not fit is refused with the first difference."""
    run(TINY, photos, tmp_path / "base")
    weights = tmp_path / "base" / "model.safetensors"
    tuned = replace(TINY, seed=1, steps=1, learning_rate=1e-12, warm_up=0, ema_decay=0.0)
    run(tuned, photos, tmp_path / "tuned", init=str(weights))
    a, b = (checkpoint.load(path).restorer.state_dict() for path in (weights, tmp_path / "tuned" / "model.safetensors"))
    assert all(torch.allclose(tensor, b[name], atol=1e-9) for name, tensor in a.items())
    bare = {f"module.{name.removeprefix('network.')}": tensor for name, tensor in a.items()}
    torch.save(bare, tmp_path / "official.pth")
    run(tuned, photos, tmp_path / "official", init=str(tmp_path / "official.pth"))
    assert same_weights(tmp_path / "official" / "model.safetensors", tmp_path / "tuned" / "model.safetensors")
    other = {**TINY.model, "network": {**POCKET, "options": {"widths": [8, 16], "blocks": [1, 1], "time_dim": 8}}}
    with pytest.raises(WeightsError, match=r"'network\.\S+' has shape"):
        run(replace(TINY, model=other), photos, tmp_path / "misfit", init=str(weights))
    del bare["module.intro.weight"]
    torch.save(bare, tmp_path / "lacking.pth")
    with pytest.raises(WeightsError, match=r"lacks 'network\.intro\.weight'"):
        run(TINY, photos, tmp_path / "lacking", init=str(tmp_path / "lacking.pth"))
    (tmp_path / "evil.pth").write_bytes(b"cos\nsystem\n(S'touch " + str(tmp_path / "canary").encode() + b"'\ntR.")
    with pytest.raises(WeightsError, match="not a file of weights alone"):
        run(TINY, photos, tmp_path / "evil", init=str(tmp_path / "evil.pth"))
    assert not (tmp_path / "canary").exists()


def test_a_network_of_two_heads_begins_with_one_of_one(photos: Path, tmp_path: Path) -> None:
    """Where it is shown no noise, its mean is what the network before it said."""
    options = {"widths": [8, 16], "blocks": [1, 1], "time_dim": 8}
    quarter = {"name": "quarter-unet", "options": {**options, "state": False}}
    one = replace(TINY, system="one-pass", objective="direct-regression", model={"network": quarter})
    run(one, photos, tmp_path / "one")
    model = {"network": {"name": "quarter-unet", "options": {**options, "heads": 2}}}
    two = replace(one, system="two-heads", objective="two-heads", model=model, steps=1, warm_up=0, ema_decay=0.0)
    weights = str(tmp_path / "one" / "model.safetensors")
    run(replace(two, learning_rate=1e-12), photos, tmp_path / "two", init=weights)
    before, after = (
        checkpoint.load(tmp_path / name / "model.safetensors").restorer.get_submodule("network")
        for name in ("one", "two")
    )
    image, time = torch.rand(1, 3, 20, 12), torch.ones(1)
    assert torch.allclose(after(image, image, time)[:, :3], before(image, image, time), atol=1e-6)
    other = {**model, "network": {"name": "quarter-unet", "options": {**options, "widths": [16, 16], "heads": 2}}}
    with pytest.raises(WeightsError, match=r"'network\.\S+' has shape"):
        run(replace(two, model=other), photos, tmp_path / "misfit", init=weights)


@pytest.mark.parametrize("network", ["quarter-unet", "pocket-unet"])
def test_a_network_that_cannot_be_told_begins_with_one_that_can(network: str, photos: Path, tmp_path: Path) -> None:
    """It sees what the other does where nobody says how strong the noise is."""
    parts = {"name": network, "options": {"widths": [8, 16], "blocks": [1, 1], "time_dim": 8}}
    told = replace(
        TINY, system="one-pass", objective="direct-regression", model={"network": parts, "noise_level_max": 50.0}
    )
    run(told, photos, tmp_path / "told")
    weights = tmp_path / "told" / "model.safetensors"
    known = checkpoint.load(weights).restorer
    with torch.no_grad():
        for parameter in known.get_submodule("network.time_mlp").parameters():
            parameter.add_(torch.randn_like(parameter))  # so that time matters
    checkpoint.save(weights, known, task="denoise")
    deaf = replace(told, model={"network": parts}, steps=1, warm_up=0, learning_rate=1e-12, ema_decay=0.0)
    run(deaf, photos, tmp_path / "deaf", init=str(weights))
    begun = checkpoint.load(tmp_path / "deaf" / "model.safetensors").restorer
    image = torch.rand(1, 3, 20, 12)
    assert isinstance(known, OnePass) and isinstance(begun, OnePass)
    assert torch.allclose(begun.predict(image), known.predict(image), atol=1e-5)
    assert not torch.allclose(begun.predict(image), known.predict(image, levels=torch.ones(1)), atol=1e-4)


def test_a_run_begins_with_a_shipped_name(photos: Path, tmp_path: Path) -> None:
    """Students of a shipped network: its weights at first, and in the end times for one, two and four evaluations."""
    values = {key: value for key, value in presets.read_preset("denoise-fast").items() if key != "run"}
    config = from_mapping(TrainConfig, values, "'denoise-fast'")
    config = replace(config, steps=1, crop=16, batch_size=2, learning_rate=1e-9, precision="fp32")
    run(config, photos, tmp_path / "run", init="denoise-small")
    trained = checkpoint.load(tmp_path / "run" / "model.safetensors").restorer
    before = irsde_cli.load("denoise-small").state_dict()
    assert all(torch.allclose(tensor, before[name], atol=1e-6) for name, tensor in trained.state_dict().items())
    assert [len(trained.resolve(Sampling(steps=steps)).nodes or ()) for steps in (1, 2, 3, 4)] == [1, 2, 0, 4]


def test_one_run_a_folder(photos: Path, tmp_path: Path) -> None:
    """A second run in the same folder ends at once, and a file is no folder."""
    first = events(TINY, photos, tmp_path / "run")
    next(first)
    with pytest.raises(MachineError, match="another run"):
        run(TINY, photos, tmp_path / "run")
    first.close()  # type: ignore[attr-defined]
    with pytest.raises(UsageError, match="is not a folder"):
        run(TINY, photos, photos / "0.png")


def test_a_damaged_state_is_named(photos: Path, tmp_path: Path) -> None:
    """With the folder to remove, after which the run goes on from the step before."""
    whole = losses(run(TINY, photos, tmp_path / "run"))
    state = tmp_path / "run" / "step-00000012" / "state.pt"
    state.write_bytes(state.read_bytes()[:1000])
    with pytest.raises(MachineError, match="step-00000012"):
        run(replace(TINY, steps=14), photos, tmp_path / "run")
    state.unlink()
    (state.parent / "model.safetensors").unlink()
    state.parent.rmdir()
    assert losses(run(TINY, photos, tmp_path / "run")) == whole[8:]


@pytest.mark.parametrize("objective", ["clean-matching", "adversarial"])
def test_two_processes_learn_what_one_learns(objective: str, photos: Path, tmp_path: Path) -> None:
    """The samples, the losses and the weights are those of one process; it resumes with fewer. Critics learn so too."""
    pytest.importorskip("accelerate", reason="the extra 'accelerate' is not installed")
    config = replace(TINY, batch_size=4, steps=6)
    if objective == "adversarial":
        options = {"layers": [1, 2], "width": 4}
        config = replace(
            config, system="one-pass", model={"network": POCKET}, objective=objective, objective_options=options
        )
    (tmp_path / "settings.json").write_text(json.dumps(to_mapping(config)))
    one = run(config, photos, tmp_path / "one", validation=held_out(photos), validate_every=6)
    arguments = ["train", tmp_path / "settings.json", "--data", photos, "--out", tmp_path / "two"]
    arguments += ["--validation", held_out(photos), "--validate-every", "6", "--report-every", "1", "--device", "cpu"]
    # `accelerate launch --cpu --num_processes 2` starts one process where there is no MPI, and says nothing.
    launch = ["torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m", "irsde_cli"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", *map(str, [*launch, *arguments])]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "on 2 devices" in done.stderr
    assert done.stdout.splitlines() == [str(tmp_path / "two" / "best.safetensors")]
    log = [json.loads(line) for line in (tmp_path / "two" / "log.jsonl").read_text().splitlines()]
    assert [line["loss"] for line in log] == pytest.approx(losses(one), rel=1e-4)
    finished = [event for event in one if isinstance(event, Progress)][-1]
    assert log[-1]["psnr"] == pytest.approx(finished.psnr, abs=1e-3)
    more = run(replace(config, steps=8), photos, tmp_path / "two")
    assert losses(more) == pytest.approx(losses(run(replace(config, steps=8), photos, tmp_path / "one")), rel=1e-3)


def test_a_batch_that_cannot_be_shared_is_refused(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(UsageError, match="shared by 3 devices"):
        run(TINY, photos, tmp_path / "run")


def learnt(config: TrainConfig) -> int:
    """How many numbers are learnt."""
    with torch.device("meta"):
        system = build_restorer(config.system, config.model, "'model'")
    return sum(parameter.numel() for parameter in system.learnt.parameters())


def test_the_cost_is_counted(photos: Path) -> None:
    """Twice the batch is twice the work; parameters, their gradient, their average and two moments are in memory."""
    one, two = (estimate(replace(TINY, batch_size=size), CPU) for size in (2, 4))
    assert two.flops == 2 * one.flops
    assert two.memory > one.memory > 5 * 4 * one.parameters
    assert one.parameters == learnt(TINY)
    assert 0 < one.seconds < math.inf
    halves = estimate(replace(TINY, batch_size=4, accumulate=2), CPU)
    assert (halves.flops, halves.memory) == (two.flops, one.memory)


@pytest.mark.parametrize("name", presets.preset_names())
def test_presets_are_whole(name: str) -> None:
    """Every preset that ships builds its trainer."""
    values = presets.read_preset(name)
    from_mapping(RunConfig, values.pop("run", {}), name)
    config = from_mapping(TrainConfig, values, name)
    assert json.loads(json.dumps(to_mapping(config)))["task"] == config.task
    assert learnt(config) > 0
    assert presets.summary(name)


@pytest.mark.parametrize("name", presets.REFUSED)
def test_what_is_not_built_says_so(name: str) -> None:
    with pytest.raises(UsageError, match="is not built"):
        presets.read_preset(name)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"learning_rate": float("nan")}, "'learning_rate' must be positive"),
        ({"clip_norm": float("inf")}, "'clip_norm' must be at least 0"),
        ({"leraning_rate": 1}, "Did you mean 'learning_rate'"),
        ({"steps": "many"}, "'steps' must be int"),
        ({"steps": 0}, "'steps' must be positive"),
        ({"precision": "fp8"}, "'fp32', 'bf16'"),
        (
            {"model": {"network": {"name": "pocket-unet"}, "process": {"predction": 1}}},
            "Did you mean 'prediction'",
        ),
        ({"system": "mean-revertin"}, "Did you mean 'mean-reverting'"),
        ({"accumulate": 3}, "cannot be cut into 3"),
        ({"betas": [0.9]}, "two numbers"),
        ({"ema_decay": 1.0}, "ema_decay"),
        ({"terminal_share": 2.0}, "terminal_share"),
        ({"enlarged_max": 0.5}, "enlarged_max"),
        ({"enlarged_share": 0.6, "reduced_share": 0.6}, "together"),
        ({"crop": 18, "model": {"network": {"name": "pocket-unet"}, "scale": 4}}, "no multiple of the scale 4"),
    ],
)
def test_settings_are_checked(change: dict[str, Any], words: str) -> None:
    """A misspelt key, a wrong type or an impossible value is named with its place."""
    with pytest.raises(UsageError, match=words):
        from_mapping(TrainConfig, to_mapping(TINY) | change, "'mine.toml'")


def test_unknown_parts_are_named(photos: Path) -> None:
    """Presets, objectives and degradations have nearest neighbours."""
    with pytest.raises(UsageError, match="Did you mean 'denoise-small'"):
        presets.read_preset("denoise-smal")
    for change, words in (
        ({"objective": "clean-machting"}, "Did you mean 'clean-matching'"),
        ({"degradation": DegradationConfig("motion-blurr")}, "Did you mean 'motion-blur'"),
        ({"degradation": DegradationConfig("gaussian-noise", {"sigma": 3})}, "unknown key 'sigma'"),
    ):
        with pytest.raises(UsageError, match=words):
            run(replace(TINY, **change), photos, photos / "run")


def test_a_pure_start_shows_what_the_sampler_shows(photos: Path, tmp_path: Path) -> None:
    """At t = T the state holds nothing of the clean image, at other times all that the process leaves; it trains."""
    trainer = Trainer(replace(TINY, pure_start=True), Ranks(CPU))
    system = trainer.system
    assert isinstance(system, Diffusion)
    x0, mu = torch.rand(2, 1, 3, 8, 8).expand(2, 2, 3, 8, 8)
    t = torch.tensor([100, 99])
    silence = torch.zeros_like(x0)
    states, published = system.state(x0, mu, t, silence), system.process.state(x0, mu, t, silence)
    assert torch.equal(states[0], mu[0]) and not torch.equal(published[0], mu[0])
    assert torch.equal(states[1], published[1])
    assert losses(run(replace(TINY, pure_start=True), photos, tmp_path / "run"))
