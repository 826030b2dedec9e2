"""IR-SDE and Refusion in pixels: from the degraded image and noise, back along the mean-reverting SDE.

Luo et al., ICML 2023 and CVPRW 2023. The two differ in their network and in lambda alone.
"""

from dataclasses import dataclass

from torch import Tensor

from irsde_cli.centres.centre import Centre, Upsampling, centre
from irsde_cli.networks.facts import Facts
from irsde_cli.networks.tiling import Evaluate
from irsde_cli.observation import Observation
from irsde_cli.processes.mean_reverting import MeanRevertingSDE
from irsde_cli.processes.parameterisation import Parameterisation, Prediction
from irsde_cli.processes.schedules import ScheduleName
from irsde_cli.randomness import RandnLike
from irsde_cli.samplers.settings import Sampling
from irsde_cli.systems.diffusion import Diffusion
from irsde_cli.systems.parts import (
    NOWHERE,
    NetworkConfig,
    PublishedSampling,
    Reverse,
    build_network,
    check_scale,
    clean_predictor,
    resolve_sampling,
)


@dataclass(frozen=True)
class MeanRevertingConfig:
    """Everything that must be the same in training and in sampling.

    Attributes:
        network: the backbone.
        stationary_std: lambda for [0, 1] images; the published configurations say `max_sigma`, 255 times as much.
        num_timesteps: T.
        schedule: shape of theta_t.
        eps: alpha_T.
        prediction: what the network predicts.
        residual_std: typical standard deviation of clean minus degraded, for the prediction `clean`.
        scale: how many times larger the restored image is; the degraded one is enlarged first.
        upsampling: how it is enlarged.
        centre: what the process reverts to: the degraded image as it is, as published; with a smooth surface in each
            of its holes; or as bright as photographs are (`irsde_cli.centres.exposed`).
        sampling: the sampler that goes with the weights.
    """

    network: NetworkConfig
    stationary_std: float = 10 / 255
    num_timesteps: int = 100
    schedule: ScheduleName = "cosine"
    eps: float = 0.005
    prediction: Prediction = "noise"
    residual_std: float = 0.08
    scale: int = 1
    upsampling: Upsampling = "bicubic"
    centre: Centre = "degraded"
    sampling: PublishedSampling = PublishedSampling()


class MeanReverting(Diffusion):
    """Samples with a network that knows the degraded image."""

    config: MeanRevertingConfig
    follows_paths = True

    def __init__(self, config: MeanRevertingConfig) -> None:
        super().__init__()
        self.config = config
        self.network = build_network(config.network)
        self.sde = MeanRevertingSDE(config.stationary_std, config.num_timesteps, config.schedule, config.eps)
        self.parameterisation = Parameterisation(config.prediction, config.residual_std)
        self.ragged = check_scale(config.scale) == 1 and config.centre == "degraded"

    @property
    def facts(self) -> Facts:
        """See `Restorer.facts`."""
        return self.network.facts.outside(self.config.scale)

    @property
    def clock(self) -> MeanRevertingSDE:
        """See `Diffusion.clock`."""
        return self.sde

    def resolve(self, asked: Sampling) -> Sampling:
        """See `Restorer.resolve`."""
        return resolve_sampling(asked, self.config.sampling, self.sde.path(NOWHERE), clip=True)

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
        path = self.sde.path(mu)

        predict_clean = clean_predictor(
            self.network, self.parameterisation, path, mu, evaluate, clip=bool(sampling.clip)
        )

        def start(t: int) -> Tensor:
            return self.sde.start(mu, t, randn_like)

        return Reverse(predict_clean, start, path, self.config.num_timesteps)
