"""Posterior-mean rectified flow: a mean estimate, and from it, with a little noise, straight to a photograph.

Ohayon et al., "Posterior-Mean Rectified Flow: Towards Minimum MSE Photo-Realistic Image Restoration", ICLR 2025. The
flow sees its state alone, neither the degraded image nor the mean. So it learns how means become photographs, with
nearly the least error that a realistic picture can have. The little noise hardly changes the answer.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from irsde_cli.centres.centre import Upsampling, centre
from irsde_cli.networks.facts import Facts
from irsde_cli.networks.network import Predictor
from irsde_cli.networks.tiling import Evaluate, Evaluated
from irsde_cli.observation import Observation
from irsde_cli.processes.parameterisation import Parameterisation
from irsde_cli.processes.path import Path
from irsde_cli.processes.straight import StraightFlow
from irsde_cli.randomness import RandnLike
from irsde_cli.samplers.settings import Sampling
from irsde_cli.systems.diffusion import Diffusion
from irsde_cli.systems.one_pass import OnePass, OnePassConfig
from irsde_cli.systems.parts import NetworkConfig, PublishedSampling, Reverse, build_network

EULER = PublishedSampling(sampler="ddim", steps=25, clip=False)


@dataclass(frozen=True)
class PmrfConfig:
    """Everything that must be the same in training and in sampling.

    Attributes:
        mean: the network of the mean estimate: a `Mapper`, or a `Predictor` that is asked as a one-pass system does.
        network: the flow's, a `Predictor`.
        scale: how many times larger the degraded image is made before the first network sees it.
        upsampling: how it is enlarged.
        noise_std: of the noise on the mean estimate, for images in [0, 1]; published 0.1 for faces, 0.025 for noise.
        num_timesteps: into how many indices the flow's time is divided.
        sampling: the sampler that goes with the weights; `ddim` is Euler's method. The mean takes one evaluation more.
    """

    mean: NetworkConfig
    network: NetworkConfig
    scale: int = 1
    upsampling: Upsampling = "bicubic"
    noise_std: float = 0.1
    num_timesteps: int = 100
    sampling: PublishedSampling = EULER


class Pmrf(Diffusion):
    """Two networks, which the objective `mean-and-flow` teaches at once; no gradient goes from the flow to the mean."""

    config: PmrfConfig
    process: StraightFlow

    def __init__(self, config: PmrfConfig) -> None:
        super().__init__()
        self.config = config
        self.mean = OnePass(OnePassConfig(config.mean, config.scale, config.upsampling))
        self.network: Predictor = build_network(config.network)
        within = tuple(f"mean.{name}" for name in self.mean.evaluated)
        self.evaluated = (*within, "network") if within else ()
        self.process = StraightFlow(config.noise_std, config.num_timesteps)
        self.parameterisation = Parameterisation("clean", 1.0)  # of which only that the first estimate is one is used

    @property
    def facts(self) -> Facts:
        """See `Restorer.facts`: what either network needs and takes."""
        mean, flow = self.mean.facts, self.network.facts.outside()
        reach = None if mean.reach is None or flow.reach is None else mean.reach + flow.reach
        return replace(
            mean,
            multiple=max(mean.multiple, flow.multiple),
            smallest=max(mean.smallest, flow.smallest),
            reach=reach,
            working_bytes=max(mean.working_bytes, flow.working_bytes),
        )

    @property
    def learnt(self) -> nn.Module:
        """See `Restorer.learnt`: both networks."""
        return self

    def endpoints(self, clean: Tensor, observation: Observation) -> tuple[Tensor, Tensor]:
        """See `Restorer.endpoints`: the clean image, and what the first network sees."""
        return self.mean.endpoints(clean, observation)

    def path(self, mu: Tensor) -> Path:
        """See `Diffusion.path`: no SDE has its marginals, for the flow does not see what it starts from."""
        return replace(super().path(mu), drawn=False)

    def resolve(self, asked: Sampling) -> Sampling:
        """See `Restorer.resolve`."""
        return self.resolved(asked, clip=True)

    def velocity(self, x: Tensor, t: Tensor) -> Tensor:
        """What leads from the noised mean to the clean image, as the flow's network says of states (B, C, H, W)."""
        velocity: Tensor = self.network(x, x, t)
        return velocity.to(x.dtype)

    def clean_and_noise(self, x: Tensor, mu: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """See `Diffusion.clean_and_noise`; `mu` is the mean estimate."""
        clean = x + self._left(t, x) * self.velocity(x, t)
        m, s = self.process.alpha(t, x), self.process.std(t, x)
        return clean, (x - mu - m * (clean - mu)) / s

    def reverse(
        self, observation: Observation, randn_like: RandnLike, sampling: Sampling, evaluate: Evaluate
    ) -> Reverse:
        """See `Diffusion.reverse`, around the mean estimate."""
        degraded = centre(observation, self.config.scale, self.config.upsampling)
        mean = self.mean.predict(degraded, evaluate, randn_like=randn_like).clamp(0, 1)
        network = Evaluated(self.network.facts, self.velocity)

        def predict_clean(x: Tensor, t: int) -> Tensor:
            left = t / self.process.num_timesteps
            clean = x + left * evaluate(network, x, torch.full((len(x),), t, device=x.device))
            return clean.clamp_(0, 1) if sampling.clip else clean

        def start(t: int) -> Tensor:
            return self.process.start(mean, t, randn_like)

        return Reverse(predict_clean, start, self.path(mean), self.first(sampling), even=True)

    def _left(self, t: Tensor, like: Tensor) -> Tensor:
        return (t.to(like) / self.process.num_timesteps)[:, None, None, None]
