"""How a batch is restored, and what is said on the way. No torch."""

from dataclasses import dataclass
from typing import Literal

from irsde_cli import extras
from irsde_cli.errors import UsageError
from irsde_cli.option import option, whole_or_auto
from irsde_cli.samplers.settings import Sampling

Engine = Literal["torch", "openvino"]
SPREAD_GAIN = 8
MEMORY = "Memory and speed"


@dataclass(frozen=True)
class Settings:
    """How a batch is restored.

    Attributes:
        sampling: what the weights leave open.
        seed: of the noise.
        shared_noise: whether all pictures have the same noise, that of a picture without a name.
        samples: draws of each picture.
        estimate: whether draws are given, or their mean.
        spread: whether half the width of the calibrated interval is given too, or else the standard deviation of
            draws.
        gate: to what a result falls back where it is a guess; "auto" is the usual one of the weights' task.
        trajectory: how many states are kept.
        batch_size: pictures at once; 0 is what fits.
        tile: "auto", 0 for none, or a size.
        tile_overlap: pixels that tiles share; `None` goes by what the network sees.
        engine: what evaluates the networks.
    """

    sampling: Sampling = Sampling()
    seed: int = option(
        "pixels", "The same seed, the same image.", default=0, panel="Model", minimum=0, maximum=2**63 - 1
    )
    shared_noise: bool = option(
        "pixels", "The same noise for all pictures: frames do not flicker.", default=False, panel="Model"
    )
    samples: int = option("pixels", "Restorations of each picture.", default=1, panel="Model", minimum=1)
    estimate: Literal["sample", "mean"] = option(
        "pixels", "Write a sample, or the mean of --samples (8) draws.", default="sample", panel="Model"
    )
    spread: bool = option(
        "pixels",
        f"Also write how sure the result is, times {SPREAD_GAIN}: half the width of an interval that holds nine of ten "
        "pixels, where the weights are calibrated, else how much draws differ.",
        default=False,
        panel="Model",
    )
    gate: Literal["auto", "off", "mean", "input"] = option(
        "pixels",
        "Where the result is a guess, by its calibrated interval, fall back to the mean estimate or to the input; auto "
        "is mean for sr4 and jpeg.",
        default="auto",
        panel="Model",
    )
    trajectory: int = option(
        "pixels", "Also write so many states of each picture.", default=0, panel="Output", minimum=0
    )
    batch_size: int = option(
        "machine", "Pictures at once; 0 is what fits.", default=0, panel=MEMORY, short="-b", minimum=0
    )
    tile: int | Literal["auto"] = option(
        "machine",
        "Side of tiles in pixels, 0 for none, or auto.",
        default="auto",
        panel=MEMORY,
        parse=whole_or_auto("--tile"),
        text="auto",
    )
    tile_overlap: int | None = option(
        "machine",
        "Pixels that tiles share, up to half a tile; if not given, by how far the network looks.",
        panel=MEMORY,
        minimum=0,
    )
    engine: Engine = option(
        "pixels",
        "What evaluates the network; openvino is faster for NAFNet in bf16, on Intel's CPUs.",
        default="torch",
        panel=MEMORY,
    )

    @property
    def coding(self) -> int | None:
        """The quality, from 0 to 63, of the codec's files that are to be made; `None` where pictures are."""
        return None


@dataclass(frozen=True)
class Step:
    """A network evaluation is over: the `step`-th of `steps` for the pictures `names`."""

    names: tuple[str, ...]
    step: int
    steps: int
    megapixels: float


@dataclass(frozen=True)
class Tile:
    """A tile is over: the `tile`-th of `tiles` of the evaluation `step`; `megapixels` are those of all tiles."""

    names: tuple[str, ...]
    step: int
    steps: int
    tile: int
    tiles: int
    megapixels: float


def device_for(engine: Engine, device: str) -> str:
    """The device as it was asked for, or the one that an engine has.

    Raises:
        UsageError: the engine does not run there.
        MissingError: it is not installed.
    """
    if engine == "torch":
        return device
    extras.require("openvino", "--engine openvino")
    if device not in ("auto", "cpu"):
        raise UsageError(f"--engine openvino runs on the CPU, not on '{device}'.", hint="Leave out --device.")
    return "cpu"


def duration(seconds: float) -> str:
    """A length of time as people say it: two units at most, and a second at least."""
    whole = max(round(seconds), 1)
    for unit, name, part, lesser in ((86400, "d", 3600, "h"), (3600, "h", 60, "min")):
        if whole >= unit:
            count, rest = divmod(round(whole / part), unit // part)
            return f"{count} {name} {rest} {lesser}" if rest else f"{count} {name}"
    return f"{round(whole / 60)} min" if whole >= 90 else f"{whole} s"
