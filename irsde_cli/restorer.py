"""The one interface of every restoration system: degraded in, restored out."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor, nn

from irsde_cli.randomness import ImageNoise, RandnLike, generator_for
from irsde_cli.tiling import Evaluate, whole


@dataclass(frozen=True)
class Sampling:
    """How the reverse process is run. `None` leaves the choice to the checkpoint.

    Attributes:
        sampler: a name of `irsde_cli.samplers.SAMPLERS`.
        steps: network evaluations.
        nodes: falling time indices at which the network is evaluated; their number is `steps`.
        eta: from 0 (the probability-flow ODE) to 1 (the reverse SDE), where the sampler has it.
        noise_level: standard deviation of the noise to remove, in 8-bit units, for systems that start from it.
        clip: keep each clean estimate within [0, 1].
    """

    sampler: str | None = None
    steps: int | None = None
    nodes: tuple[int, ...] | None = None
    eta: float | None = None
    noise_level: float | None = None
    clip: bool | None = None

    def over(self, other: "Sampling") -> "Sampling":
        """These settings, with `other`'s where these are `None`."""
        given = {f.name: value for f in fields(self) if (value := getattr(self, f.name)) is not None}
        return replace(other, **given)


class Restorer(nn.Module, ABC):
    """A restoration system with its weights.

    Attributes:
        config: a frozen dataclass; a checkpoint stores it beside the weights.
        scale: how many times larger the restored image is.
        multiple: heights and widths are padded to a multiple of this inside; images of equal padded size can share a
            batch through `irsde_cli.tiling.Ragged`.
        working_bytes: peak memory of one evaluation, in bytes per pixel of the restored image in float32.
        max_batch: how many images one call of `steps` takes.
    """

    config: Any
    scale: int = 1
    multiple: int = 1
    working_bytes: int = 4096
    max_batch: int | None = None

    @abstractmethod
    def resolve(self, asked: Sampling) -> Sampling:
        """`asked` completed with the checkpoint's settings and checked; `steps` is then what will be evaluated at most.

        Raises:
            UsageError: a setting is impossible for these weights.
        """

    @abstractmethod
    def steps(
        self, degraded: Tensor, randn_like: RandnLike, sampling: Sampling, evaluate: Evaluate = whole
    ) -> Iterator[Tensor]:
        """Yield the image after each network evaluation, (B, 3, H * scale, W * scale); the last is the restored one.

        Args:
            degraded: (B, 3, H, W), RGB in [0, 1], float32.
            randn_like: the source of all noise.
            sampling: a result of `resolve`.
            evaluate: how the network is applied to a canvas.
        """

    def forward(self, image: Tensor, *, seed: int = 0, sampling: Sampling | None = None) -> Tensor:
        """Restore `image`, (3, H, W) or (B, 3, H, W), RGB in [0, 1]; the result has the same rank, in [0, 1].

        Each image of a batch has its own noise: the seed and its index in the batch.
        """
        batch = image if image.ndim == 4 else image[None]
        noise = ImageNoise([generator_for(seed, str(index).encode()) for index in range(len(batch))])
        with torch.inference_mode():
            restored = last(self.steps(batch, noise, self.resolve(sampling or Sampling())))
        restored = restored.clamp(0, 1)
        return restored if image.ndim == 4 else restored[0]


def last(states: Iterator[Tensor]) -> Tensor:
    """The final state of a run."""
    state: Tensor | None = None
    for state in states:
        pass
    assert state is not None, "a restorer yields at least once"
    return state
