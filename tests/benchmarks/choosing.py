"""What `--task auto` takes pictures for, and how many it makes worse.

    python -m tests.benchmarks.choosing DATA

DATA is the folder with `testsets`, `photos_free` and `real`. Central crops of 256 pixels; pairs and made damage are
restored by the network that was chosen, as it ships, bfloat16, seed 0, and as far as each picture needs it.
"""

import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from irsde_cli import checkpoint
from irsde_cli.degradations import DegradationConfig, build_degradation
from irsde_cli.images import read_picture, to_tensor
from irsde_cli.needs import need
from irsde_cli.needs.choosing import ASKED, RULES, choose, looked_at
from irsde_cli.needs.tempering import glanced, tempered
from irsde_cli.randomness import damage_for
from irsde_cli.restorer import Restorer
from irsde_cli.weights import find_weights
from tests.benchmarks.trust import decibels, scene, some

SIDE = 256
CLEAN = (("testsets/kodak24", 12), ("testsets/cbsd68", 12), ("photos_free/val", 8), ("photos_free/val_bysa", 8))
MADE: dict[str, tuple[str, dict[str, Any]]] = {
    "noise of 6": ("gaussian-noise", {"sigma_min": 6, "sigma_max": 6}),
    "noise of 10": ("gaussian-noise", {"sigma_min": 10, "sigma_max": 10}),
    "noise of 20": ("gaussian-noise", {"sigma_min": 20, "sigma_max": 20}),
    "noise of 40": ("gaussian-noise", {"sigma_min": 40, "sigma_max": 40}),
    "sensor noise": ("sensor-noise", {}),
    "motion blur": ("motion-blur", {}),
    "rain": ("rain", {}),
    "low light": ("low-light", {}),
    "JPEG 15": ("jpeg", {"quality_min": 15, "quality_max": 15}),
    "JPEG 50": ("jpeg", {"quality_min": 50, "quality_max": 50}),
    "haze": ("haze", {}),
}
SCENES = ("haze", "sots_indoor", "sots_outdoor")  # of which the whole is looked at, small
PAIRS = (
    "noise_cc",
    "noise_polyu",
    "rain100l",
    "rain100h",
    "rain12",
    "rain_ssir",
    "lol",
    "gopro",
    "sots_indoor",
    "sots_outdoor",
)
COLUMNS = (*dict.fromkeys((*RULES, *ASKED)), "nothing")
REAL = ("noise", "blur", "rain", "lowlight", "haze", "raindrop", "shadow", "lowres")


def read(path: Path) -> Tensor:
    """The middle of a picture, on the grid of its blocks."""
    picture = to_tensor(read_picture(path, path.name))
    height, width = (min(SIDE, size) // 8 * 8 for size in picture.shape[-2:])
    top, left = ((size - side) // 16 * 8 for size, side in zip(picture.shape[-2:], (height, width), strict=True))
    return picture[:, top : top + height, left : left + width].contiguous()


def cases(data: Path) -> Iterator[tuple[str, list[tuple[Tensor | None, Tensor]]]]:
    """Names, and pictures with the clean ones where there are some."""
    clean = [(path.name, read(path)) for place, count in CLEAN for path in some(data / place, count)]
    yield "clean", [(one, one) for _, one in clean]
    for name, (row, options) in MADE.items():
        damage = build_degradation(DegradationConfig(row, options))
        damaged = [damage.observe(one[None], damage_for(0, key)).image[0].clamp(0, 1) for key, one in clean[::2]]
        yield (
            name,
            [(one, (worse * 255).round() / 255) for (_, one), worse in zip(clean[::2], damaged, strict=True)],
        )
    for name in PAIRS:
        folder = data / "testsets" / name
        look = scene if name in SCENES else read
        yield f"pairs of {name}", [(look(folder / "GT" / path.name), look(path)) for path in some(folder / "LQ", 8)]
    for name in REAL:
        look = scene if name in SCENES else read
        yield f"real {name}", [(None, look(path)) for path in some(data / "real" / name, 8)]


@cache
def network(task: str) -> Restorer:
    """The one that ships."""
    restorer = checkpoint.load(find_weights(None, task).path).restorer
    restorer.freeze()
    return restorer


def restored(task: str, degraded: Tensor) -> Tensor:
    """As a run does it."""

    def made(image: Tensor) -> Tensor:
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            result: Tensor = network(task)(image)
            return result.float()

    found = glanced(degraded, need(task, degraded), made)
    return tempered(degraded, made(degraded).clone(), found)[0] if found.weight else degraded


def chosen(degraded: Tensor) -> str:
    """The task, as a run chooses it; "" for nothing."""

    def look(task: str) -> tuple[Tensor, Tensor]:
        small = looked_at(task, degraded)
        with torch.inference_mode():
            return small, network(task)(small).float().clamp(0, 1)

    return choose(degraded, look).task


def main(data: Path) -> None:
    """Print a row for each kind of picture."""
    print("| | " + " | ".join(COLUMNS) + " | worse | dB |")
    print("|---|" + "---:|" * (len(COLUMNS) + 2))
    worse = pairs = 0
    for name, pictures in cases(data):
        tasks = [chosen(degraded) for _, degraded in pictures]
        gains = []
        for task, (clean, degraded) in zip(tasks, pictures, strict=True):
            if clean is not None:
                after = restored(task, degraded) if task else degraded
                gains.append(decibels(after, clean) - decibels(degraded, clean))
        counts = Counter(task or "nothing" for task in tasks)
        cells = [str(counts[task] or "") for task in COLUMNS]
        if name == "clean":  # whatever changes it makes it worse: what counts is that nobody sees it
            lost = sum(gain < -45 for gain in gains)
            cells += [f"{lost} below 45 dB", ""]
        elif gains:
            lost = sum(gain < -0.005 for gain in gains)
            worse, pairs = worse + lost, pairs + len(gains)
            cells += [f"{lost} of {len(gains)}", f"{sum(gains) / len(gains):+.2f}"]
        else:
            cells += ["", ""]
        print(f"| {name}, {len(pictures)} | " + " | ".join(cells) + " |", flush=True)
    print(f"\n{worse} of {pairs} pairs became worse: {worse / pairs:.1%}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
