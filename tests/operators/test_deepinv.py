"""Operators against those of deepinv, where both mean the same."""

from typing import Any

import pytest
import torch
from torch import Tensor

from irsde_cli.operators.blur import Blur
from irsde_cli.operators.decimation import Decimation
from irsde_cli.operators.kernels import shaken_kernel
from irsde_cli.operators.mask import Mask, random_mask
from irsde_cli.operators.separable import reduction

SIZE = (36, 48)


@pytest.fixture(scope="module")
def physics() -> Any:
    return pytest.importorskip("deepinv.physics", reason="deepinv is not installed", exc_type=ImportError)


def image(seed: int = 0, size: tuple[int, int] = SIZE) -> Tensor:
    return torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(seed))


def kernel() -> Tensor:
    return shaken_kernel(7, 2).float()


@pytest.mark.parametrize(("border", "padding"), [("mirror", "reflect"), ("zero", "constant"), ("circular", "circular")])
def test_a_blur_is_theirs(physics: Any, border: Any, padding: str) -> None:
    """A convolution, not a correlation; forwards and backwards."""
    ours, theirs = Blur(kernel()[None], SIZE, border), physics.Blur(filter=kernel()[None, None], padding=padding)
    torch.testing.assert_close(ours.forward(image()), theirs.A(image()), atol=1e-5, rtol=0)
    torch.testing.assert_close(ours.adjoint(image(1)), theirs.A_adjoint(image(1)), atol=1e-5, rtol=0)


def test_the_step_of_a_circular_blur_is_theirs(physics: Any) -> None:
    """Their step weighs the data by gamma, ours the prior by a ridge."""
    ours = Blur(kernel()[None], SIZE, "circular")
    theirs = physics.BlurFFT(img_size=(3, *SIZE), filter=kernel()[None, None])
    z, y = image(1), ours.forward(image())
    torch.testing.assert_close(ours.towards(y)(z, 0.05), theirs.prox_l2(z, y, gamma=1 / 0.05), atol=1e-4, rtol=0)


@pytest.mark.parametrize("factor", [2, 3])
def test_a_blur_that_is_decimated_is_theirs(physics: Any, factor: int) -> None:
    """On the torus, the first pixel among those that are kept."""
    ours = Decimation(kernel()[None], SIZE, factor)
    theirs = physics.Downsampling(img_size=(3, *SIZE), filter=kernel()[None, None], factor=factor, padding="circular")
    y = ours.forward(image())
    torch.testing.assert_close(y, theirs.A(image()), atol=1e-5, rtol=0)
    torch.testing.assert_close(ours.adjoint(y), theirs.A_adjoint(y), atol=1e-5, rtol=0)


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_bicubic_is_their_matlab_s(physics: Any, factor: int) -> None:
    """MATLAB's, which mirrors what lies beyond the border."""
    theirs = physics.DownsamplingMatlab(factor=factor)
    torch.testing.assert_close(reduction(SIZE, factor).forward(image()), theirs.A(image()), atol=1e-5, rtol=0)


def test_missing_pixels_are_theirs(physics: Any) -> None:
    """Forwards, and the step to the data."""
    known = random_mask(1, SIZE, 0.4, torch.Generator().manual_seed(3))
    ours, theirs = Mask(known), physics.Inpainting(img_size=(3, *SIZE), mask=known.float().expand(1, 3, *SIZE))
    y = ours.forward(image())
    torch.testing.assert_close(y, theirs.A(image()))
    torch.testing.assert_close(
        ours.towards(y)(image(1), 0.5), theirs.prox_l2(image(1), y, gamma=2.0), atol=1e-5, rtol=0
    )
