"""What a sampler needs to know of a process: x_t = centre + m_t (x_0 - centre) + s_t noise."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from irsde_cli.processes.parameterisation import Second


@dataclass(frozen=True, eq=False)
class Path:
    """The marginals of a process, and the rates of its SDE, on the grid t = 0..T.

    Attributes:
        m: how much of x_0 - centre is left, (T + 1,), float64 on the CPU; m_0 = 1.
        s: standard deviation of the noise, (T + 1,); s_0 = 0.
        centre: what x_0 is pulled to, (B, C, H, W), or zeros of a shape that broadcasts.
        pull: integral of the rate of that pull from 0 to t, (T + 1,); `None` where no Euler sampler is published.
        diffusion: integral of g^2, the square of the marginals' own diffusion, from 0 to t, likewise.
        injected: integral of the square of the noise that the published reverse SDE adds, from 0 to t, likewise.
        pinned: a bridge; its SDE has no finite drift at T, where a step of Euler's method has no score.
        drawn: whether a reverse SDE has the marginals of this path; see `Process.drawn`.
        second: what a network says beside the clean estimate, for the samplers that need it.
    """

    m: Tensor
    s: Tensor
    centre: Tensor
    pull: Tensor | None = None
    diffusion: Tensor | None = None
    injected: Tensor | None = None
    pinned: bool = False
    drawn: bool = True
    second: Second = ""

    @property
    def num_timesteps(self) -> int:
        """T, the last index of the grid."""
        return len(self.m) - 1

    def at(self, t: int) -> tuple[float, float]:
        """m_t and s_t."""
        return float(self.m[t]), float(self.s[t])

    def half_log_snr(self, t: int) -> float:
        """ln(m_t / s_t), the clock of every fast solver: infinite at t = 0, -infinite where no clean image is left."""
        m, s = self.at(t)
        if m == 0:
            return -math.inf
        return math.log(m / s) if s > 0 else math.inf

    def noise(self, x: Tensor, clean: Tensor, t: int) -> Tensor:
        """The noise that `x` holds at t > 0 if `clean` is the clean image; zero where the path has none."""
        m, s = self.at(t)
        if s == 0:
            return torch.zeros_like(x)
        return (x - self.centre - m * (clean - self.centre)) / s
