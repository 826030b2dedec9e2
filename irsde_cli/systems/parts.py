"""What systems are made of: networks by name, and the reverse process with its settings."""

import inspect
import logging
import math
import reprlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields, replace
from functools import partial
from typing import Any, TypeVar, cast

import torch
from torch import Tensor

from irsde_cli.config import from_mapping
from irsde_cli.errors import IrsdeError, UsageError
from irsde_cli.inverse import METHODS
from irsde_cli.networks import NETWORKS
from irsde_cli.networks.network import Predictor
from irsde_cli.networks.tiling import Evaluable, Evaluate
from irsde_cli.processes import PROCESSES
from irsde_cli.processes.parameterisation import Parameterisation, Prediction
from irsde_cli.processes.path import Path
from irsde_cli.processes.process import Process
from irsde_cli.randomness import RandnLike
from irsde_cli.registry import unknown_name
from irsde_cli.samplers import SAMPLERS
from irsde_cli.samplers.fit import PAIRED, fitting, refusal
from irsde_cli.samplers.nodes import choose_nodes, falling, times_from
from irsde_cli.samplers.sampler import CleanPredictor, PairPredictor, in_bands
from irsde_cli.samplers.settings import MOST_STRENGTH, Amount, Sampling

logger = logging.getLogger(__name__)
LARGEST_SCALE = 16
# A centre for paths of which only the tables count.
NOWHERE = torch.zeros(1, 1, 1, 1, device="cpu")


@dataclass(frozen=True)
class NetworkConfig:
    """A row of `irsde_cli.networks.NETWORKS` and its hyper-parameters."""

    name: str
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ProcessConfig:
    """A row of `irsde_cli.processes.PROCESSES` with its settings, and what the network says of its states.

    Attributes:
        name: of the row.
        options: the settings; those left out are filled in, so that a checkpoint holds all of them.
        prediction: what the network predicts.
        residual_std: typical standard deviation of clean minus degraded, for the prediction `clean`.
    """

    name: str = "mean-reverting"
    options: dict[str, Any] = field(default_factory=dict)
    prediction: Prediction = "noise"
    residual_std: float = 0.08

    def __post_init__(self) -> None:
        process = build_process(self, Process)
        if self.prediction not in process.predictions:
            known = " or ".join(process.predictions)
            raise ValueError(f"a network of the process '{self.name}' predicts {known}, not {self.prediction}")
        complete = {f.name: getattr(process, f.name) for f in fields(cast(Any, process)) if f.init}
        object.__setattr__(self, "options", complete)


P = TypeVar("P", bound=Process)


def build_process(config: ProcessConfig, kind: type[P]) -> P:
    """The process.

    Raises:
        UsageError: its name or a setting is unknown or impossible.
        ValueError: it is not of the kind that the system needs.
    """
    process = from_mapping(PROCESSES.load(config.name), config.options, f"process '{config.name}'")
    if not isinstance(process, kind):
        fit = [name for name in PROCESSES if issubclass(PROCESSES.load(name), kind)]
        raise ValueError(f"the system cannot run on the process '{config.name}', but on {', '.join(fit)}")
    return process


def build_network(config: NetworkConfig) -> Any:
    """The network, with fresh weights.

    Raises:
        UsageError: the name or a hyper-parameter is unknown, or a value is impossible.
    """
    cls = NETWORKS.load(config.name)
    known = [name for name, p in inspect.signature(cls).parameters.items() if p.kind is p.KEYWORD_ONLY]
    for option in config.options:
        if option not in known:
            raise unknown_name(f"option of network '{config.name}'", option, known)
    try:
        return cls(**config.options)
    except IrsdeError:
        raise
    except Exception as error:
        shown = reprlib.repr(config.options)
        raise UsageError(f"network '{config.name}' cannot be built from {shown}: {error}.") from None


@dataclass(frozen=True)
class PublishedSampling:
    """How a checkpoint samples when nobody asks for anything else.

    Attributes:
        sampler: a row of `irsde_cli.samplers.SAMPLERS`.
        steps: network evaluations.
        nodes: the time indices of these, if they were chosen.
        schedules: the time indices of other numbers of steps that were.
        clip: whether clean estimates of pixels are kept in [0, 1]. The reference does not, so its own weights with
            their own sampler and steps do not either; any other sampler or number of steps does.
        realism: from 0, the mean estimate, to 1, a draw: what looks best where nobody says how to sample. Whoever
            names a sampler, steps, nodes or eta gets draws.
    """

    sampler: str = "posterior"
    steps: int = 100
    nodes: tuple[int, ...] | None = None
    schedules: tuple[tuple[int, ...], ...] = ()
    clip: bool = True
    realism: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.realism <= 1:
            raise ValueError(f"realism goes from 0 to 1, not {self.realism}")


def resolve_sampling(asked: Sampling, published: PublishedSampling, path: Path, *, clip: bool) -> Sampling:
    """Complete and check what was asked for; see `Restorer.resolve`. Of `path` only the tables count."""
    check_choices(asked)
    if asked.sampler in METHODS:
        raise UsageError(
            f"'{asked.sampler}' is a method of zero-shot restoration, and these weights have samplers.",
            hint=f"--model zero-shot, or one of {', '.join(fitting(path))}.",
        )
    if asked.is_usual and published.realism < 1:
        asked = replace(asked, realism=published.realism)
    sampler, num_timesteps = SAMPLERS.check(asked.sampler or published.sampler), path.num_timesteps
    if reason := refusal(sampler, path):
        raise UsageError(
            f"the sampler '{sampler}' cannot run here: {reason}.",
            hint=f"Samplers that can: {', '.join(fitting(path))}.",
        )
    nodes = asked.nodes
    if nodes is None and asked.sampler in (None, published.sampler):
        chosen = {len(indices): indices for indices in published.schedules}
        if published.nodes is not None:
            chosen[published.steps] = published.nodes
        nodes = chosen.get(published.steps if asked.steps is None else asked.steps)
    if nodes is not None:
        try:
            falling(nodes, num_timesteps)
        except ValueError as error:
            raise UsageError(f"{error}.") from None
        if asked.steps not in (None, len(nodes)):
            raise UsageError(f"{len(nodes)} nodes are {len(nodes)} steps, not {asked.steps}.")
    steps = len(nodes) if nodes is not None else published.steps if asked.steps is None else asked.steps
    if not 1 <= steps <= num_timesteps:
        raise UsageError(
            f"{steps} steps are beyond what these weights know.",
            hint=f"Give --steps a number from 1 to {num_timesteps}.",
        )
    if asked.eta is not None:
        if not 0 <= asked.eta < math.inf:
            raise UsageError(f"eta must be at least 0, not {asked.eta}.")
        if not takes_eta(sampler):
            raise UsageError(
                f"the sampler '{sampler}' has no eta.",
                hint=f"Samplers with one: {', '.join(name for name in SAMPLERS if takes_eta(name))}.",
            )
    check_strength(asked)
    as_published = (sampler, steps, nodes) == (published.sampler, published.steps, published.nodes)
    clip = clip and (published.clip or not as_published)
    return replace(asked, sampler=sampler, steps=steps, nodes=nodes, clip=clip if asked.clip is None else asked.clip)


def resolve_one_pass(asked: Sampling, hint: str = "Leave it out.") -> Sampling:
    """The settings of a system that evaluates its network once; `hint` is for who asks for more."""
    check_choices(asked)
    given = [name for name in ("sampler", "nodes", "eta", "noise_level", "realism") if getattr(asked, name) is not None]
    if given or asked.steps not in (None, 1):
        what = given[0].replace("_", "-") if given else "steps"
        raise UsageError(f"these weights restore in one pass: --{what} means nothing to them.", hint=hint)
    check_strength(asked)
    return replace(asked, sampler="one-pass", steps=1, clip=False)


def check_choices(asked: Sampling) -> None:
    """Raise a UsageError where something is said of damage that the weights learnt to undo by themselves."""
    if asked.choices:
        raise UsageError(
            f"these weights take no --set: they know one kind of damage ('{asked.choices[0]}' was given).",
            hint="--model zero-shot is told what the damage is.",
        )


def check_strength(asked: Sampling) -> None:
    """Whether a result can be blended with its input as asked.

    Raises:
        UsageError: it cannot.
    """
    check_amount(asked.blend, MOST_STRENGTH, f"--strength goes from 0 to {MOST_STRENGTH}")


def check_amount(amount: Amount | None, most: float, words: str) -> None:
    """Whether a number, or a map in memory, lies between 0 and `most`; what a file says is known when it is read.

    Raises:
        UsageError: it does not.
    """
    if isinstance(amount, Tensor):
        if amount.ndim not in (2, 4) or (amount.ndim == 4 and amount.shape[1] != 1):
            raise UsageError(f"a map has the shape (H, W) or (B, 1, H, W), not {tuple(amount.shape)}.")
        low, high = (float(bound) for bound in amount.aminmax())
        if not (low >= 0 and high <= most):
            raise UsageError(f"{words}; the map goes from {low:g} to {high:g}.")
    elif isinstance(amount, int | float) and not 0 <= amount <= most:
        raise UsageError(f"{words}, not {amount:g}.")


def check_scale(scale: int) -> int:
    """The scale, if a picture can be so many times larger.

    Raises:
        ValueError: it cannot.
    """
    if not 1 <= scale <= LARGEST_SCALE:
        raise ValueError(f"scale must be from 1 to {LARGEST_SCALE}, not {scale}")
    return scale


def takes_eta(sampler: str) -> bool:
    """Whether a sampler of the table has the option `eta`."""
    return "eta" in inspect.signature(SAMPLERS.load(sampler)).parameters


@dataclass(frozen=True)
class Reverse:
    """A reverse process of some images that is ready to be solved.

    Attributes:
        predict_clean: the estimate that solvers ask for.
        predict_pair: the same with what the network says beside it, where it does.
        start: the state at an index from which a solver may begin.
        path: the process.
        first: the largest such index.
        decode: a state as an image.
        even: whether nodes are evenly spread for every sampler, because the path's indices already are where they
            should be.
    """

    predict_clean: CleanPredictor
    start: Callable[[int], Tensor]
    path: Path
    first: int
    decode: Callable[[Tensor], Tensor] = field(default=lambda state: state)
    even: bool = False
    predict_pair: PairPredictor | None = None

    def solve(self, sampling: Sampling, randn_like: RandnLike) -> Iterator[Tensor]:
        """The states of a resolved sampler, from `first` or from the first of its nodes that are not above that."""
        assert sampling.sampler is not None and sampling.steps is not None, "a resolved Sampling"
        sampler = SAMPLERS.load(sampling.sampler)
        if sampling.nodes is not None:
            nodes = tuple(t for t in sampling.nodes if t <= self.first) or (self.first,)
        else:
            steps = min(sampling.steps, self.first)
            if steps < sampling.steps:
                logger.warning(
                    "the start at t = %d leaves %d steps of the %d asked for", self.first, steps, sampling.steps
                )
            if steps < 4:
                logger.info("%d evaluations give something between the mean and a sample", steps)
            fast = takes_eta(sampling.sampler) and not self.even
            nodes = choose_nodes(self.path, steps, self.first, fast=fast)
        if sampling.eta is not None:
            sampler = partial(sampler, eta=sampling.eta)
        predict = self.predict_pair if sampling.sampler in PAIRED else self.predict_clean
        yield from sampler(predict, self.start(nodes[0]), self.path, times_from(nodes), randn_like)


def clean_predictor(
    network: Predictor,
    parameterisation: Parameterisation,
    process: Process,
    path: Path,
    mu: Tensor,
    evaluate: Evaluate,
    *,
    clip: bool,
) -> CleanPredictor:
    """What samplers ask: the network's output, read as an estimate of the clean image, kept in [0, 1] with `clip`."""
    asked = _asked(network, parameterisation, process, path, mu, evaluate)

    def predict_clean(x: Tensor, t: int) -> Tensor:
        return _clipped(asked(x, t)[:, : x.shape[1]], clip)

    return predict_clean


def pair_predictor(
    network: Predictor,
    parameterisation: Parameterisation,
    process: Process,
    path: Path,
    mu: Tensor,
    evaluate: Evaluate,
    *,
    clip: bool,
) -> PairPredictor | None:
    """The same for the samplers that take two outputs; `None` where the network has one."""
    if not parameterisation.second:
        return None
    asked = _asked(network, parameterisation, process, path, mu, evaluate)

    def predict_pair(x: Tensor, t: int) -> tuple[Tensor, Tensor]:
        clean, second = asked(x, t).chunk(2, dim=1)
        return _clipped(clean, clip), second

    return predict_pair


def _clipped(clean: Tensor, clip: bool) -> Tensor:
    if not clip or torch.is_grad_enabled():
        return clean.clamp(0, 1) if clip else clean
    return in_bands(lambda band: band.clamp_(0, 1), clean, into=clean)


def _asked(
    network: Predictor,
    parameterisation: Parameterisation,
    process: Process,
    path: Path,
    mu: Tensor,
    evaluate: Evaluate,
) -> CleanPredictor:
    """All that a network says of a state: see `Parameterisation.estimates`."""

    def asked(x: Tensor, t: int) -> Tensor:
        m, s = path.at(t)
        time = process.asked(torch.full((len(x),), t, device=x.device))
        if path.centre is mu or path.centre.shape[-2:] == (1, 1):
            centre = None if path.centre is mu else path.centre
            return evaluate(_CleanEstimate(network, parameterisation, process, t, (m, s), centre), x, mu, time)
        seen = parameterisation.network_input(x, path.centre, m, s)
        return parameterisation.estimates(evaluate(network, seen, mu, time), x, path.centre, m, s)

    return asked


def check_outputs(network: Predictor, parameterisation: Parameterisation) -> None:
    """Whether a network has as many channels of output as its prediction has.

    Raises:
        ValueError: it has not.
    """
    taken, made = network.facts.channels
    if made != taken * (2 if parameterisation.second else 1):
        raise ValueError(
            f"the network makes {made} channels of {taken}, and the prediction '{parameterisation.prediction}' has "
            + ("two outputs: give it heads = 2" if parameterisation.second else "one output")
        )


class _CleanEstimate:
    """A network whose output is read as estimates where it is evaluated: of each tile alone, not of the whole.

    Args:
        network: what predicts.
        parameterisation: what it predicts.
        process: whose states it sees.
        index: of the state.
        at: how much of the clean image is left there, and the standard deviation of the noise.
        centre: of the process, the same for all pixels, where that is not `mu`.
    """

    def __init__(
        self,
        network: Evaluable,
        parameterisation: Parameterisation,
        process: Process,
        index: int,
        at: tuple[float, float],
        centre: Tensor | None,
    ) -> None:
        self.network = network
        self.facts = network.facts
        self.parameterisation = parameterisation
        self.process = process
        self.index = index
        self.m, self.s = at
        self.centre = centre

    def __call__(self, /, *inputs: Tensor) -> Tensor:
        x, mu, t = inputs
        centre = mu if self.centre is None else self.centre
        seen = self.process.seen(self.parameterisation.network_input(x, centre, self.m, self.s), mu, self.index)
        output: Tensor = self.network(seen, mu, t)
        return self.parameterisation.estimates(output.to(x.dtype), x, centre, self.m, self.s)
