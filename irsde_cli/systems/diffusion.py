"""What the systems that reverse an SDE share in training; in sampling each has its own way."""

from abc import abstractmethod
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from irsde_cli.networks.facts import Facts
from irsde_cli.networks.network import Predictor
from irsde_cli.networks.tiling import Evaluate, whole
from irsde_cli.observation import Observation
from irsde_cli.processes.parameterisation import Parameterisation
from irsde_cli.processes.parts import Gaussian
from irsde_cli.processes.process import Process
from irsde_cli.randomness import RandnLike
from irsde_cli.restorer import Restorer
from irsde_cli.samplers.settings import Sampling
from irsde_cli.systems.parts import Reverse


class Diffusion(Restorer):
    """A network that is asked for the clean end of a process.

    Attributes:
        network: the backbone, a `Predictor`.
        parameterisation: what its output means.
        follows_paths: whether its training states are also its sampler's: trajectory learning needs that.
        bounded: whether clean ends lie in [0, 1], as pixels do and latents do not.
        pure_start: whether training states at t = T hold nothing of the clean image, as the sampler's start does not.
    """

    follows_paths: bool = False
    bounded: bool = True
    pure_start: bool = False
    network: Predictor
    parameterisation: Parameterisation

    @property
    def facts(self) -> Facts:
        """See `Restorer.facts`: the network's, whose images are those of the system."""
        return self.network.facts.outside()

    @property
    def learnt(self) -> nn.Module:
        """See `Restorer.learnt`."""
        return self.network

    @abstractmethod
    def reverse(
        self, observation: Observation, randn_like: RandnLike, sampling: Sampling, evaluate: Evaluate
    ) -> Reverse:
        """The reverse process; the arguments are those of `Restorer.steps`."""

    def steps(
        self, observation: Observation, randn_like: RandnLike, sampling: Sampling, evaluate: Evaluate = whole
    ) -> Iterator[Tensor]:
        """See `Restorer.steps`."""
        reverse = self.reverse(observation, randn_like, sampling, evaluate)
        del observation  # where it has a centre of its own and nobody else needs it
        yield from map(reverse.decode, reverse.solve(sampling, randn_like))

    @property
    @abstractmethod
    def clock(self) -> Process:
        """The process of the training states."""

    def marginal(self, x0: Tensor, mu: Tensor, t: Tensor) -> Gaussian:
        """The training states at indices t (B,) between the ends x0 and mu (B, C, H, W)."""
        x = self.clock.marginal(x0, mu, t)
        if not self.pure_start:
            return x
        ends = (t == self.clock.num_timesteps).to(x0.device)[:, None, None, None]
        return Gaussian(torch.where(ends, mu, x.mean), x.std)

    def picture(self, x0: Tensor) -> Tensor:
        """Clean ends (B, C, H, W) as pictures (B, 3, H, W) in [0, 1]: what a reward compares."""
        return x0.clamp(0, 1)

    def conditioned(self, mu: Tensor) -> Predictor:
        """The network for these degraded images (B, C, H, W), where it is told something about them besides."""
        return self.network

    def clean_and_noise(self, x: Tensor, mu: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """What the network says of states `x` (B, C, H, W) at indices t (B,): the clean image and the noise."""
        m, s = self.clock.alpha(t, x), self.clock.std(t, x)
        output = self.conditioned(mu)(self.parameterisation.network_input(x, mu, m, s), mu, t).to(x.dtype)
        parameterisation = self.parameterisation
        return parameterisation.clean(output, x, mu, m, s), parameterisation.noise(output, x, mu, m, s)

    def open_std(self, x: Tensor, t: Tensor) -> Tensor:
        """The unit of the clean estimate's error at indices t (B,), shaped to divide `x`."""
        unit = self.parameterisation.open_std(self.clock.alpha(t, x), self.clock.std(t, x))
        assert isinstance(unit, Tensor)
        return unit

    def reverse_mean(self, x: Tensor, noise: Tensor, mu: Tensor, t: Tensor) -> Tensor:
        """Mean of one Euler step of the reverse SDE, with the predicted noise."""
        return self.clock.reverse_mean(x, noise, mu, t)

    def noise_gain(self, x: Tensor, t: Tensor) -> Tensor:
        """How far a unit of predicted noise moves `reverse_mean`, shaped to divide `x`."""
        return self.clock.reverse_gain(t, x)
