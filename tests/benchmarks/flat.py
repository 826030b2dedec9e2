"""What became of flat places, of skies above all, and of what was not clipped.

    python -m tests.benchmarks.flat BEFORE AFTER

Two folders with pictures of the same names and sizes. A patch is 32 pixels wide; its roughness is the standard
deviation of its grey around its own plane, of 255. Of each picture the tenth of the patches counts that is flattest
BEFORE, and of these the ones brighter than its mean apart, which are mostly sky. Clipped is a channel at 255.
"""

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from irsde_cli.datasets.pairing import pair_folders
from irsde_cli.images import read_picture, to_tensor

PATCH = 32
SHARE = 0.1


def pixels(path: Path) -> NDArray[np.float64]:
    """(H, W, 3), of 255."""
    image = to_tensor(read_picture(path, path.name)).permute(1, 2, 0).double()
    found: NDArray[np.float64] = 255 * image.numpy()
    return found


def patches(image: NDArray[np.float64]) -> NDArray[np.float64]:
    """The grey of all whole patches, (N, PATCH, PATCH)."""
    grey = image.mean(2)
    rows, columns = (length // PATCH for length in grey.shape)
    cut = grey[: rows * PATCH, : columns * PATCH].reshape(rows, PATCH, columns, PATCH)
    return np.asarray(cut.swapaxes(1, 2).reshape(-1, PATCH, PATCH))


def roughness(found: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of patches (N, PATCH, PATCH), (N,)."""
    place = np.linspace(-1, 1, PATCH)
    plane = np.stack([np.ones((PATCH, PATCH)), *np.meshgrid(place, place)]).reshape(3, -1)
    flat = found.reshape(len(found), -1)
    solved = flat @ np.linalg.pinv(plane)
    return np.asarray((flat - solved @ plane).std(1))


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    given = parser.parse_args()
    print("| picture | flat, before | after | bright and flat, before | after | clipped, before | after |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for pair in pair_folders(given.before, given.after, "{stem}").pairs:
        images = [pixels(pair.clean), pixels(pair.degraded)]
        cut = [patches(image) for image in images]
        rough = [roughness(one) for one in cut]
        flat = rough[0] <= np.quantile(rough[0], SHARE)
        bright = flat & (cut[0].mean((1, 2)) > images[0].mean())
        figures = [f"{one[chosen].mean():.2f}" if chosen.any() else "-" for chosen in (flat, bright) for one in rough]
        figures += [f"{100 * (image >= 254.5).mean():.2f} %" for image in images]
        print(f"| {pair.clean.name} | " + " | ".join(figures) + " |")


if __name__ == "__main__":
    main()
