"""Makes the pictures of docs/degradations.md from photographs of scikit-image.

    python docs/images/make.py [NAME ...]

astronaut: NASA, public domain. chelsea: Stefan van der Walt, CC0.
"""

import sys
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from skimage import data

from irsde_cli.degradations import DEGRADATIONS, DegradationConfig, build_degradation
from irsde_cli.images import Picture, to_tensor

HERE = Path(__file__).parent / "degradations"
CROPS = (("astronaut", slice(0, 192), slice(128, 320)), ("chelsea", slice(60, 252), slice(120, 312)))
DRAWS = 2
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "rain-far": ("rain", {"distance_max": 6.0, "veil_max": 0.7}),
    "haze-own-air": ("haze", {"own_air_share": 1.0}),
    "low-light-highlights": ("low-light", {"light_min": 0.02, "light_max": 0.05, "highlights_max": 100.0}),
    "second-order-small": ("second-order", {"factor": 4}),
}
STRIPS = {name: (name, {}) for name, row in DEGRADATIONS.items() if not row.extra} | VARIANTS


def main() -> None:
    """A strip for each row of the table and each variant: two photographs, each clean and then damaged twice."""
    HERE.mkdir(exist_ok=True)
    for name in sys.argv[1:] or STRIPS:
        degradation = build_degradation(DegradationConfig(*STRIPS[name]))
        strip = []
        for photo, rows, columns in CROPS:
            clean = to_tensor(Picture(getattr(data, photo)()[rows, columns], name=photo))[None]
            strip.append(clean)
            for seed in range(DRAWS):
                degraded = degradation.apply(clean, torch.Generator().manual_seed(seed)).clamp(0, 1)
                scale = degradation.scale
                strip.append(degraded.repeat_interleave(scale, -2).repeat_interleave(scale, -1))
        pixels = (torch.cat(strip, dim=-1)[0].permute(1, 2, 0) * 255).round().byte().numpy()
        Image.fromarray(pixels).save(HERE / f"{name}.jpg", quality=80)


if __name__ == "__main__":
    main()
