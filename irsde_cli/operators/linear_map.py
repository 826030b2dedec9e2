"""What inverse problems ask of a linear damage."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class LinearMap:
    """A linear map A of images (B, C, H, W), with what inverse problems need of it.

    Attributes:
        forward: x to A x.
        adjoint: y to A^T y.
        pseudo_inverse: y to A^+ y, the Moore-Penrose inverse, where it has a closed form.
    """

    forward: Callable[[Tensor], Tensor]
    adjoint: Callable[[Tensor], Tensor]
    pseudo_inverse: Callable[[Tensor], Tensor] | None = None
