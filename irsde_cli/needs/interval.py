"""Intervals around a restored picture that hold the clean one nine times of ten, calibrated on held-out photographs.

The half-width is `factor` times a scale, and the scale comes of what is seen without the clean picture: how much was
changed, near and far, how much detail there is, how deep a hole is, and how far draws differ. The weights of these are
fitted; the factor is that of split conformal prediction with normalised scores (Papadopoulos et al. 2002; Romano et al.
2019), where whole pictures are exchangeable and the share of pixels within, averaged over pictures, is what is kept.
docs/trust.md says on what, and where it fails.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from irsde_cli.needs.planes import around

COVERAGE = 0.9
NEAR, FAR, DEPTH = 5, 31, 15
UNIT = 1 / 255
LEAST = 0.2 * UNIT  # of a scale
ROUNDING = 0.5 * UNIT  # of the files that are compared
SAMPLED = 3000  # pixels of each picture that the weights are fitted to
FITTED, RATE = 400, 0.05


@dataclass(frozen=True)
class Interval:
    """What was calibrated for a network with the settings that it ships with.

    Attributes:
        weights: of each of `features` in the square of the scale, by name.
        factor: half-width by scale.
        draws: of which the centre is the mean; 1 is the result as it is.
        pictures: on how many it was calibrated.
        data: which.
        date: when, as ISO 8601 has it.
        coverage: share of values that intervals hold.
    """

    weights: dict[str, float]
    factor: float
    draws: int
    pictures: int
    data: str
    date: str
    coverage: float = COVERAGE


@dataclass(frozen=True, eq=False)
class Evidence:
    """What is seen of a picture, and its restored self.

    Attributes:
        degraded: (3, H, W) in [0, 1], at the size of the restored one.
        restored: (3, H, W), the centre of the intervals.
        known: (H, W), false in holes; `None` where there are none.
        variance: (3, H, W) of draws; `None` where there was one.
        network: (3, H, W), what the network gave, where the restored picture was drawn back from that: what it would
            have taken out may still be damage.
        changed: the mean square of the change over the whole picture, where this is a part of it.
    """

    degraded: Tensor
    restored: Tensor
    known: Tensor | None = None
    variance: Tensor | None = None
    network: Tensor | None = None
    changed: float | None = None


def enlarged(degraded: Tensor, size: tuple[int, int]) -> Tensor:
    """(3, H, W) at another size; bicubic, in [0, 1]."""
    if tuple(degraded.shape[-2:]) == size:
        return degraded
    return F.interpolate(degraded[None], size=size, mode="bicubic", align_corners=False)[0].clamp_(0, 1)


def features(seen: Evidence) -> Iterator[tuple[str, Tensor]]:
    """Names, and what each adds to the square of a scale: (H, W), or a number for the whole picture."""
    made = seen.restored if seen.network is None else seen.network
    change = (made - seen.degraded).square().mean(0)
    del made
    if seen.known is not None:
        change = change * seen.known
    yield "constant", change.new_tensor(UNIT**2)
    yield "change near", around(change, NEAR)
    yield "change far", around(change, FAR)
    yield "change", change.mean() if seen.changed is None else change.new_tensor(seen.changed)
    del change
    detail = _detail(seen.restored)
    yield "detail near", around(detail, NEAR)
    far = around(detail, FAR)
    del detail
    yield "detail far", far
    if seen.known is not None:
        yield "hole", around((~seen.known).to(far), DEPTH) * far
    del far
    if seen.variance is not None:
        variance = seen.variance.mean(0)
        yield "draws near", around(variance, NEAR)
        yield "draws", variance.mean()


def _detail(image: Tensor) -> Tensor:
    """(H, W): the squared slope of (3, H, W), a mean over the channels."""
    padded = F.pad(image[None], (1, 1, 1, 1), mode="replicate")[0]
    across = (padded[:, 1:-1, 2:] - padded[:, 1:-1, :-2]).square().mean(0)
    return across.add_((padded[:, 2:, 1:-1] - padded[:, :-2, 1:-1]).square().mean(0)).div_(4)


def half_width(interval: Interval, seen: Evidence) -> Tensor:
    """(H, W): the clean value lies so near to the restored one, or nearer, nine times of ten; 0 where it is known."""
    square = seen.restored.new_zeros(seen.restored.shape[-2:])
    for name, values in features(seen):
        if name in interval.weights:
            square += interval.weights[name] * values
    width = square.sqrt_().add_(LEAST).mul_(interval.factor)
    return width if seen.known is None else width.masked_fill_(seen.known, 0.0)


def within(clean: Tensor, restored: Tensor, half: Tensor, counted: Tensor | None = None) -> tuple[float, float]:
    """The share of values of (3, H, W) in [0, 1] that intervals hold, and the mean width of these.

    Args:
        clean: the ground truth.
        restored: the centre.
        half: (H, W), of the widths.
        counted: (H, W) or (3, H, W) of booleans; `None` is all.
    """
    held = (clean - restored).abs() <= half + ROUNDING
    wide = half.expand_as(clean)
    if counted is not None:
        chosen = counted.expand_as(clean)
        held, wide = held[chosen], wide[chosen]
    return float(held.double().mean()), 2 * float(wide.double().mean())


def calibrated(pictures: Sequence[tuple[Evidence, Tensor]], draws: int, data: str, date: str) -> Interval:
    """The interval of a network, from restored pictures of which the clean ones, (3, H, W), are known.

    The weights maximise the likelihood of a Laplace distribution of that scale on a part of the pixels.
    """
    known = [_columns(seen, clean) for seen, clean in pictures]
    names = [name for name, _ in features(pictures[0][0])]
    generator = torch.Generator().manual_seed(0)
    parts = [torch.randint(len(errors), (SAMPLED,), generator=generator) for _, errors in known]
    columns = torch.cat([values[:, part] for (values, _), part in zip(known, parts, strict=True)], dim=1)
    errors = torch.cat([errors[part] for (_, errors), part in zip(known, parts, strict=True)])
    raw = torch.full((len(names),), -2.0, requires_grad=True)
    optimiser = torch.optim.Adam([raw], lr=RATE)
    for _ in range(FITTED):
        scale = _scale(F.softplus(raw), columns)
        loss = ((errors + ROUNDING) / scale + scale.log()).mean()
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    weights = F.softplus(raw.detach())
    scores = [((errors - ROUNDING).clamp_min(0) / _scale(weights, values)) for values, errors in known]
    low, high = 0.0, 1e3
    for _ in range(60):
        factor = (low + high) / 2
        held = sum(float((score <= factor).double().mean()) for score in scores) / len(scores)
        low, high = (factor, high) if held < COVERAGE else (low, factor)
    rounded = {name: float(f"{weight:.5g}") for name, weight in zip(names, weights.tolist(), strict=True)}
    return Interval(rounded, float(f"{high:.6g}"), draws, len(pictures), data, date)


def _columns(seen: Evidence, clean: Tensor) -> tuple[Tensor, Tensor]:
    """The features and the errors of all values that are not known: (F, N) and (N,)."""
    planes = torch.stack([values.expand(clean.shape[-2:]) for _, values in features(seen)])
    values, errors = planes[:, None].expand(-1, 3, -1, -1), (clean - seen.restored).abs()
    hole = torch.ones_like(errors, dtype=torch.bool) if seen.known is None else (~seen.known).expand_as(errors)
    return values[:, hole], errors[hole]


def _scale(weights: Tensor, columns: Tensor) -> Tensor:
    return (weights[:, None] * columns).sum(0).sqrt() + LEAST
