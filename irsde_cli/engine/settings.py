"""How a batch is restored, and what is said on the way. No torch."""

from dataclasses import dataclass
from typing import Literal

from irsde_cli.samplers.settings import Sampling


@dataclass(frozen=True)
class Settings:
    """How a batch is restored.

    Attributes:
        sampling: what the weights leave open.
        seed: of the noise.
        shared_noise: whether all pictures have the same noise, that of a picture without a name.
        samples: draws of each picture.
        estimate: whether draws are given, or their mean.
        spread: whether the standard deviation of the draws is given too.
        trajectory: how many states are kept.
        batch_size: pictures at once; 0 is what fits.
        tile: "auto", 0 for none, or a size.
        tile_overlap: pixels that tiles share; `None` goes by what the network sees.
    """

    sampling: Sampling = Sampling()
    seed: int = 0
    shared_noise: bool = False
    samples: int = 1
    estimate: Literal["sample", "mean"] = "sample"
    spread: bool = False
    trajectory: int = 0
    batch_size: int = 0
    tile: int | Literal["auto"] = "auto"
    tile_overlap: int | None = None


@dataclass(frozen=True)
class Step:
    """A network evaluation is over: the `step`-th of `steps` for the pictures `names`."""

    names: tuple[str, ...]
    step: int
    steps: int
    megapixels: float
