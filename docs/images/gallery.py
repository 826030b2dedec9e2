"""Makes the strips of docs/gallery.md with the shipped networks, from photographs of scikit-image.

    python docs/images/gallery.py

astronaut: NASA, public domain. chelsea: Stefan van der Walt, CC0. coffee: Rachel Michetti, CC0. rocket: SpaceX, CC0.
"""

from pathlib import Path

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
CROPS = {
    "astronaut": (slice(0, 240), slice(96, 416)),
    "chelsea": (slice(40, 280), slice(80, 400)),
    "coffee": (slice(80, 320), slice(120, 440)),
    "rocket": (slice(130, 370), slice(200, 520)),
}


def main() -> None:
    """For each task: damaged, one draw at the default, the mean estimate, and the clean photograph."""
    HERE.mkdir(exist_ok=True)
    for task, (name, options, photo, seed) in DAMAGE.items():
        if TASKS[task].weights is None:
            continue
        restorer = irsde_cli.load(task)
        degradation = build_degradation(DegradationConfig(name, options))
        clean = to_tensor(Picture(getattr(data, photo)()[CROPS[photo]], name=photo))[None]
        degraded = degradation.apply(clean, torch.Generator().manual_seed(seed)).clamp(0, 1)
        draw, mean = (restorer(degraded, sampling=asked) for asked in (Sampling(), Sampling("ode-1", 1)))
        if isinstance(degradation, FreeFormMask):
            known = degradation.masks(1, *clean.shape[-2:], torch.Generator().manual_seed(seed))
            draw, mean = (torch.where(known, degraded, image) for image in (draw, mean))
        shown = F.interpolate(degraded, size=clean.shape[-2:], mode="nearest")
        strip = torch.cat((shown, draw, mean, clean), dim=-1)[0].permute(1, 2, 0)
        Image.fromarray((strip * 255).round().byte().numpy()).save(HERE / f"{task}.jpg", quality=85)


if __name__ == "__main__":
    main()
