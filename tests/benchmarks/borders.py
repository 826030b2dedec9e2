"""How far the borders of filled holes show: python -m tests.benchmarks.borders CLEAN SAVED [FOLDER ...]

SAVED is what `irsde evaluate --save SAVED` wrote for holes; FOLDERs hold other restorations of the same damage. At each
pixel beside a border, where the clean picture is smooth and a step would be seen, the mean over the known pixels of
the 5 x 5 around it is compared with the mean over those of the hole. Printed is the root mean square of that step, of
255, with that of the clean pictures for the grain that is in them.
"""

import argparse
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from irsde_cli.images import read_picture, to_tensor

SMOOTH = 3 / 255


def steps(image: Tensor, clean: Tensor, known: Tensor) -> Tensor:
    """The steps across borders of an image (1, 3, H, W), (3, N); `known` is (1, 1, H, W), zeros and ones."""
    means = _mean(clean)
    flat = ((F.max_pool2d(means, 9, 1, 4) + F.max_pool2d(-means, 9, 1, 4)) < SMOOTH).all(dim=1, keepdim=True)
    share = _mean(known)
    beside = flat & (share > 0) & (share < 1)
    step = _mean(image * known) / share - _mean(image * (1 - known)) / (1 - share)
    return step[:, :, beside[0, 0]][0]


def _mean(image: Tensor) -> Tensor:
    return F.avg_pool2d(image, 5, 1, 2, count_include_pad=False)


def _read(path: Path) -> Tensor:
    return to_tensor(read_picture(path, path.name))[None]


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clean", type=Path)
    parser.add_argument("saved", type=Path)
    parser.add_argument("folders", type=Path, nargs="*")
    arguments = parser.parse_args()
    made = sorted(path for path in arguments.saved.iterdir() if path.is_dir() and path.name not in ("known", "input"))
    print("| | step, RMS of 255 | smooth borders, pixels |\n|---|---|---|")
    for folder in (arguments.clean, *arguments.folders, *made):
        found = []
        for path in sorted((arguments.saved / "known").glob("*.png")):
            clean, known = _read(arguments.clean / path.name), (_read(path)[:, :1] > 0.5).float()
            found.append(steps(_read(folder / path.name), clean, known))
        all_of_them = torch.cat(found, dim=1)
        print(f"| {folder.name} | {255 * float(all_of_them.square().mean().sqrt()):.2f} | {all_of_them.shape[1]} |")


if __name__ == "__main__":
    main()
