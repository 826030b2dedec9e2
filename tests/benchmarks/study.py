"""Processes side by side: python -m tests.benchmarks.study TRAIN VAL OUT [--seconds 120] [--seeds 1]

Every arm is a preset `study-ARM`, trained on the photographs in TRAIN for the same time of one core, by the processor's
clock: a few steps tell what one costs, and `irsde train` takes as many as fit. It is measured by `irsde evaluate` on
the central 128 pixels of the first photographs in VAL. IRSDE_LPIPS names the weights of LPIPS. Run again it goes on.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import torch

from irsde_cli.config import from_mapping
from irsde_cli.degradations import build_degradation
from irsde_cli.metrics.statistics import bootstrap
from irsde_cli.presets import read_preset
from irsde_cli.training.config import TrainConfig
from irsde_cli.training.data import load_clean
from irsde_cli.training.ranks import Ranks
from irsde_cli.training.trainer import Trainer

CPU = torch.device("cpu")
SIDE = 128
CROP, BATCH = 48, 8
WARM, MEASURED = 10, 40
DRAWS = 4
PATHS = ("ode-1:1", "ode-2:8", "posterior:8", "ode-2:2", "ode-2:4", "ode-2:8,realism=0.5")
# How each arm is sampled, what tells most first; the network of PMRF's mean is one evaluation more.
ARMS: dict[str, tuple[str, ...]] = {
    "regression": ("one-pass:1",),
    "two-heads": ("one-pass:1,realism=0", "one-pass:1", "one-pass:1,realism=0.5"),
    "irsde": PATHS,
    "goub": PATHS,
    "flow": PATHS,
    "fod": ("fod-mc:1", "fod-mc:8", "fod-nmc:8", "fod-mc:2", "fod-mc:4"),
    "pmrf": ("ddim:1", "ddim:7", "ddim:3", "ddim:7,realism=0.5"),
    "rddm": (*PATHS[:2], "ancestral:8", *PATHS[3:]),
    "unidb": PATHS,
    "i2sb": PATHS,
}
NOISE = {"sigma_min": 25, "sigma_max": 25, "quantised_share": 0.0}


def cut(photos: Path, out: Path, count: int) -> Path:
    """A folder of the central parts of the first photographs."""
    out.mkdir(parents=True, exist_ok=True)
    for path in sorted(photos.iterdir())[:count]:
        picture = iio.imread(path)
        top, left = ((size - SIDE) // 2 for size in picture.shape[:2])
        iio.imwrite(out / f"{path.stem}.png", picture[top : top + SIDE, left : left + SIDE])
    return out


def cost_of_a_step(arm: str, photos: Path) -> float:
    """Seconds of the processor, without what comes before the first steps."""
    values = read_preset(f"study-{arm}")
    config = from_mapping(TrainConfig, values, arm)
    config = replace(config, crop=CROP, batch_size=BATCH, precision="bf16")
    assert config.degradation is not None, "damage made here"
    source = load_clean(photos, build_degradation(config.degradation), crop=CROP, device=CPU, skip_bad=None)
    steps = Trainer(config, Ranks(CPU)).train(source)
    for _ in islice(steps, WARM):
        pass
    since = time.process_time()
    for _ in islice(steps, MEASURED):
        pass
    return (time.process_time() - since) / MEASURED


def train(arm: str, seed: int, steps: int, photos: Path, out: Path) -> dict[str, Any]:
    """The run of an arm: what it took."""
    done = out / "study.json"
    if done.exists():
        found: dict[str, Any] = json.loads(done.read_text())
        return found
    since = resource.getrusage(resource.RUSAGE_CHILDREN)
    words = ["--preset", f"study-{arm}", "--data", photos, "--out", out, "--steps", steps, "--seed", seed]
    words += ["--crop", CROP, "--batch-size", BATCH, "--precision", "bf16", "--device", "cpu", "--quiet"]
    # What hangs on the number of steps is the same share of each arm's.
    words += ["--set", f"warm_up={steps // 20}", "--set", f"ema_decay={1 - 20 / steps}", "--save-every", steps]
    irsde("train", *words)
    now = resource.getrusage(resource.RUSAGE_CHILDREN)
    facts = {"steps": steps, "seconds": now.ru_utime + now.ru_stime - since.ru_utime - since.ru_stime}
    done.write_text(json.dumps(facts))
    return facts


def measure(model: Path, ways: tuple[str, ...], pictures: Path) -> None:
    """Write the figures of each picture, by way."""
    kept = model.with_name("scored.json")
    if not kept.exists():
        words: list[object] = ["--gt", pictures, "--task", "denoise", "--degradation", "gaussian-noise"]
        words += [word for key, value in NOISE.items() for word in ("--set", f"{key}={value}")]
        words += ["--model", model, "--device", "cpu", "--precision", "fp32", "--json"]
        words += [word for way in ways for word in ("--way", way)]
        several = () if len(ways) == 1 else ("--draws", DRAWS)
        events = map(json.loads, irsde("evaluate", *words, *several).splitlines())
        kept.write_text(json.dumps([event for event in events if event["event"] == "scored"]))


def table(out: Path, steps: dict[str, int], seeds: int, ways: int) -> str:
    """A row for each way of each arm: the mean over pictures and seeds, and how far seeds lie apart."""
    lines = [
        "| arm | steps | way | PSNR (dB) | against regression | LPIPS | spread | calibration |",
        "|---|---|---|---|---|---|---|---|",
    ]
    plain = [column(out / f"regression-{seed}", "one-pass:1", "psnr") for seed in range(seeds)]
    for arm, known in ARMS.items():
        for way in known[:ways]:
            runs = [out / f"{arm}-{seed}" for seed in range(seeds)]
            decibels = [column(run, way, "psnr") for run in runs]
            means = [sum(values) / len(values) for values in decibels]
            apart = [a - b for one, other in zip(decibels, plain, strict=True) for a, b in zip(one, other, strict=True)]
            found = bootstrap(apart)
            cells = [arm, str(steps[arm]), way, f"{sum(means) / seeds:.2f}"]
            if seeds > 1:
                cells[-1] += f" ({min(means):.2f} to {max(means):.2f})"
            cells.append("" if arm == "regression" else f"{found.mean:+.2f} [{found.low:+.2f}, {found.high:+.2f}]")
            lpips = [value for run in runs for value in column(run, way, "lpips")]
            cells.append(f"{sum(lpips) / len(lpips):.3f}")
            drawn = [one for run in runs for one in drawn_of(run, way)]
            if drawn:
                variance = sum(one["variance"] for one in drawn) / len(drawn)
                error = sum(one["error"] for one in drawn) / len(drawn)
                cells += [f"{255 * variance**0.5:.2f}", f"{(1 + 1 / DRAWS) * variance / error:.2f}"]
            else:
                cells += ["", ""]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def column(run: Path, way: str, figure: str) -> list[float]:
    """A figure of each picture."""
    place = 1 + ARMS[run.name.rsplit("-", 1)[0]].index(way)  # the degraded picture comes first
    events = json.loads((run / "scored.json").read_text())
    return [list(event["figures"].values())[place][figure] for event in events]


def drawn_of(run: Path, way: str) -> list[dict[str, float]]:
    """What the draws of each picture say, where there are several."""
    place = ARMS[run.name.rsplit("-", 1)[0]].index(way)
    events = json.loads((run / "scored.json").read_text())
    return [list(event["drawn"].values())[place] for event in events if event["drawn"]]


def irsde(*words: object) -> str:
    """What the program says on its standard output."""
    command = [sys.executable, "-m", "irsde_cli", *map(str, words)]
    return subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE).stdout


def main() -> None:
    """Train and measure what is not yet, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train", type=Path)
    parser.add_argument("val", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--pictures", type=int, default=24)
    parser.add_argument("--ways", type=int, default=6, help="the first so many of each arm's")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"
    asked.out.mkdir(parents=True, exist_ok=True)
    pictures = cut(asked.val, asked.out / "pictures", asked.pictures)
    kept = asked.out / "steps.json"
    steps = json.loads(kept.read_text()) if kept.exists() else {}
    for arm in ARMS:
        if arm not in steps:
            steps[arm] = round(asked.seconds / cost_of_a_step(arm, asked.val))
            kept.write_text(json.dumps(steps))
    print(steps, flush=True)
    for seed in range(asked.seeds):
        for arm in ARMS:
            facts = train(arm, seed, steps[arm], asked.train, asked.out / f"{arm}-{seed}")
            measure(asked.out / f"{arm}-{seed}" / "model.safetensors", ARMS[arm][: asked.ways], pictures)
            print(arm, seed, facts, flush=True)
    print(table(asked.out, steps, asked.seeds, asked.ways))


if __name__ == "__main__":
    main()
