"""RDDM: x_t = x_0 + abar_t (mu - x_0) + bbar_t noise, with the residual's share and the noise's on their own schedules.

Liu et al., "Residual Denoising Diffusion Models", CVPR 2024: abar grows in steps that fall linearly, bbar^2 in steps
that rise linearly. Written from the paper's formulas; its code has no licence.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from irsde_cli.processes.parameterisation import Prediction
from irsde_cli.processes.parts import CPU, check_std, check_timesteps, with_zero
from irsde_cli.processes.process import Process


@dataclass(frozen=True, eq=False)
class ResidualDenoising(Process):
    """The process as a table; `ancestral` is its published sampler with noise, `ode-1` that without, for one output.

    With two, the prediction `residual-and-noise`, the published steps are the sampler `rddm`.

    Args:
        noise_std: s_T for images in [0, 1]; published 0.5 (raindrops) and 0.05 (shadows, low light).
        num_timesteps: T.

    Raises:
        ValueError: a value is out of range.
    """

    predictions: ClassVar[tuple[Prediction, ...]] = ("noise", "clean", "flow", "residual-and-noise")
    noise_std: float = 0.5
    num_timesteps: int = 1000

    def __post_init__(self) -> None:
        check_std("noise_std", self.noise_std)
        rising = torch.arange(1, check_timesteps(self.num_timesteps) + 1, dtype=torch.float64, device=CPU)
        residual = rising.flip(0).cumsum(0) / rising.sum()
        noise = rising.cumsum(0) / rising.sum()
        self._set(m=1 - with_zero(residual).clamp_max(1), s=self.noise_std * with_zero(noise).clamp_max(1).sqrt())

    def asked(self, t: Tensor) -> Tensor:
        """See `Process.asked`: the paper counts from 0 at the first noisy state."""
        return (t - 1).clamp_min(0)
