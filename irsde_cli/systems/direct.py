"""Direct regression: the degraded image goes through the network once, and out comes the restored one.

The CNN baseline of Luo et al., ICML 2023: the same network as the SDE's, trained on the clean image alone.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from irsde_cli.centres.centre import Upsampling, centre
from irsde_cli.errors import UsageError
from irsde_cli.networks.network import Network
from irsde_cli.networks.tiling import Evaluate, whole
from irsde_cli.randomness import RandnLike
from irsde_cli.restorer import Restorer
from irsde_cli.samplers.settings import Sampling
from irsde_cli.systems.parts import NetworkConfig, build_network, check_scale, resolve_one_pass

UNTOLD = -1.0


@dataclass(frozen=True)
class DirectConfig:
    """Everything that must be the same in training and in use.

    Attributes:
        network: the backbone; it is asked for the residual, at t = 1 or, if it can be told of noise, at t = the level
            of it, and at `UNTOLD` where nobody says.
        scale: how many times larger the restored image is; the degraded one is enlarged first.
        upsampling: how it is enlarged.
        noise_level_max: the strongest noise that the network can be told of, a standard deviation in 8-bit units; 0
            where it cannot be told.
    """

    network: NetworkConfig
    scale: int = 1
    upsampling: Upsampling = "bicubic"
    noise_level_max: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.noise_level_max <= 255:
            raise ValueError(f"noise_level_max must be from 0 to 255, not {self.noise_level_max}")


class Direct(Restorer):
    """One evaluation, no noise: the estimate that has the best PSNR and the least detail."""

    config: DirectConfig

    def __init__(self, config: DirectConfig) -> None:
        super().__init__()
        self.config = config
        self.network: Network = build_network(config.network)
        self.scale = check_scale(config.scale)
        self.multiple = self.network.multiple
        self.ragged = self.scale == 1
        self.working_bytes = self.network.working_bytes
        self.reach = self.network.reach

    @property
    def learnt(self) -> nn.Module:
        """See `Restorer.learnt`."""
        return self.network

    def endpoints(self, clean: Tensor, degraded: Tensor) -> tuple[Tensor, Tensor]:
        """See `Restorer.endpoints`."""
        return clean, centre(degraded, self.scale, self.config.upsampling)

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
        self, degraded: Tensor, randn_like: RandnLike, sampling: Sampling, evaluate: Evaluate = whole
    ) -> Iterator[Tensor]:
        """See `Restorer.steps`; one state."""
        mu = centre(degraded, self.scale, self.config.upsampling)
        levels = None
        if sampling.noise_level is not None:
            levels = torch.full((len(mu),), sampling.noise_level, device=mu.device)
        yield self.predict(mu, evaluate, levels)

    def predict(self, mu: Tensor, evaluate: Evaluate = whole, levels: Tensor | None = None) -> Tensor:
        """The restored images (B, 3, H, W) of enlarged degraded ones.

        Args:
            mu: the enlarged degraded images.
            evaluate: how the network is applied to a canvas.
            levels: of the noise in each, (B,), in 8-bit units, `UNTOLD` where it is not known; `None` for none.
        """
        if levels is None:
            levels = torch.full((len(mu),), UNTOLD if self.config.noise_level_max else 1.0, device=mu.device)
        residual: Tensor = evaluate(self.network, mu, mu, levels)
        return mu + residual.to(mu.dtype)
