"""Falling back where a result is a guess; see `irsde_cli.needs.gate`."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from irsde_cli.images import in_unit
from irsde_cli.needs.gate import doubt
from irsde_cli.needs.interval import Evidence, Interval, enlarged
from irsde_cli.observation import Observation
from irsde_cli.restorer import amount_on
from irsde_cli.samplers.settings import Amount


@dataclass(frozen=True, eq=False)
class Gate:
    """How far a draw is taken beyond the mean: as far as asked, and less where that would be a guess.

    Attributes:
        amount: how far was asked.
        interval: calibrated for the network.
        observation: what is restored.
        sizes: height and width of each picture on the canvas.
        scale: how many times larger the results are.
    """

    amount: Amount
    interval: Interval
    observation: Observation
    sizes: Sequence[tuple[int, int]]
    scale: int

    def __call__(self, mean: Tensor, draw: Tensor) -> Tensor:
        """The amounts (B, 1, H, W) for a mean and a draw (B, 3, H, W)."""
        asked = amount_on(self.amount, mean)
        taken = torch.lerp(mean, draw, asked)
        kept = torch.ones_like(taken[:, :1])
        for index, (height, width) in enumerate(self.sizes):
            large = (height * self.scale, width * self.scale)
            result = taken[index, :, : large[0], : large[1]].float().clamp(0, 1)
            kept[index, 0, : large[0], : large[1]] -= self._doubt(index, result, (height, width)).to(kept)
        return asked * kept

    def _doubt(self, index: int, result: Tensor, size: tuple[int, int]) -> Tensor:
        given = in_unit(self.observation.samples[index, :, : size[0], : size[1]]).to(result)
        known = None
        if self.observation.known is not None and self.scale == 1:
            known = self.observation.known[index, 0, : size[0], : size[1]]
        seen = Evidence(enlarged(given, (result.shape[-2], result.shape[-1])), result, known)
        return doubt(seen, self.interval, self.scale, given if self.scale > 1 else None)


def to_input(restored: Tensor, degraded: Tensor, interval: Interval, scale: int) -> Tensor:
    """A restored picture (3, H * scale, W * scale), drawn to its input (3, H, W) where it is a guess."""
    base = enlarged(degraded, (restored.shape[-2], restored.shape[-1]))
    doubted = doubt(Evidence(base, restored), interval, scale, degraded if scale > 1 else None)
    return torch.lerp(restored, base, doubted[None])
