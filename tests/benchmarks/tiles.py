"""What tiles change: each network of the package on a mosaic of photographs, whole and in tiles, with the same noise.

    python -m tests.benchmarks.tiles PHOTOS [TASK ...] [--size 1600x1200] [--steps N] [--tile N ...] [--overlap N ...]

The mosaic is degraded from seed 1 as `tests.benchmarks.solvers` does. Prints the mean and the largest absolute
difference, in 255ths, and how many values are off by more than half of one. Tile 0 is the one that `restore` takes of
large pictures.
"""

import argparse
import tempfile
from itertools import product
from pathlib import Path

import torch
from torch import Tensor

from irsde_cli import checkpoint
from irsde_cli.engine.memory import choose_overlap, choose_tile
from irsde_cli.images import read_picture, to_tensor
from irsde_cli.networks.tiling import Evaluate, Tiles, whole
from irsde_cli.observation import Observation
from irsde_cli.randomness import ImageNoise, generator_for
from irsde_cli.restorer import Restorer, last
from irsde_cli.samplers.settings import Sampling
from irsde_cli.weights import find_weights
from tests.benchmarks.memory import mosaic, size_of
from tests.benchmarks.solvers import TESTS, made_pairs

LARGE = (3000, 4000)


def restored(restorer: Restorer, degraded: Tensor, steps: int | None, evaluate: Evaluate) -> Tensor:
    """One draw."""
    noise = ImageNoise([generator_for(0, b"tiles")])
    with torch.inference_mode():
        return last(
            restorer.steps(Observation(degraded), noise, restorer.resolve(Sampling(steps=steps)), evaluate)
        ).clamp(0, 1)


def main() -> None:
    """Print a line for each tile of each network."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("tasks", nargs="*", default=[*TESTS], metavar="TASK")
    parser.add_argument("--size", type=size_of, default=(1600, 1200))
    parser.add_argument("--steps", type=int)
    parser.add_argument("--tile", type=int, nargs="+", default=[0])
    parser.add_argument("--overlap", type=int, nargs="+", default=[None])
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        picture = read_picture(mosaic(arguments.photos, Path(folder) / "mosaic.jpg", *arguments.size), "mosaic")
    print("| task | tile | overlap | mean | largest | off by a half |\n|---|---|---|---|---|---|")
    for task in arguments.tasks:
        restorer = checkpoint.load(find_weights(None, task).path).restorer
        restorer.freeze()
        _, degraded = made_pairs(task, {"mosaic": to_tensor(picture)[None]}, restorer.facts.multiple)["mosaic"]
        expected = restored(restorer, degraded, arguments.steps, whole)
        for tile, overlap in product(arguments.tile, arguments.overlap):
            side = tile or choose_tile(restorer, LARGE, torch.device("cpu"))
            shared = choose_overlap(restorer, side, overlap)
            tiled = restored(restorer, degraded, arguments.steps, Tiles(side, shared))
            off = 255 * (tiled - expected).abs()
            print(
                f"| {task} | {side} | {shared} | {off.mean():.4f} | {off.max():.2f} |"
                f" {100 * (off > 0.5).float().mean():.2f} % |",
                flush=True,
            )


if __name__ == "__main__":
    main()
