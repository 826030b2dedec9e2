"""How well priors take white noise of a told level out of photographs, in decibels.

python -m tests.benchmarks.priors KODAK24 PRIOR ... [--size 256]

KODAK24 is the folder of the 24 pictures; each PRIOR is weights by name or file. Central squares of the pictures 1, 7,
13 and 19, noise of a seed each, not clipped; results are clipped. In bfloat16, on one thread.
"""

import argparse
import statistics
from pathlib import Path

import imageio.v3 as iio
import torch

import irsde_cli
from irsde_cli.metrics.psnr import psnr

LEVELS = (2, 5, 10, 25, 50, 75, 100, 150, 255)
PICTURES = (1, 7, 13, 19)


def squares(folder: Path, side: int) -> list[torch.Tensor]:
    """Central squares (1, 3, side, side) in [0, 1]."""
    found = []
    for number in PICTURES:
        path = next(folder.rglob(f"kodim{number:02d}.png"))
        image = torch.from_numpy(iio.imread(path)).permute(2, 0, 1)[None] / 255
        top, left = ((length - side) // 2 for length in image.shape[-2:])
        found.append(image[..., top : top + side, left : left + side])
    return found


def main() -> None:
    """Print a row for each level."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kodak24", type=Path)
    parser.add_argument("priors", nargs="+")
    parser.add_argument("--size", type=int, default=256)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    priors = [irsde_cli.load(name) for name in arguments.priors]
    clean = squares(arguments.kodak24, arguments.size)
    print(" | ".join(("sigma", "noisy", *arguments.priors)))
    for level in LEVELS:
        generators = [torch.Generator().manual_seed(index) for index in range(len(clean))]
        noise = [torch.randn(image.shape, generator=one) for image, one in zip(clean, generators, strict=True)]
        noisy = [image + level / 255 * one for image, one in zip(clean, noise, strict=True)]
        row = [statistics.mean(float(psnr(one, image)) for one, image in zip(noisy, clean, strict=True))]
        for prior in priors:
            with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
                told = min(level / 255, prior.largest_noise)
                restored = [prior.denoised(image, told).float().clamp(0, 1) for image in noisy]
            row.append(statistics.mean(float(psnr(one, image)) for one, image in zip(restored, clean, strict=True)))
        print(" | ".join((str(level), *(f"{value:.2f}" for value in row))))


if __name__ == "__main__":
    main()
