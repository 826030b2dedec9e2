"""The one interface of every restoration system: degraded in, restored out."""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from irsde_cli.networks.facts import Facts
from irsde_cli.networks.network import Network
from irsde_cli.networks.tiling import Evaluate, whole
from irsde_cli.observation import Observation
from irsde_cli.randomness import ImageNoise, RandnLike, generator_for
from irsde_cli.samplers.settings import Sampling


class Restorer(nn.Module, ABC):
    """A restoration system with its weights.

    Attributes:
        config: a frozen dataclass; a checkpoint stores it beside the weights.
        ragged: whether images of unequal size but equal padded size may share a batch through
            `irsde_cli.networks.tiling.Ragged`: only where nothing but the network looks beyond a pixel.
        whole_bytes: peak memory, in bytes per pixel of the degraded image, of what tiles do not divide.
        max_batch: how many images one call of `steps` takes.
    """

    config: Any
    ragged: bool = False
    whole_bytes: int = 0
    max_batch: int | None = None

    @property
    @abstractmethod
    def facts(self) -> Facts:
        """Those of its parts together, in pixels of the restored image."""

    @property
    def scale(self) -> int:
        """How many times larger the restored image is."""
        return self.facts.scale

    @abstractmethod
    def resolve(self, asked: Sampling) -> Sampling:
        """`asked` completed with the checkpoint's settings and checked; `steps` is then what will be evaluated at most.

        Raises:
            UsageError: a setting is impossible for these weights.
        """

    @abstractmethod
    def steps(
        self, observation: Observation, randn_like: RandnLike, sampling: Sampling, evaluate: Evaluate = whole
    ) -> Iterator[Tensor]:
        """Yield the image after each network evaluation, (B, 3, H * scale, W * scale); the last is the restored one.

        Args:
            observation: the degraded images.
            randn_like: the source of all noise.
            sampling: a result of `resolve`.
            evaluate: how the network is applied to a canvas.
        """

    def seen(self, degraded: Tensor) -> dict[str, float]:
        """What is wrong with an image (3, H, W) in [0, 1], the likeliest first, by probability.

        Empty where the system does not look first.
        """
        return {}

    @property
    def learnt(self) -> nn.Module:
        """The part whose weights training changes."""
        return self

    def freeze(self) -> None:
        """Say that the weights do not change from now on; `train()` ends that. Restoring is faster afterwards."""
        for module in self.modules():
            if isinstance(module, Network):
                module.freeze()

    def endpoints(self, clean: Tensor, observation: Observation) -> tuple[Tensor, Tensor]:
        """What the network is taught from, given clean images (B, 3, H * scale, W * scale) and what is seen of them."""
        return clean, observation.image

    def forward(
        self, image: Tensor, *, known: Tensor | None = None, seed: int = 0, sampling: Sampling | None = None
    ) -> Tensor:
        """Restore `image`, (3, H, W) or (B, 3, H, W), RGB in [0, 1]; the result has the same rank, in [0, 1].

        Each image of a batch has its own noise: the seed and its index in the batch.

        Args:
            image: what to restore.
            known: (H, W) or (B, 1, H, W), false where the image has holes; `None` where it has none.
            seed: of the noise.
            sampling: how to sample; as the weights were published if not given.
        """
        batch = image if image.ndim == 4 else image[None]
        if known is not None:
            known = (known if known.ndim == 4 else known[None, None]).bool().expand(len(batch), 1, -1, -1)
        noise = ImageNoise([generator_for(seed, str(index).encode()) for index in range(len(batch))])
        with torch.inference_mode():
            restored = last(self.steps(Observation(batch, known), noise, self.resolve(sampling or Sampling())))
        restored = restored.clamp(0, 1)
        return restored if image.ndim == 4 else restored[0]


def last(states: Iterator[Tensor]) -> Tensor:
    """The final state of a run."""
    newest: deque[Tensor] = deque(states, maxlen=1)
    return newest.pop()
