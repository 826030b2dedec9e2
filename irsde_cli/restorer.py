"""The one interface of every restoration system: degraded in, restored out."""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from irsde_cli.errors import UsageError
from irsde_cli.networks.facts import Facts
from irsde_cli.networks.network import Network
from irsde_cli.networks.tiling import Evaluate, whole
from irsde_cli.observation import Observation
from irsde_cli.randomness import ImageNoise, RandnLike, generator_for
from irsde_cli.samplers.settings import Amount, Sampling


class Restorer(nn.Module, ABC):
    """A restoration system with its weights.

    Attributes:
        config: a frozen dataclass; a checkpoint stores it beside the weights.
        ragged: whether images of unequal size but equal padded size may share a batch through
            `irsde_cli.networks.tiling.Ragged`: only where nothing but the network looks beyond a pixel.
        whole_bytes: peak memory, in bytes per pixel of the degraded image, of what tiles do not divide.
        takes_sampler: whether a sampler and its settings can be chosen for it.
        largest_noise: up to which standard deviation, for images in [0, 1], `denoised` takes out white noise of any
            level that it is told of; 0 where it cannot be told.
        takes_realism: whether it knows the mean estimate and a draw.
        follows_paths: whether its training states are also its sampler's: trajectory learning needs that.
        pure_start: whether training states at t = T hold nothing of the clean image, as the sampler's start does not.
        tells_deviation: whether one evaluation also says how far draws differ: see `with_deviation`.
        max_batch: how many images one call of `steps` takes.
        codes: whether `coded` and `opened` are possible.
        evaluated: names of the networks that are called as `Predictor.forward` and `Mapper.forward` say, and in no
            other way, so that another library can evaluate them.
        unlearnt: why it cannot be trained from fresh weights, and what to do; empty where it can.
    """

    config: Any
    ragged: bool = False
    whole_bytes: int = 0
    takes_sampler: bool = False
    largest_noise: float = 0.0
    takes_realism: bool = False
    follows_paths: bool = False
    pure_start: bool = False
    tells_deviation: bool = False
    max_batch: int | None = None
    codes: bool = False
    evaluated: tuple[str, ...] = ()
    unlearnt: tuple[str, str] = ("", "")

    @property
    @abstractmethod
    def facts(self) -> Facts:
        """Those of its parts together, in pixels of the restored image."""

    @property
    def scale(self) -> int:
        """How many times larger the restored image is."""
        return self.facts.scale

    @property
    def draws(self) -> bool:
        """Whether two seeds give two results."""
        return self.takes_sampler or self.facts.draws

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

    def with_deviation(
        self, observation: Observation, randn_like: RandnLike, sampling: Sampling, evaluate: Evaluate = whole
    ) -> tuple[Tensor, Tensor]:
        """What `steps` ends with, and one squared deviation of a draw from the mean, (B, 3, H * scale, W * scale).

        Raises:
            UsageError: the system does not tell it.
        """
        raise UsageError("these weights do not say how far their draws differ.")

    def denoised(self, x: Tensor, sigma: float, evaluate: Evaluate = whole) -> Tensor:
        """E[x_0 | x_0 + `sigma` n] for images x (B, 3, H, W), by one evaluation; a prior of zero-shot restoration.

        Raises:
            UsageError: the system cannot be told of noise.
        """
        raise UsageError("these weights cannot be told of white noise of any level.")

    def coded(self, image: Tensor, quality: int) -> bytes:
        """What a file of the restored image holds, of an image (3, H, W) in [0, 1] and a quality from 0 to 63.

        Raises:
            UsageError: the system is no codec.
            InputError: this image cannot be coded.
        """
        raise UsageError("these weights are no codec.")

    def opened(self, latent: bytes, quality: int, size: tuple[int, int]) -> Tensor:
        """The restored image (3, *size) of what `coded` gave at that quality.

        Raises:
            UsageError: the system is no codec.
            irsde_cli.images.container.DamagedError: `coded` never gave that.
        """
        raise UsageError("these weights are no codec.")

    @property
    def doubts(self) -> list[str]:
        """What is wrong with the last result of `steps`, in words, as far as the system can tell."""
        return []

    def seen(self, degraded: Tensor) -> dict[str, float]:
        """What is wrong with an image (3, H, W), as `Observation.samples`, the likeliest first, by probability.

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

    @property
    def last_taught(self) -> int:
        """The largest time index of a training sample; 1 for systems without time."""
        return 1

    def time_at(self, place: float, spacing: str) -> int:
        """The time index of a training sample at `place` in [0, 1), `spacing` as in `TrainConfig.timesteps`."""
        return 1

    def signal_to_noise(self, t: Tensor) -> Tensor:
        """The ratio at time indices t (B,), on the CPU; 0 for systems without noise."""
        return torch.zeros(len(t))

    def probe(self, x0: Tensor, mu: Tensor, t: Tensor) -> Tensor | None:
        """One evaluation as in training, to count what it costs; `None` where the objective itself says it."""
        return None

    def jump_costs(
        self, observation: Observation, randn_like: RandnLike, sampling: Sampling, evaluate: Evaluate, walk: int
    ) -> tuple[tuple[int, ...], Tensor]:
        """Time indices of a walk of at most so many steps, and what each jump between two of them misses on images.

        Raises:
            UsageError: the system evaluates its network once.
        """
        raise UsageError("these weights restore in one pass; they take no --nodes.")

    def forward(
        self, image: Tensor, *, known: Tensor | None = None, seed: int = 0, sampling: Sampling | None = None
    ) -> Tensor:
        """Restore `image`, (3, H, W) or (B, 3, H, W), RGB in [0, 1]; the result has the same rank, in [0, 1].

        Each image of a batch has its own noise: the seed and its index in the batch.

        Args:
            image: what to restore.
            known: (H, W) or (B, 1, H, W), false where the image has holes; `None` where it has none.
            seed: of the noise.
            sampling: how to sample; as the weights were published if not given. Its maps are tensors.

        Raises:
            UsageError: a setting is impossible, or a map has another size; or what an image needs is to be found out.
        """
        batch = image if image.ndim == 4 else image[None]
        if known is not None:
            known = (known if known.ndim == 4 else known[None, None]).bool().expand(len(batch), 1, -1, -1)
        for wanted in () if sampling is None else (sampling.realism, sampling.blend):
            if isinstance(wanted, Tensor) and wanted.shape[-2:] != batch.shape[-2:]:
                raise UsageError(f"a map of {tuple(wanted.shape[-2:])} for images of {tuple(batch.shape[-2:])}.")
        if sampling is not None and sampling.is_judged:
            raise UsageError(
                "the strength 'auto' depends on the task, which a run knows.", hint="irsde_cli.restore takes it."
            )
        noise = ImageNoise([generator_for(seed, str(index).encode()) for index in range(len(batch))])
        with torch.inference_mode():
            resolved, observation = self.resolve(sampling or Sampling()), Observation(batch, known)
            restored = last(self.steps(observation, noise, resolved))
            if resolved.blend is not None:
                restored = strengthened(restored, observation, resolved.blend)
        restored = restored.clamp(0, 1)
        return restored if image.ndim == 4 else restored[0]


def amount_on(amount: Amount, images: Tensor) -> Tensor:
    """A number, or a map in memory, as a tensor that broadcasts to images or latents (B, C, H, W)."""
    if not isinstance(amount, Tensor):
        assert isinstance(amount, int | float), "a map that was read"
        return torch.full((1, 1, 1, 1), amount, dtype=images.dtype, device=images.device)
    where = amount if amount.ndim == 4 else amount[None, None]
    size = images.shape[-2:]
    if where.shape[-2:] != size:
        where = F.interpolate(where.float(), size=size, mode="bilinear", antialias=True)
    return where.to(images)


def between(amount: Amount, mean: Tensor, draw: Tensor) -> Tensor:
    """How far from a mean to a draw, as a tensor that broadcasts to both."""
    found = amount(mean, draw) if callable(amount) else amount
    return amount_on(found, mean)


def strengthened(restored: Tensor, observation: Observation, strength: Amount) -> Tensor:
    """Restored images (B, 3, H, W) blended with the degraded ones, which are enlarged where these are larger.

    Args:
        restored: the images.
        observation: what they were restored from; there is nothing to blend with in its holes.
        strength: 0 is the degraded image, 1 the restored one, and more goes beyond it; a number or a map.
    """
    degraded, known = observation.image, observation.known
    if degraded.shape[-2:] != restored.shape[-2:]:
        size = restored.shape[-2:]
        degraded = F.interpolate(degraded, size=size, mode="bicubic", align_corners=False)
        known = None if known is None else F.interpolate(known.float(), size=size) > 0.5
    blend = torch.lerp(degraded.to(restored), restored, amount_on(strength, restored))
    return blend if known is None else torch.where(known, blend, restored)


def last(states: Iterator[Tensor]) -> Tensor:
    """The final state of a run."""
    newest: deque[Tensor] = deque(states, maxlen=1)
    return newest.pop()
