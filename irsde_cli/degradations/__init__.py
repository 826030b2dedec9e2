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
        "gaussian-noise": Entry(
            "irsde_cli.degradations.gaussian_noise:GaussianNoise",
            checked="properties",
            evidence="tests/degradations/test_degradations.py::test_gaussian_noise_has_the_stated_level",
        ),
        "camera-noise": Entry(
            "irsde_cli.degradations.camera_noise:CameraNoise",
            checked="properties",
            evidence="tests/degradations/test_degradations.py::test_camera_noise_has_the_stated_variance",
        ),
        "sensor-noise": Entry(
            "irsde_cli.degradations.sensor_noise:SensorNoise",
            paper="1811.11127",
            checked="properties",
            evidence="tests/degradations/test_degradations.py::test_the_noise_of_a_sensor_grows_with_light_and_its_colour_is_coarse",
        ),
        "motion-blur": Entry(
            "irsde_cli.degradations.motion_blur:MotionBlur",
            checked="properties",
            evidence="tests/degradations/test_degradations.py::test_a_straight_motion_has_the_stated_length",
        ),
        "defocus-blur": Entry(
            "irsde_cli.degradations.defocus_blur:DefocusBlur",
            checked="properties",
            evidence="tests/degradations/test_degradations.py::test_defocus_is_a_disc_of_the_stated_radius",
        ),
        "rain": Entry(
            "irsde_cli.degradations.rain:Rain",
            checked="properties",
            evidence="tests/degradations/test_degradations.py::test_rain_only_adds_light_along_its_fall",
        ),
        "haze": Entry(
            "irsde_cli.degradations.haze:Haze",
            checked="properties",
            evidence="tests/degradations/test_degradations.py::test_haze_pulls_towards_the_air",
        ),
        "low-light": Entry(
            "irsde_cli.degradations.low_light:LowLight",
            checked="properties",
            evidence="tests/degradations/test_degradations.py::test_low_light_takes_the_stated_share",
        ),
        "jpeg": Entry(
            "irsde_cli.degradations.jpeg:Jpeg",
            checked="code",
            evidence="tests/degradations/test_degradations.py::test_jpeg_is_the_encoder",
        ),
        "downsampling": Entry(
            "irsde_cli.degradations.downsampling:Downsampling",
            checked="code",
            evidence="tests/degradations/test_degradations.py::test_downsampling_is_that_of_the_field",
        ),
        "free-form-mask": Entry(
            "irsde_cli.degradations.free_form_mask:FreeFormMask",
            checked="properties",
            evidence="tests/degradations/test_degradations.py::test_holes_cover_the_stated_share_and_are_white",
        ),
        "second-order": Entry(
            "irsde_cli.degradations.second_order:SecondOrder",
            paper="2107.10833",
            checked="properties",
            evidence="tests/degradations/test_degradations.py::test_a_setting_of_each_step_decides_how_much_is_left",
        ),
        "random-mask": Entry(
            "irsde_cli.degradations.random_mask:RandomMask",
            checked="properties",
            evidence="tests/degradations/test_degradations.py::test_what_is_told_of_the_damage_is_what_was_done",
        ),
        "mixture": Entry(
            "irsde_cli.degradations.mixture:Mixture",
            checked="properties",
            evidence="tests/degradations/test_degradations.py::test_a_mixture_takes_its_parts_as_often_as_it_says",
        ),
        "generated": Entry(
            "irsde_cli.degradations.generated:Generated",
            paper="https://github.com/sudraj2002/GenDeg",
            checked="properties",
            evidence="tests/degradations/test_generated.py::test_a_sampler_of_diffusers_agrees",
            extra="flux",
        ),
        "matched": Entry(
            "irsde_cli.degradations.matched:Matched",
            paper="https://github.com/sudraj2002/GenDeg",
            checked="code",
            evidence="tests/degradations/test_degradations.py::test_bins_are_those_of_gendeg",
        ),
        "sequence": Entry(
            "irsde_cli.degradations.sequence:Sequence",
            checked="properties",
            evidence="tests/degradations/test_degradations.py::test_a_sequence_is_one_after_another",
        ),
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
