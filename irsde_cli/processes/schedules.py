"""theta_t of the published schedules, in float32 and in the reference's order of operations.

Recomputed in float64 the tables differ by up to 0.4 % at T = 1000, so float32 is part of the definition.
"""

import math
from typing import Literal, get_args

import torch
from torch import Tensor

from irsde_cli.processes.parts import CPU

ScheduleName = Literal["cosine", "linear", "constant", "ddpm-cosine"]
SCHEDULES: tuple[ScheduleName, ...] = get_args(ScheduleName)


def thetas(schedule: ScheduleName, num_timesteps: int) -> Tensor:
    """theta_t for t = 0..T, (T + 1,), float32; theta_t belongs to the step from t - 1 to t."""
    count = num_timesteps + 1
    if schedule == "constant":
        return torch.ones(count, device=CPU)
    if schedule == "linear":
        scale = 1000 / count
        return torch.linspace(scale * 1e-4, scale * 0.02, count, device=CPU)
    if schedule == "ddpm-cosine":  # of RDBM and FoD: a step's share of DDPM's signal, at most 0.999
        position = torch.linspace(0, num_timesteps, count, device=CPU) / num_timesteps
        falling = torch.cos((position + 0.008) / 1.008 * math.pi * 0.5) ** 2
        return torch.cat((torch.zeros(1, device=CPU), (1 - falling[1:] / falling[:-1]).clamp_max(0.999)))
    length = num_timesteps + 2
    position = torch.linspace(0, length, length + 1, device=CPU)
    falling = torch.cos((position / length + 0.008) / 1.008 * math.pi * 0.5) ** 2
    return 1 - (falling / falling[0])[1:-1]
