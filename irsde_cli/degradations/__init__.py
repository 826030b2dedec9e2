"""Synthetic damage to learn from and to measure on: one file and one row a degradation.

Each row is a frozen dataclass of settings with `apply(clean, generator)`; see `irsde_cli.degradations.degradation`.
"""

from irsde_cli.registry import Registry

DEGRADATIONS = Registry(
    "degradation",
    {
        "gaussian-noise": "irsde_cli.degradations.gaussian_noise:GaussianNoise",
        "motion-blur": "irsde_cli.degradations.motion_blur:MotionBlur",
    },
)
