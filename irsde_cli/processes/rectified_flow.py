"""The rectified flow as a process around the degraded image: x_t = mu + (1 - t) (x_0 - mu) + t noise, 0 <= t < 1.

A flow's own state, (1 - t) x_0 + t noise (Liu et al., ICLR 2023; Esser et al., ICML 2024), is x_t - t mu. In these
coordinates it is one more process with m = 1 - t, s = t, and its start mu + t noise is the noised degraded image,
(1 - t) mu + t noise.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from irsde_cli.processes.parts import CPU, check_timesteps
from irsde_cli.processes.process import Process


@dataclass(frozen=True, eq=False)
class RectifiedFlow(Process):
    """Closed forms of the flow; all its state is a table of its times.

    Index i stands for the time t(q) = shift q / (1 + (shift - 1) q) at q = `start_at` i / T, which `time` holds, so
    that evenly spread indices are evenly spread before the shift.

    Args:
        num_timesteps: T; time indices run from 0 to T.
        shift: how far the times are drawn to the noisy end; 1 leaves them even.
        start_at: q at T; below 1, where nothing but noise would be left.

    Raises:
        ValueError: a value is out of range.
    """

    num_timesteps: int = 100
    shift: float = 1.0
    start_at: float = 20 / 21
    time: Tensor = field(init=False, repr=False)

    def __post_init__(self) -> None:
        check_timesteps(self.num_timesteps)
        if not 0.01 <= self.shift <= 100:
            raise ValueError(f"shift must be from 0.01 to 100, not {self.shift}")
        if not 0 < self.start_at < 1:
            raise ValueError(f"the start must lie between 0 and 1, not {self.start_at}")
        q = torch.linspace(0, self.start_at, self.num_timesteps + 1, dtype=torch.float64, device=CPU)
        time = self.shift * q / (1 + (self.shift - 1) * q)
        pull = -torch.log1p(-time)  # the integral of 1 / (1 - t); that of g^2 = 2 t / (1 - t) follows
        self._set(time=time, m=1 - time, s=time, pull=pull, diffusion=2 * (pull - time))

    def asked(self, t: Tensor) -> Tensor:
        """See `Process.asked`: the flow's own time."""
        return self.time.to(t.device)[t].float()

    def half_log_snr(self) -> Tensor:
        """ln((1 - t) / t) at t = 1..T, (T,) float64, falling."""
        return torch.log((1 - self.time[1:]) / self.time[1:])
