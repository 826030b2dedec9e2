"""The mean-reverting SDE of IR-SDE: dx = theta_t (mu - x) dt + sigma_t dw, sigma_t^2 = 2 lambda^2 theta_t.

Luo et al., "Image Restoration with Mean-Reverting Stochastic Differential Equations", ICML 2023.
With y = x - mu it is exactly a variance-preserving diffusion on y / lambda.
"""

import math
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from irsde_cli import room
from irsde_cli.processes.parameterisation import Prediction
from irsde_cli.processes.parts import Gaussian, check_std, check_timesteps, pick
from irsde_cli.processes.process import Process
from irsde_cli.processes.schedules import ScheduleName, thetas
from irsde_cli.randomness import RandnLike, add_noise


@dataclass(frozen=True, eq=False)
class MeanRevertingSDE(Process):
    """Closed forms of the process; all its state are tables over t = 0..T.

    `theta_step[t]` is theta_t Delta for the step from t - 1 to t, `theta_bar[t]` their sum from 1 to t, and
    alpha_t = exp(-theta_bar[t]), so that alpha_0 = 1 and alpha_T = `eps`.

    Args:
        stationary_std: lambda, for images in [0, 1]; published as 10 / 255 to 75 / 255.
        num_timesteps: T; time indices run from 0 to T.
        schedule: the shape of theta_t.
        eps: alpha_T, what is left of x_0 - mu at the end.

    Raises:
        ValueError: a value is out of range.
    """

    predictions: ClassVar[tuple[Prediction, ...]] = ("noise", "clean", "velocity", "flow")
    stationary_std: float = 10 / 255
    num_timesteps: int = 100
    schedule: ScheduleName = "cosine"
    eps: float = 0.005
    theta_step: Tensor = field(init=False, repr=False)
    theta_bar: Tensor = field(init=False, repr=False)
    std_table: Tensor = field(init=False, repr=False)

    def __post_init__(self) -> None:
        check_std("stationary_std", self.stationary_std)
        check_timesteps(self.num_timesteps)
        if not 0 < self.eps < 1:
            raise ValueError(f"eps must lie between 0 and 1, not {self.eps}")
        theta = thetas(self.schedule, self.num_timesteps)
        total = torch.cumsum(theta, dim=0) - theta[0]
        delta = -1 / total[-1] * math.log(self.eps)
        # In this order: at small t the difference cancels, and another order changes the third digit.
        std = torch.sqrt(self.stationary_std**2 * (1 - torch.exp(-2 * total * delta)))
        self._set(theta_step=theta * delta, theta_bar=total * delta, std_table=std)
        pull = self.theta_bar.double()
        m = torch.exp(-self.theta_bar).double()
        self._set(m=m, s=std.double(), pull=pull, diffusion=2 * self.stationary_std**2 * pull)

    def half_log_snr(self) -> Tensor:
        """ln(alpha / sqrt(1 - alpha^2)) at t = 1..T, (T,) float64, falling."""
        alpha = torch.exp(-self.theta_bar[1:].double())
        return torch.log(alpha / torch.sqrt(1 - alpha**2))

    def start(self, mu: Tensor, t: int, randn_like: RandnLike) -> Tensor:
        """Where the reverse process starts: around `mu`, with the noise of t; at T the stationary one, as published."""
        std = self.stationary_std if t == self.num_timesteps else float(self.std_table[t])
        return add_noise(room.copy(mu), std, randn_like)

    def reverse_mean(self, x: Tensor, noise: Tensor, mu: Tensor, t: Tensor) -> Tensor:
        """Mean of one Euler step of the reverse SDE from t to t - 1, with the noise in `x` given or predicted."""
        step = pick(self.theta_step, t, x)
        score = -noise / self.std(t, x)
        return x - step * (mu - x) + 2 * self.stationary_std**2 * step * score

    def reverse_gain(self, t: Tensor, like: Tensor) -> Tensor:
        """How far a unit of noise moves `reverse_mean`, shaped to multiply `like`."""
        return 2 * self.stationary_std**2 * pick(self.theta_step, t, like) / self.std(t, like)

    def posterior(self, x: Tensor, x0: Tensor, mu: Tensor, t: Tensor) -> Gaussian:
        """x_{t-1} given x_t and x_0, t (B,) in 1..T; its mean is the paper's optimal reverse state."""
        step, total = pick(self.theta_step, t, x), pick(self.theta_bar, t, x)
        before = pick(self.theta_bar, t - 1, x)
        a, b, c = torch.exp(-step), torch.exp(-total), torch.exp(-before)
        mean = a * (1 - c**2) / (1 - b**2) * (x - mu) + c * (1 - a**2) / (1 - b**2) * (x0 - mu) + mu
        share = -torch.expm1(-2 * step) * -torch.expm1(-2 * before) / -torch.expm1(-2 * total)
        return Gaussian(mean, self.stationary_std * share.sqrt())
