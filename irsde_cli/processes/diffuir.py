"""DiffUIR: RDDM's state with a share of the degraded image taken away: x_0 + abar_t r - delta_t mu + bbar_t noise.

Zheng et al., "Selective Hourglass Mapping for Universal Image Restoration Based on Diffusion Model", CVPR 2024. With
delta_t mu added back it is a process around mu as all others; `shift` holds delta_t.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from irsde_cli.processes.parts import CPU, MOST_STD, check_timesteps, with_zero
from irsde_cli.processes.process import Process
from irsde_cli.randomness import RandnLike


@dataclass(frozen=True, eq=False)
class SelectiveHourglass(Process):
    """The process with its shift undone; the sampler `residual` is the published one.

    Its step takes no noise away and its last returns mu - r alone, so that earlier steps only feed the next input; the
    published start has a tenth of the noise that the schedule has at T.

    Args:
        num_timesteps: T.
        fading: delta_T times 1000 / T, how fast the degraded image is taken away; 1.8e-3 as published.
        start_std: noise of the start, for images in [0, 1]; the schedule's own is 0.5.

    Raises:
        ValueError: a value is out of range.
    """

    num_timesteps: int = 1000
    fading: float = 1.8e-3
    start_std: float = 0.05

    shift: Tensor = None  # type: ignore[assignment]  # set below

    def __post_init__(self) -> None:
        count = check_timesteps(self.num_timesteps)
        if not 1e-6 <= self.fading <= 1 or not 0 <= self.start_std <= MOST_STD:
            raise ValueError(f"'fading' must lie in [1e-6, 1], and 'start_std' in [0, {MOST_STD:g}]")
        scale = 1000 / count
        betas = torch.linspace(1e-4 * scale, 0.02 * scale, count, dtype=torch.float64, device=CPU)
        kept = torch.cumprod(1 - betas.clamp_max(0.999), 0)
        shift = torch.linspace(1e-6, self.fading, count, dtype=torch.float64, device=CPU).mul(scale).cumsum(0)
        self._set(
            m=1 - with_zero(1 - kept.sqrt()), s=0.5 * with_zero((1 - kept).sqrt()), shift=with_zero(shift.clamp_max(1))
        )

    def seen(self, x: Tensor, mu: Tensor, t: Tensor | int) -> Tensor:
        """See `Process.seen`: the paper's own state."""
        return x - self.shift.to(x)[t].reshape(-1, 1, 1, 1) * mu

    def start(self, mu: Tensor, t: int, randn_like: RandnLike) -> Tensor:
        """See `Process.start`; at T as published."""
        if t < self.num_timesteps:
            return super().start(mu, t, randn_like)
        return mu + self.start_std * randn_like(mu)

    def asked(self, t: Tensor) -> Tensor:
        """See `Process.asked`: 1000 abar_t."""
        return 1000 * (1 - self.m.to(device=t.device, dtype=torch.float32)[t])
