"""Falling back where a result is a guess; see `irsde_cli.needs.gate`."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from irsde_cli import room
from irsde_cli.images import in_unit
from irsde_cli.needs.gate import doubt
from irsde_cli.needs.interval import Evidence, Interval, enlarged
from irsde_cli.observation import Observation
from irsde_cli.restorer import amount_on
from irsde_cli.samplers.settings import Amount

PIXELS = 1 << 23  # of a result that are looked at together
SEEN = 24  # rows on both sides that what is said of a pixel depends on, and more


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
        kept = torch.ones_like(mean[:, :1])
        for index, (height, width) in enumerate(self.sizes):
            bands = self._bands(height, width)
            changed = None
            if len(bands) > 1:
                changed = 0.0
                for rows, around in bands:
                    seen = self._evidence(mean, draw, asked, index, around, None)
                    change = (seen.restored - seen.degraded).square_().mean(0)
                    change = change if seen.known is None else change * seen.known
                    changed += float(change[self._within(rows, around)].sum()) / (height * width * self.scale**2)
                    room.rest()
            for rows, around in bands:
                seen = self._evidence(mean, draw, asked, index, around, changed)
                small = self._given(index, around).to(mean) if self.scale > 1 else None
                doubted = doubt(seen, self.interval, self.scale, small)[self._within(rows, around)]
                kept[index, 0, _times(rows, self.scale), : width * self.scale] -= doubted.to(kept)
                room.rest()
        return kept.mul_(asked)

    def _bands(self, height: int, width: int) -> list[tuple[slice, slice]]:
        """The rows of a degraded picture that are looked at together, each with what they depend on."""
        count = max(PIXELS // (width * self.scale**2), 1)
        bands = [slice(top, min(top + count, height)) for top in range(0, height, count)]
        return [(rows, slice(max(rows.start - SEEN, 0), min(rows.stop + SEEN, height))) for rows in bands]

    def _within(self, rows: slice, around: slice) -> slice:
        """Where in a result of the rows `around` those of `rows` are."""
        return _times(slice(rows.start - around.start, rows.stop - around.start), self.scale)

    def _evidence(
        self, mean: Tensor, draw: Tensor, asked: Tensor, index: int, rows: slice, changed: float | None
    ) -> Evidence:
        """What is seen of some rows of a degraded picture, and of what is made of them if no gate is asked."""
        place = (_times(rows, self.scale), slice(self.sizes[index][1] * self.scale))
        amount = asked[index if len(asked) > 1 else 0]
        amount = amount[:, place[0], place[1]] if amount.shape[-2] > 1 else amount
        near, far = (image[index, :, place[0], place[1]] for image in (mean, draw))
        result = torch.lerp(near, far, amount).float().clamp(0, 1)
        known = self.observation.known
        if known is not None:
            known = known[index, 0, rows, : self.sizes[index][1]] if self.scale == 1 else None
        given = self._given(index, rows).to(result)
        return Evidence(enlarged(given, (result.shape[-2], result.shape[-1])), result, known, changed=changed)

    def _given(self, index: int, rows: slice) -> Tensor:
        return in_unit(self.observation.samples[index, :, rows, : self.sizes[index][1]])


def _times(rows: slice, scale: int) -> slice:
    return slice(rows.start * scale, rows.stop * scale)


def to_input(restored: Tensor, degraded: Tensor, interval: Interval, scale: int) -> Tensor:
    """A restored picture (3, H * scale, W * scale), drawn to its input (3, H, W) where it is a guess."""
    base = enlarged(degraded, (restored.shape[-2], restored.shape[-1]))
    doubted = doubt(Evidence(base, restored), interval, scale, degraded if scale > 1 else None)
    return torch.lerp(restored, base, doubted[None])
