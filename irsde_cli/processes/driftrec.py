"""DriftRec: mean-reverting SDEs whose noise grows exponentially, and which stop while a share of the residual is left.

Welker et al., "DriftRec: Adapting diffusion models to blind JPEG restoration" (IEEE TIP 2024):
dx = gamma rho(t) (mu - x) dt + g dw on [0, 1], g = c sigma_min (sigma_max / sigma_min)^t. Written from the
paper's formulas; its code has no licence. Its class `linear` is left out: its noise ends 2.5 times too strong.
"""

import math
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from irsde_cli.processes.parts import CPU, check_std, check_timesteps
from irsde_cli.processes.path import Path
from irsde_cli.processes.process import Process

Stiffness = Literal["ouve", "t2ve", "cosve"]
FINE = 200  # Simpson intervals a time index


@dataclass(frozen=True, eq=False)
class DriftingSDE(Process):
    """The process as tables, in float64.

    Attributes:
        rate: gamma rho at each index, for a unit of time.
        spread: g^2, likewise.

    Args:
        num_timesteps: T; index i stands for time i / T.
        stiffness: rho: `ouve` 1, `t2ve` t, `cosve` 1 - cos(pi t).
        gamma: how strongly states revert; e^(-gamma R(1)) of the residual is left at T.
        smallest_std: sigma_min, for images in [0, 1].
        largest_std: sigma_max, likewise; s_T.

    Raises:
        ValueError: a value is out of range.
    """

    num_timesteps: int = 100
    stiffness: Stiffness = "ouve"
    gamma: float = 1.0
    smallest_std: float = 0.005
    largest_std: float = 0.5
    rate: Tensor = field(init=False, repr=False)
    spread: Tensor = field(init=False, repr=False)

    def __post_init__(self) -> None:
        for name in ("smallest_std", "largest_std"):
            check_std(name, getattr(self, name))
        if not (self.smallest_std < self.largest_std and 0 < self.gamma <= 100):
            raise ValueError("'smallest_std' must be positive and below 'largest_std', and 'gamma' in (0, 100]")
        count = check_timesteps(self.num_timesteps)
        time = torch.linspace(0, 1, count * FINE + 1, dtype=torch.float64, device=CPU)
        fallen = self.gamma * self._fallen(time)
        growth = math.log(self.largest_std / self.smallest_std)
        power = torch.exp(2 * growth * time)
        # s^2 e^(2 gamma R) is the integral of g^2 e^(2 gamma R), by Simpson's rule on a grid that is fine enough.
        spread = _integral(power * torch.exp(2 * fallen), 1 / (count * FINE), FINE)
        added = _integral(power, 1 / (count * FINE), FINE)
        fallen = fallen[::FINE]
        unit = self._unit(spread, fallen, growth)
        self._set(
            m=torch.exp(-fallen),
            s=(unit * spread).sqrt() * torch.exp(-fallen),
            pull=fallen,
            diffusion=unit * added,
            rate=self.gamma * self._stiff(time[::FINE]),
            spread=unit * power[::FINE],
        )

    def _stiff(self, time: Tensor) -> Tensor:
        """How fast the state reverts at each time, by gamma."""
        match self.stiffness:
            case "ouve":
                return torch.ones_like(time)
            case "t2ve":
                return time
            case "cosve":
                return 1 - torch.cos(math.pi * time)

    def _fallen(self, time: Tensor) -> Tensor:
        """R, the integral of rho."""
        match self.stiffness:
            case "ouve":
                return time
            case "t2ve":
                return time**2 / 2
            case "cosve":
                return time - torch.sin(math.pi * time) / math.pi

    def _unit(self, spread: Tensor, fallen: Tensor, growth: float) -> float:
        """(c sigma_min)^2; the paper normalises s_1 to sigma_max in two of its SDEs, and nearly so in the first."""
        if self.stiffness == "ouve":
            return 2 * (self.gamma + growth) * self.smallest_std**2
        return self.largest_std**2 / float(spread[-1] * torch.exp(-2 * fallen[-1]))

    def asked(self, t: Tensor) -> Tensor:
        """See `Process.asked`: the noise's standard deviation for images in [-1, 1]; the release passes time over."""
        return 2 * self.s.to(device=t.device, dtype=torch.float32)[t]

    def path(self, mu: Tensor) -> "DriftingPath":
        """See `Process.path`."""
        return DriftingPath(**vars(super().path(mu)), rate=self.rate, spread=self.spread)


@dataclass(frozen=True, eq=False)
class DriftingPath(Path):
    """The process as its published sampler sees it; see `DriftingSDE`."""

    rate: Tensor = field(kw_only=True)
    spread: Tensor = field(kw_only=True)


def _integral(values: Tensor, width: float, every: int) -> Tensor:
    """The integral from the first value to each of every so many, an even number, by Simpson's rule."""
    pieces = (values[:-2:2] + 4 * values[1:-1:2] + values[2::2]) * (width / 3)
    sums = pieces.reshape(-1, every // 2).sum(1).cumsum(0)
    return torch.cat((torch.zeros(1, dtype=values.dtype, device=values.device), sums))
