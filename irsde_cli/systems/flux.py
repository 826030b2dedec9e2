"""FLUX.1 with a ControlNet that restores: a latent rectified flow that starts from the noised degraded latent.

Zhu et al., "Learning Efficient and Effective Trajectories for Differential Equation-based Image Restoration", TPAMI
2025, the unified model; networks from `diffusers`, the extra `irsde[flux]`. docs/flux.md says what it costs.
"""

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from irsde_cli.networks.facts import Facts, behind
from irsde_cli.networks.flux import Flux
from irsde_cli.networks.kl_autoencoder import KlAutoencoder
from irsde_cli.networks.network import Predictor
from irsde_cli.networks.tiling import Evaluate, shrunk
from irsde_cli.observation import Observation
from irsde_cli.processes.parameterisation import Parameterisation
from irsde_cli.processes.rectified_flow import RectifiedFlow
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
    clean_predictor,
)

FLOW = ProcessConfig("rectified-flow", {"shift": 1.596}, "flow", 0.5)


@dataclass(frozen=True)
class FluxConfig:
    """Everything that must be the same in training and in sampling.

    Attributes:
        network: a `flux`.
        autoencoder: a `kl-autoencoder`.
        process: a `rectified-flow`; as published shifted by exp(0.4675), whatever the size of the image.
        true_guidance: how far estimates are driven away from those of the empty prompt, at a second evaluation; 1 for
            none. Training does without.
        guided_from: the largest index at which that is done.
        sampling: the sampler that goes with the weights.
    """

    network: NetworkConfig
    autoencoder: NetworkConfig
    process: ProcessConfig = FLOW
    true_guidance: float = 1.0
    guided_from: int = 75
    sampling: PublishedSampling = PublishedSampling(sampler="ddim", steps=20)


class FluxRestorer(Diffusion):
    """Samples in FLUX's latents, which are never clipped.

    Tiles cut the latent; encoder and decoder see the whole image. The ControlNet alone is trained.
    """

    config: FluxConfig
    process: RectifiedFlow
    network: Flux
    autoencoder: KlAutoencoder
    follows_paths = True
    bounded = False
    max_batch = 1
    unlearnt = (
        "FLUX's ControlNet learns to steer a transformer that was trained before.",
        "docs/flux.md says how its weights become a checkpoint for --init.",
    )

    def __init__(self, config: FluxConfig) -> None:
        super().__init__()
        self.config = config
        self.autoencoder = build_network(config.autoencoder)
        self.network = build_network(config.network)
        self.process = build_process(config.process, RectifiedFlow)
        self.parameterisation = Parameterisation(config.process.prediction, config.process.residual_std)
        self.whole_bytes = self.autoencoder.facts.working_bytes

    @property
    def facts(self) -> Facts:
        """See `Restorer.facts`."""
        return behind(self.network.facts, self.autoencoder.factor)

    def __deepcopy__(self, memo: dict[int, Any]) -> "FluxRestorer":
        """Copies, of which training keeps several, share what it never changes.

        A prompt that is loaded into one, in place, is then that of all.
        """
        memo |= {id(part): part for part in (*self.frozen, *self.network.buffers())}
        twin = type(self).__new__(type(self))
        memo[id(self)] = twin
        twin.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return twin

    @property
    def frozen(self) -> tuple[nn.Module, ...]:
        """What training never changes, beside the prompts."""
        return (self.network.transformer, self.autoencoder)

    @property
    def learnt(self) -> nn.Module:
        """See `Restorer.learnt`; transformer and autoencoder were trained before and stay as they are."""
        controlnet: nn.Module = self.network.controlnet
        return controlnet

    def endpoints(self, clean: Tensor, observation: Observation) -> tuple[Tensor, Tensor]:
        """See `Restorer.endpoints`: both latents, of the first encoder.

        The network is taught on (1 - t) x_0 + t noise wherever the centre lies; it only moves a path's start.
        """
        with torch.no_grad():
            x0 = self.autoencoder.encode(clean, multiple=self.network.facts.multiple)
            return x0, self.autoencoder.encode(observation.painted(), multiple=self.network.facts.multiple)

    def picture(self, x0: Tensor) -> Tensor:
        """See `Diffusion.picture`."""
        return self.autoencoder.decode(x0).clamp(0, 1)

    def resolve(self, asked: Sampling) -> Sampling:
        """See `Restorer.resolve`."""
        return self.resolved(asked, clip=False)

    def reverse(
        self, observation: Observation, randn_like: RandnLike, sampling: Sampling, evaluate: Evaluate
    ) -> Reverse:
        """See `Diffusion.reverse`; the states are latents."""
        degraded = observation.painted()
        control = self.autoencoder.encode(degraded, multiple=self.network.facts.multiple)
        centre = self.autoencoder.encode(degraded, degraded=True, multiple=self.network.facts.multiple)
        path = self.process.path(centre)
        config, last, size = self.config, self.process.num_timesteps, (degraded.shape[-2], degraded.shape[-1])

        predict_clean = clean_predictor(
            _Guided(self.network, config.true_guidance, float(self.process.time[min(config.guided_from, last)])),
            self.parameterisation,
            self.process,
            path,
            control,
            shrunk(evaluate, self.autoencoder.factor),
            clip=False,
        )

        def start(t: int) -> Tensor:
            return self.process.start(centre, t, randn_like)

        def decode(z: Tensor) -> Tensor:
            return self.autoencoder.decode(z, size)

        return Reverse(predict_clean, start, path, self.process.num_timesteps, decode, even=True)


class _Guided(Predictor):
    """FLUX, driven away from the empty prompt up to a time of the flow."""

    def __init__(self, network: Predictor, guidance: float, until: float) -> None:
        super().__init__()
        self.network = network
        self.guidance = guidance
        self.until = until
        self.facts = network.facts

    def forward(self, x: Tensor, mu: Tensor, t: Tensor) -> Tensor:
        """See `Predictor.forward`, in the flow's own coordinates."""
        velocity: Tensor = self.network(x, mu, t)
        if self.guidance == 1 or float(t.max()) > self.until + 1e-6:
            return velocity
        empty: Tensor = self.network(x, mu, t, "negative_")
        return empty + self.guidance * (velocity - empty)
