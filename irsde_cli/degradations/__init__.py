"""Synthetic damage to learn from and to measure on: one file and one row a degradation.

Each row is a frozen dataclass of settings with `apply(clean, generator)`; see `irsde_cli.degradations.degradation`.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from irsde_cli.config import from_mapping
from irsde_cli.registry import Entry, Registry

if TYPE_CHECKING:
    from irsde_cli.degradations.degradation import Degradation

DEGRADATIONS = Registry(
    "degradation",
    {
        "gaussian-noise": "irsde_cli.degradations.gaussian_noise:GaussianNoise",
        "camera-noise": "irsde_cli.degradations.camera_noise:CameraNoise",
        "sensor-noise": "irsde_cli.degradations.sensor_noise:SensorNoise",
        "motion-blur": "irsde_cli.degradations.motion_blur:MotionBlur",
        "defocus-blur": "irsde_cli.degradations.defocus_blur:DefocusBlur",
        "rain": "irsde_cli.degradations.rain:Rain",
        "haze": "irsde_cli.degradations.haze:Haze",
        "low-light": "irsde_cli.degradations.low_light:LowLight",
        "jpeg": "irsde_cli.degradations.jpeg:Jpeg",
        "downsampling": "irsde_cli.degradations.downsampling:Downsampling",
        "free-form-mask": "irsde_cli.degradations.free_form_mask:FreeFormMask",
        "second-order": "irsde_cli.degradations.second_order:SecondOrder",
        "random-mask": "irsde_cli.degradations.random_mask:RandomMask",
        "mixture": "irsde_cli.degradations.mixture:Mixture",
        "generated": Entry(
            "irsde_cli.degradations.generated:Generated",
            paper="https://github.com/sudraj2002/GenDeg",
            checked="properties",
            evidence="tests/degradations/test_generated.py::test_a_sampler_of_diffusers_agrees",
            extra="flux",
        ),
        "matched": "irsde_cli.degradations.matched:Matched",
        "sequence": "irsde_cli.degradations.sequence:Sequence",
    },
)


@dataclass(frozen=True)
class DegradationConfig:
    """A row of `DEGRADATIONS` and its settings."""

    name: str
    options: dict[str, Any] = field(default_factory=dict)


def build_degradation(config: DegradationConfig) -> "Degradation":
    """The degradation with its settings.

    Raises:
        UsageError: the name or a setting is unknown or impossible.
    """
    cls: type[Degradation] = DEGRADATIONS.load(config.name)
    return from_mapping(cls, config.options, f"degradation '{config.name}'")
