"""Damage as strong as that of given pairs, by the mean and the spread of what it changes.

GenDeg (CVPR 2025; github.com/sudraj2002/GenDeg) tells a generator of damaged pictures how much to change by these two
numbers, drawn from those of real pairs. Here any other damage is drawn several times, and the draw that comes nearest
is kept.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from irsde_cli.degradations import DegradationConfig, build_degradation
from irsde_cli.degradations.degradation import Degradation, uniform
from irsde_cli.observation import Observation

BINS = 128
LARGEST = (0.7, 0.4)  # mean and spread that the last bins end with
AMOUNTS = ((0.06, 0.04), (0.18, 0.11))


@dataclass(frozen=True)
class Matched(Degradation):
    """Each image goes through one part, as strongly as one of the pairs.

    Attributes:
        part: the damage.
        amounts: mean and spread of each pair, as `amounts` measures them; which a picture gets is drawn.
        tries: draws of the damage for each image, at most; fewer where one falls into the bins of what is wanted.
        even_share: share of the images that get an amount drawn evenly between the least and the largest of the pairs.
    """

    part: DegradationConfig = field(default=DegradationConfig("haze"))
    amounts: tuple[tuple[float, ...], ...] = AMOUNTS
    tries: int = 8
    even_share: float = 0.05

    def __post_init__(self) -> None:
        if self._built.scale != 1:
            raise ValueError("a damage that changes the size of pictures cannot be matched")
        check_amounts(self.amounts, self.even_share)
        if self.tries < 1:
            raise ValueError(f"'tries' must be at least 1, not {self.tries}")

    @cached_property
    def _built(self) -> Degradation:
        return build_degradation(self.part)

    @property
    def margin(self) -> int:
        """That of the part."""
        return self._built.margin

    @property
    def tasks(self) -> tuple[str, ...]:
        """See `Degradation.tasks`: those of the part."""
        return self._built.tasks

    def apply(self, clean: Tensor, generator: torch.Generator) -> Tensor:
        """See `Degradation.apply`."""
        return self.observe(clean, generator).image

    def observe(self, clean: Tensor, generator: torch.Generator) -> Observation:
        """See `Degradation.observe`."""
        return self.draw(clean, generator)[0]

    def draw(self, clean: Tensor, generator: torch.Generator) -> tuple[Observation, Tensor | None]:
        """See `Degradation.draw`."""
        wanted = self.wanted(len(clean), generator).to(clean.device)
        degraded = torch.empty_like(clean)
        known = torch.ones_like(clean[:, :1], dtype=torch.bool)
        tasks = torch.zeros(len(clean), dtype=torch.long) if self.tasks else None
        missed = torch.full((len(clean),), math.inf, device=clean.device)
        left = torch.arange(len(clean), device=clean.device)
        for _ in range(self.tries):
            seen, drawn = self._built.draw(clean[left], generator)
            found = amounts(clean[left], seen.image)
            apart = (bins(found) - bins(wanted[left])).abs().sum(1).float()
            nearer = apart < missed[left]
            chosen = left[nearer]
            missed[chosen], degraded[chosen] = apart[nearer], seen.image[nearer]
            known[chosen] = True if seen.known is None else seen.known[nearer]
            if tasks is not None and drawn is not None:
                tasks[chosen.cpu()] = drawn.cpu()[nearer.cpu()]
            left = left[missed[left] > 0]
            if not len(left):
                break
        return Observation(degraded, None if bool(known.all()) else known), tasks

    def wanted(self, count: int, generator: torch.Generator) -> Tensor:
        """What so many images are to be changed by, (count, 2), on the generator's device."""
        return drawn_amounts(self.amounts, self.even_share, count, generator)


Amounts = Iterable[Iterable[float]]


def check_amounts(pairs: Amounts, even_share: float) -> None:
    """Raise a ValueError unless there are pairs of a mean and a spread, and a share."""
    rows = [tuple(pair) for pair in pairs]
    if not rows or any(len(row) != 2 or not all(0 <= x <= 1 for x in row) for row in rows):
        raise ValueError("'amounts' must be pairs of a mean and a spread in [0, 1], one or more")
    if not 0 <= even_share <= 1:
        raise ValueError(f"'even_share' must lie in [0, 1], not {even_share}")


def drawn_amounts(pairs: Amounts, even_share: float, count: int, generator: torch.Generator) -> Tensor:
    """What so many images are to be changed by, (count, 2), on the generator's device: those of pairs, and some even.

    GenDeg draws so from the histograms of its data sets; every twentieth evenly.
    """
    rows = torch.tensor([tuple(pair) for pair in pairs], device=generator.device)
    drawn = rows[torch.randint(len(rows), (count,), generator=generator, device=generator.device)]
    even = torch.rand((count, 2), generator=generator, device=generator.device)
    even = torch.lerp(rows.amin(0).expand_as(even), rows.amax(0).expand_as(even), even)
    evenly = uniform(0, 1, count, generator) < even_share
    return torch.where(evenly[:, None], even, drawn)


def amounts(clean: Tensor, degraded: Tensor) -> Tensor:
    """How much was changed, (B, 2): mean and standard deviation of |clean - degraded|, of (B, C, H, W) in [0, 1]."""
    change = (clean - degraded.clamp(0, 1)).abs().flatten(1)
    return torch.stack((change.mean(1), change.std(1, correction=0)), dim=1)


def bins(found: Tensor) -> Tensor:
    """The numbers of the bins of means and spreads (B, 2): integers from 0 to 127."""
    steps = found.new_tensor(LARGEST, dtype=torch.float64) / BINS
    return (found.double() / steps + 1e-9).floor().clamp(0, BINS - 1).long()
