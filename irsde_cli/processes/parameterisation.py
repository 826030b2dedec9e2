"""What a network's output means, and how its input is scaled.

`noise` is published; its error is multiplied by s / m in the clean estimate, up to 39 at t = T. `clean` is
preconditioned as in EDM (Karras et al. 2022, section 5) for a residual x_0 - centre of standard deviation
`residual_std`, so that the network's error reaches the clean estimate scaled down at every t. `flow` is the velocity
of a rectified flow, noise minus clean image, from the state that such a flow has: m x_0 + s noise, wherever the centre
lies.

Two predictions take a network of twice as many channels of output. `residual-and-noise` is RDDM's: centre - x_0 in
units of `residual_std`, and the noise, which need not agree. `clean-and-variance` is `clean` with the log of the
variance that its error has, in units of what a state leaves open.
"""

import math
from dataclasses import dataclass
from typing import Literal, overload

import torch
from torch import Tensor

from irsde_cli.processes.parts import check_std

NOTHING = 1e-12
Prediction = Literal["noise", "clean", "velocity", "flow", "residual-and-noise", "clean-and-variance"]
Second = Literal["", "noise", "variance"]


@dataclass(frozen=True)
class Parameterisation:
    """Turns a network's output into an estimate of the clean image.

    Attributes:
        prediction: what the network predicts.
        residual_std: typical standard deviation of clean minus degraded, for [0, 1] images; for `clean` and pairs only.

    Raises:
        ValueError: a value is out of range.
    """

    prediction: Prediction
    residual_std: float

    def __post_init__(self) -> None:
        check_std("residual_std", self.residual_std)

    @property
    def second(self) -> Second:
        """What the second half of a network's channels of output says; empty where it has a single output."""
        match self.prediction:
            case "residual-and-noise":
                return "noise"
            case "clean-and-variance":
                return "variance"
            case _:
                return ""

    def network_input(self, x: Tensor, centre: Tensor, m: Tensor | float, s: Tensor | float) -> Tensor:
        """The state as the network sees it: for `clean` in units of its spread, for `flow` around zero."""
        if self.prediction == "flow":
            return x - (1 - m) * centre
        if not self._scales:
            return x
        return centre + (x - centre) / _positive(self._total_std(m, s))

    def clean(self, output: Tensor, x: Tensor, centre: Tensor, m: Tensor | float, s: Tensor | float) -> Tensor:
        """The estimate of x_0 from the output at state `x`; `m`, `s` are scalars or (B, 1, 1, 1)."""
        y = x - centre
        if self.second:
            output = output.chunk(2, dim=1)[0]
        if self.prediction == "residual-and-noise":
            return centre - self.residual_std * output
        if self.prediction == "noise":
            if not isinstance(m, Tensor):
                return centre + (y - s * output) / m if m > 0 else centre + 0 * y
            return centre + torch.where(m > 0, (y - s * output) / _positive(m), 0)
        if self.prediction == "velocity":
            return centre + m * y - s * output  # v / lambda, for the variance-preserving m and s
        if self.prediction == "flow":
            return (self.network_input(x, centre, m, s) - s * output) / (m + s)
        skip = m * self.residual_std**2 / _positive(self._total_std(m, s)) ** 2
        return centre + skip * y + self.open_std(m, s) * output

    def noise(self, output: Tensor, x: Tensor, centre: Tensor, m: Tensor | float, s: Tensor | float) -> Tensor:
        """The estimate of the noise in `x`."""
        if self.prediction == "noise":
            return output
        if self.second == "noise":
            return output.chunk(2, dim=1)[1]
        return (x - centre - m * (self.clean(output, x, centre, m, s) - centre)) / _positive(s)

    def variance(self, output: Tensor, m: Tensor | float, s: Tensor | float) -> Tensor:
        """The variance of the clean estimate's error that the second output says."""
        unit = self.open_std(m, s)
        return unit * unit * torch.exp(output.chunk(2, dim=1)[1])

    def estimates(self, output: Tensor, x: Tensor, centre: Tensor, m: Tensor | float, s: Tensor | float) -> Tensor:
        """The clean estimate, and behind it, of as many channels, what a second output says."""
        clean = self.clean(output, x, centre, m, s)
        match self.second:
            case "noise":
                return torch.cat((clean, self.noise(output, x, centre, m, s)), dim=1)
            case "variance":
                return torch.cat((clean, self.variance(output, m, s)), dim=1)
            case _:
                return clean

    def open_std(self, m: Tensor | float, s: Tensor | float) -> Tensor | float:
        """Standard deviation of x_0 that a state leaves open, by `residual_std`: the unit of its error."""
        total = self._total_std(m, s)
        if isinstance(total, Tensor):
            return torch.where(total > 0, s * self.residual_std / _positive(total), self.residual_std)
        return s * self.residual_std / total if total > 0 else self.residual_std

    @property
    def knows_the_start(self) -> bool:
        """Whether the first estimate of a run, where nothing of the clean image is left, is one: noise says nothing."""
        return self.prediction != "noise"

    @property
    def reads_a_pinned_end(self) -> bool:
        """Whether the estimate is one where a state is the centre itself, without noise, and a flow stands still."""
        return self.prediction not in ("noise", "velocity", "flow")

    @property
    def _scales(self) -> bool:
        return self.prediction in ("clean", "clean-and-variance")

    def _total_std(self, m: Tensor | float, s: Tensor | float) -> Tensor | float:
        variance = (m * self.residual_std) ** 2 + s**2
        return math.sqrt(variance) if isinstance(variance, float) else variance.sqrt()


@overload
def _positive(value: Tensor) -> Tensor: ...


@overload
def _positive(value: float) -> float: ...


def _positive(value: Tensor | float) -> Tensor | float:
    """The value, or next to nothing where it is 0: at the pinned end of a bridge, where so is what it divides."""
    return value.clamp_min(NOTHING) if isinstance(value, Tensor) else max(value, NOTHING)
