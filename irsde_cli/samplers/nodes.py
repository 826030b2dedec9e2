"""At which time indices the network is evaluated."""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from irsde_cli.processes.path import Path

FEW_STEPS = 4
RULE_UP_TO = 20
# The estimate of the clean image forms where the noise-to-signal ratio s / m falls through these values.
RULE_FROM, RULE_TO = 1.0, 0.006


def falling(nodes: Sequence[int], num_timesteps: int) -> tuple[int, ...]:
    """The nodes, if a sampler of T time indices can go through them.

    Raises:
        ValueError: they do not fall from at most T to at least 1, or there are none.
    """
    if not nodes or list(nodes) != sorted(set(nodes), reverse=True) or nodes[0] > num_timesteps or nodes[-1] < 1:
        shown = ",".join(map(str, nodes))
        raise ValueError(f"nodes must fall from at most {num_timesteps} to at least 1, not '{shown}'")
    return tuple(nodes)


def even_nodes(start: int, steps: int) -> tuple[int, ...]:
    """`steps` falling indices from `start`, evenly spread so that the last jump to 0 is as long as the others."""
    return tuple(start - start * index // steps for index in range(steps))


def choose_nodes(path: Path, steps: int, start: int, *, fast: bool) -> tuple[int, ...]:
    """`steps` falling indices from `start`, for 1 <= steps <= start.

    For the multistep solvers (`fast`): four are spread evenly down to 1; from 5 to 20 the first is `start` and the
    others are uniform in the half log-SNR between noise-to-signal ratios of 1 and 0.006. All else is spread evenly.
    """
    if fast and steps == FEW_STEPS <= start:
        return tuple(round(start - (start - 1) * index / (steps - 1)) for index in range(steps))
    if fast and FEW_STEPS < steps <= RULE_UP_TO:
        nodes = _rule(path, steps, start)
        if nodes is not None:
            return nodes
    return even_nodes(start, steps)


def _rule(path: Path, steps: int, start: int) -> tuple[int, ...] | None:
    """The rule's nodes, or `None` where the grid is too coarse for that many."""
    ell = torch.log(path.m[1 : start + 1] / path.s[1 : start + 1]).nan_to_num(-math.inf, math.inf, -math.inf)
    targets = torch.linspace(RULE_FROM, RULE_TO, 2, dtype=torch.float64).log().neg()
    wanted = torch.linspace(float(targets[0]), float(targets[1]), steps - 1, dtype=torch.float64)
    rest = [int(torch.argmin((ell - value).abs())) + 1 for value in wanted]
    nodes = (start, *rest)
    return nodes if all(late < early for early, late in pairwise(nodes)) else None


def times_from(nodes: tuple[int, ...]) -> Tensor:
    """The nodes and the final 0, as samplers take them."""
    return torch.tensor([*nodes, 0])
