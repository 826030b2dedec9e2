"""What every backbone is: `forward(x, mu, t)`, for any height and width."""

import math
from abc import ABC, abstractmethod
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

Padding = Literal["reflect", "zeros"]


class Network(nn.Module, ABC):
    """Predicts from a state, the degraded image and a time index; knows nothing of the process around it.

    Attributes:
        multiple: height and width are padded to a multiple of this inside.
        padding: how they are padded, below and to the right.
        reach: how many pixels away, along each axis, the farthest is that a pixel depends on; `None` where attention or
            pooling looks at the whole image. Within it tiles agree with the whole image.
        working_bytes: peak memory of one evaluation without gradients, in bytes per pixel in float32, rounded up.
    """

    multiple: int = 1
    padding: ClassVar[Padding] = "reflect"
    reach: int | None = None
    working_bytes: int = 4096

    @abstractmethod
    def forward(self, x: Tensor, mu: Tensor, t: Tensor) -> Tensor:
        """`x` and `mu` (B, C, H, W), `t` (B,) or (1,), any real dtype; returns (B, C, H, W)."""

    def freeze(self) -> None:
        """Say that the weights do not change from now on, so that faster forms of them can be kept; see `train`."""
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def padded(self, x: Tensor) -> Tensor:
        """`x` padded below and to the right to a multiple of `multiple`."""
        height, width = x.shape[-2:]
        return pad_to(x, (round_up(height, self.multiple), round_up(width, self.multiple)), self.padding)


def round_up(size: int, multiple: int) -> int:
    """The smallest multiple that is not below `size`."""
    return -(-size // multiple) * multiple


def pad_to(x: Tensor, size: tuple[int, int], padding: Padding) -> Tensor:
    """`x` (..., H, W) extended below and to the right to `size`.

    Reflection goes back and forth where the image is smaller than the padding, and repeats a single row.
    """
    height, width = x.shape[-2:]
    if (height, width) == size:
        return x
    if padding == "zeros":
        return nn.functional.pad(x, (0, size[1] - width, 0, size[0] - height))
    return x[..., _mirror(height, size[0], x.device)[:, None], _mirror(width, size[1], x.device)]


def _mirror(size: int, target: int, device: torch.device) -> Tensor:
    period = max(2 * (size - 1), 1)
    index = torch.arange(target, device=device) % period
    return torch.where(index < size, index, period - index)


def time_features(t: Tensor, dim: int) -> Tensor:
    """The reference's sinusoidal embedding of time indices (B,): (B, `dim`), sines first."""
    half = dim // 2
    frequencies = torch.exp(torch.arange(half, device=t.device) * -(math.log(10000) / (half - 1)))
    angles = t.float()[:, None] * frequencies[None, :]
    return torch.cat((angles.sin(), angles.cos()), dim=-1)
