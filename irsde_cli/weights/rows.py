"""What a row of the catalogue of weights says. No torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from irsde_cli.config import leaves, put
from irsde_cli.errors import UsageError, WeightsError
from irsde_cli.registry import Checked, unknown_name

OPTIONS = "network.options."


@dataclass(frozen=True)
class File:
    """A released file.

    Attributes:
        name: as its authors call it.
        mib: its size in MiB, as published or by its parameters.
        part: the part of the system that it fills.
        sha256: of its bytes, where somebody published it; or the first digits of it.
        url: where it can be fetched without a Hub.
        content: SHA-256 of its tensors by our names, the same in whatever format they come.
    """

    name: str
    mib: float
    part: str = "network"
    sha256: str | None = None
    url: str = ""
    content: str | None = None


@dataclass(frozen=True)
class Unknown:
    """A value that nobody can know for sure, so that a user decides it.

    Attributes:
        key: of the system's configuration, dotted.
        values: those that were said somewhere.
        why: what is not known, for people.
    """

    key: str
    values: tuple[Any, ...]
    why: str


@dataclass(frozen=True)
class Row:
    """A system whose weights were released.

    Attributes:
        title: what it is.
        task: a row of `irsde_cli.tasks.TASKS`; empty where there is none.
        files: what was released, all of it needed.
        source: an id on the Hub, or an address where people read about the files or fetch them by hand.
        data: what it was trained on.
        certainty: how the settings and the network are known.
        system: a row of `irsde_cli.systems.SYSTEMS`.
        network: a row of `irsde_cli.networks.NETWORKS`.
        options: the network's hyper-parameters; the tensors are asked, and must agree.
        untold: those of which tensors hold no trace.
        settings: the system's configuration, without its networks.
        unknown: what is missing there.
        sized: the key of what a network of another size may have been trained with, of which a user says more; empty
            where a file of another size is another thing.
        dialect: a row of `irsde_cli.conversions.dialects.DIALECTS`: how its files are written.
        protocol: its authors' way of measuring.
        licence: of the weights.
        checked: how the weights are known to do what was published; `None` where nobody here had them.
        evidence: the test that shows it.
        better: why it is recommended for its task; empty where it is not.
        remark: when not to use it, or where else the files are.
        refused: why it cannot be used here; empty where it can.
    """

    title: str
    task: str
    files: tuple[File, ...]
    source: str
    data: str
    certainty: str
    system: str = "one-pass"
    network: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    untold: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    unknown: tuple[Unknown, ...] = ()
    sized: str = ""
    dialect: str = "reference"
    protocol: str = "irsde"
    licence: str = ""
    checked: Checked | None = None
    evidence: str = ""
    better: str = ""
    remark: str = ""
    refused: str = ""

    @property
    def on_hub(self) -> bool:
        """Whether its files are on the Hub."""
        return "://" not in self.source and bool(self.source)

    @property
    def reachable(self) -> bool:
        """Whether `irsde download` can fetch it."""
        return self.on_hub or (bool(self.files) and all(file.url for file in self.files))

    @property
    def mib(self) -> float:
        """Size of all files, in MiB."""
        return sum(file.mib for file in self.files)

    @property
    def doubt(self) -> str:
        """What is not known about it, for people."""
        return "; ".join(one.why for one in self.unknown)

    @property
    def decidable(self) -> list[str]:
        """The keys that a user may decide: what tensors do not say."""
        return [*leaves(self.settings), *(one.key for one in self.unknown), *(OPTIONS + name for name in self.untold)]

    def check(self, name: str, decided: Mapping[str, Any]) -> None:
        """Whether the row `name` lets a user decide these keys.

        Raises:
            UsageError: it does not.
        """
        for key in decided:
            if not self.decidable:
                raise UsageError(
                    f"'--set {key}' means nothing to '{name}'.", hint="Its files and its row say all that there is."
                )
            if key not in self.decidable:
                raise unknown_name(f"setting of '{name}'", key, self.decidable)

    def config(self, parts: Mapping[str, Any], decided: Mapping[str, Any]) -> dict[str, Any]:
        """The system's configuration.

        Args:
            parts: the configuration of each network, by the part that it fills.
            decided: what a user knows better, by dotted keys.

        Raises:
            WeightsError: something that nobody knows has not been decided.
        """
        for one in self.unknown:
            if one.key not in decided:
                said = " or ".join(f"{value:.6g}" if isinstance(value, float) else str(value) for value in one.values)
                raise WeightsError(
                    f"{one.why}.", hint=f"Decide with --set {one.key}=VALUE; try {said}, and keep the better."
                )
        config: dict[str, Any] = {**parts, **self.settings}
        for name, value in self.untold.items():
            put(config, OPTIONS + name, value)
        for key, value in decided.items():
            put(config, key, value)
        return config
