"""ResShift: the residual is shifted in by eta_t while noise of kappa sqrt(eta_t) grows; fifteen steps or four.

Yue et al., "ResShift: Efficient Diffusion Model for Image Super-resolution by Residual Shifting", NeurIPS 2023. Written
from the paper's formulas; its code and weights are for non-commercial use.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from irsde_cli.processes.parts import CPU, check_std, check_timesteps, with_zero
from irsde_cli.processes.process import Process


@dataclass(frozen=True, eq=False)
class ResidualShift(Process):
    """The process as a table; `ancestral` is its published sampler.

    Args:
        num_timesteps: T; published 15, and 4 with `min_noise` 0.2.
        kappa: noise for all of the residual, in units of the states; the published ones are latents.
        min_noise: kappa sqrt(eta_1) at least.
        end: sqrt(eta_T).
        power: how sqrt(eta) grows between.

    Raises:
        ValueError: a value is out of range.
    """

    num_timesteps: int = 15
    kappa: float = 2.0
    min_noise: float = 0.04
    end: float = 0.99
    power: float = 0.3

    def __post_init__(self) -> None:
        check_std("kappa", self.kappa)
        first = min(self.min_noise / self.kappa, self.min_noise)
        if not (0 < first < self.end <= 1 and self.power > 0):
            raise ValueError("'kappa', 'min_noise' and 'power' must be positive, and 'end' above the first, up to 1")
        count = check_timesteps(self.num_timesteps)
        place = torch.linspace(0, 1, count, dtype=torch.float64, device=CPU)
        if count == 1:
            place += 1
        root = with_zero(first * (self.end / first) ** (place**self.power))
        self._set(m=1 - root**2, s=self.kappa * root)

    def asked(self, t: Tensor) -> Tensor:
        """See `Process.asked`: the paper counts from 0 at the first noisy state."""
        return (t - 1).clamp_min(0)
