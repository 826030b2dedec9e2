"""Objectives that need more than a batch: modules that learn beside the network, and a state that a run keeps."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, get_type_hints

import torch
from torch import Tensor, nn

from irsde_cli.config import from_mapping
from irsde_cli.errors import UsageError
from irsde_cli.restorer import Restorer
from irsde_cli.systems import SYSTEMS
from irsde_cli.systems.diffusion import Diffusion
from irsde_cli.systems.parts import PublishedSampling
from irsde_cli.training import OBJECTIVES

NETWORK = "network"
TWO_OUTPUTS = "two-outputs"


@dataclass(frozen=True, eq=False)
class Samples:
    """What a step learns from.

    Attributes:
        x0: the clean ends that `Restorer.endpoints` makes, (B, C, H, W).
        mu: the degraded ones.
        t: time indices, (B,) in 1..T.
        noise: standard normal, like x0.
        weight: of each loss, (B,).
        seeds: of a generator for each, (B,) integers on the CPU.
        tasks: which of `irsde_cli.training.data.Source.tasks` each was damaged by, (B,) integers.
    """

    x0: Tensor
    mu: Tensor
    t: Tensor
    noise: Tensor
    weight: Tensor
    seeds: Tensor
    tasks: Tensor

    def parts(self, count: int) -> Iterator["Samples"]:
        """The samples in `count` equal parts, one after another."""
        for part in zip(*(getattr(self, field.name).chunk(count) for field in fields(self)), strict=True):
            yield Samples(*part)

    def generators(self) -> list[torch.Generator]:
        """A fresh generator for each sample."""
        return [torch.Generator().manual_seed(int(seed)) for seed in self.seeds]


class Strategy(nn.Module, ABC):
    """An objective with a state, which a run's checkpoints keep; the weights that it trains do not.

    Attributes:
        Config: its settings, a frozen dataclass.
        follows_paths: whether it needs a system whose training states are also its sampler's.
        turns: what learns together, turn after turn in each step: names of `helpers`, and the network by `NETWORK`.
        helpers: modules that learn beside the network, each with an optimiser of its own.
        helper_rate: their learning rate, by that of the network.
        facts: figures of the last batch, for the log.
    """

    Config: ClassVar[Any]
    follows_paths: ClassVar[bool] = False
    turns: ClassVar[tuple[tuple[str, ...], ...]] = ((NETWORK,),)

    def __init__(self) -> None:
        super().__init__()
        self.helpers = nn.ModuleDict()
        self.helper_rate = 1.0
        self.facts: dict[str, float] = {}

    @property
    def sampling(self) -> PublishedSampling | None:
        """How the trained network is to be sampled, where the strategy decides that."""
        return None

    def check(self, tasks: Sequence[str]) -> None:
        """Look at the damages of the data, by name, before the first step.

        Raises:
            UsageError: they are not what the settings say.
        """

    def prepare(self, system: Any, mu: Tensor, noise: Tensor, mean: Callable[[Tensor], Tensor]) -> None:
        """Decide what depends on the network that training begins with, on the first batch.

        Args:
            system: the network.
            mu: degraded images (B, C, H, W) of this process.
            noise: of their starts, (B, C, H, W).
            mean: the mean of a tensor over all processes.
        """

    @abstractmethod
    def losses(self, system: Any, samples: Samples, turn: int) -> Tensor:
        """What the parts of a turn are to lower: a loss for each image, (B,), or one for all, (1,)."""

    def probe(self, system: Any, samples: Samples) -> Tensor:
        """All that a step computes, to count what it costs."""
        return torch.stack([self.losses(system, samples, turn).mean() for turn in range(len(self.turns))])

    def forward(self, system: Any, samples: Samples, turn: int = 0) -> Tensor:
        """See `losses`."""
        return self.losses(system, samples, turn)


def build_objective(name: str, options: dict[str, Any], system: Restorer, system_name: str) -> Any:
    """The function of a row of `OBJECTIVES`, or the strategy with its settings.

    Raises:
        UsageError: a setting is unknown or impossible, or the objective is none for such a system.
    """
    loaded = OBJECTIVES.load(name)
    strategy = isinstance(loaded, type)
    if strategy and loaded.follows_paths and not system.follows_paths:
        raise UsageError(f"the objective '{name}' needs a system that samples as it learns, not '{system_name}'.")
    teaches = get_type_hints(loaded.losses if strategy else loaded)["system"]
    if not isinstance(system, teaches):
        known = [other for other in SYSTEMS if issubclass(SYSTEMS.load(other), teaches)]
        raise UsageError(
            f"the objective '{name}' teaches nothing to the system '{system_name}'.",
            hint=f"It is for {', '.join(known)}; docs/train.md says which objective is for which system.",
        )
    if isinstance(system, Diffusion) and bool(system.parameterisation.second) != (name == TWO_OUTPUTS):
        raise UsageError(
            f"the objective '{name}' is not for the prediction '{system.parameterisation.prediction}'.",
            hint=f"'{TWO_OUTPUTS}' is for the predictions of two outputs, and the others for the rest.",
        )
    if not strategy:
        if options:
            raise UsageError(f"the objective '{name}' has no settings, but 'objective_options' holds some.")
        return loaded
    settings = from_mapping(loaded.Config, options, "'objective_options'")
    try:
        return loaded(system, settings)
    except ValueError as error:
        raise UsageError(f"'objective_options': {error}.") from None
