"""theta_t of the published schedules, in float32 and in the reference's order of operations.

Recomputed in float64 the tables differ by up to 0.4 % at T = 1000, so float32 is part of the definition.
"""

import math
from typing import Literal, get_args

import torch
from torch import Tensor

ScheduleName = Literal["cosine", "linear", "constant"]
# Also while the meta device is the default, as when a checkpoint is compared with its header: arithmetic on that device
# loads torch's compiler, which takes a second.
CPU = torch.device("cpu")
SCHEDULES: tuple[ScheduleName, ...] = get_args(ScheduleName)


def thetas(schedule: ScheduleName, num_timesteps: int) -> Tensor:
    """theta_t for t = 0..T, (T + 1,), float32; theta_t belongs to the step from t - 1 to t."""
    count = num_timesteps + 1
    if schedule == "constant":
        return torch.ones(count, device=CPU)
    if schedule == "linear":
        scale = 1000 / count
        return torch.linspace(scale * 1e-4, scale * 0.02, count, device=CPU)
    length = num_timesteps + 2
    position = torch.linspace(0, length, length + 1, device=CPU)
    falling = torch.cos((position / length + 0.008) / 1.008 * math.pi * 0.5) ** 2
    return 1 - (falling / falling[0])[1:-1]
