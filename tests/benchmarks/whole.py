"""Whole runs of `irsde restore`, start-up included: the defaults of now beside those of before, in turns.

    python -m tests.benchmarks.whole PHOTOS [--count 8] [--side 512] [--rounds 2] [--format png] [--lpips FILE]

The middle of each of PHOTOS, with white noise of 25 of 255 and seed 0. Before is eight evaluations of denoise-small in
float32, all of it taken. Prints seconds of the processor (one thread, the shortest run), PSNR (RGB, 8-bit) and LPIPS.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from irsde_cli.images import looks_like_picture, read_picture, to_tensor

NOW = ("--task", "denoise")
SAMPLED = ("--model", "denoise-small", "--sampler", "posterior", "--steps", "8", "--realism", "1")
BEFORE = (*NOW, *SAMPLED, "--precision", "fp32", "--strength", "1")


def pictures(photos: Path, folder: Path, count: int, side: int, format: str) -> None:
    """Clean ones, and the same with noise."""
    draw = np.random.default_rng(0)
    paths = sorted(path for path in photos.iterdir() if looks_like_picture(path))
    for name in ("clean", "in"):
        (folder / name).mkdir()
    for path in paths[:count]:
        image = Image.open(path).convert("RGB")
        left, top = ((length - side) // 2 for length in image.size)
        clean = np.asarray(image.crop((left, top, left + side, top + side)))
        noisy = clean + draw.normal(0, 25, clean.shape)
        Image.fromarray(clean).save(folder / "clean" / f"{path.stem}.png")
        noisy = noisy.clip(0, 255).round().astype(np.uint8)
        Image.fromarray(noisy).save(folder / "in" / f"{path.stem}.{format}", quality=95)


def taken(words: tuple[str, ...], folder: Path, out: Path) -> float:
    """Seconds of the processor of a run."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    line = [sys.executable, "-m", "irsde_cli", "restore", str(folder), str(out), *words, "-q", "--format", "png"]
    subprocess.run(line, check=True, env=os.environ | {"OMP_NUM_THREADS": "1"}, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def figures(clean: Path, restored: Path, lpips: Path | None) -> str:
    from irsde_cli.metrics.lpips import load_lpips

    model = None if lpips is None else load_lpips(lpips)
    psnr, distance = [], []
    for path in sorted(clean.iterdir()):
        one, other = (to_tensor(read_picture(folder / path.name, path.name))[None] for folder in (clean, restored))
        psnr.append(-10 * float((one - other).square().mean().log10()))
        if model is not None:
            with torch.inference_mode():
                distance.append(float(model(other, one)))
    return f"PSNR {statistics.mean(psnr):.2f} dB" + (f", LPIPS {statistics.mean(distance):.4f}" if distance else "")


def main() -> None:
    """Print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--count", type=int, default=8)
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--format", default="png")
    parser.add_argument("--lpips", type=Path)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        pictures(asked.photos, folder, asked.count, asked.side, asked.format)
        times: dict[str, list[float]] = {"now": [], "before": []}
        for turn in range(asked.rounds):
            for name, words in (("now", NOW), ("before", BEFORE)):
                times[name].append(taken(words, folder / "in", folder / f"{name}{turn}"))
        for name, seconds in times.items():
            told = figures(folder / "clean", folder / f"{name}0", asked.lpips)
            print(f"{name:8} {min(seconds):7.2f} s, {min(times['before']) / min(seconds):5.2f} times as fast; {told}")


if __name__ == "__main__":
    main()
