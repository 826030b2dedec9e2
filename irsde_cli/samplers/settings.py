"""How the reverse process is run, as a command line or a checkpoint asks for it. No torch."""

from dataclasses import dataclass, fields, replace

FEW = 4


@dataclass(frozen=True)
class Sampling:
    """How the reverse process is run. `None` leaves the choice to the checkpoint.

    Attributes:
        sampler: a name of `irsde_cli.samplers.SAMPLERS`.
        steps: network evaluations.
        nodes: falling time indices at which the network is evaluated; their number is `steps`.
        eta: from 0 (the probability-flow ODE) to 1 (the reverse SDE), where the sampler has it.
        noise_level: standard deviation of the noise to remove, in 8-bit units, for systems that start from it
            or are told of it.
        clip: keep each clean estimate within [0, 1].
    """

    sampler: str | None = None
    steps: int | None = None
    nodes: tuple[int, ...] | None = None
    eta: float | None = None
    noise_level: float | None = None
    clip: bool | None = None

    @property
    def is_short(self) -> bool:
        """Whether all that is asked for is few evaluations: what networks with the suffix `-fast` are made for."""
        return self.steps is not None and self.steps <= FEW and replace(self, steps=None) == Sampling()

    def over(self, other: "Sampling") -> "Sampling":
        """These settings, with `other`'s where these are `None`."""
        given = {f.name: value for f in fields(self) if (value := getattr(self, f.name)) is not None}
        return replace(other, **given)
