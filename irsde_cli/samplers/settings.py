"""How the reverse process is run, as a command line or a checkpoint asks for it. No torch."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol

from irsde_cli.errors import UsageError
from irsde_cli.inverse import METHODS
from irsde_cli.needs import AUTO
from irsde_cli.operators import KERNELS
from irsde_cli.option import option, whole
from irsde_cli.samplers import SAMPLERS

FEW = 4
MOST_STRENGTH = 1.5
CHOSEN: tuple[int, ...] = ()
PRIOR = "prior="


def check_sampler(name: str) -> None:
    """Raise a UsageError unless there is such a sampler, or such a method of zero-shot restoration."""
    if name not in METHODS:
        SAMPLERS.check(name)


def parse_nodes(text: str) -> tuple[int, ...]:
    """Time indices between commas; `auto` is `CHOSEN`."""
    return CHOSEN if text == "auto" else tuple(whole("--nodes")(part.strip()) for part in text.split(","))


class Map(Protocol):
    """How much, where: a tensor (H, W) or (B, 1, H, W) in [0, 1], of the degraded image's height and width."""

    @property
    def ndim(self) -> int: ...


class Rule(Protocol):
    """How much, told once there is something to tell it from: of a mean and a draw (B, 3, H, W), (B, 1, H, W)."""

    def __call__(self, mean: Any, draw: Any) -> Any: ...


Amount = float | Path | Map | Rule


def amount(name: str) -> Callable[[str], float | Path]:
    """What reads a number, or else the place of maps, for the option of that name."""

    def read(text: str) -> float | Path:
        try:
            return float(text)
        except ValueError:
            if not text:
                raise UsageError(f"{name} takes a number or a picture.") from None
            return Path(text)

    return read


KERNEL = "operator.kernel"  # the choice that may name a file


def strength(text: str) -> float | Path | Literal["auto"]:
    """The same for `--strength`, or `auto`."""
    return AUTO if text == AUTO else amount("--strength")(text)


@dataclass(frozen=True)
class Sampling:
    """How the reverse process is run. `None` leaves the choice to the checkpoint.

    Attributes:
        sampler: a name of `irsde_cli.samplers.SAMPLERS`.
        steps: network evaluations.
        nodes: falling time indices at which the network is evaluated; their number is `steps`. `CHOSEN` has a
            run choose them on its pictures.
        eta: from 0 (the probability-flow ODE) to 1 (the reverse SDE), where the sampler has it.
        noise_level: standard deviation of the noise to remove, in 8-bit units, for systems that start from it
            or are told of it.
        realism: from 0, the mean estimate of the first evaluation, to 1, a draw; between them, the blend of both. A
            number, or a map. A path is that of a grey picture, black 0 and white 1, or of a folder of these.
        strength: from 0, the input, over 1, what is restored, to 1.5, beyond it; a number or a map, likewise. `AUTO`
            is what each picture needs, by `irsde_cli.needs`; a run says it, not a `Restorer`.
        clip: keep each clean estimate within [0, 1].
        choices: what zero-shot restoration knows of the damage, and settings of its method, as KEY=VALUE.
    """

    sampler: str | None = option(
        "pixels",
        f"How to sample: {', '.join(SAMPLERS)}; of zero-shot: {', '.join(METHODS)}.",
        panel="Model",
        complete=lambda: (*SAMPLERS, *METHODS),
    )
    steps: int | None = option(
        "pixels",
        "Network evaluations; up to 4 take the task's -fast weights. Without it, the weights' own number.",
        panel="Model",
        minimum=1,
    )
    nodes: tuple[int, ...] | None = option(
        "pixels",
        "Times to evaluate at, like 100,80,59,30,9; auto: chosen on the pictures.",
        panel="Model",
        parse=parse_nodes,
    )
    eta: float | None = option("pixels", "From 0, the ODE, to 1, the SDE, for the multistep samplers.", panel="Model")
    noise_level: float | None = option(
        "pixels", "Noise to remove, of 255, where weights can be told; else estimated.", panel="Model"
    )
    realism: Amount | None = option(
        "pixels",
        "From 0, the mean of what the picture may have been (one evaluation), to 1, one of these; or a grey picture "
        "that says how much, where, or a folder of these. Without it, the weights' own.",
        panel="Model",
        metavar="A|MAP",
        parse=amount("--realism"),
    )
    strength: Amount | Literal["auto"] | None = option(
        "pixels",
        "From 0, the input, over 1, the restored picture, to 1.5, beyond it; or a grey picture or a folder, likewise; "
        "auto: what each picture needs. Without it, auto for the networks that ship, else 1.",
        panel="Model",
        metavar="W|MAP|auto",
        parse=strength,
    )
    clip: bool | None = option("pixels", shown=False)
    choices: tuple[str, ...] = option(
        "pixels",
        "With --model zero-shot: operator.kernel=psf.png, noise=2, method.zeta=0.3, prior=WEIGHTS.",
        default=(),
        panel="Model",
        flag="--set",
        metavar="KEY=VALUE",
        variable="-",
    )

    @property
    def prior(self) -> str | None:
        """The weights that are the prior of zero-shot restoration, where it is not the usual one."""
        return next((text.removeprefix(PRIOR) for text in self.choices if text.startswith(PRIOR)), None)

    @property
    def maps(self) -> dict[str, Path]:
        """Where the maps lie, of those amounts that have some."""
        both = {"realism": self.realism, "strength": self.strength}
        return {name: place for name, place in both.items() if isinstance(place, Path)}

    def with_maps(self, found: Mapping[str, Amount]) -> "Sampling":
        """The same with these in place of those that it has."""
        return replace(self, realism=found.get("realism", self.realism), strength=found.get("strength", self.strength))

    def absolute(self) -> "Sampling":
        """The same for a process in another folder: its maps and the kernel of a blur by their absolute paths."""
        named = (choice.partition("=") for choice in self.choices)
        choices = (
            f"{key}={Path(value).absolute()}"
            if key == KERNEL and value not in ("", *KERNELS)
            else f"{key}{sign}{value}"
            for key, sign, value in named
        )
        maps = {name: place.absolute() for name, place in self.maps.items()}
        return replace(self.with_maps(maps), choices=tuple(choices))

    @property
    def is_judged(self) -> bool:
        """Whether each picture's own need says how much of its result is taken."""
        return self.strength == AUTO if isinstance(self.strength, str) else False

    @property
    def blend(self) -> Amount | None:
        """The strength where it is an amount."""
        return None if isinstance(self.strength, str) else self.strength

    @property
    def is_draw(self) -> bool:
        """Whether the end of a run is taken as it is."""
        return self.realism is None or (isinstance(self.realism, int | float) and self.realism == 1)

    @property
    def is_chosen(self) -> bool:
        """Whether a run chooses the nodes on its pictures."""
        return self.nodes == CHOSEN

    @property
    def is_usual(self) -> bool:
        """Whether how to sample is left to the checkpoint."""
        return self == Sampling(noise_level=self.noise_level, strength=self.strength, clip=self.clip)

    @property
    def is_short(self) -> bool:
        """Whether all that is asked for is few evaluations: what networks with the suffix `-fast` are made for."""
        return self.steps is not None and self.steps <= FEW and replace(self, steps=None, strength=None) == Sampling()

    @property
    def is_sampled(self) -> bool:
        """Whether something is asked for that networks of one pass do not have."""
        rest = replace(self, steps=None, noise_level=None, strength=None)
        return self.steps not in (None, 1) or rest != Sampling()
