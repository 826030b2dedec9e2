"""Makes the sample pictures from photographs of scikit-image and our own degradations.

    python docs/samples/make.py

astronaut: NASA, public domain. chelsea: Stefan van der Walt, CC0. coffee: Rachel Michetti, CC0. rocket: SpaceX, CC0.
"""

from pathlib import Path

import torch
from skimage import data

from irsde_cli.degradations.degradation import Degradation
from irsde_cli.degradations.gaussian_noise import GaussianNoise
from irsde_cli.degradations.motion_blur import MotionBlur
from irsde_cli.images import Picture, encode_picture, to_tensor, with_restored

HERE = Path(__file__).parent
SAMPLES: list[tuple[str, str, tuple[slice, slice], Degradation]] = [
    ("noisy", "astronaut", (slice(0, 288), slice(64, 448)), GaussianNoise(25, 25, quantised_share=1.0)),
    ("noisy", "chelsea", (slice(6, 294), slice(34, 418)), GaussianNoise(25, 25, quantised_share=1.0)),
    ("shaken", "coffee", (slice(56, 344), slice(84, 468)), MotionBlur(11, 13)),
    ("shaken", "rocket", (slice(110, 398), slice(180, 564)), MotionBlur(9, 11)),
]


def main() -> None:
    """Write each sample beside this file."""
    for seed, (folder, name, crop, degradation) in enumerate(SAMPLES):
        picture = Picture(getattr(data, name)()[crop], name=name)
        clean = to_tensor(picture)[None]
        degraded = degradation.apply(clean, torch.Generator().manual_seed(seed))[0]
        (HERE / folder).mkdir(exist_ok=True)
        (HERE / folder / f"{name}.png").write_bytes(encode_picture(with_restored(picture, degraded), format="png"))


if __name__ == "__main__":
    main()
