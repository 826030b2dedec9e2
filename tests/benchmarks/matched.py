"""How much pairs, a damage, and that damage matched to them change: tests.benchmarks.matched PAIRS PHOTOS NAME

Mean and standard deviation, over crops of 96 pixels, of the two numbers of `irsde_cli.degradations.matched`, in 8-bit
units; how far the means are apart, as the area between their distributions; and the processor's time for a crop.

With --train CLEAN, what a small network of one pass gains: it learns from the photographs in CLEAN with the damage
matched to every fifth pair, with the damage alone for as many steps, and for as many as take the same processor's time.
PSNR in dB over RGB, of the central 128 pixels of the other pairs.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from irsde_cli.config import to_mapping
from irsde_cli.degradations import DegradationConfig, build_degradation
from irsde_cli.degradations.matched import amounts
from irsde_cli.metrics.psnr import psnr
from irsde_cli.training.config import TrainConfig
from irsde_cli.training.data import load_clean, load_pairs
from irsde_cli.training.ranks import Ranks
from irsde_cli.training.trainer import Trainer
from irsde_cli.workflows.train.beginning import matched
from irsde_cli.workflows.train.options import RunConfig

CPU = torch.device("cpu")
CROP, CROPS = 96, 200
NETWORK = {"network": {"name": "pocket-unet"}}
SMALL = {"name": "pocket-unet", "options": {"widths": [16, 32], "blocks": [1, 1], "time_dim": 8}}
SIDE, EACH = 128, 5  # pixels of a test; of so many pairs one is matched


def measured(photos: Path, damage: DegradationConfig) -> tuple[Tensor, float]:
    """The amounts of so many crops, (N, 2), and how many milliseconds each took."""
    built = build_degradation(damage)
    source = load_clean(photos, built, crop=CROP, device=CPU, skip_bad=None)
    found, began = [], time.process_time()
    for seed in range(CROPS):
        one = source.sample(CROP, torch.Generator().manual_seed(seed))
        found.append(amounts(one.clean, one.observation.image))
    return torch.cat(found), 1000 * (time.process_time() - began) / CROPS


def apart(one: Tensor, other: Tensor) -> float:
    """The area between two distributions: the mean distance of their quantiles."""
    places = torch.linspace(0.01, 0.99, 99)
    return float((one.quantile(places) - other.quantile(places)).abs().mean())


def parted(pairs: Path, into: Path) -> tuple[Path, Path]:
    """Folders with every fifth pair, and with the others, of a folder with GT/ and LQ/."""
    folders = into / "own", into / "others"
    for half in ("GT", "LQ"):
        for folder in folders:
            (folder / half).mkdir(parents=True)
        for place, path in enumerate(sorted((pairs / half).iterdir())):
            (folders[place % EACH > 0] / half / path.name).symlink_to(path.resolve())
    return folders


def gained(pairs: Path, clean: Path, config: TrainConfig) -> Iterator[tuple[str, int, float, list[float]]]:
    """Each way to learn: its name, steps, seconds, and the PSNR of each test before and after."""
    with tempfile.TemporaryDirectory() as folder:
        own, others = parted(pairs, Path(folder))
        tests = load_pairs(
            others / "GT", others / "LQ", template="{stem}", crop=SIDE, scale=1, device=CPU, skip_bad=None
        )
        cases = [tests.pair(index, SIDE, 0)[1] for index in range(len(tests))]
        yield "as they are", 0, 0.0, [float(psnr(case.observation.image, case.clean)) for case in cases]

        def learnt(name: str, config: TrainConfig) -> tuple[str, int, float, list[float]]:
            assert config.degradation is not None
            damage = build_degradation(config.degradation)
            source = load_clean(clean, damage, crop=SIDE, device=CPU, skip_bad=None)
            trainer, began = Trainer(config, Ranks(CPU)), time.process_time()
            for _ in trainer.train(source):
                pass
            taken = time.process_time() - began
            restored = [trainer.kept(case.observation.image).clamp(0, 1) for case in cases]
            figures = [float(psnr(one, case.clean)) for one, case in zip(restored, cases, strict=True)]
            return name, config.steps, taken, figures

        yield (first := learnt("matched", matched(config, own, RunConfig())))
        yield (second := learnt("alone", config))
        longer = round(config.steps * first[2] / second[2])
        yield learnt("alone, equal time", replace(config, steps=longer))


def show_gained(pairs: Path, clean: Path, damage: DegradationConfig, steps: int, seed: int) -> None:
    """Print a line for each way to learn."""
    config = TrainConfig(
        task="denoise", system="one-pass", model={"network": SMALL}, degradation=damage, steps=steps, crop=32,
        batch_size=4, objective="direct-regression", learning_rate=2e-3, warm_up=50, ema_decay=0.99, seed=seed,
    )  # fmt: skip
    for name, number, taken, found in gained(pairs, clean, config):
        print(f"seed {seed}: {name:18} {number:5} steps {taken:4.0f} s  {sum(found) / len(found):.2f} dB", flush=True)


def main() -> None:
    """Print a line each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pairs", type=Path)
    parser.add_argument("photos", type=Path)
    parser.add_argument("name")
    parser.add_argument("--train", type=Path)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    asked = parser.parse_args()
    plain = DegradationConfig(asked.name)
    if asked.train is not None:
        for seed in asked.seeds:
            show_gained(asked.pairs, asked.train, plain, asked.steps, seed)
        return
    config = TrainConfig(task="denoise", model=NETWORK, degradation=plain, crop=CROP)
    settings = matched(config, asked.pairs, RunConfig()).degradation
    assert settings is not None
    wanted = torch.tensor(to_mapping(settings)["options"]["amounts"])
    lines = {"pairs": (wanted, 0.0)}
    lines |= {asked.name: measured(asked.photos, plain), "matched": measured(asked.photos, settings)}
    for name, (found, taken) in lines.items():
        (mean, spread), (mean_std, spread_std) = (255 * found.mean(0)).tolist(), (255 * found.std(0)).tolist()
        far = 255 * apart(found[:, 0], wanted[:, 0])
        figures = f"mean {mean:5.1f} +- {mean_std:4.1f}  spread {spread:5.1f} +- {spread_std:4.1f}"
        print(f"{name:12} {figures}  apart {far:5.2f}  {taken:.1f} ms a crop")


if __name__ == "__main__":
    main()
