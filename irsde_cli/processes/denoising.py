"""The Denoising-SDE: the mean-reverting SDE with mu = x_0, so that noise is all that time adds.

Luo et al., ICML 2023: x_t = x_0 + std_t noise, so a noisy photograph is the state at the time whose std is its noise
level.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from irsde_cli.processes.mean_reverting import MeanRevertingSDE
from irsde_cli.processes.path import Path


@dataclass(frozen=True, eq=False)
class DenoisingSDE(MeanRevertingSDE):
    """The closed forms are those of the mean-reverting SDE around the clean image; a sampler sees `path` alone.

    Args:
        stationary_std: lambda, for images in [0, 1]: the largest noise that it can remove.
        num_timesteps: T.
        schedule: the shape of theta_t.
        eps: alpha_T; the reference fixes 0.04.

    Raises:
        ValueError: a value is out of range.
    """

    predictions = ("noise", "clean")
    stationary_std: float = 75 / 255
    eps: float = 0.04

    def timestep_for(self, noise_std: float) -> int:
        """The index whose std is nearest to `noise_std` (for a [0, 1] image) on the scale of theta_bar, in 1..T.

        Raises:
            ValueError: the noise is stronger than `stationary_std`.
        """
        if noise_std > self.stationary_std:
            raise ValueError(
                f"a noise level of {noise_std * 255:.4g} is beyond what this model removes "
                f"({self.stationary_std * 255:.4g})"
            )
        target = -math.log(1 - noise_std**2 / self.stationary_std**2 + 1e-6) / 2
        return max(int(torch.argmin((self.theta_bar - target).abs())), 1)

    def path(self, mu: Tensor) -> Path:
        """The process as samplers see it; nothing pulls, so the centre is zero.

        The published reverse SDE adds the noise of the SDE around x_0, which is more than its marginals need.
        """
        theta_bar, step = self.theta_bar.double(), self.theta_step.double()
        alpha = torch.exp(-theta_bar)
        rate = 2 * self.stationary_std**2 * step
        rate[0] = 0
        return Path(
            m=torch.ones_like(theta_bar),
            s=self.std_table.double(),
            centre=torch.zeros_like(mu[:1, :1, :1, :1]),
            pull=torch.zeros_like(theta_bar),
            diffusion=torch.cumsum(rate * alpha**2, dim=0),
            injected=torch.cumsum(rate, dim=0),
        )
