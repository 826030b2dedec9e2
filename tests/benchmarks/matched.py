"""How much pairs, a damage, and that damage matched to them change: tests.benchmarks.matched PAIRS PHOTOS NAME

Mean and standard deviation, over crops of 96 pixels, of the two numbers of `irsde_cli.degradations.matched`, in 8-bit
units; how far the means are apart, as the area between their distributions; and the processor's time for a crop.
"""

import argparse
import time
from pathlib import Path

import torch
from torch import Tensor

from irsde_cli.config import to_mapping
from irsde_cli.degradations import DegradationConfig, build_degradation
from irsde_cli.degradations.matched import amounts
from irsde_cli.training.config import TrainConfig
from irsde_cli.training.data import load_clean
from irsde_cli.workflows.train.beginning import matched
from irsde_cli.workflows.train.options import RunConfig

CROP, CROPS = 96, 200
NETWORK = {"network": {"name": "pocket-unet"}}


def measured(photos: Path, damage: DegradationConfig) -> tuple[Tensor, float]:
    """The amounts of so many crops, (N, 2), and how many milliseconds each took."""
    built = build_degradation(damage)
    source = load_clean(photos, built, crop=CROP, device=torch.device("cpu"), skip_bad=None)
    found, began = [], time.process_time()
    for seed in range(CROPS):
        one = source.sample(CROP, torch.Generator().manual_seed(seed))
        found.append(amounts(one.clean, one.observation.image))
    return torch.cat(found), 1000 * (time.process_time() - began) / CROPS


def apart(one: Tensor, other: Tensor) -> float:
    """The area between two distributions: the mean distance of their quantiles."""
    places = torch.linspace(0.01, 0.99, 99)
    return float((one.quantile(places) - other.quantile(places)).abs().mean())


def main() -> None:
    """Print a line each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pairs", type=Path)
    parser.add_argument("photos", type=Path)
    parser.add_argument("name")
    asked = parser.parse_args()
    plain = DegradationConfig(asked.name)
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
