"""What the licence of the photographs costs: one network, the same seconds, different folders to learn from.

    python -m tests.benchmarks.freedom --learn BSDS --learn FREE --test SET [--test SET] [--seconds 150] [--seeds 2]

Each folder alone and all of them together teach `quarter-unet` white noise of up to 55 of 255, as in
`tests.benchmarks.shapes`; then it restores the first pictures of each SET with noise of 15, 25 and 50, not clipped.
"""

import argparse
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch

from irsde_cli.datasets.discovery import pictures_below
from irsde_cli.degradations.gaussian_noise import GaussianNoise
from irsde_cli.images import looks_like_picture
from irsde_cli.networks import NETWORKS
from irsde_cli.networks.network import Network
from irsde_cli.training.data import CleanSource, load_clean
from tests.benchmarks.shapes import CROP, LEVELS, SHAPES, quality, taught

SHAPE = "quarter-unet 96-128"


def photographs(folders: Sequence[Path]) -> CleanSource:
    """The pictures of all folders together."""
    with tempfile.TemporaryDirectory() as together:
        for index, folder in enumerate(folders):
            for path in pictures_below(folder):
                (Path(together) / f"{index}-{path.name}").symlink_to(path.absolute())
        return load_clean(Path(together), GaussianNoise(), crop=CROP, device=torch.device("cpu"), skip_bad=None)


def main() -> None:
    """Print a table, a row as soon as it is known."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--learn", type=Path, action="append", required=True)
    parser.add_argument("--test", type=Path, action="append", required=True)
    parser.add_argument("--seconds", type=float, default=150)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--limit", type=int, default=12, help="pictures of each SET")
    given = parser.parse_args()
    torch.set_num_threads(1)
    tests = [[p for p in sorted(one.iterdir()) if looks_like_picture(p)][: given.limit] for one in given.test]
    columns = [f"{one.name} {level}" for one in given.test for level in LEVELS]
    print("| learnt from | seed | steps | " + " | ".join(columns) + " |", flush=True)
    arms = [[one] for one in given.learn] + ([given.learn] if len(given.learn) > 1 else [])
    means: dict[str, list[list[float]]] = {}
    for seed in range(given.seeds):
        for folders in arms:
            torch.manual_seed(seed)
            name, options = SHAPES[SHAPE]
            network: Network = NETWORKS.load(name)(**options)
            steps = taught(network, photographs(folders), given.seconds, seed)
            found = [quality(network, paths, level) for paths in tests for level in LEVELS]
            who = " + ".join(one.parent.name if one.name == "train" else one.name for one in folders)
            means.setdefault(who, []).append(found)
            print(f"| {who} | {seed} | {steps} | " + " | ".join(f"{one:.2f}" for one in found) + " |", flush=True)
    for who, rows in means.items():
        print(f"| {who} | mean | | " + " | ".join(f"{statistics.mean(c):.2f}" for c in zip(*rows, strict=True)) + " |")


if __name__ == "__main__":
    main()
