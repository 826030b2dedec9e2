"""One pass: the degraded image goes through the network once, and out comes the restored one.

With a network of a process it is the CNN baseline of Luo et al., ICML 2023: the SDE's own, trained on the clean image.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from irsde_cli.centres.centre import Centre, Upsampling, centre
from irsde_cli.errors import UsageError
from irsde_cli.images import in_unit
from irsde_cli.networks.facts import Facts
from irsde_cli.networks.network import Looker, Mapper, Predictor, ToldMapper
from irsde_cli.networks.tiling import Evaluate, Evaluated, whole
from irsde_cli.observation import Observation
from irsde_cli.randomness import RandnLike
from irsde_cli.restorer import Restorer
from irsde_cli.samplers.settings import Sampling
from irsde_cli.systems.noise import estimate_noise
from irsde_cli.systems.parts import NetworkConfig, build_network, check_scale, resolve_one_pass

UNTOLD = -1.0
UNASKED = 1.0  # where a predictor of a process that cannot be told is asked
GREY = (1, 1)
MOST_NOISE = 25500  # a hundred times the range of pictures


@dataclass(frozen=True)
class OnePassConfig:
    """Everything that must be the same in training and in use.

    Attributes:
        network: the backbone: a `Mapper`, or a `Predictor`, which is asked for what leads to the clean image, at t = 1
            or, if it can be told of noise, at t = the level of it, and at `UNTOLD` where nobody says.
        scale: how many times larger the degraded image is made before the network sees it.
        upsampling: how it is enlarged.
        centre: what it is prepared to: see `irsde_cli.centres`.
        noise_level_max: the strongest noise that a predictor can be told of, a standard deviation in 8-bit units; 0
            where it cannot be told.
        blind: whether a predictor that can be told has learnt to see for itself too; otherwise the level is estimated.
    """

    network: NetworkConfig
    scale: int = 1
    upsampling: Upsampling = "bicubic"
    centre: Centre = "degraded"
    noise_level_max: float = 0.0
    blind: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.noise_level_max <= MOST_NOISE:
            raise ValueError(f"noise_level_max must be from 0 to {MOST_NOISE}, not {self.noise_level_max}")


class OnePass(Restorer):
    """One evaluation: the estimate that has the best PSNR and the least detail."""

    config: OnePassConfig

    def __init__(self, config: OnePassConfig, network: Mapper | None = None) -> None:
        super().__init__()
        self.config = config
        self.network: Mapper | Predictor = build_network(config.network) if network is None else network
        check_scale(config.scale * self.network.facts.scale)
        if (channels := self.network.facts.channels) not in (GREY, (3, 3)):
            raise ValueError(f"the network '{config.network.name}' makes {channels[1]} channels of {channels[0]}")
        if config.noise_level_max and not isinstance(self.network, Predictor):
            raise ValueError(f"the network '{config.network.name}' cannot be told of noise")
        # Who looks at a whole image must not see the canvas that it shares with others.
        self.ragged = self.scale == 1 and config.centre == "degraded" and not isinstance(self.network, Looker)
        looks = isinstance(self.network, Looker) or self.network.facts.draws
        self.evaluated = () if looks else ("network",)
        most = self.network.most_noise if isinstance(self.network, ToldMapper) else config.noise_level_max
        self.largest_noise = most / 255

    @property
    def facts(self) -> Facts:
        """See `Restorer.facts`."""
        return self.network.facts.outside(self.config.scale)

    @property
    def learnt(self) -> nn.Module:
        """See `Restorer.learnt`."""
        return self.network

    def endpoints(self, clean: Tensor, observation: Observation) -> tuple[Tensor, Tensor]:
        """See `Restorer.endpoints`."""
        return clean, self._centre(observation)

    def _centre(self, observation: Observation) -> Tensor:
        return centre(observation, self.config.scale, self.config.upsampling, self.config.centre)

    def resolve(self, asked: Sampling) -> Sampling:
        """See `Restorer.resolve`; there is nothing to choose but, for some, the noise to remove."""
        most, level = self.config.noise_level_max, asked.noise_level
        if not most or level is None:
            return resolve_one_pass(asked)
        if not 0 < level <= most:
            raise UsageError(
                f"a noise level of {level:g} is not what these weights remove.",
                hint=f"Give --noise-level a number above 0 and up to {most:g}, or leave it out.",
            )
        return replace(resolve_one_pass(replace(asked, noise_level=None)), noise_level=level)

    def steps(
        self, observation: Observation, randn_like: RandnLike, sampling: Sampling, evaluate: Evaluate = whole
    ) -> Iterator[Tensor]:
        """See `Restorer.steps`; one state."""
        plain = self.ragged and observation.known is None
        image = observation.samples if plain else self._centre(observation)
        levels = None
        if sampling.noise_level is not None:
            levels = torch.full((len(image),), sampling.noise_level, device=image.device)
        elif not self.config.blind:
            found = [min(255 * estimate_noise(in_unit(one)[None]), self.config.noise_level_max) for one in image]
            levels = torch.tensor(found, device=image.device)
        yield self.predict(image, evaluate, levels, randn_like)

    def denoised(self, x: Tensor, sigma: float, evaluate: Evaluate = whole) -> Tensor:
        """See `Restorer.denoised`."""
        network = self.network
        if isinstance(network, ToldMapper):

            def told(image: Tensor) -> Tensor:
                return network.told(image, 255 * sigma)

            grey = network.facts.channels == GREY
            each = Evaluated(network.facts, lambda image: by_channel(told, image) if grey else told(image))
            return evaluate(each, x).to(x.dtype)
        return self.predict(x, evaluate, torch.full((len(x),), 255 * sigma, device=x.device))

    def predict(
        self,
        image: Tensor,
        evaluate: Evaluate = whole,
        levels: Tensor | None = None,
        randn_like: RandnLike | None = None,
    ) -> Tensor:
        """The restored images of degraded ones (B, 3, H, W), as `endpoints` prepares them.

        Args:
            image: the degraded images, or samples that `irsde_cli.images.in_unit` makes them of.
            evaluate: how the network is applied to a canvas.
            levels: of the noise in each, (B,), in 8-bit units, `UNTOLD` where it is not known; `None` for none.
            randn_like: the source of noise, for a network that draws some.
        """
        network = self.network
        if levels is None:
            levels = torch.full((len(image),), UNTOLD if self.config.noise_level_max else UNASKED, device=image.device)

        def mapped(image: Tensor, levels: Tensor, *seen: Tensor) -> Tensor:
            image = image if image.is_floating_point() else in_unit(image)
            if isinstance(network, Predictor):
                residual: Tensor = network(image, image, levels)
                return image + residual.to(image.dtype)
            if isinstance(network, Looker):
                return network.restored(image, *seen)
            if network.facts.channels == GREY:
                return by_channel(lambda grey: network(grey, randn_like), image)
            restored: Tensor = network(image, randn_like) if network.facts.draws else network(image)
            return restored

        dtype = image.dtype if image.is_floating_point() else torch.float32
        told = (network.seen(in_unit(image)),) if isinstance(network, Looker) else ()
        return evaluate(Evaluated(network.facts, mapped), image, levels, *told).to(dtype)


def by_channel(network: Callable[[Tensor], Tensor], image: Tensor) -> Tensor:
    """What a network of grey images makes of each channel of (B, 3, H, W); of grey ones, whose channels agree, once."""
    channels = torch.split(image, 1, dim=1)
    if all(torch.equal(channels[0], other) for other in channels[1:]):
        return network(channels[0]).repeat(1, len(channels), 1, 1)
    return torch.cat([network(channel) for channel in channels], dim=1)
