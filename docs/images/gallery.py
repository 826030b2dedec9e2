"""Makes the strips of docs/gallery.md with the shipped networks, from photographs of scikit-image.

    python docs/images/gallery.py [TASK ...]
    python docs/images/gallery.py --real PHOTOS OUT

The second restores real photographs, of which PHOTOS has a folder for each kind (blur, haze, lowlight, lowres, noise,
rain), and writes OUT/KIND-NAME.jpg to be looked at: the photograph, what `irsde restore` makes of it, and where the
task has them the mean and a draw. Photographs found elsewhere are their owners': commit none.

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
from irsde_cli.images import Picture, read_picture, to_tensor
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


def strip(
    task: str, name: str, options: dict[str, Any], photo: str, seed: int, fast: str | None = None
) -> torch.Tensor:
    """Damaged, a draw and the mean estimate or the result of `fast`, or the only result there is, and clean.

    (1, 3, H, 4 W), or 3 W where there is one result.
    """
    restorer = irsde_cli.load(task)
    degradation = build_degradation(DegradationConfig(name, options))
    pixels = getattr(data, photo)()[CROPS[photo]]
    clean = to_tensor(Picture(pixels if pixels.ndim == 3 else pixels[..., None].repeat(3, -1), name=photo))[None]
    degraded = degradation.apply(clean, torch.Generator().manual_seed(seed)).clamp(0, 1)
    ways = [Sampling(realism=1.0), Sampling(realism=0.0)] if restorer.draws else [Sampling()]
    made = [restorer(degraded, sampling=sampling) for sampling in ways[: 1 if fast else None]]
    made += [irsde_cli.load(fast)(degraded)] if fast else []
    if isinstance(degradation, FreeFormMask):
        known = degradation.masks(1, *clean.shape[-2:], torch.Generator().manual_seed(seed))
        made = [torch.where(known, degraded, image) for image in made]
    shown = F.interpolate(degraded, size=clean.shape[-2:], mode="nearest")
    return torch.cat((shown, *made, clean), dim=-1)


KINDS = {
    "blur": "deblur",
    "haze": "dehaze",
    "lowlight": "lowlight",
    "lowres": "sr4",
    "noise": "denoise",
    "rain": "derain",
}
LARGEST = 800


def real(photos: Path, out: Path) -> None:
    """Strips of real photographs, a kind after the other."""
    out.mkdir(parents=True, exist_ok=True)
    for kind, task in KINDS.items():
        restorer = irsde_cli.load(task)
        ways = [Sampling(), *([Sampling(realism=0.0), Sampling(realism=1.0)] if restorer.draws else [])]
        side = LARGEST // restorer.scale
        for path in sorted((photos / kind).glob("*")):
            image = to_tensor(read_picture(path, path.name))[None, :, :side, :side]
            made = [restorer(image, sampling=sampling) for sampling in ways]
            shown = F.interpolate(image, size=made[0].shape[-2:], mode="nearest")
            save(torch.cat((shown, *made), dim=-1), out / f"{kind}-{path.stem}.jpg", 90)


def save(row: torch.Tensor, path: Path, quality: int) -> None:
    """Images (1, 3, H, W) in [0, 1] as a JPEG file."""
    Image.fromarray((row[0].permute(1, 2, 0).clamp(0, 1) * 255).round().byte().numpy()).save(path, quality=quality)


def main() -> None:
    """A strip for each task, and one of what it cannot do; or strips of real photographs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tasks", nargs="*", default=[*DAMAGE], metavar="TASK")
    parser.add_argument("--real", nargs=2, type=Path, metavar=("PHOTOS", "OUT"))
    arguments = parser.parse_args()
    if arguments.real:
        real(*arguments.real)
        return
    HERE.mkdir(exist_ok=True)
    for task in arguments.tasks:
        save(strip(task, *DAMAGE[task]), HERE / f"{task}.jpg", 85)
        if TASKS[task].fast:
            save(strip(task, *DAMAGE[task], fast=TASKS[task].fast), HERE / f"{task}-fast.jpg", 85)
        save(strip(task, *FAILURES[task]), HERE / f"{task}-fails.jpg", 80)


if __name__ == "__main__":
    main()
