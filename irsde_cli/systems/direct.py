"""Direct regression: the degraded image goes through the network once, and out comes the restored one.

The CNN baseline of Luo et al., ICML 2023: the same network as the SDE's, trained on the clean image alone.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from irsde_cli.centres.centre import Upsampling, centre
from irsde_cli.networks.network import Network
from irsde_cli.networks.tiling import Evaluate, whole
from irsde_cli.randomness import RandnLike
from irsde_cli.restorer import Restorer
from irsde_cli.samplers.settings import Sampling
from irsde_cli.systems.parts import NetworkConfig, build_network, check_scale, resolve_one_pass


@dataclass(frozen=True)
class DirectConfig:
    """Everything that must be the same in training and in use.

    Attributes:
        network: the backbone; it is asked at t = 1 for the residual.
        scale: how many times larger the restored image is; the degraded one is enlarged first.
        upsampling: how it is enlarged.
    """

    network: NetworkConfig
    scale: int = 1
    upsampling: Upsampling = "bicubic"


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
        """See `Restorer.resolve`; there is nothing to choose."""
        return resolve_one_pass(asked)

    def steps(
        self, degraded: Tensor, randn_like: RandnLike, sampling: Sampling, evaluate: Evaluate = whole
    ) -> Iterator[Tensor]:
        """See `Restorer.steps`; one state."""
        yield self.predict(centre(degraded, self.scale, self.config.upsampling), evaluate)

    def predict(self, mu: Tensor, evaluate: Evaluate = whole) -> Tensor:
        """The restored images (B, 3, H, W) of enlarged degraded ones."""
        residual: Tensor = evaluate(self.network, mu, mu, torch.ones(len(mu), device=mu.device))
        return mu + residual.to(mu.dtype)
