"""Several degradations one after another: rain in a compressed photograph, noise on a small one."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from irsde_cli.degradations import DegradationConfig, build_degradation
from irsde_cli.degradations.degradation import Degradation


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
        for part in self._built:
            clean = part.apply(clean, generator)
        return clean
