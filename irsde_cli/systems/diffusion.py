"""What the systems that reverse an SDE share in training; in sampling each has its own way."""

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor, nn

from irsde_cli import room
from irsde_cli.errors import UsageError
from irsde_cli.networks.facts import Facts
from irsde_cli.networks.network import Predictor
from irsde_cli.networks.tiling import Evaluate, whole
from irsde_cli.observation import Observation
from irsde_cli.processes.parameterisation import Parameterisation
from irsde_cli.processes.path import Path
from irsde_cli.processes.process import Process
from irsde_cli.randomness import RandnLike
from irsde_cli.restorer import Restorer, between
from irsde_cli.samplers.costs import jump_costs
from irsde_cli.samplers.nodes import even_nodes, times_from
from irsde_cli.samplers.sampler import in_bands
from irsde_cli.samplers.settings import Sampling
from irsde_cli.systems.parts import NOWHERE, Reverse, check_amount, resolve_sampling

ENDS_AT_THE_MEAN = ("euler-mean", "noiseless", "residual")
MOST_LEFT = 0.1  # of the clean image at T, that a start without it may lack


class Diffusion(Restorer):
    """A network that is asked for the clean end of a process.

    Attributes:
        network: the backbone, a `Predictor`.
        parameterisation: what its output means.
        bounded: whether clean ends lie in [0, 1], as pixels do and latents do not.
        process: between the ends.
    """

    bounded: bool = True
    takes_sampler = True
    takes_realism = True
    process: Process
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
        if sampling.is_draw:
            yield from map(reverse.decode, reverse.solve(sampling, randn_like))
        else:
            yield from map(reverse.decode, _blended(reverse, sampling, randn_like))

    def path(self, mu: Tensor) -> Path:
        """The process around `mu`, (B, C, H, W), for samplers."""
        return replace(self.process.path(mu), second=self.parameterisation.second)

    def resolved(self, asked: Sampling, *, clip: bool) -> Sampling:
        """`resolve` of a system whose configuration has `sampling`; no realism at all takes one evaluation."""
        sampling = resolve_sampling(asked, self.config.sampling, self.path(NOWHERE), clip=clip)
        realism = sampling.realism
        if sampling.is_draw:
            return sampling
        check_amount(realism, 1, "--realism goes from 0, the mean estimate, to 1, a draw")
        if sampling.sampler in ENDS_AT_THE_MEAN:
            raise UsageError(f"the sampler '{sampling.sampler}' ends near the mean: --realism has nothing to blend.")
        if reason := self.first_is_no_mean:
            raise UsageError(f"these weights take no --realism below 1: {reason}.", hint="Leave it out.")
        if isinstance(realism, int | float) and realism == 0:
            return replace(sampling, steps=1, nodes=sampling.nodes and sampling.nodes[:1])
        if sampling.steps == 1:
            raise UsageError("one evaluation is the mean: --realism has nothing to blend.", hint="Give more --steps.")
        return sampling

    @property
    def first_is_no_mean(self) -> str:
        """Why the first estimate of a run is not the mean of what the image may have been; empty if it is."""
        path = self.process.path(NOWHERE)
        m, _ = path.at(path.num_timesteps)
        if m == 1:  # the first state is the photograph itself
            return ""
        if not self.parameterisation.knows_the_start:
            return "they predict noise, whose error the first estimate multiplies"
        if m > MOST_LEFT:
            return "their process begins while it still holds a part of the picture, which the start lacks"
        return ""

    def first(self, sampling: Sampling) -> int:
        """The index that a run starts from: T, unless the network knows nothing there and no Euler step begins so."""
        euler = (sampling.sampler or "").startswith("euler")
        return self.process.num_timesteps if euler else self.last_taught

    @property
    def last_taught(self) -> int:
        """See `Restorer.last_taught`: T, or T - 1 of a bridge if what is predicted says nothing at its end."""
        known = self.parameterisation.reads_a_pinned_end
        return self.process.num_timesteps if known else self.process.last_taught

    def time_at(self, place: float, spacing: str) -> int:
        """See `Restorer.time_at`."""
        table = self.process.half_log_snr()
        if spacing == "uniform":
            return 1 + int(place * len(table))
        wanted = table[0] + place * (table[-1] - table[0])
        return 1 + int((table - wanted).abs().argmin())

    def signal_to_noise(self, t: Tensor) -> Tensor:
        """See `Restorer.signal_to_noise`."""
        table = self.process.half_log_snr()
        return torch.exp(2 * table[(t.cpu() - 1).clamp_max(len(table) - 1)])

    def jump_costs(
        self, observation: Observation, randn_like: RandnLike, sampling: Sampling, evaluate: Evaluate, walk: int
    ) -> tuple[tuple[int, ...], Tensor]:
        """See `Restorer.jump_costs`."""
        reverse = self.reverse(observation, randn_like, sampling, evaluate)
        nodes = even_nodes(reverse.first, min(walk, reverse.first))
        start = reverse.start(reverse.first)
        return nodes, jump_costs(reverse.predict_clean, start, reverse.path, times_from(nodes))

    def probe(self, x0: Tensor, mu: Tensor, t: Tensor) -> Tensor | None:
        """See `Restorer.probe`."""
        output: Tensor = self.network(x0, mu, t)
        return output

    def state(self, x0: Tensor, mu: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """The training states at indices t (B,) between the ends x0 and mu, with that noise, (B, C, H, W)."""
        x = self.process.state(x0, mu, t, noise)
        if not self.pure_start:
            return x
        ends = (t == self.process.num_timesteps).to(x0.device)[:, None, None, None]
        return torch.where(ends, mu + self.process.std(t, x0) * noise, x)

    def picture(self, x0: Tensor) -> Tensor:
        """Clean ends (B, C, H, W) as pictures (B, 3, H, W) in [0, 1]: what a reward compares."""
        return x0.clamp(0, 1)

    def conditioned(self, mu: Tensor) -> Predictor:
        """The network for these degraded images (B, C, H, W), where it is told something about them besides."""
        return self.network

    def clean_and_noise(self, x: Tensor, mu: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """What the network says of states `x` (B, C, H, W) at indices t (B,): the clean image and the noise."""
        m, s = self.process.alpha(t, x), self.process.std(t, x)
        output = self._output(x, mu, t, m, s)
        parameterisation = self.parameterisation
        return parameterisation.clean(output, x, mu, m, s), parameterisation.noise(output, x, mu, m, s)

    def estimates(self, x: Tensor, mu: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """What a network of two outputs says of states: the clean image, and what `Parameterisation.second` names."""
        m, s = self.process.alpha(t, x), self.process.std(t, x)
        output = self._output(x, mu, t, m, s)
        clean, second = self.parameterisation.estimates(output, x, mu, m, s).chunk(2, dim=1)
        return clean, second

    def _output(self, x: Tensor, mu: Tensor, t: Tensor, m: Tensor, s: Tensor) -> Tensor:
        seen = self.process.seen(self.parameterisation.network_input(x, mu, m, s), mu, t)
        output: Tensor = self.conditioned(mu)(seen, mu, self.process.asked(t)).to(x.dtype)
        return output

    def open_std(self, x: Tensor, t: Tensor) -> Tensor:
        """The unit of the clean estimate's error at indices t (B,), shaped to divide `x`."""
        unit = self.parameterisation.open_std(self.process.alpha(t, x), self.process.std(t, x))
        assert isinstance(unit, Tensor)
        return unit

    def reverse_mean(self, x: Tensor, noise: Tensor, mu: Tensor, t: Tensor) -> Tensor:
        """Mean of one Euler step of the reverse SDE, with the predicted noise."""
        return self.process.reverse_mean(x, noise, mu, t)

    def noise_gain(self, x: Tensor, t: Tensor) -> Tensor:
        """How far a unit of predicted noise moves `reverse_mean`, shaped to divide `x`."""
        return self.process.reverse_gain(t, x)


def _blended(reverse: Reverse, sampling: Sampling, randn_like: RandnLike) -> Iterator[Tensor]:
    """The states of a run whose last one is drawn towards its first estimate, the mean of what the image may have been.

    With the error D of that mean, the blend's is (1 + realism^2) D, and its draws spread `realism` times as far
    (Freirich et al., NeurIPS 2021). So it is with a map of it, place by place.
    """
    first: list[Tensor] = []

    def remembered(clean: Tensor) -> Tensor:
        if not first:
            first.append(room.copy(clean))  # samplers overwrite what they are given
        return clean

    def predict_pair(x: Tensor, t: int) -> tuple[Tensor, Tensor]:
        assert reverse.predict_pair is not None, "a network of two outputs"
        clean, second = reverse.predict_pair(x, t)
        return remembered(clean), second

    watched = replace(
        reverse, predict_clean=lambda x, t: remembered(reverse.predict_clean(x, t)), predict_pair=predict_pair
    )
    states = watched.solve(sampling, randn_like)
    realism = sampling.realism
    if isinstance(realism, int | float) and realism == 0:
        next(states)
        yield first[0]
        return
    held = next(states)
    for state in states:
        yield held
        held = state
    assert realism is not None, "a draw needs no blend"
    yield in_bands(torch.lerp, first[0], held, between(realism, first[0], held), into=held)
