"""Nodes chosen by cost, on processes whose estimates are known."""

import itertools
import math

import pytest
import torch
from torch import Tensor

from irsde_cli.samplers.costs import cheapest, jump_costs
from irsde_cli.samplers.multistep import multistep
from irsde_cli.samplers.nodes import even_nodes, times_from
from tests.samplers.test_acceptance import SPREADS, gaussian_predictor, irsde_path

SIZES = torch.full_like(SPREADS, 0.2)


def start() -> Tensor:
    noise = torch.randn(16, 1, 1, len(SPREADS), dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return irsde_path(10).s[-1] * noise


def test_a_constant_estimate_makes_every_jump_free() -> None:
    path = irsde_path(10)
    times = times_from(even_nodes(100, 20))
    costs = jump_costs(lambda x, t: SPREADS.expand_as(x), start(), path, times)
    assert costs.shape == (21, 21)
    forward = torch.ones_like(costs).triu(1).bool()
    assert (costs[forward] < 1e-12).all() and costs[~forward].isinf().all()


def test_the_teacher_is_the_first_order_ode() -> None:
    """A jump of a single of its steps lands on it; the jump to the end misses by what one evaluation misses."""
    path = irsde_path(10)
    times = times_from(even_nodes(100, 25))
    predict = gaussian_predictor(path, SIZES, SIZES)
    costs = jump_costs(predict, start(), path, times)
    assert (costs.diagonal(1) < 1e-12).all()
    *_, end = multistep(predict, start(), path, times, torch.randn_like, order=1)
    missed = (predict(start(), 100) - end).square().flatten(1).mean(1).sqrt().mean()
    assert float(costs[0, -1]) == pytest.approx(float(missed), rel=1e-12)


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 7])
def test_the_cheapest_way_is_the_cheapest(steps: int) -> None:
    """Against all ways, tried one by one."""
    generator = torch.Generator().manual_seed(steps)
    times = times_from((100, 80, 60, 40, 30, 20, 10))
    costs = torch.rand(8, 8, generator=generator, dtype=torch.float64)
    costs[torch.ones_like(costs).tril().bool()] = math.inf

    def total(way: tuple[int, ...]) -> float:
        return sum(float(costs[a, b]) for a, b in itertools.pairwise(way))

    ways = [(0, *inner, 7) for inner in itertools.combinations(range(1, 7), steps - 1)]
    best = min(ways, key=total)
    assert cheapest(costs, times, steps) == tuple(int(times[index]) for index in best[:-1])


def test_the_study_s_nodes() -> None:
    """Close to those of the study's table for lambda 50, and one jump beside single steps when normalised."""
    path = irsde_path(50)
    times = times_from(even_nodes(100, 100))
    predict = gaussian_predictor(path, SPREADS, SPREADS)
    noise = torch.randn(64, 1, 1, len(SPREADS), dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    costs = jump_costs(predict, path.s[-1] * noise, path, times)
    found = cheapest(costs, times, 4)
    assert all(abs(mine - theirs) <= 6 for mine, theirs in zip(found, (100, 51, 35, 19), strict=True)), found
    literal = cheapest(jump_costs(predict, path.s[-1] * noise, path, times, normalised=True), times, 4)
    assert [a - b for a, b in itertools.pairwise((*literal, 0))].count(1) == 3, literal


def test_more_jumps_than_indices() -> None:
    with pytest.raises(ValueError, match="a way of 3 jumps over 2 indices"):
        cheapest(torch.zeros(3, 3), times_from((100, 50)), 3)
