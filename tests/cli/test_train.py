"""`irsde train` in processes of its own: what it prints, how it stops, and how it goes on."""

import json
import random
import re
import resource
import shutil
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors import safe_open

from tests.cli.stub import TRAINING
from tests.reliability import processes
from tests.reliability.processes import Ended, Running, Terminal, limited

SETTINGS = TRAINING.format(steps=40, save_every=5)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    place = tmp_path / "place"
    for name in ("clean", "held-out"):
        (place / name).mkdir(parents=True)
    for index in range(3):
        Image.fromarray((rng.random((24, 20, 3)) * 255).astype(np.uint8)).save(place / "clean" / f"{index}.png")
        shutil.copy(place / "clean" / f"{index}.png", place / "held-out")
    (place / "mine.toml").write_text(SETTINGS + f'data = "{place / "clean"}"\n')
    return place


def losses(folder: Path) -> dict[int, float]:
    """The newest loss of each step."""
    lines = (folder / "log.jsonl").read_text().splitlines()
    return {line["step"]: line["loss"] for line in map(json.loads, lines)}


def start(place: Path, *words: object) -> Running:
    return processes.start("train", *words, cwd=place)


def train(place: Path, *words: object) -> Ended:
    return start(place, *words).wait(120)


def test_plain_lines_without_a_terminal(place: Path) -> None:
    """A line a report on standard error, the checkpoint's path on standard output; flags come before the file."""
    done = train(place, "mine.toml", "--out", place / "run", "--steps", 6, "--validation", place / "held-out",
                 "--validate-every", 3)  # fmt: skip
    assert done.code == 0, done.stderr
    assert done.stdout.split() == [str(place / "run" / "best.safetensors")]
    lines = done.stderr.splitlines()
    assert re.fullmatch(r"[\d,]+ parameters, 3 pictures, from step 0", lines[0])
    assert all(re.match(rf"step {n + 1}/6: loss [\d.]+, rate \S+, \S+ images/s", lines[n + 1]) for n in range(6))
    assert "dB" in lines[3] and "dB" in lines[6]
    assert "\x1b" not in done.stderr
    quiet = train(place, "mine.toml", "--out", place / "quiet", "--steps", 2, "--quiet")
    assert (quiet.code, quiet.stderr) == (0, "")


def test_dry_run_shows_settings_that_can_be_used(place: Path) -> None:
    """All settings with their defaults as JSON, which is itself a settings file; the cost on standard error."""
    done = train(place, "mine.toml", "--dry-run", "--set", "model.process.options.eps=0.01", "--set", "optimiser=adam")
    assert done.code == 0, done.stderr
    shown = json.loads(done.stdout)
    assert shown["model"]["process"]["options"]["eps"] == 0.01
    assert (shown["optimiser"], shown["clip_norm"]) == ("adam", 1.0)
    assert re.search(r"parameters; about \S+ GiB .* GFLOP a step, about .* on cpu: .* for 40 steps", done.stderr)
    (place / "shown.json").write_text(done.stdout)
    again = train(place, place / "shown.json", "--dry-run")
    assert json.loads(again.stdout) == shown


def test_settings_of_earlier_versions_are_understood(place: Path) -> None:
    """Where the process had no table of its own, its settings stood beside the others."""
    today = (place / "mine.toml").read_text()
    before = today.replace('process.prediction = "clean"', 'prediction = "clean"\neps = 0.02')
    (place / "old.toml").write_text(before)
    shown = json.loads(train(place, place / "old.toml", "--dry-run").stdout)
    process = shown["model"]["process"]
    assert (process["options"]["eps"], process["prediction"], process["name"]) == (0.02, "clean", "mean-reverting")


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--preset", "irsde-gopr"], 2, "Did you mean 'irsde-gopro'"),
        (["--preset", "refusion-stereo-sr4"], 2, "is not built"),
        (["--preset", "irsde-gopro"], 2, "--data is missing"),
        (["mine.toml"], 2, "--out is missing"),
        (["mine.toml", "--out", "run", "--set", "leraning_rate=1"], 2, "Did you mean 'learning_rate'"),
        (["mine.toml", "--out", "run", "--set", "crop"], 2, "has no value"),
        (["mine.toml", "--out", "run", "--crop", "0"], 2, "crop"),
        (["mine.toml", "--out", "run", "--data", "empty"], 2, "no pictures in 'empty'"),
        (["mine.toml", "--out", "run", "--data", "bad"], 3, "cannot be used"),
        (["mine.toml", "--out", "run", "--init", "clean/0.png"], 4, "not a whole safetensors file"),
        (["mine.toml", "--out", "run", "--degradation", "none"], 2, "no folders of pairs"),
        (["absent.toml", "--out", "run"], 2, "cannot read 'absent.toml'"),
        (["mine.toml", "--out", "clean/0.png"], 2, "is not a folder"),
        (["mine.toml", "--out", "run", "--device", "cuda:7"], 5, "cuda"),
    ],
)
def test_bad_input_is_one_sentence(place: Path, words: list[str], code: int, message: str) -> None:
    (place / "empty").mkdir()
    (place / "bad").mkdir()
    (place / "bad" / "bad.png").write_bytes(b"no picture")
    done = train(place, *words)
    assert done.code == code, done.stderr
    text = done.stderr
    assert message in text
    assert "Traceback" not in text
    assert done.stdout == ""


def test_a_signal_saves_and_the_same_command_goes_on(place: Path) -> None:
    """SIGTERM ends after the current step with 143 and a checkpoint of it; the curve is that of an unbroken run."""
    assert train(place, "mine.toml", "--out", place / "whole").code == 0
    first = start(place, "mine.toml", "--out", place / "run", "--steps", 100000)
    first.until(lambda: (place / "run" / "step-00000005").exists())
    first.signal(signal.SIGTERM)
    ended = first.wait()
    assert ended.code == 143 and "the same command goes on" in ended.stderr
    steps = losses(place / "run")
    assert (place / "run" / f"step-{max(steps):08d}").is_dir()
    whole = losses(place / "whole")
    common = [step for step in steps if step in whole and step < 32]  # later the rates differ with --steps
    assert all(steps[step] == whole[step] for step in common)


def test_killed_anywhere_it_goes_on_as_if_unbroken(place: Path) -> None:
    """kill -9 at random instants, again and again: every step's loss and the weights are those of one run."""
    assert train(place, "mine.toml", "--out", place / "whole").code == 0
    rng = random.Random(0)
    for _ in range(4):
        process = start(place, "mine.toml", "--out", place / "run")
        process.until(lambda: (place / "run" / "log.jsonl").exists())
        time.sleep(rng.random() * 0.4)
        process.signal(signal.SIGKILL)
        process.wait()
    last = train(place, "mine.toml", "--out", place / "run")
    assert last.code == 0, last.stderr
    assert losses(place / "run") == losses(place / "whole")
    with (
        safe_open(place / "run" / "model.safetensors", "np") as one,
        safe_open(place / "whole" / "model.safetensors", "np") as other,
    ):
        assert all(np.array_equal(one.get_tensor(name), other.get_tensor(name)) for name in one.keys())  # noqa: SIM118


@pytest.mark.skipif(sys.platform == "win32", reason="limits on file sizes are POSIX")
def test_a_full_disk_leaves_the_last_checkpoint(place: Path) -> None:
    """A write that fails ends with 5 and one sentence; what was saved before is whole, and nothing half lies about."""
    assert train(place, "mine.toml", "--out", place / "run", "--steps", 10).code == 0
    before = (place / "run" / "model.safetensors").read_bytes()

    full = limited(resource.RLIMIT_FSIZE, 20000)
    done = processes.start("train", "mine.toml", "--out", place / "run", cwd=place, prepare=[full]).wait()
    assert done.code == 5, done.stderr
    assert "cannot save" in done.stderr and "Traceback" not in done.stderr
    assert (place / "run" / "model.safetensors").read_bytes() == before
    assert not list((place / "run").glob("*.part"))
    assert train(place, "mine.toml", "--out", place / "run").code == 0


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are POSIX")
def test_a_terminal_sees_a_live_display(place: Path) -> None:
    """One moving bar with figures; validations stay as lines."""
    terminal = Terminal(160)
    words = ["--out", "run", "--steps", 6, "--validation", "held-out", "--validate-every", 3]
    plain = {"NO_COLOR": None, "TERM": "xterm-256color", "COLUMNS": None}
    running = processes.start("train", "mine.toml", *words, cwd=place, terminal=terminal.name, environment=plain)
    assert running.wait().code == 0
    terminal.finish()
    assert b"6/6" in terminal.shown and b"images/s" in terminal.shown and b"\x1b[" in terminal.shown
    assert terminal.shown.count(b"dB") >= 2


def test_presets_are_listed(tmp_path: Path) -> None:
    """With what each is for; those that are not built too."""
    lines = train(tmp_path, "--list").stdout.splitlines()
    assert any(line.startswith("irsde-gopro ") and "U-Net" in line for line in lines)
    assert any(line.startswith("refusion-stereo-sr4 ") and "not built" in line for line in lines)


def test_tensorboard_where_it_is_installed(place: Path) -> None:
    pytest.importorskip("tensorboard", reason="the extra 'tensorboard' is not installed")
    assert train(place, "mine.toml", "--out", place / "run", "--steps", 3).code == 0
    assert list((place / "run" / "tensorboard").glob("events.*"))
