"""IR-SDE and Refusion in pixels: from the degraded image and noise, back along the mean-reverting SDE.

Luo et al., ICML 2023 and CVPRW 2023. The two differ in their network and in lambda alone.
"""

from dataclasses import dataclass

from torch import Tensor

from irsde_cli.centres.centre import Centre, Upsampling, centre
from irsde_cli.networks.facts import Facts
from irsde_cli.networks.tiling import Evaluate
from irsde_cli.observation import Observation
from irsde_cli.processes.parameterisation import Parameterisation
from irsde_cli.processes.process import Process
from irsde_cli.randomness import RandnLike
from irsde_cli.samplers.settings import Sampling
from irsde_cli.systems.diffusion import Diffusion
from irsde_cli.systems.parts import (
    NetworkConfig,
    ProcessConfig,
    PublishedSampling,
    Reverse,
    build_network,
    build_process,
    check_outputs,
    check_scale,
    clean_predictor,
    pair_predictor,
)

PUBLISHED = ProcessConfig()


@dataclass(frozen=True)
class MeanRevertingConfig:
    """Everything that must be the same in training and in sampling.

    Attributes:
        network: the backbone.
        process: what lies between the degraded and the clean image.
        scale: how many times larger the restored image is; the degraded one is enlarged first.
        upsampling: how it is enlarged.
        centre: what the process reverts to: the degraded image as it is, as published; with a smooth surface in each
            of its holes; or as bright as photographs are (`exposed` by a gain, `lifted` by a curve).
        sampling: the sampler that goes with the weights.
    """

    network: NetworkConfig
    process: ProcessConfig = PUBLISHED
    scale: int = 1
    upsampling: Upsampling = "bicubic"
    centre: Centre = "degraded"
    sampling: PublishedSampling = PublishedSampling()


class MeanReverting(Diffusion):
    """Samples with a network that knows the degraded image."""

    config: MeanRevertingConfig
    follows_paths = True
    evaluated = ("network",)

    def __init__(self, config: MeanRevertingConfig) -> None:
        super().__init__()
        self.config = config
        self.network = build_network(config.network)
        self.process = build_process(config.process, Process)
        self.parameterisation = Parameterisation(config.process.prediction, config.process.residual_std)
        check_outputs(self.network, self.parameterisation)
        self.ragged = check_scale(config.scale) == 1 and config.centre == "degraded"

    @property
    def facts(self) -> Facts:
        """See `Restorer.facts`."""
        return self.network.facts.outside(self.config.scale)

    def resolve(self, asked: Sampling) -> Sampling:
        """See `Restorer.resolve`."""
        return self.resolved(asked, clip=True)

    def endpoints(self, clean: Tensor, observation: Observation) -> tuple[Tensor, Tensor]:
        """See `Restorer.endpoints`: the clean image, and the degraded one at its size."""
        return clean, self._centre(observation)

    def _centre(self, observation: Observation) -> Tensor:
        return centre(observation, self.scale, self.config.upsampling, self.config.centre)

    def reverse(
        self, observation: Observation, randn_like: RandnLike, sampling: Sampling, evaluate: Evaluate
    ) -> Reverse:
        """See `Diffusion.reverse`."""
        mu = self._centre(observation)
        path, clip = self.path(mu), bool(sampling.clip)
        asked = (self.network, self.parameterisation, self.process, path, mu, evaluate)

        def start(t: int) -> Tensor:
            return self.process.start(mu, t, randn_like)

        return Reverse(
            clean_predictor(*asked, clip=clip),
            start,
            path,
            self.first(sampling),
            predict_pair=pair_predictor(*asked, clip=clip),
        )
