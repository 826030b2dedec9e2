"""Makes the strips of docs/gallery.md with the shipped networks, from photographs of scikit-image.

    python docs/images/gallery.py [TASK ...]

astronaut: NASA, public domain. chelsea: Stefan van der Walt, CC0. coffee: Rachel Michetti, CC0. rocket: SpaceX, CC0.
grass: CC0 Textures, CC0.
"""

import argparse
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from skimage import data
from torch.nn import functional as F

import irsde_cli
from irsde_cli.degradations import DegradationConfig, build_degradation
from irsde_cli.degradations.free_form_mask import FreeFormMask
from irsde_cli.images import Picture, to_tensor
from irsde_cli.samplers.settings import Sampling
from irsde_cli.tasks import TASKS

HERE = Path(__file__).parent / "gallery"
NOISE = {"sigma_min": 25, "sigma_max": 25, "quantised_share": 1.0}
COARSE = {"name": "gaussian-noise", "options": {"sigma_min": 40, "sigma_max": 40}}
SMEARED = {"name": "jpeg", "options": {"quality_min": 25, "quality_max": 25}}
RAIN = {"density_min": 0.2, "density_max": 1.0, "strength_min": 0.5}
DAMAGE = {
    "denoise": ("gaussian-noise", NOISE, "chelsea", 4),
    "deblur": ("motion-blur", {"length_min": 11, "length_max": 13}, "coffee", 2),
    "derain": ("rain", RAIN, "astronaut", 5),
    "dehaze": ("haze", {"beta_min": 1.2, "beta_max": 1.4}, "coffee", 1),
    "sr4": ("downsampling", {}, "astronaut", 0),
    "jpeg": ("jpeg", {"quality_min": 10, "quality_max": 10}, "chelsea", 0),
    "inpaint": ("free-form-mask", {}, "rocket", 0),
    "lowlight": ("low-light", {"light_min": 0.02, "light_max": 0.03}, "coffee", 0),
}
FAILURES = {
    "denoise": ("sequence", {"parts": [COARSE, SMEARED]}, "chelsea", 1),
    "deblur": ("motion-blur", {"length_min": 35, "length_max": 36}, "coffee", 2),
    "derain": (
        "rain",
        {"density_min": 4.0, "density_max": 4.0, "strength_min": 0.9, "strength_max": 0.9},
        "chelsea",
        0,
    ),
    "dehaze": ("haze", {"beta_min": 4.0, "beta_max": 4.0}, "coffee", 5),
    "sr4": ("downsampling", {}, "grass", 0),
    "jpeg": ("jpeg", {"quality_min": 2, "quality_max": 2}, "astronaut", 0),
    "inpaint": ("free-form-mask", {"hole_min": 0.7, "hole_max": 0.7}, "astronaut", 3),
    "lowlight": ("low-light", {"light_min": 0.002, "light_max": 0.002}, "coffee", 0),
}
CROPS = {
    "grass": (slice(0, 240), slice(0, 320)),
    "astronaut": (slice(0, 240), slice(96, 416)),
    "chelsea": (slice(40, 280), slice(80, 400)),
    "coffee": (slice(80, 320), slice(120, 440)),
    "rocket": (slice(130, 370), slice(200, 520)),
}


def strip(task: str, name: str, options: dict[str, Any], photo: str, seed: int, fast: str | None = None) -> Image.Image:
    """Damaged, one draw at the default, the mean estimate or two evaluations of `fast`, and the clean photograph."""
    restorer = irsde_cli.load(task)
    degradation = build_degradation(DegradationConfig(name, options))
    pixels = getattr(data, photo)()[CROPS[photo]]
    clean = to_tensor(Picture(pixels if pixels.ndim == 3 else pixels[..., None].repeat(3, -1), name=photo))[None]
    degraded = degradation.apply(clean, torch.Generator().manual_seed(seed)).clamp(0, 1)
    draw = restorer(degraded, sampling=Sampling(realism=1.0 if restorer.draws else None))
    mean = irsde_cli.load(fast)(degraded) if fast else restorer(degraded, sampling=Sampling("ode-1", 1))
    if isinstance(degradation, FreeFormMask):
        known = degradation.masks(1, *clean.shape[-2:], torch.Generator().manual_seed(seed))
        draw, mean = (torch.where(known, degraded, image) for image in (draw, mean))
    shown = F.interpolate(degraded, size=clean.shape[-2:], mode="nearest")
    row = torch.cat((shown, draw, mean, clean), dim=-1)[0].permute(1, 2, 0)
    return Image.fromarray((row * 255).round().byte().numpy())


def main() -> None:
    """A strip for each task, and one of what it cannot do."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tasks", nargs="*", default=[*DAMAGE], metavar="TASK")
    HERE.mkdir(exist_ok=True)
    for task in parser.parse_args().tasks:
        strip(task, *DAMAGE[task]).save(HERE / f"{task}.jpg", quality=85)
        if TASKS[task].fast:
            strip(task, *DAMAGE[task], fast=TASKS[task].fast).save(HERE / f"{task}-fast.jpg", quality=85)
        strip(task, *FAILURES[task]).save(HERE / f"{task}-fails.jpg", quality=80)


if __name__ == "__main__":
    main()
