"""The settings that ship in the package, and the published ones that do not. No torch."""

from importlib import resources
from pathlib import Path
from typing import Any

from irsde_cli.config import merged, read_toml
from irsde_cli.errors import UsageError
from irsde_cli.registry import unknown_name

REFUSED = {
    "refusion-stereo-sr4": "stereo super-resolution is not built: it restores two views at once, and the reference's "
    "training script for it cannot run.",
    "latent-unet-bokeh": "bokeh rendering is not built: it needs lens data with each picture, and the reference's "
    "training script for it cannot run.",
    "latent-refusion-bokeh": "bokeh rendering is not built: it needs lens data with each picture, and the reference's "
    "training script for it cannot run.",
}


def preset_names() -> list[str]:
    """The presets that can be trained."""
    return sorted(path.stem for path in _folder().iterdir() if path.suffix == ".toml")


def summary(name: str) -> str:
    """The first line of a preset's comment, or why it is refused."""
    if name in REFUSED:
        return REFUSED[name]
    return (_folder() / f"{name}.toml").read_text(encoding="utf-8").splitlines()[0].lstrip("# ")


def read_preset(name: str) -> dict[str, Any]:
    """The settings of a preset, with those of the one that it rests on; `run` holds what decides nothing learnt.

    Raises:
        UsageError: there is none of that name, or it is one of those that are not built.
    """
    if name in REFUSED:
        raise UsageError(f"the preset '{name}' cannot be trained: {REFUSED[name]}")
    if name not in preset_names():
        raise unknown_name("preset", name, preset_names())
    values = read_toml(_folder() / f"{name}.toml")
    base = values.pop("preset", None)
    return values if base is None else merged(read_preset(base), values)


def _folder() -> Path:
    return Path(str(resources.files("irsde_cli"))) / "presets"
