"""Calibrate the intervals of networks that ship, and write them into their headers.

    python -m tests.benchmarks.calibrate DATA [TASK...] [--damages N] [--keep]

DATA is the folder with `testsets`, `photos` and `photos_free`. Calibrated are central crops of 128 pixels of the 56
photographs that no network here has learnt from, each damaged N times (once) as the network was taught, restored with
the settings that it ships with (and with what each picture needs); and for systems whose usual result is no mean, the
mean of four draws. What
is printed is the coverage on pictures of other sources, 53 of Kodak24, LIVE1, Set14 and Set5, and on pairs that others
made or took; it goes into the tables of docs/trust.md. With --keep the files stay as they are: for what they hold, the
coverage alone.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from irsde_cli import checkpoint
from irsde_cli.degradations import DegradationConfig, build_degradation
from irsde_cli.images import read_picture, to_tensor
from irsde_cli.needs import JUDGED, need
from irsde_cli.needs.interval import Evidence, Interval, calibrated, enlarged, half_width, within
from irsde_cli.needs.tempering import glanced, tempered
from irsde_cli.networks.tiling import Reduced
from irsde_cli.observation import Observation
from irsde_cli.randomness import ImageNoise, damage_for, draw_key, generator_for
from irsde_cli.restorer import Restorer, last
from irsde_cli.samplers.settings import Sampling
from irsde_cli.storage.files import write_whole
from irsde_cli.tasks import TASKS
from irsde_cli.weights import shipped_path
from tests.benchmarks.pages import TRUST, put

SIDE = 128
DRAWS = 4
HELD_OUT = ("photos_free/val", "photos_free/val_bysa", "photos/val")
OTHERS = ("testsets/kodak24", "testsets/live1", "testsets/set14/GT", "testsets/set5/GT")
PAIRS = {
    "denoise": ("noise_cc", "noise_polyu"),
    "deblur": ("gopro",),
    "derain": ("rain100l", "rain100h", "rain12", "rain_ssir"),
    "dehaze": ("sots_indoor", "sots_outdoor"),
    "lowlight": ("lol",),
}
DATA = "56 photographs of photos_free/val, photos_free/val_bysa and BSDS500's val"
DAMAGE: dict[str, tuple[str, dict[str, Any]]] = {
    "denoise": (
        "mixture",
        {
            "shares": [0.6, 0.4],
            "parts": [
                {"name": "sensor-noise", "options": {"shot_max": 0.03}},
                {"name": "gaussian-noise", "options": {"sigma_min": 0, "sigma_max": 55}},
            ],
        },
    ),
    "deblur": ("motion-blur", {}),
    "derain": ("rain", {}),
    "dehaze": ("haze", {}),
    "inpaint": ("free-form-mask", {}),
    "sr4": ("downsampling", {}),
    "jpeg": ("jpeg", {"quality_min": 10, "quality_max": 60}),
    "lowlight": ("low-light", {}),
}


@dataclass(frozen=True, eq=False)
class Case:
    """A damaged picture, restored: with the clean one, what is seen of its result and of the mean of draws."""

    clean: Tensor
    result: Evidence
    mean: Evidence | None


def pictures(data: Path, places: tuple[str, ...]) -> Iterator[tuple[str, Tensor]]:
    """Names and central crops, (3, H, W), of sides that eight divides."""
    for place in places:
        for path in sorted((data / place).iterdir()):
            picture = to_tensor(read_picture(path, path.name))
            height, width = (min(SIDE, size) // 8 * 8 for size in picture.shape[-2:])
            top, left = (
                (size - side) // 16 * 8 for size, side in zip(picture.shape[-2:], (height, width), strict=True)
            )
            yield path.name, picture[:, top : top + height, left : left + width].contiguous()


def restored(restorer: Restorer, seen: Observation, key: str, draw: int, sampling: Sampling) -> tuple[Tensor, Tensor]:
    """The result in bfloat16, and the squared deviation where one evaluation tells it, else what is empty."""
    noise = ImageNoise([generator_for(0, draw_key(key.encode(), draw))])
    evaluate, resolved = Reduced(torch.bfloat16), restorer.resolve(sampling)
    with torch.inference_mode():
        if restorer.tells_deviation:
            image, squared = restorer.with_deviation(seen, noise, resolved, evaluate)
            return image[0].float().clamp(0, 1), squared[0].float()
        return last(restorer.steps(seen, noise, resolved, evaluate))[0].float().clamp(0, 1), torch.empty(0)


def damaged(task: str, name: str, clean: Tensor, seed: int) -> Observation:
    """A picture, damaged as the network was taught."""
    seen = build_degradation(DegradationConfig(*DAMAGE[task])).observe(clean[None], damage_for(seed, name))
    return replace(seen, samples=(seen.image.clamp(0, 1) * 255).round() / 255, operator=None)


def case(restorer: Restorer, task: str, name: str, clean: Tensor, seen: Observation) -> Case:
    """One damaged picture."""
    degraded = seen.image[0]
    known = None if seen.known is None else seen.known[0, 0]

    def glance(image: Tensor) -> Tensor:
        return restored(restorer, Observation(image[None]), name, 0, Sampling())[0]

    needed = glanced(degraded, need(task, degraded), glance) if task in JUDGED else None

    def kept(image: Tensor) -> Tensor:
        if needed is not None:
            image = tempered(degraded, image.clone(), needed)[0] if needed.weight else degraded
        return image if known is None else torch.where(known, degraded, image)

    image, squared = restored(restorer, seen, name, 0, Sampling())
    base = enlarged(degraded, (clean.shape[-2], clean.shape[-1]))
    own = image if needed is not None and needed.of_network else None
    result = Evidence(base, kept(image), known, squared if squared.numel() else None, own)
    if not restorer.takes_realism or restorer.resolve(Sampling()).realism == 0:
        return Case(clean, result, None)
    sampling = Sampling(realism=1.0)
    images = [restored(restorer, seen, name, draw, sampling)[0] for draw in range(DRAWS)]
    draws = torch.stack([kept(one) for one in images])
    last_own = images[-1] if needed is not None and needed.of_network else None
    return Case(clean, result, Evidence(base, draws.mean(0), known, draws.var(0), last_own))


def coverage(interval: Interval, cases: list[tuple[Evidence, Tensor]]) -> tuple[float, float, float]:
    """Means over pictures of what intervals hold and of their width, of 255; and the least that one held."""
    found = [
        within(clean, seen.restored, half_width(interval, seen), None if seen.known is None else ~seen.known)
        for seen, clean in cases
    ]
    held, wide = zip(*found, strict=True)
    return sum(held) / len(held), 255 * sum(wide) / len(wide), min(held)


def pairs(cases: list[Case], around: str) -> list[tuple[Evidence, Tensor]]:
    """What is around the result, or around the mean of draws."""
    both = [(one.result if around == "result" else one.mean, one.clean) for one in cases]
    return [(seen, clean) for seen, clean in both if seen is not None]


def write(path: Path, intervals: dict[str, Interval]) -> None:
    """The same weights with these intervals in their header."""
    with safe_open(path, "pt") as file:
        header = json.loads(file.metadata()[checkpoint.KEY])
        tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118 - no mapping
    header["intervals"] = {around: asdict(interval) for around, interval in intervals.items()}
    temporary = path.with_suffix(".new")
    save_file(tensors, temporary, metadata={checkpoint.KEY: json.dumps(header, sort_keys=True)})
    write_whole(path, temporary.read_bytes(), "calibrate")
    temporary.unlink()


def main() -> None:
    """Print a row for each interval."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("tasks", nargs="*", metavar="TASK")
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--damages", type=int, default=1)
    arguments = parser.parse_args()
    for task in arguments.tasks or DAMAGE:
        path = shipped_path(str(TASKS[task].weights))
        loaded = checkpoint.load(path)
        loaded.restorer.freeze()

        def cases(places: tuple[str, ...], restorer: Restorer = loaded.restorer, task: str = task) -> list[Case]:
            seeds = range(arguments.damages)
            return [
                case(restorer, task, *one, damaged(task, *one, seed))
                for one in pictures(arguments.data, places)
                for seed in seeds
            ]

        others = cases(OTHERS)
        held = [] if arguments.keep else cases(HELD_OUT)
        found: dict[str, Interval] = {}
        cells = [""] * 6
        for around, draws in (("result", 1), ("mean", DRAWS)):
            if not pairs(others, around):
                continue
            if arguments.keep:
                interval = loaded.header.interval("result" if around == "result" else "mean")
            else:
                date = datetime.now(UTC).date().isoformat()
                interval = calibrated(pairs(held, around), draws, DATA, date)
            if interval is None:
                print(f"{task:9} {around:6} is not calibrated")
                continue
            found[around] = interval
            share, wide, least = coverage(interval, pairs(others, around))
            own = "" if arguments.keep else f", on its own {coverage(interval, pairs(held, around))[0]:.3f}"
            print(f"{task:9} {around:6} holds {share:.3f}, least {least:.2f}, width {wide:.1f}{own}", flush=True)
            place = 0 if around == "result" else 3
            cells[place : place + 3] = f"{share:.3f}", f"{least:.2f}", f"{wide:.1f}"
        print(put(TRUST, "| | result | least |", task, *cells))
        for name in PAIRS.get(task, ()) if "result" in found else ():
            taken = real(arguments.data / "testsets" / name, loaded.restorer, task)
            share, wide, least = coverage(found["result"], pairs(taken, "result"))
            row = f"{task}, {name}, {len(taken)}", f"{share:.3f}", f"{least:.2f}", f"{wide:.1f}"
            print(put(TRUST, "| pairs of others |", *row), flush=True)
        if not arguments.keep:
            write(path, found)


def real(folder: Path, restorer: Restorer, task: str) -> list[Case]:
    """Pairs that others made or took."""
    clean = dict(pictures(folder, ("GT",)))
    return [
        case(restorer, task, name, clean[name], Observation(degraded[None]))
        for name, degraded in pictures(folder, ("LQ",))
    ]


if __name__ == "__main__":
    main()
