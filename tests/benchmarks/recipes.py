"""How each shipped network was trained: one command a network.

    python -m tests.benchmarks.recipes NAME PHOTOS OUT

PHOTOS holds train/ and val/: of BSDS500, but of free photographs for the networks of `FREE`. The parts of a recipe
are runs of `irsde train`, in OUT/1, OUT/2 and so on; each begins with the weights of the one before, and has the preset
of the network's name, unless it begins with another. A part that begins with `WAKE` wakes dead channels instead
(`tests.benchmarks.dead`). Run the command again to go on.
OUT/N/model.safetensors of the last is the network.
"""

import argparse
import shlex
import subprocess
import sys
from pathlib import Path

from irsde_cli.weights import shipped_path

DATA = "BSDS500, the 358 photos of its train and test splits that are no test image of ours"
LICENCE = "BSDS500: non-commercial research and education"
FREE_DATA = "86 free photographs, 71 megapixels"
FREE_LICENCE = "CC0, public domain and CC BY; credits in NOTICE"
FREE = ("denoise-photo", "dehaze-photo", "jpeg-photo", "prior-small")
DENOISE = "--init SHIPPED/denoise-small.safetensors"
ON = "--learning-rate 0.0007"
PURE = f"{ON} --set terminal_share=0.3 --set warm_up=100 --set decay=0.4"
DARK = "--set model.centre=degraded --set model.process.residual_std=0.35 --set degradation.options.highlights_max=1"
MIXED = "--set pure_start=false"
WAKE = "wake "
DEAD = "tests.benchmarks.dead"
LESS_SKY = 'degradation.options.parts=[{name="haze",options={own_air_share=0.3}}]'
RECIPES: dict[str, tuple[str, ...]] = {
    "denoise-small": ("--steps 18000 --degradation gaussian-noise", "--steps 6000"),
    "denoise-photo": (f"--steps 11500 {ON} --init prior-small --seed 11",),
    "dehaze-photo": (
        f"--steps 6656 --set decay=0 --set '{LESS_SKY}'",
        "--steps 8500 --set warm_up=100 --set decay=0.3 --seed 2",
    ),
    "prior-small": (
        "--steps 17500 --set warm_up=200 --set decay=0.45 --set model.network.options.slope=0.0",
        f"{WAKE}--rarely 0.02 --slope 0.1",
        f"--steps 12000 {ON} --seed 3 --set warm_up=100 --set decay=0.5",
    ),
    "deblur-small": (
        f"--steps 70000 {MIXED} --degradation motion-blur",
        f"--steps 6000 {ON} --seed 6",
        f"--steps 8000 {ON} --seed 7",
        f"--steps 12000 {ON} --seed 8",
    ),
    "derain-small": (f"--steps 14000 {MIXED} {DENOISE}", f"--steps 3000 {PURE}"),
    "sr4-small": (f"--steps 9000 {MIXED} {DENOISE}",),
    "jpeg-photo": (f"--steps 10000 {ON} --init denoise-photo", "--preset jpeg-two-heads --steps 6000"),
    "dehaze-small": (f"--steps 5000 {MIXED}", f"--steps 3000 {PURE}", "--steps 9500 --learning-rate 0.0008 --seed 3"),
    "inpaint-small": ("--steps 14000 --init deblur-small",),
    "lowlight-small": (
        f"--steps 2400 {MIXED} {DARK}",
        f"--steps 3000 {PURE} {DARK}",
        f"--steps 12000 --learning-rate 0.0008 --seed 3 {DARK}",
        "--steps 9000 --seed 4 --set model.centre=exposed --set degradation.options.highlights_max=1",
        "--steps 1600 --learning-rate 0.0005 --set warm_up=50 --set decay=0.5 --seed 6",
    ),
    "deblur-fast": ("--steps 1600 --init deblur-small",),
}


def commands(name: str, photos: Path, out: Path) -> list[list[str]]:
    """The words of each part behind `python -m`, in order."""
    found = []
    for number, part in enumerate(RECIPES[name], start=1):
        before = str(out / str(number - 1) / "model.safetensors")
        if part.startswith(WAKE):
            woken = str(out / str(number) / "model.safetensors")
            found.append([DEAD, before, str(photos / "val"), woken, *shlex.split(part.removeprefix(WAKE))])
            continue
        words = shlex.split(part.replace("SHIPPED", str(shipped_path("denoise-small").parent)))
        preset, words = (words[1], words[2:]) if words[0] == "--preset" else (name, words)
        if number > 1:
            words += ["--init", before]
        folders = ["--data", photos / "train", "--validation", photos / "val", "--out", out / str(number)]
        data, licence = (FREE_DATA, FREE_LICENCE) if name in FREE else (DATA, LICENCE)
        facts = ["--data-name", data, "--licence", licence]
        found.append(["irsde_cli", "train", "--preset", preset, *map(str, folders), *facts, *words])
    return found


def main() -> None:
    """Train, part by part."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=RECIPES)
    parser.add_argument("photos", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    for words in commands(arguments.name, arguments.photos, arguments.out):
        subprocess.run([sys.executable, "-m", *words], check=True)


if __name__ == "__main__":
    main()
