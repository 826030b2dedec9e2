"""Maps that treat rows and columns apart: reduction by a whole factor, and blurs that are a product of two.

The matrix of each axis is small, and so is its singular value decomposition; that of the whole image is their product.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Literal

import torch
from torch import Tensor

from irsde_cli.operators.operator import LOST, Operator, Recipe, Spectrum

Factors = tuple[Tensor, Tensor, Tensor]


class Separable(Operator):
    """A x = R x C^T, with one matrix for rows and one for columns.

    Args:
        rows: R, (h, H), float64.
        columns: C, (w, W), float64.
        scale: see `Operator.scale`.
        lost: singular values of R and of C below this are taken as zero.
        compat: `ddrm` gives coefficients the singular values that the code of DDRM gives them: computed for one
            channel, sorted, repeated for each channel in turn, and applied to coefficients that lie pixel by pixel.
    """

    def __init__(
        self,
        rows: Tensor,
        columns: Tensor,
        scale: int = 1,
        lost: float = LOST,
        compat: Literal["", "ddrm"] = "",
    ) -> None:
        self.scale = scale
        self.rows = rows
        self.columns = columns
        self.lost = lost
        self.compat = compat

    @cached_property
    def _factors(self) -> tuple[Factors, Factors]:
        return _svd(self.rows, self.lost), _svd(self.columns, self.lost)

    def forward(self, x: Tensor) -> Tensor:
        """See `Operator.forward`."""
        if self.compat:
            spectrum, (down, across) = self.spectrum, self._factors
            return _between(down[0], spectrum.values.to(x) * spectrum.analyse(x), across[0].mT)
        return _between(self.rows, x, self.columns.mT)

    def adjoint(self, y: Tensor) -> Tensor:
        """See `Operator.adjoint`."""
        if self.compat:
            spectrum = self.spectrum
            return spectrum.synthesise(spectrum.values.to(y) * spectrum.observe(y))
        return _between(self.rows.mT, y, self.columns)

    @cached_property
    def spectrum(self) -> Spectrum:
        """See `Operator.spectrum`; as many coefficients as the smaller image has pixels."""
        (u_rows, s_rows, v_rows), (u_columns, s_columns, v_columns) = self._factors
        values = s_rows[:, None] * s_columns
        if self.compat:
            values = _tiled(values)
        return Spectrum(
            values,
            lambda x: _between(v_rows.mT, x, v_columns),
            lambda c: _between(v_rows, c, v_columns.mT),
            lambda y: _between(u_rows.mT, y, u_columns),
        )


def _between(left: Tensor, images: Tensor, right: Tensor) -> Tensor:
    return left.to(images) @ images @ right.to(images)


def _svd(matrix: Tensor, lost: float) -> Factors:
    u, s, vt = torch.linalg.svd(matrix, full_matrices=False)
    return u, torch.where(s > lost, s, 0.0), vt.mT


def _tiled(values: Tensor) -> Tensor:
    """(3, h, w): what the code of DDRM makes of the singular values (h, w) of one channel."""
    order = values.flatten().sort(descending=True).indices
    repeated = values.flatten()[order].repeat(3).reshape(-1, 3)  # a row for each coefficient, a column for each channel
    placed = torch.empty_like(repeated).index_copy_(0, order, repeated)
    return placed.mT.reshape(3, *values.shape)


@lru_cache(maxsize=64)
def bicubic_matrix(size: int, factor: int) -> Tensor:
    """The antialiased bicubic reduction of one axis, (ceil(size / factor), size); the image is mirrored at its ends.

    Keys' kernel with a = -1/2, stretched by the factor: MATLAB's imresize.
    """
    matrix = torch.zeros(math.ceil(size / factor), size, dtype=torch.float64)
    reach = 2 * factor
    for index in range(len(matrix)):
        middle = (index + 0.5) * factor - 0.5
        taps = torch.arange(math.floor(middle - reach) + 1, math.ceil(middle + reach))
        weights = _cubic((taps - middle) / factor)
        mirrored = taps % (2 * size)
        mirrored = torch.where(mirrored < size, mirrored, 2 * size - 1 - mirrored)
        matrix[index].index_add_(0, mirrored, weights / weights.sum())
    return matrix


def _cubic(x: Tensor) -> Tensor:
    x = x.abs().double()
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return torch.where(x <= 1, near, torch.where(x < 2, far, torch.zeros_like(x)))


@lru_cache(maxsize=64)
def mean_matrix(size: int, factor: int) -> Tensor:
    """The means of `factor` pixels of one axis, (ceil(size / factor), size); the last may be of fewer."""
    index = torch.arange(size) // factor
    matrix = torch.zeros(math.ceil(size / factor), size, dtype=torch.float64)
    matrix[index, torch.arange(size)] = 1.0
    return matrix / matrix.sum(1, keepdim=True)


@lru_cache(maxsize=64)
def blur_matrix(size: int, taps: tuple[float, ...], border: str) -> Tensor:
    """The convolution of one axis with `taps`, whose middle is at the origin, (size, size)."""
    matrix = torch.zeros(size, size, dtype=torch.float64)
    here = torch.arange(size)
    for offset, tap in enumerate(taps):
        there = here - (offset - len(taps) // 2)
        if border == "circular":
            matrix[here, there % size] += tap
        elif border == "mirror":
            period = max(2 * (size - 1), 1)
            there = there % period
            matrix.index_put_(
                (here, torch.where(there < size, there, period - there)), torch.tensor(tap).double(), True
            )
        else:
            inside = (there >= 0) & (there < size)
            matrix[here[inside], there[inside]] += tap
    return matrix


Axis = Callable[[int, int], Tensor]


def reduction(size: tuple[int, int], factor: int, matrix: Axis = bicubic_matrix) -> Separable:
    """Images of that height and width, made smaller."""
    return Separable(matrix(size[0], factor), matrix(size[1], factor), factor)


def check_factor(factor: int) -> None:
    """Raise a ValueError unless a picture can be so many times smaller."""
    if factor < 2:
        raise ValueError(f"a factor of {factor}: expected 2 or more")


@dataclass(frozen=True)
class BicubicRecipe(Recipe):
    """Reduced as the field and most programs do it.

    Attributes:
        factor: how many times.
    """

    factor: int = 4

    def __post_init__(self) -> None:
        check_factor(self.factor)

    @property
    def scale(self) -> int:
        """The factor."""
        return self.factor

    def build(self, size: tuple[int, int], known: Tensor | None = None) -> Operator:
        """See `Recipe.build`."""
        return reduction(size, self.factor)


@dataclass(frozen=True)
class MeanPoolRecipe(BicubicRecipe):
    """Reduced by the mean of blocks, as cameras bin their pixels.

    Attributes:
        factor: how many times.
    """

    def build(self, size: tuple[int, int], known: Tensor | None = None) -> Operator:
        """See `Recipe.build`."""
        return reduction(size, self.factor, mean_matrix)


@dataclass(frozen=True)
class SeparableBlurRecipe(Recipe):
    """A blur along columns and another along rows.

    Attributes:
        rows: weights from top to bottom; they are divided by their sum.
        columns: weights from left to right; those of `rows` if empty.
        border: what lies beyond the border.
        compat: `ddrm` is the operator that the code of DDRM and CM4IR makes of these weights: without the last of
            them, with zeros beyond the border, and with singular values that belong to other coefficients.
    """

    rows: tuple[float, ...]
    columns: tuple[float, ...] = ()
    border: Literal["mirror", "zero", "circular"] = "mirror"
    compat: Literal["", "ddrm"] = ""

    def __post_init__(self) -> None:
        for taps in filter(None, (self.rows, self.columns)):
            if len(taps) % 2 == 0 or sum(taps) <= 0:
                raise ValueError(f"an odd number of weights with a positive sum, not {list(taps)}")

    def build(self, size: tuple[int, int], known: Tensor | None = None) -> Operator:
        """See `Recipe.build`."""
        each = [tuple(tap / sum(taps) for tap in taps) for taps in (self.rows, self.columns or self.rows)]
        if self.compat:
            each = [(*taps[:-1], 0.0) for taps in each]
        border = "zero" if self.compat else self.border
        rows, columns = (blur_matrix(side, taps, border) for side, taps in zip(size, each, strict=True))
        return Separable(rows, columns, lost=3e-2 if self.compat else LOST, compat=self.compat)
