"""Convolutions of oneDNN with an activation or a sum in the same pass, for inference on x86 CPUs.

These operators are what torch's own compiler emits there; called directly they need no compiler and no warm-up.
"""

import platform
from typing import Any, Literal

import torch
from torch import Tensor

X86 = {"x86_64", "AMD64", "i386", "i686"}
ROWS = 256
Activation = Literal["none", "swish", "relu", "leaky_relu"]


def is_usable(dtype: torch.dtype) -> bool:
    """Whether this machine's CPU has them in that dtype, faster than the plain layers."""
    operators: Any = torch.ops.mkldnn
    if platform.machine() not in X86 or not hasattr(operators, "_convolution_pointwise_"):
        return False
    return dtype == torch.float32 or (dtype == torch.bfloat16 and bool(operators._is_mkldnn_bf16_supported()))


class Convolution:
    """A convolution whose weights no longer change.

    They are kept channels last. In oneDNN's own layout they would save 0.03 ms a call; but which one that is depends on
    the size of the image, and turning one into another takes longer than a small image's convolution.

    Args:
        weight: (C', C / groups, k, k).
        bias: (C',), or `None`.
        dtype: of the weights and of all that goes in and comes out.
        stride: of both axes.
        padding: with zeros, on all sides.
        groups: of channels that do not see each other.
    """

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor | None,
        dtype: torch.dtype,
        *,
        stride: int = 1,
        padding: int = 1,
        groups: int = 1,
    ) -> None:
        self.geometry = ([padding, padding], [stride, stride], [1, 1], groups)
        self.operators: Any = torch.ops.mkldnn
        self.weight = weight.detach().to(dtype).contiguous(memory_format=torch.channels_last)
        self.bias = None if bias is None else bias.detach().to(dtype)

    def __call__(self, x: Tensor, activation: Activation = "none", slope: float | None = None) -> Tensor:
        """(B, C, H, W), channels last, to (B, C', H', W'), then SiLU ("swish") or a ReLU if asked.

        A leaky ReLU needs its `slope` below 0.
        """
        scalars = [] if slope is None else [slope]
        out: Tensor = self.operators._convolution_pointwise(
            x, self.weight, self.bias, *self.geometry, activation, scalars, ""
        )
        return out

    def add_to(self, total: Tensor, x: Tensor) -> Tensor:
        """`total` (B, C', H', W'), which is overwritten, plus the convolution of `x`."""
        out: Tensor = self.operators._convolution_pointwise_.binary(
            total, x, self.weight, self.bias, *self.geometry, "add", 1.0, None, [], None
        )
        return out

    def times(self, factor: Tensor, x: Tensor) -> Tensor:
        """`factor` (B, C', H', W') times the convolution of `x`."""
        out: Tensor = self.operators._convolution_pointwise.binary(
            x, factor, self.weight, self.bias, *self.geometry, "mul", None, None, [], None
        )
        return out


class PackedConvolution(Convolution):
    """A convolution of many channels, whose weights are kept in oneDNN's own layout.

    Which one that is depends on the image: it is chosen for the first, and is good for others too. From 512 channels on
    turning the weights into it takes as long as a small image's convolution. With few it is not worth the memory.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, dtype: torch.dtype, **geometry: int) -> None:
        super().__init__(weight, bias, dtype, **geometry)
        self.is_packed = False

    def __call__(self, x: Tensor, activation: Activation = "none", slope: float | None = None) -> Tensor:
        """See `Convolution`."""
        self._pack(x)
        return super().__call__(x, activation, slope)

    def add_to(self, total: Tensor, x: Tensor) -> Tensor:
        """See `Convolution`."""
        self._pack(x)
        return super().add_to(total, x)

    def _pack(self, x: Tensor) -> None:
        if not self.is_packed:
            self.weight = self.operators._reorder_convolution_weight(self.weight, *self.geometry, [*x.shape])
            self.is_packed = True


class Linear:
    """A 1x1 convolution whose weights no longer change, as the product of matrices that it is: (..., C) to (..., C').

    oneDNN has better kernels for it so. Its layout of these weights is the same for any image: they are kept in it.

    Args:
        weight: (C', C) or (C', C, 1, 1).
        bias: (C',).
        dtype: of the weights and of all that goes in and comes out.
    """

    def __init__(self, weight: Tensor, bias: Tensor, dtype: torch.dtype) -> None:
        self.operators: Any = torch.ops.mkldnn
        plain = weight.detach().flatten(1).to(dtype).contiguous()
        self.weight: Tensor = self.operators._reorder_linear_weight(plain, ROWS)
        self.bias = bias.detach().to(dtype)

    def __call__(self, x: Tensor) -> Tensor:
        """The product."""
        out: Tensor = self.operators._linear_pointwise(x, self.weight, self.bias, "none", [], "")
        return out

    def onto(self, total: Tensor, x: Tensor) -> Tensor:
        """`total` (..., C'), float32, which may be overwritten, plus the product."""
        if total.dtype == x.dtype:
            added: Tensor = self.operators._linear_pointwise.binary(x, total, self.weight, self.bias, "add")
            return added
        return total.add_(self(x).float())  # of two dtypes at once it would take twice as long

    def times(self, factor: Tensor, x: Tensor) -> Tensor:
        """`factor` (..., C') times the product."""
        out: Tensor = self.operators._linear_pointwise.binary(x, factor, self.weight, self.bias, "mul")
        return out
