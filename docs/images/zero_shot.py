"""Makes the picture of docs/zero-shot.md from photographs of scikit-image.

    python docs/images/zero_shot.py

astronaut: NASA, public domain. chelsea: Stefan van der Walt, CC0.
"""

from pathlib import Path
from typing import Any

import torch
from PIL import Image
from skimage import data

from irsde_cli import checkpoint
from irsde_cli.degradations import DegradationConfig, build_degradation
from irsde_cli.images import Picture, to_tensor
from irsde_cli.randomness import ImageNoise, generator_for
from irsde_cli.restorer import last
from irsde_cli.samplers.settings import Sampling
from irsde_cli.systems.zero_shot import ZeroShot, ZeroShotConfig
from irsde_cli.weights import PRIOR, shipped_path

OUT = Path(__file__).with_name("zero-shot.jpg")
ROWS: tuple[tuple[str, slice, slice, str, dict[str, Any], str], ...] = (
    ("astronaut", slice(0, 240), slice(110, 350), "motion-blur", {"noise_min": 2, "noise_max": 2}, "blur"),
    ("chelsea", slice(40, 280), slice(120, 360), "random-mask", {"share": 0.8}, "mask"),
)


def main() -> None:
    """A row for each damage: what was seen, what was restored, and the truth."""
    prior, rows = checkpoint.load(shipped_path(PRIOR)).restorer, []
    for photo, down, across, damage, options, operator in ROWS:
        clean = to_tensor(Picture(getattr(data, photo)()[down, across], name=photo))[None]
        degradation = build_degradation(DegradationConfig(damage, options))
        seen = degradation.observe(clean, torch.Generator().manual_seed(0))
        restorer = ZeroShot(ZeroShotConfig(operator={"name": operator}), prior, 1)
        noise = ImageNoise([generator_for(0, b"")])
        with torch.inference_mode():
            restored = last(restorer.steps(seen, noise, restorer.resolve(Sampling())))
        rows.append(torch.cat((seen.image, restored, clean), dim=-1))
    pixels = (torch.cat(rows, dim=-2)[0].clamp(0, 1).permute(1, 2, 0) * 255).round().byte().numpy()
    Image.fromarray(pixels).save(OUT, quality=85)


if __name__ == "__main__":
    main()
