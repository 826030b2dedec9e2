"""Latent Refusion: encode, restore the latent with the mean-reverting SDE, decode with the degraded image's skips.

Luo et al., CVPRW 2023.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from irsde_cli.networks.facts import Facts, behind
from irsde_cli.networks.latent_unet import LatentUNet
from irsde_cli.networks.tiling import Evaluate, shrunk
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
    clean_predictor,
)

LATENT = ProcessConfig(options={"stationary_std": 50 / 255}, residual_std=0.25)


@dataclass(frozen=True)
class LatentConfig:
    """Everything that must be the same in training and in sampling.

    Attributes:
        autoencoder: a `latent-unet`.
        network: the backbone that works on latents.
        process: what lies between the degraded and the clean image.
        sampling: the sampler that goes with the weights.
    """

    autoencoder: NetworkConfig
    network: NetworkConfig
    process: ProcessConfig = LATENT
    sampling: PublishedSampling = PublishedSampling(sampler="euler-maruyama")


class Latent(Diffusion):
    """Samples in the latent space of a U-Net autoencoder; latents are never clipped.

    Tiles cut the latent; encoder and decoder see the whole image.
    """

    config: LatentConfig
    unlearnt = (
        "a latent system learns in the latents of an autoencoder that was trained before.",
        "Train one with --preset latent-unet-dehaze, and give it here with --init.",
    )

    def __init__(self, config: LatentConfig) -> None:
        super().__init__()
        self.config = config
        self.autoencoder: LatentUNet = build_network(config.autoencoder)
        self.network = build_network(config.network)
        self.process = build_process(config.process, Process)
        self.parameterisation = Parameterisation(config.process.prediction, config.process.residual_std)
        check_outputs(self.network, self.parameterisation)
        self.max_batch = 1
        self.evaluated = ("network",)
        self.whole_bytes = self.autoencoder.facts.working_bytes

    @property
    def facts(self) -> Facts:
        """See `Restorer.facts`: encoder and decoder look at all of the image."""
        return behind(self.network.facts, self.autoencoder.factor)

    def endpoints(self, clean: Tensor, observation: Observation) -> tuple[Tensor, Tensor]:
        """See `Restorer.endpoints`: both latents."""
        with torch.no_grad():
            return self.autoencoder.encode(clean)[0].float(), self.autoencoder.encode(observation.painted())[0].float()

    def resolve(self, asked: Sampling) -> Sampling:
        """See `Restorer.resolve`."""
        return self.resolved(asked, clip=False)

    def reverse(
        self, observation: Observation, randn_like: RandnLike, sampling: Sampling, evaluate: Evaluate
    ) -> Reverse:
        """See `Diffusion.reverse`; the states are latents."""
        degraded = observation.painted()
        mu, skips = self.autoencoder.encode(degraded)
        path = self.process.path(mu)
        size = (degraded.shape[-2], degraded.shape[-1])

        predict_clean = clean_predictor(
            self.network,
            self.parameterisation,
            self.process,
            path,
            mu,
            shrunk(evaluate, self.autoencoder.factor),
            clip=False,
        )

        def start(t: int) -> Tensor:
            return self.process.start(mu, t, randn_like)

        def decode(z: Tensor) -> Tensor:
            return self.autoencoder.decode(z, skips, size)

        return Reverse(predict_clean, start, path, self.first(sampling), decode)
