"""The Denoising-SDE and -ODE: a noisy photograph is itself a state, and the reverse process starts from it.

Luo et al., ICML 2023. The start is the time whose noise is that of the photograph: given, or estimated from it.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from irsde_cli.errors import UsageError
from irsde_cli.networks.tiling import Evaluate, whole
from irsde_cli.observation import Observation
from irsde_cli.processes.denoising import DenoisingSDE
from irsde_cli.processes.parameterisation import Parameterisation
from irsde_cli.randomness import RandnLike
from irsde_cli.samplers.settings import Sampling
from irsde_cli.systems.diffusion import Diffusion
from irsde_cli.systems.noise import estimate_noise
from irsde_cli.systems.parts import (
    NetworkConfig,
    ProcessConfig,
    PublishedSampling,
    Reverse,
    build_network,
    build_process,
    clean_predictor,
)

NOISY = ProcessConfig("denoising", residual_std=0.25)


@dataclass(frozen=True)
class DenoisingConfig:
    """Everything that must be the same in training and in sampling.

    Attributes:
        network: the backbone, without the degraded image as input.
        process: what lies between the degraded and the clean image.
        sampling: the sampler that goes with the weights.
    """

    network: NetworkConfig
    process: ProcessConfig = NOISY
    sampling: PublishedSampling = PublishedSampling(sampler="euler-ode")


class Denoising(Diffusion):
    """Removes white Gaussian noise of a known or estimated level; each image has its own start, so no batches."""

    config: DenoisingConfig
    process: DenoisingSDE
    max_batch = 1
    evaluated = ("network",)

    def __init__(self, config: DenoisingConfig) -> None:
        super().__init__()
        self.config = config
        self.network = build_network(config.network)
        self.process = build_process(config.process, DenoisingSDE)
        self.parameterisation = Parameterisation(config.process.prediction, config.process.residual_std)

    def endpoints(self, clean: Tensor, observation: Observation) -> tuple[Tensor, Tensor]:
        """See `Restorer.endpoints`: the process makes its own noise, so the degraded image has no say."""
        return clean, clean

    def clean_and_noise(self, x: Tensor, mu: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """See `Diffusion.clean_and_noise`; the network sees the state alone."""
        s, centre = self.process.std(t, x), torch.zeros_like(x)
        m = torch.ones_like(s)
        output = self.network(self.parameterisation.network_input(x, centre, m, s), x, t).to(x.dtype)
        parameterisation = self.parameterisation
        return parameterisation.clean(output, x, centre, m, s), parameterisation.noise(output, x, centre, m, s)

    @property
    def largest_noise(self) -> float:  # type: ignore[override]
        """See `Restorer.largest_noise`."""
        return self.process.stationary_std

    def denoised(self, x: Tensor, sigma: float, evaluate: Evaluate = whole) -> Tensor:
        """See `Restorer.denoised`; the time is the one whose noise is nearest."""
        path = self.process.path(x)
        predict_clean = clean_predictor(
            self.network, self.parameterisation, self.process, path, x, evaluate, clip=False
        )
        return predict_clean(x, self.process.timestep_for(min(sigma, self.process.std_table[-1].item())))

    def open_std(self, x: Tensor, t: Tensor) -> Tensor:
        """See `Diffusion.open_std`."""
        s = self.process.std(t, x)
        unit = self.parameterisation.open_std(torch.ones_like(s), s)
        assert isinstance(unit, Tensor)
        return unit

    def reverse_mean(self, x: Tensor, noise: Tensor, mu: Tensor, t: Tensor) -> Tensor:
        """See `Diffusion.reverse_mean`, around the predicted clean image."""
        return self.process.reverse_mean(x, noise, x - self.process.std(t, x) * noise, t)

    def noise_gain(self, x: Tensor, t: Tensor) -> Tensor:
        """See `Diffusion.noise_gain`; the mean follows the prediction too, which takes a part back."""
        return self.process.reverse_gain(t, x) * (1 + self.process.alpha(t, x) ** 2) / 2

    def resolve(self, asked: Sampling) -> Sampling:
        """See `Restorer.resolve`; a given noise level already limits the steps."""
        sampling = self.resolved(asked, clip=True)
        level = asked.noise_level
        if level is None:
            return sampling
        if not 0 < level <= self.process.stationary_std * 255:
            raise UsageError(
                f"a noise level of {level:g} is not what these weights remove.",
                hint=f"Give --noise-level a number above 0 and up to {self.process.stationary_std * 255:g}.",
            )
        first = self.process.timestep_for(level / 255)
        if sampling.nodes is not None and sampling.nodes[0] > first:
            raise UsageError(f"noise of level {level:g} starts at t = {first}; the nodes start at {sampling.nodes[0]}.")
        return sampling if sampling.nodes is not None else replace(sampling, steps=min(sampling.steps or first, first))

    def reverse(
        self, observation: Observation, randn_like: RandnLike, sampling: Sampling, evaluate: Evaluate
    ) -> Reverse:
        """See `Diffusion.reverse`; the first state is the photograph, so a deterministic sampler draws nothing."""
        degraded = observation.painted()
        if len(degraded) != 1:
            raise ValueError(f"one image at a time, not {len(degraded)}")
        path = self.process.path(degraded)

        predict_clean = clean_predictor(
            self.network, self.parameterisation, self.process, path, degraded, evaluate, clip=bool(sampling.clip)
        )
        level = estimate_noise(degraded) if sampling.noise_level is None else sampling.noise_level / 255
        first = self.process.timestep_for(min(level, self.process.stationary_std))
        return Reverse(predict_clean, lambda _: degraded, path, first)
