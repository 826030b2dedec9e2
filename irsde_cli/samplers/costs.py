"""Which time indices to evaluate at, chosen on images: the cost of every jump, and the cheapest way of a given length.

After the cost-aware step selection of Zhu et al., "Learning Efficient and Effective Trajectories for Differential
Equation-based Image Restoration" (TPAMI 2025), for mean-reverting processes. A teacher follows the probability-flow ODE
in small first-order steps; its estimates make every jump between two of its indices free to try.
"""

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from irsde_cli.processes.path import Path
from irsde_cli.samplers.sampler import CleanPredictor, transitions


def jump_costs(
    predict_clean: CleanPredictor, x: Tensor, path: Path, times: Tensor, *, normalised: bool = False
) -> Tensor:
    """What one jump of first order misses the teacher's state by, (N + 1, N + 1) float64, from row to column.

    The cost is the root mean square over pixels, averaged over images; jumps that do not go forward cost infinity.

    Args:
        predict_clean: estimate of x_0.
        x: the start, (B, C, H, W).
        path: the process.
        times: the teacher's indices, falling, N + 1 with the final 0.
        normalised: divide by |m_a - m_b|, as published. Where indices lie close, the best way is then one long jump
            and steps of a single index, which cost nothing, and few evaluations are no better than one.
    """
    indices = [int(t) for t in times.tolist()]
    costs = torch.full((len(indices), len(indices)), math.inf, dtype=torch.float64)
    tried: list[tuple[Tensor, Tensor]] = []
    for column, state in enumerate(_teacher(predict_clean, x, path, times, tried)):
        m_b, s_b = path.at(indices[column])
        for row in range(column):
            clean, noise = tried[row]
            error = path.centre + m_b * clean + s_b * noise - state
            cost = error.double().square().flatten(1).mean(1).sqrt().mean()
            m_a, _ = path.at(indices[row])
            costs[row, column] = cost / abs(m_a - m_b) if normalised else cost
    return costs


def cheapest(costs: Tensor, times: Tensor, steps: int) -> tuple[int, ...]:
    """The indices of the way from the first to 0 in exactly `steps` jumps whose costs have the least sum.

    Raises:
        ValueError: there are not that many indices.
    """
    count = len(costs) - 1
    if not 1 <= steps <= count:
        raise ValueError(f"a way of {steps} jumps over {count} indices")
    best = costs[0].clone()
    before: list[list[int]] = []
    for _ in range(steps - 1):
        sums = best[:, None] + costs
        best, where = sums.min(0)
        before.append(where.tolist())
    way = [count]
    for chosen in reversed(before):
        way.append(chosen[way[-1]])
    return tuple(int(times[index]) for index in (0, *reversed(way[1:])))


def _teacher(
    predict_clean: CleanPredictor, x: Tensor, path: Path, times: Tensor, tried: list[tuple[Tensor, Tensor]]
) -> Iterator[Tensor]:
    """The recentred first-order ODE's states, the start among them; `tried` gets each estimate and its noise.

    Kept in units of the process around its centre: clean - centre, and the noise of the state.
    """
    state = x
    for index, (t, s) in enumerate(transitions(times)):
        clean = predict_clean(state, t) - path.centre
        m_t, s_t = path.at(t)
        if index == 0:
            state = state + m_t * clean
        yield state
        tried.append((clean, (state - path.centre - m_t * clean) / s_t))
        m_s, s_s = path.at(s)
        state = path.centre + m_s * clean + s_s * tried[-1][1]
    yield state


def mean_costs(tables: Sequence[Tensor]) -> Tensor:
    """The mean of the tables of several images."""
    return torch.stack(list(tables)).mean(0)
