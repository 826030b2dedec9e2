"""Peak memory of `irsde restore` on a CPU, from one megapixel to 48, and what tiles change.

    python -m tests.benchmarks.memory PHOTOS [--model NAME] [--size 1000x750 ...] [--steps N] [--json FILE]

Each size is a mosaic of the photographs in PHOTOS, each enlarged to 1000 x 750, and is restored by a process of
its own. Memory is that process's peak resident size less that of `import torch` in another, and less the weights in
float32.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

PIECE = (1000, 750)
SIZES = ((1000, 750), (2000, 1500), (4000, 3000), (8000, 6000))
# The last line of standard error: the peak of this process alone, unlike what the system says of a child.
RUN = """
import atexit, pathlib, re, sys
def peak():
    status = pathlib.Path("/proc/self/status").read_text()
    print("\\nVmHWM", re.search(r"VmHWM:\\s*(\\d+)", status)[1], file=sys.stderr)
atexit.register(peak)
if len(sys.argv) == 1:
    import torch
else:
    from irsde_cli.cli import main
    sys.exit(main())
"""
MOSAIC = """
import sys
from pathlib import Path
from PIL import Image
photos, output, width, height, across, down = Path(sys.argv[1]), sys.argv[2], *map(int, sys.argv[3:])
files = sorted(path for path in photos.iterdir() if path.suffix in (".jpg", ".png"))
mosaic = Image.new("RGB", (width, height))
pieces = [(left, top) for top in range(0, height, down) for left in range(0, width, across)]
for index, place in enumerate(pieces):
    with Image.open(files[index % len(files)]) as photo:
        mosaic.paste(photo.convert("RGB").resize((across, down), Image.Resampling.BICUBIC), place)
mosaic.save(output, quality=90)
"""


def peak_of(words: Sequence[str]) -> tuple[int, float]:
    """Peak resident bytes and seconds of the program with these arguments, or of `import torch` without any."""
    started = time.monotonic()
    ended = subprocess.run([sys.executable, "-c", RUN, *words], capture_output=True, text=True)
    seconds = time.monotonic() - started
    if ended.returncode:
        raise SystemExit(ended.stderr)
    return 1024 * int(ended.stderr.rsplit("VmHWM", 1)[1]), seconds


def mosaic(photos: Path, output: Path, width: int, height: int) -> Path:
    """A large picture of real photographs, made by another process, whose memory goes with it."""
    words = [str(photos), str(output), *map(str, (width, height, *PIECE))]
    subprocess.run([sys.executable, "-c", MOSAIC, *words], check=True)
    return output


def parameters(model: str) -> int:
    """The weights of a network of the package in bytes, in float32."""
    from safetensors import safe_open

    from irsde_cli.weights import shipped_path

    with safe_open(shipped_path(model), "np") as file:
        return sum(4 * file.get_tensor(name).size for name in file.keys())  # noqa: SIM118 - no mapping


def measure(arguments: argparse.Namespace, options: list[str]) -> list[dict[str, Any]]:
    """One row for each size."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        bare, _ = peak_of([])
        weights = parameters(arguments.model)
        for width, height in arguments.size or SIZES:
            source = mosaic(arguments.photos, Path(folder) / "in.jpg", width, height)
            words = ["restore", str(source), str(Path(folder) / "out.png"), "--task", arguments.model.split("-")[0]]
            words += ["--steps", str(arguments.steps), "--overwrite", *options]
            peak, seconds = peak_of([*words, "--model", arguments.model])
            rows.append(
                {
                    "model": arguments.model,
                    "size": [width, height],
                    "steps": arguments.steps,
                    "peak_bytes": peak - bare - weights,
                    "bytes_per_pixel": (peak - bare - weights) / (width * height),
                    "seconds": seconds,
                    "options": options,
                }
            )
            print(
                f"{arguments.model:16} {width:5} x {height:<5} {rows[-1]['peak_bytes'] / 1e9:6.2f} GB"
                f" {rows[-1]['bytes_per_pixel']:6.0f} B/pixel {seconds:7.1f} s",
                flush=True,
            )
    return rows


def main() -> None:
    """Print a line for each size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--model", default="denoise-small", help="a network of the package")
    parser.add_argument("--size", type=size_of, nargs="+", help="WIDTHxHEIGHT; 1, 3, 12 and 48 megapixels if not given")
    parser.add_argument("--steps", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write the rows here")
    arguments, options = parser.parse_known_args()
    rows = measure(arguments, options)
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1))


def size_of(text: str) -> tuple[int, int]:
    """`1000x750` as numbers."""
    width, height = map(int, text.split("x"))
    return width, height


if __name__ == "__main__":
    main()
