"""What all processes are made of."""

from dataclasses import dataclass

import torch
from torch import Tensor

from irsde_cli.randomness import RandnLike

MOST_TIMESTEPS = 100_000
# Standard deviations of images in [0, 1]: below, tables in float32 hold no noise, and above, no picture.
LEAST_STD, MOST_STD = 1e-6, 1e6
# Also while the meta device is the default, as when a checkpoint is compared with its header: arithmetic on that device
# loads torch's compiler, which takes a second.
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Gaussian:
    """A normal distribution with independent pixels; `std` broadcasts over `mean`."""

    mean: Tensor
    std: Tensor

    def sample(self, randn_like: RandnLike) -> Tensor:
        """One draw."""
        return self.mean + self.std * randn_like(self.mean)


def check_timesteps(num_timesteps: int, least: int = 1) -> int:
    """The number of time indices, if it is one; a bridge takes two, for its ends hold no noise.

    Raises:
        ValueError: it is not.
    """
    if not least <= num_timesteps <= MOST_TIMESTEPS:
        raise ValueError(f"num_timesteps must be from {least} to {MOST_TIMESTEPS:,}, not {num_timesteps}")
    return num_timesteps


def check_std(name: str, std: float) -> float:
    """A setting that is the standard deviation of something in [0, 1], if it can be one.

    Raises:
        ValueError: it cannot.
    """
    if not LEAST_STD <= std <= MOST_STD:
        raise ValueError(f"{name} must be positive, from {LEAST_STD:g} to {MOST_STD:g}, not {std}")
    return std


def pick(table: Tensor, t: Tensor, like: Tensor) -> Tensor:
    """A table's values at indices t (B,), shaped to multiply `like` (B, C, H, W)."""
    return table.to(like)[t.to(like.device)].reshape(-1, 1, 1, 1)


def with_zero(table: Tensor) -> Tensor:
    """A table of t = 1..T, float64, with a 0 for t = 0 before it."""
    return torch.cat((torch.zeros(1, dtype=torch.float64, device=CPU), table.double()))
