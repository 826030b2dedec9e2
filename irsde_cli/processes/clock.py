"""What a process is to training: states between a clean and a degraded end, by time index."""

from typing import Protocol

from torch import Tensor

from irsde_cli.processes.mean_reverting import Gaussian
from irsde_cli.processes.path import Path
from irsde_cli.randomness import RandnLike


class Clock(Protocol):
    """Closed forms of a process x_t = mu + m_t (x_0 - mu) + s_t noise; indices t (B,) run from 0 to T."""

    @property
    def num_timesteps(self) -> int:
        """T."""
        ...

    def alpha(self, t: Tensor, like: Tensor) -> Tensor:
        """m_t, shaped to multiply `like` (B, C, H, W)."""
        ...

    def std(self, t: Tensor, like: Tensor) -> Tensor:
        """s_t, shaped to multiply `like`."""
        ...

    def half_log_snr(self) -> Tensor:
        """Half the log of the signal-to-noise ratio at t = 1..T for data in units of the noise, (T,) float64."""
        ...

    def marginal(self, x0: Tensor, mu: Tensor, t: Tensor) -> Gaussian:
        """x_t given x_0."""
        ...

    def start(self, mu: Tensor, t: int, randn_like: RandnLike) -> Tensor:
        """Where the reverse process starts."""
        ...

    def reverse_mean(self, x: Tensor, noise: Tensor, mu: Tensor, t: Tensor) -> Tensor:
        """Mean of one Euler step of the reverse SDE from t to t - 1, with the noise in `x` given or predicted."""
        ...

    def reverse_gain(self, t: Tensor, like: Tensor) -> Tensor:
        """How far a unit of noise moves `reverse_mean`, shaped to multiply `like`."""
        ...

    def posterior(self, x: Tensor, x0: Tensor, mu: Tensor, t: Tensor) -> Gaussian:
        """x_{t-1} given x_t and x_0, t in 1..T."""
        ...

    def path(self, mu: Tensor) -> Path:
        """The process around `mu`, for samplers."""
        ...
