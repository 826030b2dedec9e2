"""What strategies gain on toys: python -m tests.benchmarks.strategies TOY TRAIN VAL

One small network of one pass learns from crops of the photographs in TRAIN, in every way that is compared, once for
each seed. It is measured on the central 128 pixels of the first 16 photographs in VAL. IRSDE_LPIPS names the weights of
LPIPS. Where a way has two runs, the other gets as many steps as fit into their time, by the processor's clock.
"""

import argparse
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from irsde_cli.degradations import DegradationConfig, build_degradation
from irsde_cli.metrics.lpips import LpipsAlex
from irsde_cli.metrics.psnr import psnr
from irsde_cli.training.config import TrainConfig
from irsde_cli.training.data import Batch, CleanSource, load_clean
from irsde_cli.training.ranks import Ranks
from irsde_cli.training.trainer import Trainer

CPU = torch.device("cpu")
PICTURES, SIDE = 16, 128
NETWORK = {"name": "pocket-unet", "options": {"widths": [16, 32], "blocks": [1, 1], "time_dim": 8}}


def noise(sigma: float) -> dict[str, Any]:
    """White noise of one strength."""
    return {"name": "gaussian-noise", "options": {"sigma_min": sigma, "sigma_max": sigma}}


PARTS: dict[str, list[dict[str, Any]]] = {
    "uncertainty": [noise(5), noise(50)],
    "classification": [
        noise(50),
        {"name": "rain", "options": {"density_min": 1}},
        {"name": "haze", "options": {"beta_min": 2, "near_max": 0}},
        {"name": "low-light", "options": {"light_max": 0.05}},
    ],
    "adversarial": [{"name": "motion-blur", "options": {"length_min": 9, "length_max": 13}}],
}
BATCH = {"classification": 16}  # of four crops the classifier learns next to nothing


def settings(toy: str, seed: int, steps: int, objective: str, **options: Any) -> TrainConfig:
    """Of one run."""
    return TrainConfig(
        task="denoise", system="one-pass", model={"network": NETWORK}, steps=steps, crop=32,
        batch_size=BATCH.get(toy, 4), degradation=DegradationConfig("mixture", {"parts": PARTS[toy]}),
        objective=objective, objective_options=options, learning_rate=2e-3, warm_up=50, ema_decay=0.99, seed=seed,
    )  # fmt: skip


def train(config: TrainConfig, photos: CleanSource, begin: Trainer | None = None) -> Trainer:
    """A run, from the averaged weights of another where one is given."""
    source = replace(photos, degradation=build_degradation(config.degradation))  # type: ignore[arg-type]
    trainer = Trainer(config, Ranks(CPU))
    if begin is not None:
        trainer.start_from(begin.kept.state_dict())
    for _ in trainer.train(source):
        pass
    return trainer


def measure(trainer: Trainer, val: CleanSource, toy: str, lpips: LpipsAlex | None) -> list[float]:
    """PSNR of each damage, or PSNR and LPIPS where that is asked."""
    found = []
    for part in PARTS[toy]:
        source = replace(val, degradation=build_degradation(DegradationConfig(**part)))
        figures, apart = [], []
        for index in range(PICTURES):
            _, batch = source.pair(index, SIDE, 0)
            restored = trainer.kept(batch.observation.image.clamp(0, 1))
            figures.append(float(psnr(restored, batch.clean)))
            if lpips is not None:
                with torch.inference_mode():
                    apart.append(float(lpips(restored, batch.clean)))
        found.append(sum(figures) / PICTURES)
        if apart:
            found.append(sum(apart) / PICTURES)
    return found


def ways(toy: str, seed: int, photos: CleanSource, val: CleanSource, steps: int) -> Iterator[tuple[str, Trainer]]:
    """Each way of training, by name."""
    began = time.process_time()
    if toy == "uncertainty":
        for objective in ("direct-regression", "task-uncertainty", "direct-decibels"):
            yield objective, train(settings(toy, seed, steps, objective), photos)
    elif toy == "classification":
        first, classes = steps // 3, len(PARTS[toy])
        taught = train(settings(toy, seed, first, "degradation-classification", classes=classes), photos)
        halfway = time.process_time()
        tuned = train(settings(toy, seed + 100, steps - first, "direct-regression"), photos, taught)
        ended = time.process_time()
        print(f"seed {seed}: told of crops with each damage, %: {told(taught, val)}", flush=True)
        yield "pre-trained", tuned
        longer = round((steps - first) * (ended - began) / (ended - halfway))
        yield "plain, equal time", train(settings(toy, seed + 100, longer, "direct-regression"), photos)
    else:
        base = train(settings(toy, seed, steps, "direct-regression"), photos)
        yield "regression", base
        more = replace(settings(toy, seed + 100, steps // 4, "direct-regression"), learning_rate=5e-4)
        yield "regression, longer", train(more, photos, base)
        for weight in (0.001, 0.02):
            options = {"adversarial_weight": weight, "width": 16, "layers": [2, 3]}
            against = replace(more, objective="adversarial", objective_options=options)
            yield f"adversarial, {weight}", train(against, photos, base)


def told(trainer: Trainer, photos: CleanSource) -> str:
    """The shares of 64 crops of each damage that the classifier tells, and of all."""
    found = []
    for task, part in enumerate(PARTS["classification"]):
        source = replace(photos, degradation=build_degradation(DegradationConfig(**part)))
        samples = [source.sample(trainer.config.crop, torch.Generator().manual_seed(number)) for number in range(64)]
        generators = [torch.Generator().manual_seed(number) for number in range(64)]
        batch = replace(Batch.of(samples), tasks=torch.full((64,), task))
        with torch.no_grad():
            trainer.objective(trainer.system, trainer._samples(batch, generators))
        found.append(100 * trainer.objective.facts["told"])
    return f"{' '.join(f'{share:.0f}' for share in found)}, of all {sum(found) / len(found):.1f}"


def main() -> None:
    """Print a line a run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("toy", choices=PARTS)
    parser.add_argument("train", type=Path)
    parser.add_argument("val", type=Path)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    asked = parser.parse_args()
    nothing = build_degradation(DegradationConfig("mixture", {"parts": PARTS[asked.toy]}))
    photos, val = (
        load_clean(folder, nothing, crop=SIDE, device=CPU, skip_bad=None) for folder in (asked.train, asked.val)
    )
    lpips = LpipsAlex.load(Path(os.environ["IRSDE_LPIPS"])) if asked.toy == "adversarial" else None
    for seed in asked.seeds:
        for name, trainer in ways(asked.toy, seed, photos, val, asked.steps):
            figures = "  ".join(f"{figure:.3f}" for figure in measure(trainer, val, asked.toy, lpips))
            print(f"seed {seed}: {name:22} {trainer.step:5} steps  {figures}", flush=True)


if __name__ == "__main__":
    main()
