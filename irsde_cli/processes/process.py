"""What a process is to training and to samplers: states between a clean and a degraded end, by time index.

x_t = mu + m_t (x_0 - mu) + s_t noise for indices t = 0..T, m_0 = 1 and s_0 = 0: two tables tell everything but the
rates of a published Euler sampler.
"""

from typing import ClassVar

import torch
from torch import Tensor

from irsde_cli import room
from irsde_cli.errors import UsageError
from irsde_cli.processes.parameterisation import Prediction
from irsde_cli.processes.parts import CPU, Gaussian, pick
from irsde_cli.processes.path import Path
from irsde_cli.randomness import RandnLike, add_noise


class Process:
    """Closed forms by tables; a subclass sets these in its constructor and changes nothing afterwards.

    Attributes:
        num_timesteps: T.
        m: how much of x_0 - mu is left, (T + 1,), float64 on the CPU.
        s: standard deviation of the noise, (T + 1,), for images in [0, 1].
        pull: integral of the rate of the pull to mu from 0 to t, (T + 1,); `None` where nobody publishes an Euler
            sampler.
        diffusion: integral of g^2, likewise.
        pinned: a bridge: at T the state is mu, with little noise or none, and the drift of its SDE is infinite there.
        predictions: what a network of it may predict.
        drawn: whether the reverse SDE has the right marginals; a flow whose network does not see its centre has none.
    """

    num_timesteps: int
    m: Tensor
    s: Tensor
    pull: Tensor | None = None
    diffusion: Tensor | None = None
    pinned: bool = False
    drawn: bool = True
    predictions: ClassVar[tuple[Prediction, ...]] = ("noise", "clean", "flow")

    def _set(self, **tables: Tensor | None) -> None:
        """Set tables on a frozen dataclass."""
        for name, table in tables.items():
            object.__setattr__(self, name, table)

    @property
    def last_taught(self) -> int:
        """The largest index whose state holds something to predict the noise from: T, and T - 1 of a pinned bridge."""
        return self.num_timesteps - int(self.s[-1] == 0)

    def asked(self, t: Tensor) -> Tensor:
        """The time that the network is told at indices t (B,): the index itself, unless the paper's differs."""
        return t

    def seen(self, x: Tensor, mu: Tensor, t: Tensor | int) -> Tensor:
        """States (B, C, H, W) at indices t (B,) as the paper has them, where its state is moved by a share of `mu`."""
        return x

    def alpha(self, t: Tensor, like: Tensor) -> Tensor:
        """m_t for indices t (B,), shaped to multiply `like` (B, C, H, W)."""
        return pick(self.m, t, like)

    def std(self, t: Tensor, like: Tensor) -> Tensor:
        """Standard deviation of x_t given x_0, shaped to multiply `like`."""
        return pick(self.s, t, like)

    def half_log_snr(self) -> Tensor:
        """Half the log of the signal-to-noise ratio at t = 1..`last_taught`, float64, for data in units of max s_t."""
        inside = slice(1, self.last_taught + 1)
        return torch.log(self.m[inside].clamp_min(1e-3) / self.s[inside] * self.s.max())

    def marginal(self, x0: Tensor, mu: Tensor, t: Tensor) -> Gaussian:
        """x_t given x_0: images (B, C, H, W), t (B,) in 0..T."""
        return Gaussian(mu + (x0 - mu) * self.alpha(t, x0), self.std(t, x0))

    def state(self, x0: Tensor, mu: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """x_t given x_0 and the noise (B, C, H, W) that it holds."""
        x = self.marginal(x0, mu, t)
        return x.mean + x.std * noise

    def start(self, mu: Tensor, t: int, randn_like: RandnLike) -> Tensor:
        """Where the reverse process starts: around `mu`, with the noise of t."""
        std = float(self.s[t])
        return add_noise(room.copy(mu), std, randn_like) if std > 0 else room.copy(mu)

    def reverse_mean(self, x: Tensor, noise: Tensor, mu: Tensor, t: Tensor) -> Tensor:
        """Mean of one Euler step of the reverse SDE from t to t - 1, with the noise in `x` given or predicted."""
        pull = pick(_steps(self._rate("pull")), t, x)
        return x + pull * (x - mu) - self.reverse_gain(t, x) * noise

    def reverse_gain(self, t: Tensor, like: Tensor) -> Tensor:
        """How far a unit of noise moves `reverse_mean`, shaped to multiply `like`; 0 where a bridge is pinned."""
        gain = _steps(self._rate("diffusion")) / self.s
        gain[~torch.isfinite(gain)] = 0
        if self.pinned:
            gain[-1] = 0
        return pick(gain, t, like)

    def posterior(self, x: Tensor, x0: Tensor, mu: Tensor, t: Tensor) -> Gaussian:
        """x_{t-1} given x_t and x_0, t (B,) in 1..T."""
        m, s, before, s_before = self.m[1:], self.s[1:], self.m[:-1], self.s[:-1]
        # The Markov share of the noise that stays: 0 where nothing is known of x_0, as at a pinned end.
        kept = torch.where(s > 0, m * s_before / (before * s.clamp_min(1e-300)), 0)
        gain = before - kept * torch.where(s > 0, s_before / s.clamp_min(1e-300), 0) * m
        zero = torch.zeros(1, dtype=torch.float64, device=CPU)
        tables = (kept * torch.where(s > 0, s_before / s.clamp_min(1e-300), 0), gain, s_before * (1 - kept**2).sqrt())
        a, b, std = (pick(torch.cat((zero, table)), t, x) for table in tables)
        return Gaussian(mu + a * (x - mu) + b * (x0 - mu), std)

    def path(self, mu: Tensor) -> Path:
        """The process around `mu` (B, C, H, W), for samplers."""
        return Path(
            m=self.m,
            s=self.s,
            centre=mu,
            pull=self.pull,
            diffusion=self.diffusion,
            injected=self.diffusion,
            pinned=self.pinned,
            drawn=self.drawn,
        )

    def _rate(self, name: str) -> Tensor:
        table: Tensor | None = getattr(self, name)
        if table is None:
            raise UsageError(
                "this process has no rates, which the likelihood objectives compare steps of.",
                hint="Train with clean-matching or noise-matching.",
            )
        return table


def _steps(integral: Tensor) -> Tensor:
    """What each step from t - 1 to t adds to an integral, (T + 1,); 0 at t = 0."""
    return integral.diff(prepend=integral[:1])
