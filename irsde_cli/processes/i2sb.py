"""I2SB: a Brownian bridge from the clean to the degraded image, noisiest in the middle.

Liu et al., "I2SB: Image-to-Image Schroedinger Bridge", ICML 2023. Written from the paper's formulas; its code and
weights are for non-commercial use.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from irsde_cli.processes.parts import CPU, check_timesteps, with_zero
from irsde_cli.processes.process import Process


@dataclass(frozen=True, eq=False)
class SchroedingerBridge(Process):
    """The process as a table; `posterior` is its published sampler.

    Args:
        num_timesteps: T.
        largest_beta: T times the variance that the steps head for, half of them up and half down, in [-1, 1].
        released: the states that the release trains on, where each end keeps the variance of one step: its last is not
            quite the degraded image. Its sampler walks on the exact bridge all the same.

    Raises:
        ValueError: a value is out of range.
    """

    num_timesteps: int = 1000
    largest_beta: float = 0.3
    released: bool = False

    def __post_init__(self) -> None:
        count = check_timesteps(self.num_timesteps, least=2)
        if not 0.1 <= self.largest_beta < 1000:
            raise ValueError(f"largest_beta must be from 0.1 to 1000, not {self.largest_beta}")
        ends = (0.1 / count) ** 0.5, (self.largest_beta / count) ** 0.5
        half = torch.linspace(*ends, count, dtype=torch.float64, device=CPU)[: (count + 1) // 2] ** 2
        betas = torch.cat((half, half.flip(0)[count % 2 :]))
        forward = betas.cumsum(0)
        backward = betas.flip(0).cumsum(0).flip(0)
        if not self.released:
            backward = backward - betas
        share = backward / (forward + backward)
        self._set(
            m=torch.cat((torch.ones(1, dtype=torch.float64, device=CPU), share)),
            s=0.5 * with_zero((share * forward).clamp_min(0).sqrt()),
        )
        object.__setattr__(self, "pinned", True)

    def asked(self, t: Tensor) -> Tensor:
        """See `Process.asked`: 1e-4 to 1, times 1000."""
        place = (t - 1).clamp_min(0) / max(self.num_timesteps - 1, 1)
        return 1000 * (1e-4 + (1 - 1e-4) * place.float())
