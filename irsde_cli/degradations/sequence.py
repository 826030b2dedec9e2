"""Several degradations one after another: rain in a compressed photograph, noise on a small one."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from irsde_cli.degradations import DegradationConfig, build_degradation
from irsde_cli.degradations.degradation import Degradation
from irsde_cli.observation import Observation


@dataclass(frozen=True)
class Sequence(Degradation):
    """Each image goes through all parts, in their order.

    Attributes:
        parts: the degradations.
    """

    parts: tuple[DegradationConfig, ...] = (DegradationConfig("defocus-blur"), DegradationConfig("jpeg"))

    def __post_init__(self) -> None:
        if not self._built:
            raise ValueError("a sequence needs at least one part")

    @cached_property
    def _built(self) -> tuple[Degradation, ...]:
        return tuple(build_degradation(part) for part in self.parts)

    @property
    def margin(self) -> int:
        """The sum of the parts', each in pixels of the clean image, and a multiple of `scale`."""
        total, scale = 0, 1
        for part in self._built:
            total += part.margin * scale
            scale *= part.scale
        return -(-total // scale) * scale

    @property
    def scale(self) -> int:
        """The product of the parts'."""
        product = 1
        for part in self._built:
            product *= part.scale
        return product

    def apply(self, clean: Tensor, generator: torch.Generator) -> Tensor:
        """All parts, each with draws of its own."""
        return self.observe(clean, generator).image

    def observe(self, clean: Tensor, generator: torch.Generator) -> Observation:
        """See `Degradation.observe`; holes that a later part shrinks are those of which nothing was known."""
        known: Tensor | None = None
        for part in self._built:
            seen = part.observe(clean, generator)
            if known is not None and part.scale > 1:
                known = nn.functional.max_pool2d(known.float(), part.scale) > 0
            if seen.known is not None:
                known = seen.known if known is None else known & seen.known
            clean = seen.image
        return Observation(clean, known)
