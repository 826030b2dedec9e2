"""How well zero-shot restoration undoes damage that it knows, in decibels.

    python -m tests.benchmarks.zero_shot KODAK24 [DAMAGE ...] [--prior WEIGHTS] [--steps N] [--limit N]

Pictures whose sides are cut to multiples of six, damage of a seed each, bfloat16 on one thread. PSNR over R, G and B,
not rounded; of what was seen too, enlarged by torch's bicubic, where it is an image.
"""

import argparse
import statistics
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F

import irsde_cli
from irsde_cli.degradations import DegradationConfig, build_degradation
from irsde_cli.images import read_picture, to_tensor
from irsde_cli.metrics.psnr import psnr
from irsde_cli.networks.tiling import Reduced
from irsde_cli.randomness import ImageNoise, generator_for
from irsde_cli.restorer import last
from irsde_cli.samplers.settings import Sampling
from irsde_cli.systems.zero_shot import ZeroShot, ZeroShotConfig
from irsde_cli.weights import PRIOR

MULTIPLE = 6
DAMAGES: dict[str, tuple[str, dict[str, Any], str, int]] = {  # what is done, its operator, how much smaller
    "blur": ("motion-blur", {"noise_min": 2.0, "noise_max": 2.0}, "blur", 1),
    "half": ("downsampling", {"factor": 2}, "bicubic", 2),
    "third": ("downsampling", {"factor": 3}, "bicubic", 3),
    "mask": ("random-mask", {"share": 0.5}, "mask", 1),
    "fifth": ("random-mask", {"share": 0.8}, "mask", 1),
}


def main() -> None:
    """Print a line for each damage."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("damages", nargs="*", metavar="DAMAGE", help=f"of {', '.join(DAMAGES)}; all if none is named")
    parser.add_argument("--prior", default=PRIOR)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--limit", type=int)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    prior = irsde_cli.load(asked.prior)
    prior.freeze()
    paths = sorted(asked.pictures.rglob("*.png"))[: asked.limit]
    for name in asked.damages or DAMAGES:
        damage, options, operator, scale = DAMAGES[name]
        degradation = build_degradation(DegradationConfig(damage, options))
        restorer = ZeroShot(ZeroShotConfig(operator={"name": operator}), prior, scale)
        sampling = restorer.resolve(Sampling(steps=asked.steps))
        before, after = [], []
        for seed, path in enumerate(paths):
            whole = to_tensor(read_picture(path, path.name))[None]
            height, width = (side // MULTIPLE * MULTIPLE for side in whole.shape[-2:])
            clean = whole[..., :height, :width]
            seen = degradation.observe(clean, torch.Generator().manual_seed(seed))
            noise = ImageNoise([generator_for(seed, b"")])
            with torch.inference_mode():
                restored = last(restorer.steps(seen, noise, sampling, Reduced(torch.bfloat16))).clamp(0, 1)
            if operator != "mask":
                enlarged = F.interpolate(seen.image, size=(height, width), mode="bicubic", align_corners=False)
                before.append(float(psnr(enlarged.clamp(0, 1), clean)))
            after.append(float(psnr(restored, clean)))
        was = f"{statistics.mean(before):.2f} -> " if before else ""
        print(f"{name}, {sampling.steps} evaluations: {was}{statistics.mean(after):.2f} dB", flush=True)


if __name__ == "__main__":
    main()
