"""One network for several damages against those that know theirs.

    python -m tests.benchmarks.blind PHOTOS local|all [WEIGHTS] [--side 256] [--pictures 8]

PSNR in dB over RGB of central crops, seed 0, one evaluation, bfloat16: of the input, of the network that ships for each
damage, and of WEIGHTS.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from irsde_cli import checkpoint
from irsde_cli.degradations import DegradationConfig, build_degradation
from irsde_cli.metrics.psnr import psnr
from irsde_cli.observation import Observation
from irsde_cli.randomness import ImageNoise, generator_for
from irsde_cli.restorer import Restorer, last
from irsde_cli.samplers.settings import Sampling
from irsde_cli.training.data import load_clean
from irsde_cli.weights import shipped_path

Rows = list[tuple[str, str, dict[str, Any]]]
FIRST: Rows = [("denoise-photo", "gaussian-noise", {"sigma_min": 25, "sigma_max": 25})]
MIDDLE: Rows = [("deblur-small", "motion-blur", {}), ("derain-small", "rain", {})]
JPEG = {"quality_min": 10, "quality_max": 10, "full_colour_share": 0}
SETS: dict[str, Rows] = {
    "local": [*FIRST, ("denoise-photo", "sensor-noise", {}), ("jpeg-photo", "jpeg", JPEG), *MIDDLE],
    "all": [*FIRST, *MIDDLE, ("dehaze-small", "haze", {}), ("lowlight-small", "low-light", {})],
}


def restored(restorer: Restorer, observation: Observation, name: str) -> torch.Tensor:
    """(1, 3, H, W), after one evaluation."""
    mean = Sampling(realism=0.0) if restorer.takes_realism else Sampling()
    sampling = Sampling(sampler="ode-1", steps=1) if restorer.takes_sampler else mean
    noise = ImageNoise([generator_for(0, name.encode())])
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        return last(restorer.steps(observation, noise, restorer.resolve(sampling))).float().clamp(0, 1)


def main() -> None:
    """Print a line for each damage, and the mean."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path)
    parser.add_argument("set", choices=SETS)
    parser.add_argument("weights", type=Path, nargs="?")
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--pictures", type=int, default=8)
    asked = parser.parse_args()
    nothing = build_degradation(DegradationConfig("gaussian-noise"))
    photos = load_clean(asked.photos, nothing, crop=asked.side, device=torch.device("cpu"), skip_bad=None)
    blind = checkpoint.load(asked.weights).restorer.eval() if asked.weights else None
    totals = []
    for specialist, damage, options in SETS[asked.set]:
        source = replace(photos, degradation=build_degradation(DegradationConfig(damage, options)))
        known = checkpoint.load(shipped_path(specialist)).restorer.eval()
        figures = []
        for index in range(0, len(photos), max(len(photos) // asked.pictures, 1)):
            name, pair = source.pair(index, asked.side, 0)
            found = [pair.observation.painted().clamp(0, 1)]
            found += [restored(one, pair.observation, name) for one in (known, blind) if one is not None]
            figures.append([float(psnr(one, pair.clean)) for one in found])
        totals.append([sum(column) / len(figures) for column in zip(*figures, strict=True)])
        print(f"{damage:15}", *(f"{figure:6.2f}" for figure in totals[-1]), flush=True)
    print(f"{'mean':15}", *(f"{sum(column) / len(totals):6.2f}" for column in zip(*totals, strict=True)))


if __name__ == "__main__":
    main()
