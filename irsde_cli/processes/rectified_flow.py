"""The rectified flow as a process around the degraded image: x_t = mu + (1 - t) (x_0 - mu) + t noise, 0 <= t < 1.

A flow's own state, (1 - t) x_0 + t noise (Liu et al., ICLR 2023; Esser et al., ICML 2024), is x_t - t mu. In these
coordinates it is one more process with m = 1 - t, s = t, and its start mu + t noise is the noised degraded image,
(1 - t) mu + t noise.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from irsde_cli.processes.mean_reverting import MOST_TIMESTEPS, Gaussian, pick
from irsde_cli.processes.path import Path
from irsde_cli.processes.schedules import CPU
from irsde_cli.randomness import RandnLike


@dataclass(frozen=True, eq=False)
class RectifiedFlow:
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
        if not 1 <= self.num_timesteps <= MOST_TIMESTEPS:
            raise ValueError(f"num_timesteps must be from 1 to {MOST_TIMESTEPS:,}, not {self.num_timesteps}")
        if not 0.01 <= self.shift <= 100:
            raise ValueError(f"shift must be from 0.01 to 100, not {self.shift}")
        if not 0 < self.start_at < 1:
            raise ValueError(f"the start must lie between 0 and 1, not {self.start_at}")
        q = torch.linspace(0, self.start_at, self.num_timesteps + 1, dtype=torch.float64, device=CPU)
        object.__setattr__(self, "time", self.shift * q / (1 + (self.shift - 1) * q))

    def alpha(self, t: Tensor, like: Tensor) -> Tensor:
        """1 - t for indices t (B,), shaped to multiply `like` (B, C, H, W)."""
        return pick(1 - self.time, t, like)

    def std(self, t: Tensor, like: Tensor) -> Tensor:
        """The time of indices t (B,), shaped to multiply `like`."""
        return pick(self.time, t, like)

    def half_log_snr(self) -> Tensor:
        """ln((1 - t) / t) at t = 1..T, (T,) float64, falling."""
        return torch.log((1 - self.time[1:]) / self.time[1:])

    def marginal(self, x0: Tensor, mu: Tensor, t: Tensor) -> Gaussian:
        """x_t given x_0: images or latents (B, C, H, W), t (B,) in 0..T."""
        return Gaussian(mu + (x0 - mu) * self.alpha(t, x0), self.std(t, x0))

    def start(self, mu: Tensor, t: int, randn_like: RandnLike) -> Tensor:
        """Where the reverse process starts: around `mu`, with the noise of t."""
        return mu + float(self.time[t]) * randn_like(mu)

    def reverse_mean(self, x: Tensor, noise: Tensor, mu: Tensor, t: Tensor) -> Tensor:
        """Mean of one Euler step of the reverse SDE from t to t - 1, with the noise in `x` given or predicted."""
        pull = pick(self._pull().diff(prepend=self.time[:1]), t, x)
        return x + pull * (x - mu) - self.reverse_gain(t, x) * noise

    def reverse_gain(self, t: Tensor, like: Tensor) -> Tensor:
        """How far a unit of noise moves `reverse_mean`, shaped to multiply `like`."""
        return pick(self._diffusion().diff(prepend=self.time[:1]), t, like) / self.std(t, like)

    def posterior(self, x: Tensor, x0: Tensor, mu: Tensor, t: Tensor) -> Gaussian:
        """x_{t-1} given x_t and x_0, t (B,) in 1..T."""
        m, s = self.alpha(t, x), self.std(t, x)
        before, s_before = self.alpha(t - 1, x), self.std(t - 1, x)
        kept = m / before * s_before**2 / s**2
        mean = mu + before * (x0 - mu) + kept * (x - mu - m * (x0 - mu))
        return Gaussian(mean, s_before * (1 - (m * s_before / (before * s)) ** 2).sqrt())

    def path(self, mu: Tensor) -> Path:
        """The process around `mu`, for samplers."""
        diffusion = self._diffusion()
        return Path(m=1 - self.time, s=self.time, centre=mu, pull=self._pull(), diffusion=diffusion, injected=diffusion)

    def _pull(self) -> Tensor:
        """Integral of 1 / (1 - t)."""
        return -torch.log1p(-self.time)

    def _diffusion(self) -> Tensor:
        """Integral of 2 t / (1 - t)."""
        return 2 * (self._pull() - self.time)
