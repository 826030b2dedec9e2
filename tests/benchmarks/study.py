"""Processes side by side, each as a preset `study-ARM` of one small network.

    python -m tests.benchmarks.study run TRAIN VAL OUT [--task noise] [--steps 240] [--seeds 3] [--lpips WEIGHTS]
    python -m tests.benchmarks.study table OUT [--task noise]

Every arm learns from the photographs in TRAIN for as many steps; `two-heads` for half as many, as each of
its steps is two of the others. It is measured as `irsde evaluate` does, on the central part of the first photographs in
VAL. OUT/study.jsonl gets a line for each task, arm and seed as soon as it is measured; run again, those that are there
are left alone. The lines hold the figures of each picture, and `table` makes a table of them.
"""

import argparse
import json
import platform
import statistics
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import torch

from irsde_cli import checkpoint
from irsde_cli.config import from_mapping, merged
from irsde_cli.degradations import DegradationConfig, build_degradation
from irsde_cli.metrics.statistics import Mean, bootstrap
from irsde_cli.presets import read_preset
from irsde_cli.training.config import TrainConfig
from irsde_cli.training.data import Source, load_clean
from irsde_cli.training.ranks import Ranks
from irsde_cli.training.trainer import Trainer
from irsde_cli.version import __version__
from irsde_cli.workflows.evaluate.events import Problem, Scored
from irsde_cli.workflows.evaluate.options import INPUT, Contender, EvaluateOptions
from irsde_cli.workflows.evaluate.request import sampling_of
from irsde_cli.workflows.evaluate.run import evaluate

CPU = torch.device("cpu")
SIDE = 96
DRAWS = 4
COSTS = {"two-heads": 2}  # steps of the others that one of its steps is
REFERENCE = "regression"
PATHS = ("ode-1:1", "ode-2:8", "posterior:8")
# How each arm is sampled; the network of PMRF's mean is one evaluation more.
ARMS: dict[str, tuple[str, ...]] = {
    REFERENCE: ("one-pass:1",),
    "two-heads": ("one-pass:1,realism=0", "one-pass:1,realism=0.5", "one-pass:1"),
    "irsde": PATHS,
    "goub": PATHS,
    "unidb": PATHS,
    "rddm": (*PATHS[:2], "ancestral:8"),
    "flow": PATHS,
    "i2sb": PATHS,
    "fod": ("fod-mc:1", "fod-mc:8", "fod-nmc:8"),
    "pmrf": ("ddim:1", "ddim:7"),
}
# What each task asks for: its name among tasks, the damage, and what differs in the settings of a process or a model.
TASKS: dict[str, tuple[str, DegradationConfig, dict[str, Any], dict[str, Any]]] = {
    "noise": (
        "denoise",
        DegradationConfig("gaussian-noise", {"sigma_min": 25, "sigma_max": 25, "quantised_share": 0.0}),
        {},
        {},
    ),
    "blur": ("deblur", DegradationConfig("motion-blur", {}), {"residual_std": 0.08}, {}),
    "sr4": ("sr4", DegradationConfig("downsampling", {}), {"residual_std": 0.06}, {"scale": 4}),
}


def cut(photos: Path, out: Path, count: int, side: int = SIDE) -> Path:
    """A folder of the central parts of the first photographs."""
    out.mkdir(parents=True, exist_ok=True)
    for path in sorted(photos.iterdir())[:count]:
        picture = iio.imread(path)
        top, left = ((size - side) // 2 for size in picture.shape[:2])
        iio.imwrite(out / f"{path.stem}.png", picture[top : top + side, left : left + side])
    return out


def settings(task: str, arm: str, **changes: Any) -> TrainConfig:
    """The preset of an arm, for a task."""
    name, degradation, process, model = TASKS[task]
    values = read_preset(f"study-{arm}")
    if process and "process" in values["model"]:
        values = merged(values, {"model": {"process": process}})
    values = merged(values, {"model": model})
    config = from_mapping(TrainConfig, values, arm)
    return replace(config, task=name, degradation=degradation, precision="bf16", **changes)


def train(config: TrainConfig, source: Source, model: Path) -> float:
    """Write the weights of an arm; the seconds of the processor that it took."""
    since = time.process_time()
    trainer = Trainer(config, Ranks(CPU))
    with closing(trainer.train(source)) as taken:  # type: ignore[type-var]
        for step in taken:
            if not step.finite:
                raise SystemExit(f"{model.stem}: the loss is {step.loss} at step {trainer.step}.")
    seconds = time.process_time() - since
    checkpoint.save(model, trainer.kept, task=config.task, step=trainer.step)
    return seconds


def measure(
    task: str, arm: str, ways: tuple[str, ...], model: Path, pictures: Path, lpips: Path | None
) -> dict[str, dict[str, Any]]:
    """The figures of each picture by way, those of the input under `input`."""
    name, degradation, _, _ = TASKS[task]
    contenders = tuple(Contender(arm, way, str(model), sampling=sampling_of(way)[0]) for way in ways)
    draws = 1 if arm == REFERENCE else DRAWS
    options = EvaluateOptions(
        contenders, clean=pictures, task=name, degradation=degradation, lpips=lpips, draws=draws, protocol="plain-rgb"
    )
    found: dict[str, dict[str, Any]] = {way: {"figures": {}, "drawn": {}} for way in (INPUT, *ways)}
    for event in evaluate(options):
        if isinstance(event, Problem):
            raise SystemExit(f"{task} {arm}: {event.key}: {event.reason}")
        if isinstance(event, Scored):
            for (label, figures), way in zip(event.figures.items(), found, strict=True):
                found[way]["figures"][event.key] = figures
                if label in event.drawn:
                    one = event.drawn[label]
                    found[way]["drawn"][event.key] = [one.variance, one.error]
    return found


def table(lines: list[dict[str, Any]]) -> str:
    """A row for each way of each arm: means over pictures and seeds, and between which values seeds lie."""
    rows = [
        "| arm | steps | way | seeds | PSNR (dB) | against regression | LPIPS | spread | calibration | worse |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    by_arm = {arm: [one for one in lines if one["arm"] == arm] for arm in ARMS}
    plain = {one["seed"]: _figures(one, ARMS[REFERENCE][0], "psnr") for one in by_arm[REFERENCE]}
    for arm, every in by_arm.items():
        for way in ARMS[arm]:
            runs = [run for run in every if way in run["ways"]]
            if not runs:
                continue
            decibels = {run["seed"]: _figures(run, way, "psnr") for run in runs}
            means = [statistics.fmean(values.values()) for values in decibels.values()]
            steps = ", ".join(sorted({str(run["steps"]) for run in runs}))
            cells = [arm, steps, f"`{way}`", str(len(runs)), f"{statistics.fmean(means):.2f}"]
            cells[-1] += f" ({min(means):.2f} to {max(means):.2f})"
            cells.append("" if arm == REFERENCE else _signed(_apart(decibels, plain)))
            lpips = [value for run in runs for value in _figures(run, way, "lpips").values()]
            cells.append(f"{statistics.fmean(lpips):.3f}" if lpips else "")
            drawn = [pair for run in runs for pair in run["ways"][way]["drawn"].values()]
            cells += _drawn(drawn) if drawn else ["", ""]
            given = {run["seed"]: _figures(run, INPUT, "psnr") for run in runs}
            worse = [decibels[seed][key] < given[seed][key] for seed in decibels for key in decibels[seed]]
            cells.append(f"{100 * statistics.fmean(worse):.0f} %")
            rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def _figures(run: dict[str, Any], way: str, name: str) -> dict[str, float]:
    """A figure of each picture."""
    found = run["ways"][way]["figures"].items()
    return {key: float(one[name]) for key, one in found if one.get(name) is not None}


def _apart(one: dict[int, dict[str, float]], other: dict[int, dict[str, float]]) -> Mean:
    """The difference, picture by picture: each picture's is the mean over the seeds that both have."""
    seeds = sorted({*one} & {*other})
    keys = one[seeds[0]] if seeds else ()
    return bootstrap([statistics.fmean(one[seed][key] - other[seed][key] for seed in seeds) for key in keys])


def _signed(mean: Mean) -> str:
    return "" if mean.mean is None else f"{mean.mean:+.2f} [{mean.low:+.2f}, {mean.high:+.2f}]"


def _drawn(pairs: list[list[float]]) -> list[str]:
    """The spread of draws, of 255, and whether it fits the error of their mean."""
    variance, error = (statistics.fmean(values) for values in zip(*pairs, strict=True))
    return [f"{255 * variance**0.5:.2f}", f"{(1 + 1 / DRAWS) * variance / error:.2f}"]


def read(out: Path, task: str) -> list[dict[str, Any]]:
    """The lines of a task."""
    kept = out / "study.jsonl"
    text = kept.read_text() if kept.exists() else ""
    return [line for line in map(json.loads, text.splitlines()) if line["task"] == task]


def run(asked: argparse.Namespace) -> None:
    """Train and measure what is not yet."""
    torch.set_num_threads(1)
    task, out = asked.task, asked.out
    out.mkdir(parents=True, exist_ok=True)
    pictures = cut(asked.val, out / "pictures", asked.pictures)
    degradation = build_degradation(TASKS[task][1])
    source = load_clean(asked.train, degradation, crop=asked.crop, device=CPU, skip_bad=None)
    done = {(line["arm"], line["seed"]) for line in read(out, task)}
    for seed in range(asked.seeds):
        for arm in ARMS:
            if (arm, seed) in done:
                continue
            model = out / f"{task}-{arm}-{seed}.safetensors"
            steps = asked.steps // COSTS.get(arm, 1)
            # What hangs on the number of steps is the same share of each arm's.
            follows = {"warm_up": steps // 20, "ema_decay": max(1 - 20 / steps, 0.0)}
            crops = {"crop": asked.crop, "batch_size": asked.batch_size}
            seconds = train(settings(task, arm, steps=steps, seed=seed, **follows, **crops), source, model)
            since = time.process_time()
            line: dict[str, Any] = {"task": task, "arm": arm, "seed": seed, "steps": steps, "seconds": seconds}
            line |= {**crops, "machine": platform.machine(), "version": __version__}
            line["ways"] = measure(task, arm, ARMS[arm][: asked.ways], model, pictures, asked.lpips)
            with (out / "study.jsonl").open("a") as file:
                file.write(json.dumps(line) + "\n")
            measured = time.process_time() - since
            print(time.strftime("%H:%M"), arm, seed, f"{seconds:.1f} s, measured in {measured:.1f} s", flush=True)


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, dest="command")
    running = commands.add_parser("run")
    for name in ("train", "val", "out"):
        running.add_argument(name, type=Path)
    running.add_argument("--steps", type=int, default=240)
    running.add_argument("--seeds", type=int, default=3)
    running.add_argument("--crop", type=int, default=48)
    running.add_argument("--batch-size", type=int, default=4)
    running.add_argument("--pictures", type=int, default=12)
    running.add_argument("--ways", type=int, default=3, help="the first so many of each arm's")
    running.add_argument("--lpips", type=Path)
    showing = commands.add_parser("table")
    showing.add_argument("out", type=Path)
    for one in (running, showing):
        one.add_argument("--task", choices=TASKS, default="noise")
    asked = parser.parse_args()
    if asked.command == "run":
        run(asked)
    print(table(read(asked.out, asked.task)))


if __name__ == "__main__":
    main()
