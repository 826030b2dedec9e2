"""One of several degradations for each image: what a blind network learns from."""

import math
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from irsde_cli.degradations import DegradationConfig, build_degradation
from irsde_cli.degradations.degradation import Degradation, uniform
from irsde_cli.observation import Observation


@dataclass(frozen=True)
class Mixture(Degradation):
    """Each image goes through one part.

    Attributes:
        parts: the degradations, all of one scale.
        shares: how often each is taken, in any unit; equally often without.
        untouched: share of the images that stay as they are, so that a network learns to leave good ones alone.
    """

    parts: tuple[DegradationConfig, ...] = field(
        default=(DegradationConfig("gaussian-noise"), DegradationConfig("jpeg"))
    )
    shares: tuple[float, ...] = ()
    untouched: float = 0.0

    def __post_init__(self) -> None:
        if len({part.scale for part in self._built}) != 1:
            raise ValueError("the parts of a mixture must be one or more, and all of one scale")
        if self.shares and (len(self.shares) != len(self.parts) or min(self.shares) < 0 or not sum(self.shares)):
            raise ValueError(f"{len(self.parts)} parts have {len(self.shares)} shares; give as many, not negative")
        if not 0 <= self.untouched <= 1 or (self.untouched and self.scale > 1):
            raise ValueError("'untouched' must lie in [0, 1], and images that shrink cannot stay untouched")

    @cached_property
    def _built(self) -> tuple[Degradation, ...]:
        return tuple(build_degradation(part) for part in self.parts)

    @property
    def margin(self) -> int:
        """The widest of the parts, rounded up to a multiple of all block sizes."""
        widest = max(part.margin for part in self._built)
        return math.ceil(widest / 16) * 16 if widest else 0

    @property
    def scale(self) -> int:
        """That of the parts."""
        return self._built[0].scale

    def apply(self, clean: Tensor, generator: torch.Generator) -> Tensor:
        """Draw each image's part, then degrade the images of a part together."""
        return self.observe(clean, generator).image

    @property
    def tasks(self) -> tuple[str, ...]:
        """See `Degradation.tasks`: the parts by their names, and what stays untouched if anything does."""
        return (*(part.name for part in self.parts), *(["untouched"] if self.untouched else []))

    def observe(self, clean: Tensor, generator: torch.Generator) -> Observation:
        """See `Degradation.observe`."""
        return self.draw(clean, generator)[0]

    def draw(self, clean: Tensor, generator: torch.Generator) -> tuple[Observation, Tensor]:
        """See `Degradation.draw`; images of parts without holes are known everywhere."""
        weights = torch.tensor(self.shares or [1.0] * len(self.parts), dtype=torch.float32, device=generator.device)
        chosen = torch.multinomial(weights, len(clean), replacement=True, generator=generator)
        chosen[uniform(0, 1, len(clean), generator) < self.untouched] = -1
        height, width = (math.ceil(size / self.scale) for size in clean.shape[-2:])
        degraded = clean.new_empty(*clean.shape[:2], height, width)
        known = torch.ones(len(clean), 1, height, width, dtype=torch.bool, device=clean.device)
        for index in sorted(set(chosen.tolist())):
            where = (chosen == index).to(clean.device)
            images = clean[where]
            part = Observation(images) if index < 0 else self._built[index].observe(images, generator)
            degraded[where] = part.image
            if part.known is not None:
                known[where] = part.known
        tasks = torch.where(chosen < 0, len(self.parts), chosen)
        return Observation(degraded, None if bool(known.all()) else known), tasks
