"""CM4IR by its authors' settings, and on problems whose answer is known (spec of the released settings, table 1.6)."""

import math

import pytest
import torch
from torch import Tensor

from irsde_cli.inverse.cm4ir import CM4IR, median_fill
from irsde_cli.inverse.method import Problem
from irsde_cli.operators.blur import Blur
from irsde_cli.operators.kernels import gaussian_kernel
from irsde_cli.operators.mask import Mask, random_mask
from irsde_cli.operators.operator import Operator
from irsde_cli.operators.separable import mean_matrix, reduction
from irsde_cli.restorer import last
from tests.inverse.problems import Noise, seeded

SCHEDULES = {
    (400, 0.7): (0.89888, 0.82072, 0.66716, 0.23806),
    (250, 0.2): (0.69371, 0.61440, 0.50297, 0.32183),
    (75, 0.01): (0.25276, 0.23351, 0.21231, 0.18848),
    (150, 0.05): (0.46536, 0.42117, 0.36912, 0.30507),
    (125, 0.05): (0.39776, 0.34077, 0.26820, 0.15977),
    (150, 0.2): (0.46536, 0.24468, 0.01, 0.01),
    (50, 0.01): (0.17644, 0.14643, 0.10797, 0.04211),
    (75, 0.02): (0.25276, 0.21253, 0.16146, 0.08119),
    (100, 0.03): (0.32672, 0.28276, 0.22880, 0.15466),
}
SIZE = (16, 16)


@pytest.mark.parametrize(("first", "growth"), SCHEDULES)
def test_noise_levels_are_those_of_the_authors(first: int, growth: float) -> None:
    """All released settings; theirs are for images between -1 and 1."""
    found = [2 * level for level in CM4IR(first=first, growth=growth).levels(4)]
    assert found == pytest.approx(SCHEDULES[first, growth], abs=1e-5)


def covariance() -> Tensor:
    """Of smooth images, one channel as a vector, in the authors' units."""
    place = torch.arange(SIZE[0], dtype=torch.float64)
    line = torch.exp(-((place[:, None] - place) ** 2) / (2 * 2.0**2))
    both: Tensor = torch.kron(line, line) + 1e-6 * torch.eye(SIZE[0] ** 2, dtype=torch.float64)
    return both


class Consistency:
    """The exact consistency function of Gaussian images: V sqrt(L / (L + sigma^2)) V^T x."""

    largest = math.inf

    def __init__(self) -> None:
        self.values, self.vectors = torch.linalg.eigh(covariance())
        self.values = self.values.clamp_min(0)

    def __call__(self, x: Tensor, sigma: float) -> Tensor:
        gain = (self.values / (self.values + (2 * sigma) ** 2)).sqrt()
        flat = (2 * x - 1).flatten(2)
        found: Tensor = (1 + ((flat @ self.vectors) * gain @ self.vectors.mT).view_as(x)) / 2
        return found


def operators() -> dict[str, Operator]:
    return {
        "inpainting": Mask(random_mask(1, SIZE, 0.5, seeded(5))),
        "mean-pool": reduction(SIZE, 4, mean_matrix),
    }


def clean_images(count: int) -> Tensor:
    root = torch.linalg.cholesky(covariance())
    draws = torch.randn(count, 3, SIZE[0] ** 2, generator=seeded(1), dtype=torch.float64)
    images: Tensor = (1 + (draws @ root.mT).view(count, 3, *SIZE)) / 2
    return images


@pytest.mark.parametrize("name", ["inpainting", "mean-pool"])
def test_four_calls_are_better_than_the_guess(name: str) -> None:
    """On Gaussian images with their exact consistency function: better than A+ y, and not than the posterior mean."""
    a, x = operators()[name], clean_images(24)
    y = a.forward(x)
    found = last(CM4IR(first=150, growth=0.2).steps(Problem(y, a, 0.0), Consistency(), 4, Noise(seeded(2))))
    start = y if isinstance(a, Mask) else a.inverse(y)
    errors = [float((2 * (one - x)).square().mean()) for one in (found, start)]
    assert errors[0] < errors[1]


@pytest.mark.parametrize("name", ["inpainting", "mean-pool"])
def test_without_noise_the_result_fits_the_data(name: str) -> None:
    """A x = y to the last digits."""
    a, x = operators()[name], clean_images(2)
    found = last(CM4IR().steps(Problem(a.forward(x), a, 0.0), Consistency(), 4, Noise()))
    torch.testing.assert_close(a.forward(found), a.forward(x), atol=1e-12, rtol=0)


def test_holes_get_medians() -> None:
    """The lower median of what is known in a window of five; larger holes in more passes, whatever lies in them."""
    y = torch.rand(1, 3, 12, 13, generator=seeded(0), dtype=torch.float64)
    known = torch.ones(1, 1, 12, 13, dtype=torch.bool)
    known[..., 6, 6] = False
    window = y[0, 1, 4:9, 4:9].flatten()
    inside = torch.cat((window[:12], window[13:]))
    assert median_fill(y, known)[0, 1, 6, 6] == inside.sort().values[11]
    known[..., 2:11, 2:11] = False
    filled = median_fill(y.masked_fill(~known, math.inf), known)
    assert torch.isfinite(filled).all() and torch.equal(filled[known.expand_as(y)], y[known.expand_as(y)])
    assert (median_fill(y, torch.zeros_like(known)) == 0.5).all()


def test_a_strong_blur_with_little_noise_is_no_worse_than_it_was() -> None:
    """The ridge has a floor: without one, what little is left of a frequency is noise."""
    x = clean_images(8)
    a = Blur(gaussian_kernel(2.0, 5)[None], SIZE, "circular")
    y = a.forward(x) + 0.008 * torch.randn(x.shape, generator=seeded(3), dtype=torch.float64)
    errors = [
        float((last(method.steps(Problem(y, a, 0.008), Consistency(), 4, Noise())) - x).square().mean())
        for method in (CM4IR(), CM4IR(least_ridge=0.0))
    ]
    assert errors[0] < float((y - x).square().mean()) and errors[0] < errors[1]
