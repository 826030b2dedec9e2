"""One evaluation that knows how sure it is: a mean estimate, and a difference from it that changes with the noise.

The result is mean + A difference: the mean at A = 0, a draw at A = 1, with the error (1 + A^2) D where D is that of the
mean. `irsde_cli.training.energy` teaches it without teacher or adversary. It is ours; the score is that of Gneiting and
Raftery (2007), the trade between error and realism that of Freirich et al. (NeurIPS 2021).
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from irsde_cli.centres.centre import Centre, Upsampling, centre
from irsde_cli.networks.facts import Facts
from irsde_cli.networks.network import Predictor
from irsde_cli.networks.tiling import Evaluate, Evaluated, whole
from irsde_cli.observation import Observation
from irsde_cli.processes.parts import check_std
from irsde_cli.randomness import RandnLike
from irsde_cli.restorer import Restorer, between
from irsde_cli.samplers.settings import Sampling
from irsde_cli.systems.parts import NetworkConfig, build_network, check_amount, check_scale, resolve_one_pass

SAMPLER = "two-heads"
HINT = "Leave it out; --realism goes from the mean estimate, 0, to a draw, 1."


@dataclass(frozen=True)
class TwoHeadsConfig:
    """Everything that must be the same in training and in use.

    Attributes:
        network: a `Predictor` with six channels of output (`heads = 2`), asked at t = 1; its state is the degraded
            image with noise.
        scale: how many times larger the degraded image is made before the network sees it.
        upsampling: how it is enlarged.
        centre: what it is prepared to: see `irsde_cli.centres`.
        noise_std: of that noise, for images in [0, 1]; only the difference between two of them means something.
        realism: A where nobody asks for another.
    """

    network: NetworkConfig
    scale: int = 1
    upsampling: Upsampling = "bicubic"
    centre: Centre = "degraded"
    noise_std: float = 0.25
    realism: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.realism <= 1:
            raise ValueError(f"realism must be from 0 to 1, not {self.realism}")
        check_std("noise_std", self.noise_std)


class TwoHeads(Restorer):
    """Mean and draw by one evaluation of one network."""

    config: TwoHeadsConfig
    takes_realism = True
    tells_deviation = True
    evaluated = ("network",)

    def __init__(self, config: TwoHeadsConfig) -> None:
        super().__init__()
        self.config = config
        self.network: Predictor = build_network(config.network)
        if (channels := self.network.facts.channels) != (3, 6):
            raise ValueError(
                f"the network '{config.network.name}' makes {channels[1]} channels of {channels[0]}, and two heads "
                "are six: give it heads = 2"
            )
        self.ragged = check_scale(config.scale) == 1 and config.centre == "degraded"

    @property
    def facts(self) -> Facts:
        """See `Restorer.facts`."""
        return replace(self.network.facts.outside(self.config.scale), channels=(3, 3), draws=True)

    @property
    def learnt(self) -> nn.Module:
        """See `Restorer.learnt`."""
        return self.network

    def endpoints(self, clean: Tensor, observation: Observation) -> tuple[Tensor, Tensor]:
        """See `Restorer.endpoints`."""
        return clean, self._centre(observation)

    def resolve(self, asked: Sampling) -> Sampling:
        """See `Restorer.resolve`: one evaluation, at any realism."""
        realism = self.config.realism if asked.realism is None else asked.realism
        check_amount(realism, 1, "--realism goes from 0, the mean estimate, to 1, a draw")
        sampler = None if asked.sampler == SAMPLER else asked.sampler
        one = resolve_one_pass(replace(asked, realism=None, sampler=sampler), HINT)
        return replace(one, sampler=SAMPLER, realism=realism)

    def steps(
        self, observation: Observation, randn_like: RandnLike, sampling: Sampling, evaluate: Evaluate = whole
    ) -> Iterator[Tensor]:
        """See `Restorer.steps`; one state."""
        yield self.with_deviation(observation, randn_like, sampling, evaluate)[0]

    def with_deviation(
        self, observation: Observation, randn_like: RandnLike, sampling: Sampling, evaluate: Evaluate = whole
    ) -> tuple[Tensor, Tensor]:
        """See `Restorer.with_deviation`."""
        mu = self._centre(observation)
        assert sampling.realism is not None, "a resolved Sampling"
        mean, difference = self.heads(mu, randn_like(mu), evaluate)
        amount = between(sampling.realism, mean, mean + difference)
        return torch.addcmul(mean, difference, amount), difference.square()

    def heads(self, mu: Tensor, noise: Tensor, evaluate: Evaluate = whole) -> tuple[Tensor, Tensor]:
        """The mean estimate and the difference of a draw from it, (B, 3, H, W) each.

        Args:
            mu: the degraded images, as `endpoints` prepares them.
            noise: standard normal, like them: another one gives another draw.
            evaluate: how the network is applied to a canvas.
        """

        def both(mu: Tensor, noise: Tensor, t: Tensor) -> Tensor:
            out: Tensor = self.network(mu + self.config.noise_std * noise, mu, t)
            mean, difference = out.to(mu.dtype).chunk(2, dim=1)
            return torch.cat((mu + mean, difference), dim=1)

        time = torch.ones(len(mu), device=mu.device)
        mean, difference = evaluate(Evaluated(self.network.facts, both), mu, noise, time).chunk(2, dim=1)
        return mean, difference

    def _centre(self, observation: Observation) -> Tensor:
        return centre(observation, self.config.scale, self.config.upsampling, self.config.centre)
