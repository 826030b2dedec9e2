"""What clean photographs lose, and what damaged ones gain, with and without a look at what they need.

    python -m tests.benchmarks.trust DATA [TASK...]

DATA is the folder with `testsets` and `photos_free`. Central crops, each task's network with the settings that it ships
with, bfloat16, seed 0. For each set: PSNR of the input, of the network's result and of what `--strength auto` takes of
it, and how many became worse; for clean photographs how many come back with 45 dB, and untouched.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from irsde_cli import checkpoint
from irsde_cli.degradations import DegradationConfig, build_degradation
from irsde_cli.images import read_picture, to_tensor
from irsde_cli.metrics.psnr import psnr
from irsde_cli.needs import SIGNS, need
from irsde_cli.needs.tempering import tempered
from irsde_cli.randomness import damage_for
from irsde_cli.weights import find_weights

SIDE = 192
COUNT = 8
CLEAN = ("testsets/kodak24", "testsets/cbsd68", "testsets/live1", "photos_free/val", "photos_free/val_bysa")
PAIRS = {
    "denoise": ("noise_cc", "noise_polyu"),
    "derain": ("rain100l", "rain100h", "rain12", "rain_ssir"),
    "lowlight": ("lol",),
    "deblur": ("gopro",),
}
MADE: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "denoise": [
        *(("gaussian-noise", {"sigma_min": level, "sigma_max": level}) for level in (3, 6, 12, 25)),
        ("sensor-noise", {}),
    ],
    "deblur": [("motion-blur", {})],
    "derain": [("rain", {})],
    "lowlight": [("low-light", {})],
    "jpeg": [("jpeg", {"quality_min": quality, "quality_max": quality}) for quality in (10, 30, 60, 80, 92)],
}
Pair = tuple[Tensor, Tensor]


def read(path: Path) -> Tensor:
    """The middle of a picture, (3, H, W), of sides that eight divides."""
    picture = to_tensor(read_picture(path, path.name))
    height, width = (min(SIDE, size) // 8 * 8 for size in picture.shape[-2:])
    top, left = (picture.shape[-2] - height) // 2, (picture.shape[-1] - width) // 2
    return picture[:, top : top + height, left : left + width].contiguous()


def some(folder: Path, count: int) -> list[Path]:
    """Evenly spread files."""
    files = sorted(folder.iterdir())
    return files[:: max(1, len(files) // count)][:count]


def sets(data: Path, task: str) -> Iterator[tuple[str, list[Pair]]]:
    """Names, and pairs of a clean and a degraded picture."""
    for place in CLEAN:
        whole = [read(path) for path in some(data / place, COUNT)]
        yield f"clean, {place}", [(one, one) for one in whole]
    for name in PAIRS.get(task, ()):
        folder = data / "testsets" / name
        yield name, [(read(folder / "GT" / path.name), read(path)) for path in some(folder / "LQ", 10)]
    for name, options in MADE[task]:
        damage = build_degradation(DegradationConfig(name, options))
        made = []
        for path in some(data / "testsets/kodak24", COUNT):
            clean = read(path)
            degraded = damage.observe(clean[None], damage_for(0, path.name)).image[0].clamp(0, 1)
            made.append((clean, (degraded * 255).round() / 255))
        yield f"{name} {next(iter(options.values()), '')}".strip(), made


def decibels(one: Tensor, other: Tensor) -> float:
    """At most 90, which stands for no difference."""
    return min(90.0, float(psnr(one[None], other[None])))


def main(data: Path, tasks: list[str]) -> None:
    """Print a row for each set."""
    for task in tasks:
        restorer = checkpoint.load(find_weights(None, task).path).restorer
        restorer.freeze()
        for name, pairs in sets(data, task):
            rows = []
            for clean, degraded in pairs:
                with torch.autocast("cpu", torch.bfloat16):
                    restored = restorer(degraded).float()
                found = need(task, degraded)
                taken = tempered(degraded, restored, found)[0] if found.weight else degraded
                rows.append([decibels(one, clean) for one in (degraded, restored, taken)])
            means = [sum(column) / len(rows) for column in zip(*rows, strict=True)]
            print(f"{task:9} {name:28} {len(rows):3}", *(f"{mean:6.2f}" for mean in means), end=" ")
            if name.startswith("clean"):
                kept = [row[2] for row in rows]
                print(f"45 dB {sum(one >= 45 for one in kept)}, untouched {sum(one >= 90 for one in kept)}", end=", ")
                print("lowest", *(f"{one:.1f}" for one in sorted(kept)[:3]))
            else:
                print("worse", *(sum(row[index] < row[0] - 0.005 for row in rows) for index in (1, 2)))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:] or list(SIGNS))
