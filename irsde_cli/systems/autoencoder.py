"""The autoencoder of latent Refusion alone: it gives back what it is shown.

It is trained first, and what it cannot reproduce no latent system can restore: look at its pictures before going on.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from torch import Tensor, nn

from irsde_cli.networks.facts import Facts
from irsde_cli.networks.latent_unet import LatentUNet
from irsde_cli.networks.tiling import Evaluate, whole
from irsde_cli.observation import Observation
from irsde_cli.randomness import RandnLike
from irsde_cli.restorer import Restorer
from irsde_cli.samplers.settings import Sampling
from irsde_cli.systems.parts import NetworkConfig, build_network, resolve_one_pass


@dataclass(frozen=True)
class AutoencoderConfig:
    """Everything that must be the same in training and in use.

    Attributes:
        autoencoder: a `latent-unet`.
    """

    autoencoder: NetworkConfig


class Autoencoder(Restorer):
    """Encodes and decodes the whole image; it takes no tiles."""

    config: AutoencoderConfig
    max_batch = 1

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        self.config = config
        self.autoencoder: LatentUNet = build_network(config.autoencoder)
        self.whole_bytes = self.autoencoder.facts.working_bytes

    @property
    def facts(self) -> Facts:
        """See `Restorer.facts`: nothing that tiles could divide."""
        return replace(self.autoencoder.facts, multiple=1, working_bytes=0)

    @property
    def learnt(self) -> nn.Module:
        """See `Restorer.learnt`."""
        return self.autoencoder

    def resolve(self, asked: Sampling) -> Sampling:
        """See `Restorer.resolve`; there is nothing to choose."""
        return resolve_one_pass(asked)

    def steps(
        self, observation: Observation, randn_like: RandnLike, sampling: Sampling, evaluate: Evaluate = whole
    ) -> Iterator[Tensor]:
        """See `Restorer.steps`; one state, the image as the autoencoder sees it."""
        yield self.autoencoder(observation.painted())
