"""Straight lines from the clean image to a centre: a flow that starts from the noised centre, and a Brownian bridge.

The flow is that of Ohayon et al., "Posterior-Mean Rectified Flow" (ICLR 2025): around the degraded image their naive
flow, around a network's estimate PMRF itself.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from irsde_cli.processes.parts import CPU, check_std, check_timesteps
from irsde_cli.processes.process import Process


@dataclass(frozen=True, eq=False)
class StraightFlow(Process):
    """m = 1 - tau, s = sigma tau, tau = t / T; `ddim` is Euler's method in tau.

    Args:
        noise_std: sigma, for images in [0, 1]; published 0.1 for faces and 0.025 for noise.
        num_timesteps: T.

    Raises:
        ValueError: a value is out of range.
    """

    noise_std: float = 0.1
    num_timesteps: int = 100

    def __post_init__(self) -> None:
        check_std("noise_std", self.noise_std)
        tau = _taus(self.num_timesteps)
        self._set(m=1 - tau, s=self.noise_std * tau)


@dataclass(frozen=True, eq=False)
class BrownianBridge(Process):
    """m = 1 - tau, s = kappa sqrt(tau (1 - tau)); ends in the degraded image.

    Args:
        noise_std: kappa; the largest s is half of it.
        num_timesteps: T.

    Raises:
        ValueError: a value is out of range.
    """

    noise_std: float = 0.2
    num_timesteps: int = 100
    pinned = True

    def __post_init__(self) -> None:
        check_std("noise_std", self.noise_std)
        tau = _taus(check_timesteps(self.num_timesteps, least=2))
        self._set(m=1 - tau, s=self.noise_std * (tau * (1 - tau)).sqrt())


def _taus(num_timesteps: int) -> Tensor:
    return torch.linspace(0, 1, check_timesteps(num_timesteps) + 1, dtype=torch.float64, device=CPU)
