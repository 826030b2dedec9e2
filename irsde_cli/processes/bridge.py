"""Bridges of the mean-reverting SDE: driven to end near mu, or in it.

With a penalty c (1 / gamma of UniDB, Zhu et al., ICML 2025) the drift of IR-SDE gains h_t (mu - x), where
h_t = sigma_t^2 e^(-2 (B_T - B_t)) / w_t and w_t = c + lambda^2 (1 - e^(-2 (B_T - B_t))), B = `theta_bar`. Its marginals
are m_t w_t / w_0 and s_t sqrt(w_t / w_0) in those of IR-SDE. c = 0 pins the end to mu: GOUB (Yue et al., ICML 2024).
Without end c leaves IR-SDE. RDBM (2510.23116), as released, is c = 0 with the schedule `ddpm-cosine`.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from irsde_cli.processes.mean_reverting import MeanRevertingSDE
from irsde_cli.processes.parts import check_timesteps, pick
from irsde_cli.processes.process import Process
from irsde_cli.processes.schedules import ScheduleName


@dataclass(frozen=True, eq=False)
class MeanRevertingBridge(Process):
    """Closed forms of the bridge; all its state are tables over t = 0..T, in float32 as the releases compute them.

    Args:
        stationary_std: lambda of the SDE that is driven, for images in [0, 1].
        num_timesteps: T.
        schedule: the shape of theta_t.
        eps: exp(-B_T).
        penalty: c, how dear it is not to stray from mu at T: 0 pins the end there, infinity leaves IR-SDE.
        released_std: s_t as UniDB's code has it, which forgets c there and only there; published weights differ from
            ours by less than a grey level.

    Raises:
        ValueError: a value is out of range.
    """

    stationary_std: float = 30 / 255
    num_timesteps: int = 100
    schedule: ScheduleName = "cosine"
    eps: float = 0.005
    penalty: float = 0.0
    released_std: bool = False
    free: MeanRevertingSDE = field(init=False, repr=False)
    drive: Tensor = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not self.penalty >= 0:
            raise ValueError(f"penalty must be at least 0, not {self.penalty}")
        check_timesteps(self.num_timesteps, least=2)
        free = MeanRevertingSDE(self.stationary_std, self.num_timesteps, self.schedule, self.eps)
        object.__setattr__(self, "free", free)
        object.__setattr__(self, "pinned", self.penalty <= torch.finfo(torch.float32).max)
        if not self.pinned:
            drive = torch.zeros_like(free.theta_step)
            self._set(m=free.m, s=free.s, pull=free.pull, diffusion=free.diffusion, drive=drive)
            return
        away = torch.exp(-2 * (free.theta_bar[-1] - free.theta_bar))
        left = self.stationary_std**2 * (1 - away)
        slack = self.penalty + left
        share = left if self.released_std else slack
        rate = 2 * self.stationary_std**2 * free.theta_step
        drive = torch.where(slack > 0, rate * away / slack, 0)
        drive[0] = drive[-1] = 0  # at T it is infinite for c = 0, and every release leaves it out
        pull = free.theta_bar.double() + torch.cumsum(drive.double(), dim=0)
        self._set(
            m=(torch.exp(-free.theta_bar) * slack / slack[0]).double(),
            s=(free.std_table * share.sqrt() / share[0].sqrt()).double(),
            pull=pull,
            diffusion=free.diffusion,
            drive=drive,
        )

    def reverse_mean(self, x: Tensor, noise: Tensor, mu: Tensor, t: Tensor) -> Tensor:
        """See `Process.reverse_mean`."""
        return x + pick(self.free.theta_step + self.drive, t, x) * (x - mu) - self.reverse_gain(t, x) * noise

    def reverse_gain(self, t: Tensor, like: Tensor) -> Tensor:
        """See `Process.reverse_gain`."""
        gain = 2 * self.stationary_std**2 * self.free.theta_step.double() / self.s
        gain[0] = 0
        if self.pinned:
            gain[-1] = 0
        return pick(gain, t, like)
