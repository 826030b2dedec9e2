"""RDMD against whole recorded runs of its authors' code (golden/systems1_fingerprints.md), all hundred rounds."""

import math
import os
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from irsde_cli.inverse.method import Problem
from irsde_cli.inverse.rdmd import RDMD
from irsde_cli.networks.preconditioning import vp_alpha_bar, vp_levels
from irsde_cli.operators.blur import Blur
from irsde_cli.operators.kernels import gaussian_kernel
from irsde_cli.operators.operator import Operator
from irsde_cli.operators.separable import reduction
from tests.fingerprints import fingerprint
from tests.golden import Golden, load_golden

SIZE = (32, 32)
NOISE = 0.05


@pytest.fixture(scope="module")
def golden(shared: object) -> Golden:
    return load_golden(shared, "systems1_golden")


class Recorded:
    """The exact mean of N(0.1, 0.5^2) in the authors' units, at the nearest of their times, clamped."""

    largest = math.inf

    def __init__(self) -> None:
        self.times: list[int] = []

    def __call__(self, x: Tensor, sigma: float) -> Tensor:
        time = int((vp_levels() - sigma).abs().argmin())
        self.times.append(time)
        share = float(vp_alpha_bar()[time])
        state = math.sqrt(1 / (1 + (2 * sigma) ** 2)) * (2 * x - 1)
        gain = math.sqrt(share) * 0.25 / (share * 0.25 + 1 - share)
        return (1 + (0.1 + gain * (state - math.sqrt(share) * 0.1)).clamp(-1, 1)) / 2


class Formula:
    """The recorded noise; the authors draw twice in a round, and use the second."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, like: Tensor) -> Tensor:
        places = torch.arange(1, like.numel() + 1, dtype=torch.float64)
        drawn = math.sqrt(2) * torch.sin(12.9898 * places + 7.7 * self.count)
        self.count += 2
        return drawn.view_as(like)


class Given(Operator):
    """An operator whose first guess is the authors': each pixel, as often as it is smaller."""

    def __init__(self, inner: Operator) -> None:
        self.inner, self.scale = inner, inner.scale

    def forward(self, x: Tensor) -> Tensor:
        return self.inner.forward(x)

    def adjoint(self, y: Tensor) -> Tensor:
        return self.inner.adjoint(y)

    def guess(self, y: Tensor, noise_std: float) -> Tensor:
        return y.repeat_interleave(self.scale, -2).repeat_interleave(self.scale, -1)


RUNS: dict[str, dict[str, Any]] = {
    "rdmd_deblur_gauss": {"tau": 0.5},
    "rdmd_deblur_gauss_tau0": {"tau": 0.0},
    "rdmd_deblur_gauss_tau1": {"tau": 1.0},
    "rdmd_deblur_levin0": {"tau": 0.5},
    "rdmd_sr4": {"tau": 0.5, "zeta": 0.0},
}


def blur(name: str) -> Operator:
    """The blur of a run; the authors' file with the kernels of Levin et al. is nobody's to pass on."""
    if "levin" not in name:
        return Blur(gaussian_kernel(3.0)[None], SIZE)
    path = os.environ.get("IRSDE_LEVIN09_0")
    if path is None:
        pytest.skip("needs kernel 0 of the authors' kernels/Levin09.mat, as a .npy file that IRSDE_LEVIN09_0 names")
    # Their code correlates.
    return Blur(torch.from_numpy(np.load(path)).flip(0, 1)[None], SIZE)


def test_operators_are_those_of_the_authors_code(golden: Golden) -> None:
    """Their Gaussian blur reflects at the border, and their Resizer is the bicubic of the field."""
    places = torch.arange(32, dtype=torch.float64)
    x = torch.stack([torch.sin(0.1 * places[:, None] * (c + 1) + 0.07 * places) for c in range(3)])[None]
    blurred = Blur(gaussian_kernel(3.0)[None], SIZE).forward(x)
    torch.testing.assert_close(blurred.float(), golden["rdmd_gaussian_operator/Ax"], atol=2e-6, rtol=0)
    smaller = reduction(SIZE, 4).forward(x)
    torch.testing.assert_close(smaller.float(), golden["rdmd_resizer_x4/Ax"], atol=2e-6, rtol=0)


@pytest.mark.parametrize("name", RUNS)
def test_whole_runs_are_those_of_the_authors_code(golden: Golden, name: str, shared: Any) -> None:
    """Each recorded image of the fixed point, and the result; the prior is asked at the recorded times."""
    record = fingerprint(shared, "systems1_fingerprints", name)
    inner: Operator = reduction(SIZE, 4) if name == "rdmd_sr4" else blur(name)
    seen = golden[f"{name}/y"].double()
    prior = Recorded()
    method = RDMD(compat="rdmd", **RUNS[name])
    states = list(method.steps(Problem(seen, Given(inner), NOISE), prior, 200, Formula()))
    assert prior.times == record["prior_calls"]
    for index in (0, 1, 2, 50, 98):
        recorded = golden[f"{name}/it{index:02}/z"]
        found = 2 * states[2 * index + 1] - 1
        torch.testing.assert_close(found.float(), recorded, rtol=0, atol=1e-5 * float(recorded.abs().max()))
    final = golden[f"{name}/final"]
    torch.testing.assert_close(states[-1].float(), final, rtol=0, atol=1e-5)
