"""Networks that have a faster form once their weights no longer change."""

from abc import abstractmethod
from typing import Protocol, Self

import torch
from torch import Tensor, nn

from irsde_cli.networks.network import Predictor
from irsde_cli.networks.onednn import Convolution, is_usable

MOST_TIMES = 16  # time indices for which a faster form keeps what they change


class Fused(Protocol):
    """The faster form, for images that are all at one time index."""

    def __call__(self, x: Tensor, mu: Tensor, t: float, /) -> Tensor: ...


class Fusible(Predictor):
    """Makes its faster form when it is first asked after `freeze`, on x86 CPUs, one for each dtype."""

    def __init__(self) -> None:
        super().__init__()
        self.frozen = False
        self._fused: dict[torch.dtype, Fused] = {}

    @abstractmethod
    def fused(self, dtype: torch.dtype) -> Fused:
        """The faster form in that dtype."""

    def freeze(self) -> None:
        """See `Network.freeze`."""
        super().freeze()
        self.frozen = True

    def train(self, mode: bool = True) -> Self:
        """Training ends what `freeze` began."""
        self.frozen = self.frozen and not mode
        self._fused.clear()
        return super().train(mode)

    def faster(self, x: Tensor, t: Tensor) -> Fused | None:
        """The same function in a faster form, where there is one for such an input."""
        if not self.frozen or x.device.type != "cpu" or torch.is_grad_enabled() or not bool((t == t[0]).all()):
            return None
        dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
        if dtype not in self._fused and is_usable(dtype):
            self._fused[dtype] = self.fused(dtype)
        return self._fused.get(dtype)


def packed(
    layer: nn.Module, dtype: torch.dtype, *, up: bool = False, form: type[Convolution] = Convolution
) -> Convolution:
    """A convolution as oneDNN takes it.

    With `up` its channels go from the order of a shuffle, (C, 2, 2), to that of blocks in memory, (2, 2, C).
    """
    assert isinstance(layer, nn.Conv2d)
    weight, bias = layer.weight, layer.bias
    if up:
        weight = weight.reshape(-1, 4, *weight.shape[1:]).transpose(0, 1).flatten(0, 1)
        bias = None if bias is None else bias.reshape(-1, 4).t().flatten()
    return form(weight, bias, dtype, stride=layer.stride[0], padding=int(layer.padding[0]))


def shuffled(small: Tensor, skip: Tensor) -> Tensor:
    """`skip` (B, C, 2H, 2W), which is overwritten, plus the blocks (B, 2 * 2 * C, H, W), both channels last."""
    batch, channels, height, width = skip.shape
    blocks = small.permute(0, 2, 3, 1).view(batch, height // 2, width // 2, 2, 2, channels).transpose(2, 3)
    skip.permute(0, 2, 3, 1).view(batch, height // 2, 2, width // 2, 2, channels).add_(blocks)
    return skip
