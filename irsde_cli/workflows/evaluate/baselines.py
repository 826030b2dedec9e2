"""Classical methods to compare with: which there are, and whose code each is. No torch."""

from dataclasses import dataclass
from importlib import import_module
from typing import Any

from irsde_cli import extras

EXTRA = "classical"


@dataclass(frozen=True)
class Baseline:
    """A row of `BASELINES`.

    Attributes:
        function: its name in `irsde_cli.workflows.evaluate.classical`.
        source: whose code it is, with what must be known of its settings.
        packages: what it imports of the extra `classical`, by what people call them.
    """

    function: str
    source: str
    packages: tuple[tuple[str, str], ...] = ()


SKIMAGE = (("skimage.restoration", "scikit-image"), ("pywt", "PyWavelets"))
BASELINES = {
    "nl-means": Baseline("nl_means", "scikit-image's non-local means, h 0.6 sigma, patches of 5 within 13", SKIMAGE),
    "wavelet": Baseline("wavelet", "scikit-image's wavelets, BayesShrink in YCbCr", SKIMAGE),
    "bicubic": Baseline("bicubic", "torch's bicubic enlargement, a = -1/2"),
    "telea": Baseline("telea", "OpenCV's Telea, radius 3, 8 bits", (("cv2", "OpenCV"),)),
    "harmonic": Baseline("harmonic", "the surface that our own network for holes begins with"),
}


def load(name: str) -> Any:
    """The function of a row.

    Raises:
        MissingError: a package that it needs is not installed, or does not load.
    """
    row = BASELINES[name]
    for module, package in row.packages:
        extras.load(EXTRA, f"the baseline '{name}'", module, package)
    return getattr(import_module("irsde_cli.workflows.evaluate.classical"), row.function)
