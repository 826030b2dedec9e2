"""What every backbone is: a module that says of itself what others must know, for any height and width."""

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from irsde_cli.networks.facts import Facts, Padding
from irsde_cli.randomness import RandnLike


class Network(nn.Module):
    """A backbone.

    Attributes:
        facts: what it needs and how far it looks.
        untold: hyper-parameters that change no tensor and that nobody may guess.
    """

    facts: Facts = Facts()
    untold: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def options_from(cls, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
        """The hyper-parameters, of names and shapes; nothing else in a file of weights says them.

        Raises:
            KeyError: a tensor is missing.
            ValueError: they are another network's.
        """
        raise ValueError(f"a {cls.__name__} cannot be told by its tensors")

    @property
    def stages(self) -> tuple[str, ...]:
        """Names of the modules whose outputs are the decoder's features, (B, C, H, W), from fine to coarse.

        Empty where there is no decoder.
        """
        return ()

    def grown(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """All of this network's tensors, from those of a form of it that sees or says less; what is new stays fresh.

        Tensors that are no such form's come back as they are.
        """
        return dict(tensors)

    def freeze(self) -> None:
        """Say that the weights do not change from now on, so that faster forms of them can be kept; see `train`."""
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def padded(self, x: Tensor) -> Tensor:
        """`x` padded below and to the right to the size that the network takes."""
        return pad_to(x, self.facts.padded_size(*x.shape[-2:]), self.facts.padding)


class Predictor(Network, ABC):
    """Predicts from a state, the degraded image and a time index; knows nothing of the process around it."""

    @abstractmethod
    def forward(self, x: Tensor, mu: Tensor, t: Tensor) -> Tensor:
        """`x` and `mu` (B, C, H, W), `t` (B,) or (1,), any real dtype; returns (B, C, H, W)."""


class Mapper(Network, ABC):
    """Makes an image of an image, at once."""

    @abstractmethod
    def forward(self, image: Tensor, randn_like: RandnLike | None = None) -> Tensor:
        """(B, C, H, W) in [0, 1], any real dtype, to (B, C', H * scale, W * scale).

        `randn_like` is the source of all noise, for those that draw some.
        """


class Looker(Mapper):
    """Looks at the whole image first, so that all tiles of it are told the same."""

    @abstractmethod
    def seen(self, image: Tensor) -> Tensor:
        """What (B, C, H, W) shows, (B, N)."""

    @abstractmethod
    def restored(self, image: Tensor, seen: Tensor) -> Tensor:
        """The image, or a part of it, told what the whole shows."""

    def forward(self, image: Tensor, randn_like: RandnLike | None = None) -> Tensor:
        """See `Mapper.forward`."""
        return self.restored(image, self.seen(image))


class ToldMapper(Mapper):
    """Takes out white noise, and can be told with each image how much.

    Attributes:
        most_noise: the strongest that it has learnt, a standard deviation in 8-bit units.
    """

    most_noise: ClassVar[float]

    @abstractmethod
    def told(self, image: Tensor, level: float) -> Tensor:
        """See `forward`, where the noise has that standard deviation, in 8-bit units."""


def count_modules(tensors: Mapping[str, Tensor], prefix: str) -> int:
    """How many numbered modules stand under a prefix.

    Raises:
        KeyError: none do, or a number is missing.
    """
    numbers = numbered(tensors, prefix)
    for place, number in enumerate(numbers):
        if place != number:
            raise KeyError(f"{prefix}{place}")
    return len(numbers)


def numbered(tensors: Mapping[str, Tensor], prefix: str) -> list[int]:
    """The numbers of the modules under a prefix, in their order.

    Raises:
        KeyError: there are none.
    """
    found = {int(name[1]) for name in (re.match(rf"{re.escape(prefix)}(\d+)\.", key) for key in tensors) if name}
    if not found:
        raise KeyError(f"{prefix}0")
    return sorted(found)


def pad_to(x: Tensor, size: tuple[int, int], padding: Padding) -> Tensor:
    """`x` (..., H, W) extended below and to the right to `size`.

    Reflection goes back and forth where the image is smaller than the padding, and repeats a single row.
    """
    height, width = x.shape[-2:]
    if (height, width) == size:
        return x
    if padding == "zeros":
        return nn.functional.pad(x, (0, size[1] - width, 0, size[0] - height))
    if padding == "replicate":
        return x[..., _last(height, size[0], x.device)[:, None], _last(width, size[1], x.device)]
    twice = padding == "symmetric"
    return x[..., _mirror(height, size[0], x.device, twice)[:, None], _mirror(width, size[1], x.device, twice)]


def _mirror(size: int, target: int, device: torch.device, twice: bool) -> Tensor:
    """Indices that go forth and back, with the two ends twice or once."""
    period = max(2 * (size - 1 + twice), 1)
    index = torch.arange(target, device=device) % period
    return torch.where(index < size, index, period - twice - index)


def _last(size: int, target: int, device: torch.device) -> Tensor:
    return torch.arange(target, device=device).clamp_max(size - 1)


def time_features(t: Tensor, dim: int) -> Tensor:
    """The reference's sinusoidal embedding of time indices (B,): (B, `dim`), sines first."""
    half = dim // 2
    frequencies = torch.exp(torch.arange(half, device=t.device) * -(math.log(10000) / (half - 1)))
    angles = t.float()[:, None] * frequencies[None, :]
    return torch.cat((angles.sin(), angles.cos()), dim=-1)
