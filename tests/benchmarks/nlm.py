"""Denoising beside OpenCV's non-local means and beside the default of old: processor time, in turns.

    python -m tests.benchmarks.nlm PHOTO [--side 1264] [--rounds 3]

The middle of PHOTO, one thread, start-up left out. The default of old is eight evaluations of denoise-small in float32.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from irsde_cli.conversions.loading import load
from irsde_cli.engine.restoration import Restoration
from irsde_cli.engine.settings import Settings
from irsde_cli.images import Picture, read_picture, samples_of
from irsde_cli.samplers.settings import Sampling
from irsde_cli.weights import shipped_path
from tests.benchmarks.turns import in_turns


class Photo:
    """A `Subject` in memory."""

    name, key, flat, known, operator, noise_std, need = "photo", b"photo", False, None, None, None, None

    def __init__(self, picture: Picture) -> None:
        self.picture = picture
        self.size = picture.size
        self.maps: dict[str, torch.Tensor] = {}

    def degraded(self) -> torch.Tensor:
        return samples_of(self.picture)


def restoring(model: str, photo: Photo, dtype: torch.dtype | None, sampling: Sampling) -> Callable[[], object]:
    """Restores the photo with a shipped network."""
    restoration = Restoration(load(shipped_path(model)), Settings(sampling=sampling), torch.device("cpu"), dtype)
    return lambda: [*restoration.sample([photo])]


def main() -> None:
    """Print a line for each contender."""
    import cv2

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photo", type=Path)
    parser.add_argument("--side", type=int, default=1264, help="1264 is 1.6 megapixels")
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    pixels = read_picture(asked.photo, asked.photo.name).pixels
    top, left = ((length - asked.side) // 2 for length in pixels.shape[:2])
    if min(top, left) < 0:
        raise SystemExit(f"'{asked.photo}' is smaller than {asked.side} pixels")
    pixels = np.ascontiguousarray(pixels[top : top + asked.side, left : left + asked.side])
    photo = Photo(Picture(pixels))
    contenders = {
        "fastNlMeansDenoisingColored": lambda: cv2.fastNlMeansDenoisingColored(pixels, None, 10, 10, 7, 21),
        "denoise-photo, fp32": restoring("denoise-photo", photo, None, Sampling()),
        "denoise-photo, bf16": restoring("denoise-photo", photo, torch.bfloat16, Sampling()),
        "denoise-small, 8 evaluations, fp32": restoring("denoise-small", photo, None, Sampling(steps=8)),
    }
    taken = in_turns(contenders, asked.rounds)
    first = min(taken["fastNlMeansDenoisingColored"])
    for name, times in taken.items():
        print(f"{name:36} {min(times):7.2f} s of the processor, {first / min(times):5.2f} times as fast")


if __name__ == "__main__":
    main()
