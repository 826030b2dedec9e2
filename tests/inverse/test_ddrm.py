"""DDRM against whole recorded runs of its authors' code (golden/systems1_fingerprints.md).

They draw noise for coefficients, in an order of their own. Here it is carried into pixels by their recorded bases.
"""

import math
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor

from irsde_cli.inverse.ddrm import DDRM
from irsde_cli.inverse.method import Denoiser, Problem
from irsde_cli.networks.preconditioning import vp_alpha_bar, vp_levels
from irsde_cli.operators.grey import Grey
from irsde_cli.operators.identity import Identity
from irsde_cli.operators.mask import Mask
from irsde_cli.operators.operator import Operator
from irsde_cli.operators.separable import Separable, bicubic_matrix, mean_matrix, reduction
from irsde_cli.operators.walsh_hadamard import WalshHadamard, hadamard
from tests.golden import Golden, load_golden

SIDE, CHANNELS = 16, 3
PIXELS = SIDE * SIDE
TIMES = list(range(950, -1, -50))


@pytest.fixture(scope="module")
def golden(shared: object) -> Golden:
    return load_golden(shared, "systems1_golden")


def of_planes(coefficients: Tensor) -> Tensor:
    """(1, 768), channel by channel within each position, as (1, 3, 256)."""
    return coefficients.view(1, PIXELS, CHANNELS).mT


class Case:
    """An operator of ours, with what tells the authors' coefficients.

    Attributes:
        operator: ours.
        pixels: of the authors' coefficients (1, 768) the image.
        values: the authors' singular values, one for each coefficient, zero where there is none.
    """

    def __init__(self, golden: Golden, name: str) -> None:
        self.golden, self.name = golden, f"ddrm_{name}"
        self.values = torch.zeros(CHANNELS * PIXELS, dtype=torch.float64)
        recorded = golden[f"{self.name}/singulars"].double()
        self.values[: len(recorded)] = recorded
        self.operator, self.pixels = self._parts(name)

    def basis(self, name: str) -> Tensor:
        return self.golden[f"{self.name}/basis/{name}"].double()

    def _parts(self, name: str) -> tuple[Operator, Callable[[Tensor], Tensor]]:
        match name:
            case "denoise":
                return Identity(), lambda c: c.view(1, CHANNELS, SIDE, SIDE)
            case "inpaint":
                known = torch.ones(PIXELS * CHANNELS, dtype=torch.bool)
                known[self._missing()] = False
                return Mask(of_planes(known[None]).view(1, CHANNELS, SIDE, SIDE)), self._kept
            case "cs4":
                order = self.golden["ddrm/cs4_permutation"].long()
                return WalshHadamard((SIDE, SIDE), 4, order), self._transformed
            case "color":
                return Grey((1 / 3, 1 / 3, 1 / 3)), self._colours
            case "sr2" | "sr4":
                factor = int(name[-1])
                return reduction((SIDE, SIDE), factor, mean_matrix), lambda c: self._blocks(c, factor)
            case "sr_bicubic2" | "sr_bicubic4":
                matrix = bicubic_matrix(SIDE, int(name[-1]))
                return Separable(matrix, matrix, int(name[-1])), lambda c: self._product(c, "V_small", "V_small")
        down, across = ("V_small1", "V_small2") if name == "deblur_aniso" else ("V_small", "V_small")
        return self._blur(down, across), lambda c: self._product(c, down, across)

    def _blur(self, down: str, across: str) -> Operator:
        """The authors' own: of their factors, with their values for their coefficients."""
        case, tiled = self, of_planes(self.values[None])[0]
        order = self.basis("perm").long()
        placed = torch.empty_like(tiled).index_copy_(1, order, tiled).view(CHANNELS, SIDE, SIDE)

        class Recorded(Separable):
            def __init__(self) -> None:
                super().__init__(torch.eye(SIDE), torch.eye(SIDE), compat="ddrm")

            @property
            def _factors(self) -> object:  # type: ignore[override]
                found = []
                for v in (down, across):
                    u, s = v.replace("V", "U"), v.replace("V", "singulars")
                    found.append((case.basis(u), case.basis(s), case.basis(v)))
                return tuple(found)

        operator = Recorded()
        spectrum = operator.spectrum
        object.__setattr__(spectrum, "values", placed)
        return operator

    def _missing(self) -> Tensor:
        return self.golden["ddrm/inpaint_missing_indices"].long()

    def _kept(self, c: Tensor) -> Tensor:
        """Known pixels come first."""
        missing = self._missing()
        known = torch.ones(c.shape[1], dtype=torch.bool)
        known[missing] = False
        pixels = torch.empty_like(c)
        pixels[:, known], pixels[:, missing] = c[:, : -len(missing)], c[:, -len(missing) :]
        return of_planes(pixels).reshape(1, CHANNELS, SIDE, SIDE)

    def _transformed(self, c: Tensor) -> Tensor:
        order = self.golden["ddrm/cs4_permutation"].long()
        planes = of_planes(c)
        return hadamard(torch.empty_like(planes).index_copy_(2, order, planes)).view(1, CHANNELS, SIDE, SIDE)

    def seen(self, recorded: Tensor) -> Tensor:
        """What the authors' operator gives, as ours gives it."""
        if self.name not in ("ddrm_inpaint", "ddrm_cs4"):
            side = (SIDE // self.operator.scale,) * 2
            return recorded.view(1, -1, *side)
        whole = torch.zeros(1, CHANNELS * PIXELS, dtype=recorded.dtype)
        whole[:, : recorded.shape[1]] = recorded
        return self._kept(whole) if self.name == "ddrm_inpaint" else of_planes(whole).reshape(1, CHANNELS, SIDE, SIDE)

    def _colours(self, c: Tensor) -> Tensor:
        return (self.basis("V_small") @ c.view(CHANNELS, PIXELS)).view(1, CHANNELS, SIDE, SIDE)

    def _blocks(self, c: Tensor, factor: int) -> Tensor:
        small, inside = SIDE // factor, factor**2
        blocks = torch.empty(CHANNELS * small**2, inside, dtype=c.dtype)
        blocks[:, 0] = c[0, : len(blocks)]
        for index in range(inside - 1):
            blocks[:, index + 1] = c[0, len(blocks) + index :: inside - 1]
        patches = (blocks @ self.basis("V_small").mT).view(CHANNELS, small, small, factor, factor)
        return patches.permute(0, 1, 3, 2, 4).reshape(1, CHANNELS, SIDE, SIDE)

    def _product(self, c: Tensor, down: str, across: str) -> Tensor:
        planes, order = of_planes(c), self.basis("perm").long()
        placed = planes.clone()
        placed[:, :, order] = planes[:, :, : len(order)]
        return self.basis(down) @ placed.view(1, CHANNELS, SIDE, SIDE) @ self.basis(across).mT

    def noise(self, noise_std: float) -> Iterator[Tensor]:
        """The recorded noise as pixels: that of the start, then that of each step."""
        pool = self.golden["common/noise_pool"].double()
        yield self.pixels(pool[0].reshape(1, -1))
        held = int((self.golden[f"{self.name}/singulars"] >= 0).sum())
        for step, time in enumerate(TIMES[1:]):
            sigma = 2 * float(vp_levels()[time])
            first, second, third = (pool[1 + 3 * step + k].flatten() for k in range(3))
            c = first.clone()
            after = self.values[:held] * sigma < noise_std
            before = self.values[:held] * sigma > noise_std
            c[:held][after] = second[: int(after.sum())]
            c[:held][before] = third[:held][before]
            yield self.pixels(c[None])


def stub(lq: Tensor) -> Denoiser:
    """The recorded noise predictor, as a prior of images in [0, 1]."""

    class Prior:
        largest = math.inf

        def __call__(self, x: Tensor, sigma: float) -> Tensor:
            t = int((vp_levels() - sigma).abs().argmin())
            share = vp_alpha_bar()[t]
            state = share.sqrt() * (2 * x - 1)
            noise = 0.3 * state - 0.1 * (2 * lq - 1) + 0.05 * math.sin(t)
            clean = (state - (1 - share).sqrt() * noise) / share.sqrt()
            return (clean + 1) / 2

    return Prior()


RUNS = [
    ("denoise", "0.1"),
    ("inpaint", "0"),
    ("inpaint", "0.1"),
    ("cs4", "0.1"),
    ("color", "0.1"),
    ("sr2", "0.1"),
    ("sr4", "0"),
    ("sr4", "0.1"),
    ("sr_bicubic2", "0"),
    ("sr_bicubic2", "0.1"),
    ("sr_bicubic4", "0.1"),
    *[(f"deblur_{kind}", level) for kind in ("uni", "gauss", "aniso") for level in ("0", "0.1")],
]


@pytest.mark.parametrize(("name", "level"), RUNS)
def test_whole_runs_are_those_of_the_authors_code(golden: Golden, name: str, level: str) -> None:
    """All twenty steps: the clean estimates of the first and the last, which is the result."""
    case, noise_std = Case(golden, name), float(level)
    run = f"ddrm_{name}/sigma{level}"
    y = case.seen(golden[f"{run}/y0"].double())
    # y = A (2 x - 1) + noise in the authors' units, so A x + noise / 2 in ours.
    flat = case.operator.forward(torch.full((1, CHANNELS, SIDE, SIDE), 0.5, dtype=torch.float64))
    given = Problem(y / 2 + flat, case.operator, noise_std / 2)
    drawn = case.noise(noise_std)
    method = DDRM(compat="ddrm")
    states = list(method.steps(given, stub(golden["common/lq16"].double()), 20, lambda _: next(drawn)))
    first, last = (2 * state - 1 for state in (states[0], states[-1]))
    for found, recorded in ((first, golden[f"{run}/x0_pred_first"]), (last, golden[f"{run}/x0_pred_last"])):
        torch.testing.assert_close(found.float(), recorded, rtol=0, atol=3e-4 * float(recorded.abs().max()))


@pytest.mark.parametrize("name", ["inpaint", "cs4", "color", "sr2", "sr4", "sr_bicubic2", "sr_bicubic4"])
def test_operators_are_those_of_the_authors_code(golden: Golden, name: str) -> None:
    """What is seen, the adjoint and the pseudo-inverse."""
    case = Case(golden, name)
    x = 2 * golden["common/image16"].double() - 1
    seen = case.operator.forward(x)
    # Their colours' basis is orthonormal to four digits.
    near = 3e-4 if name == "color" else 1e-5
    torch.testing.assert_close(seen.float(), case.seen(golden[f"ddrm_{name}/Hx"]), rtol=0, atol=near)
    for found, what in ((case.operator.adjoint(seen), "Hty"), (case.operator.inverse(seen), "pinv_y")):
        recorded = golden[f"ddrm_{name}/{what}"]
        torch.testing.assert_close(found.reshape(1, -1).float(), recorded, rtol=0, atol=near)
