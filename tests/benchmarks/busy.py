"""What other processes cost a run of `irsde restore`, and what waiting threads that do not spin save.

    python -m tests.benchmarks.busy [PHOTOS] [--rivals 0 2] [--repeat 3] [--side 512] [--count 4]

Runs the installed program on copies of PHOTOS, side x side pixels, once with each way in which OpenMP's threads may
wait, in turns. Rivals are processes that do arithmetic all the while. Prints, for each number of rivals, the median
seconds by the clock and of the processor, and the ratio to OpenMP's own way.
"""

import argparse
import itertools
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

from irsde_cli.images import looks_like_picture

WAYS = {"OpenMP's own": None, "active": "ACTIVE", "passive": "PASSIVE"}
RIVAL = "x = 0\nwhile True: x += 1"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path, nargs="?", default=Path("docs/samples/noisy"))
    parser.add_argument("--rivals", type=int, nargs="*", default=[0, 2])
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--count", type=int, default=4)
    parser.add_argument("--steps", type=int, default=8)
    asked = parser.parse_args()
    paths = sorted(path for path in asked.photos.iterdir() if looks_like_picture(path))
    with tempfile.TemporaryDirectory() as folder:
        pictures = Path(folder) / "in"
        pictures.mkdir()
        for index, path in zip(range(asked.count), itertools.cycle(paths), strict=False):
            Image.open(path).convert("RGB").resize((asked.side, asked.side)).save(pictures / f"{index}.png")
        print("| rivals | threads wait | s by the clock | s of the processor | clock, ratio |")
        print("|---|---|---|---|---|")
        for rivals in asked.rivals:
            for row in compared(pictures, Path(folder), rivals, asked.repeat, asked.steps):
                print(row)


def compared(pictures: Path, folder: Path, rivals: int, repeat: int, steps: int) -> list[str]:
    """A row for each way of waiting."""
    against = [subprocess.Popen([sys.executable, "-c", RIVAL]) for _ in range(rivals)]
    try:
        taken: dict[str, list[tuple[float, float]]] = {name: [] for name in WAYS}
        for turn, name in itertools.product(range(repeat), WAYS):
            taken[name].append(restored(pictures, folder / f"{rivals}-{turn}-{name}", WAYS[name], steps))
    finally:
        for rival in against:
            rival.kill()
            rival.wait()
    first = statistics.median(clock for clock, _ in taken["OpenMP's own"])
    rows = []
    for name, times in taken.items():
        clock, processor = (statistics.median(column) for column in zip(*times, strict=True))
        rows.append(f"| {rivals} | {name} | {clock:.2f} | {processor:.2f} | {first / clock:.2f} |")
    return rows


def restored(pictures: Path, out: Path, policy: str | None, steps: int) -> tuple[float, float]:
    """Seconds by the clock and of the processor that one run took."""
    environment = {name: value for name, value in os.environ.items() if name not in ("OMP_WAIT_POLICY", "IRSDE_WAIT")}
    environment |= {"OMP_WAIT_POLICY": policy} if policy else {"GOMP_SPINCOUNT": "300000"}
    words = ["restore", str(pictures), str(out), "--task", "denoise", "--steps", str(steps), "--quiet"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    since = time.monotonic()
    subprocess.run([sys.executable, "-m", "irsde_cli", *words], check=True, env=environment, capture_output=True)
    clock = time.monotonic() - since
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return clock, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main()
