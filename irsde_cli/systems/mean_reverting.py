"""IR-SDE and Refusion in pixels: from the degraded image and noise, back along the mean-reverting SDE.

Luo et al., ICML 2023 and CVPRW 2023. The two differ in their network and in lambda alone.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from torch import Tensor
from torch.nn import functional as F

from irsde_cli.diffusion.mean_reverting import MeanRevertingSDE
from irsde_cli.diffusion.parameterisation import Parameterisation, Prediction
from irsde_cli.diffusion.schedules import ScheduleName
from irsde_cli.randomness import RandnLike
from irsde_cli.restorer import Restorer
from irsde_cli.samplers.settings import Sampling
from irsde_cli.systems.parts import (
    NetworkConfig,
    PublishedSampling,
    build_network,
    clean_predictor,
    resolve_sampling,
    sample,
)
from irsde_cli.tiling import Evaluate, whole


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
    upsampling: Literal["bicubic", "nearest"] = "bicubic"
    sampling: PublishedSampling = PublishedSampling()


class MeanReverting(Restorer):
    """Samples with a network that knows the degraded image."""

    config: MeanRevertingConfig

    def __init__(self, config: MeanRevertingConfig) -> None:
        super().__init__()
        self.config = config
        self.network = build_network(config.network)
        self.sde = MeanRevertingSDE(config.stationary_std, config.num_timesteps, config.schedule, config.eps)
        self.parameterisation = Parameterisation(config.prediction, config.residual_std)
        self.scale = config.scale
        self.multiple = self.network.multiple
        self.working_bytes = self.network.working_bytes

    def resolve(self, asked: Sampling) -> Sampling:
        """See `Restorer.resolve`."""
        return resolve_sampling(asked, self.config.sampling, self.config.num_timesteps, clip=True)

    def centre(self, degraded: Tensor) -> Tensor:
        """mu: the degraded image at the size of the restored one."""
        if self.scale == 1:
            return degraded
        if self.config.upsampling == "nearest":
            return F.interpolate(degraded, scale_factor=self.scale, mode="nearest")
        return F.interpolate(degraded, scale_factor=self.scale, mode="bicubic", align_corners=False)

    def steps(
        self, degraded: Tensor, randn_like: RandnLike, sampling: Sampling, evaluate: Evaluate = whole
    ) -> Iterator[Tensor]:
        """See `Restorer.steps`."""
        mu = self.centre(degraded)
        path = self.sde.path(mu)

        predict_clean = clean_predictor(
            self.network, self.parameterisation, path, mu, evaluate, clip=bool(sampling.clip)
        )

        def start(t: int) -> Tensor:
            return self.sde.start(mu, t, randn_like)

        yield from sample(predict_clean, start, path, randn_like, sampling, self.config.num_timesteps)

    def clean_and_noise(self, x: Tensor, mu: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """What the network says of states `x` (B, C, H, W) at indices t (B,): the clean image and the noise."""
        m, s = self.sde.alpha(t, x), self.sde.std(t, x)
        output = self.network(self.parameterisation.network_input(x, mu, m, s), mu, t).to(x.dtype)
        parameterisation = self.parameterisation
        return parameterisation.clean(output, x, mu, m, s), parameterisation.noise(output, x, mu, m, s)
