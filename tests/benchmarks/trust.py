"""What clean photographs lose, and what damaged ones gain, with and without a look at what they need.

    python -m tests.benchmarks.trust DATA [TASK...]

DATA is the folder with `testsets` and `photos_free`. Central crops, each task's network as a run restores, with the
settings that it ships with, bfloat16, seed 0. For each set: PSNR of the input, of the network's result and of what
`--strength auto` takes of it, and how many became worse; for clean photographs how many come back with 45 dB, and
untouched. An enlarged photograph comes back when it is made small again, bicubically. Haze is looked at in whole
scenes, of 384 pixels at most. The rows go into the tables of docs/trust.md.
"""

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from irsde_cli import checkpoint
from irsde_cli.degradations import DegradationConfig, build_degradation
from irsde_cli.engine.restoration import Restoration
from irsde_cli.engine.settings import Settings
from irsde_cli.images import read_picture, to_tensor
from irsde_cli.metrics.psnr import psnr
from irsde_cli.needs import JUDGED, Need, need
from irsde_cli.needs.reduction import resized
from irsde_cli.needs.tempering import tempered
from irsde_cli.randomness import damage_for
from irsde_cli.tasks import TASKS
from irsde_cli.weights import find_weights
from tests.benchmarks.pages import TRUST, put

SIDE = 192
SIDES = {"sr4": 64}  # of clean pictures, which are the input
SCENE = 384
COUNT = 8
CLEAN = ("testsets/kodak24", "testsets/cbsd68", "testsets/live1", "photos_free/val", "photos_free/val_bysa")
PAIRS = {
    "denoise": ("noise_cc", "noise_polyu"),
    "derain": ("rain100l", "rain100h", "rain12", "rain_ssir"),
    "lowlight": ("lol",),
    "deblur": ("gopro",),
    "dehaze": ("sots_indoor", "sots_outdoor"),
}
MADE: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "denoise": [
        *(("gaussian-noise", {"sigma_min": level, "sigma_max": level}) for level in (3, 6, 12, 25)),
        ("sensor-noise", {}),
    ],
    "deblur": [("motion-blur", {})],
    "derain": [("rain", {})],
    "lowlight": [("low-light", {})],
    "dehaze": [("haze", {"beta_min": 0.4, "beta_max": 0.8}), ("haze", {"beta_min": 0.8, "beta_max": 2.4})],
    "sr4": [("downsampling", {})],
    "jpeg": [("jpeg", {"quality_min": quality, "quality_max": quality}) for quality in (10, 30, 60, 80, 92)],
}
HAZY = ("real/haze", "testsets/sots_indoor/LQ", "testsets/sots_outdoor/LQ")
Pair = tuple[Tensor, Tensor]


@dataclass(frozen=True, eq=False)
class One:
    """A picture as a batch takes it."""

    name: str
    image: Tensor
    known: None = None
    operator: None = None
    noise_std: None = None
    need: Need | None = None
    maps: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def key(self) -> bytes:
        return os.fsencode(self.name)

    @property
    def size(self) -> tuple[int, int]:
        return (self.image.shape[-2], self.image.shape[-1])

    @property
    def flat(self) -> bool:
        return bool(self.image.max() == self.image.min())

    def degraded(self) -> Tensor:
        return self.image


def read(path: Path, side: int = SIDE) -> Tensor:
    """The middle of a picture, (3, H, W), of sides that eight divides."""
    picture = to_tensor(read_picture(path, path.name))
    height, width = (min(side, size) // 8 * 8 for size in picture.shape[-2:])
    top, left = (picture.shape[-2] - height) // 2, (picture.shape[-1] - width) // 2
    return picture[:, top : top + height, left : left + width].contiguous()


def scene(path: Path) -> Tensor:
    """The whole picture, reduced by means where it is larger than `SCENE` pixels."""
    picture = to_tensor(read_picture(path, path.name))
    smaller = SCENE / max(picture.shape[-2:])
    if smaller < 1:
        size = [round(size * smaller) for size in picture.shape[-2:]]
        picture = (F.interpolate(picture[None], size=size, mode="area")[0] * 255).round() / 255
    height, width = (size // 16 * 16 for size in picture.shape[-2:])
    return picture[:, :height, :width].contiguous()


def some(folder: Path, count: int) -> list[Path]:
    """Evenly spread files."""
    files = sorted(folder.iterdir())
    return files[:: max(1, len(files) // count)][:count]


def sets(data: Path, task: str) -> Iterator[tuple[str, list[Pair]]]:
    """Names, and pairs of a clean and a degraded picture; first all clean ones."""
    look: Callable[[Path], Tensor] = scene if task == "dehaze" else read
    side = SIDES.get(task, SIDE)
    places = [path for place in CLEAN for path in some(data / place, COUNT)]
    whole = [scene(path) if task == "dehaze" else read(path, side) for path in places]
    yield "clean", [(one, one) for one in whole]
    for name in PAIRS.get(task, ()):
        folder = data / "testsets" / name
        yield name, [(look(folder / "GT" / path.name), look(path)) for path in some(folder / "LQ", 10)]
    for name, options in MADE.get(task, ()):
        damage = build_degradation(DegradationConfig(name, options))
        made = []
        for path in some(data / "testsets/kodak24", COUNT):
            clean = look(path)
            degraded = damage.observe(clean[None], damage_for(0, path.name)).image[0].clamp(0, 1)
            made.append((clean, (degraded * 255).round() / 255))
        kind = "-".join(f"{value:g}" for value in dict.fromkeys(options.values()))
        yield f"{name} {kind}".strip(), made


def decibels(one: Tensor, other: Tensor) -> float:
    """At most 90, which stands for no difference."""
    return min(90.0, float(psnr(one[None], other[None])))


def seen(result: Tensor, clean: Tensor) -> Tensor:
    """A result at the size of the clean picture, in 8 bits as a file has it: a larger one is made small again."""
    result = (result * 255).round() / 255
    return result if result.shape == clean.shape else resized(result, clean).clamp(0, 1)


def row(task: str, name: str, pairs: list[Pair], restoration: Restoration) -> str:
    """What became of a set, put into its table."""
    rows = []
    for index, (clean, degraded) in enumerate(pairs):
        found = restoration.settled(One(f"{name}{index}", degraded, need=need(task, degraded)))
        assert found is not None, "it was asked"
        if name == "clean" and not found.weight:
            rows.append([90.0, 90.0, 90.0])
            continue
        *_, outputs = restoration.sample([One(f"{name}{index}", degraded)])
        assert isinstance(outputs, list), "the last thing that a batch yields is its outputs"
        restored = outputs[0].images[""].float()
        taken = tempered(degraded, restored.clone(), found)[0] if found.weight else degraded
        before = resized(degraded, clean).clamp(0, 1)
        rows.append([decibels(seen(one, clean), clean) for one in (before, restored, taken)])
    if name == "clean":
        kept = sorted(one for _, _, one in rows)
        low = ", ".join(f"{one:.1f}" for one in kept[:3] if one < 45)
        cells = str(sum(one >= 45 for one in kept)), str(sum(one >= 90 for one in kept)), low or f"{kept[0]:.1f}"
        return put(TRUST, "| | 45 dB | untouched |", task, *cells)
    means = [sum(column) / len(rows) for column in zip(*rows, strict=True)]
    worse = [sum(one[index] < one[0] - 0.005 for one in rows) for index in (1, 2)]
    cells = f"{means[0]:.2f}", f"{means[1]:.2f} ({worse[0]})", f"{means[2]:.2f} ({worse[1]})"
    return put(TRUST, "| | input | network |", f"{task}, {name}, {len(rows)}", *cells)


def glances(data: Path, restoration: Restoration) -> Iterator[str]:
    """How many whole pictures of a folder, at their own size, get how much of a restoration of haze."""
    for place in (*HAZY, *CLEAN, "testsets/sots_indoor/GT"):
        found: dict[str, Need] = {}
        for path in sorted((data / place).iterdir()):
            picture = to_tensor(read_picture(path, path.name))
            settled = restoration.settled(One(path.name, picture, need=need("dehaze", picture)))
            assert settled is not None, "it was asked"
            found[path.name] = settled
        weights = [one.weight for one in found.values()]
        yield f"{place}: {len(weights)}, all of it {weights.count(1)}, nothing {weights.count(0)}"
        for name, one in found.items():
            yield f"    {name}: {one.words}, {one.weight:.0%}"


def main(data: Path, tasks: list[str]) -> None:
    """Print the rows of each task."""
    for task in tasks:
        loaded = checkpoint.load(find_weights(None, task).path)
        restoration = Restoration(loaded, Settings(), torch.device("cpu"), torch.bfloat16)
        for name, pairs in sets(data, task):
            print(row(task, name, pairs, restoration), flush=True)
        if task == "dehaze":
            print(*glances(data, restoration), sep="\n", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:] or [task for task in JUDGED if TASKS[task].weights])
