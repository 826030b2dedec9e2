"""What a row of the catalogue of weights says. No torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from irsde_cli.registry import Checked


@dataclass(frozen=True)
class File:
    """A released file.

    Attributes:
        name: as its authors call it.
        mib: its size in MiB, as published or by its parameters.
        part: the part of the system that it fills.
        sha256: of its bytes, where somebody published it.
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
class Row:
    """A system whose weights were released.

    Attributes:
        other_sizes: whether a file of a network of another size may be meant, of which a user says more.
        title: what it is.
        task: a row of `irsde_cli.tasks.TASKS`; empty where there is none.
        files: what was released, all of it needed.
        source: an id on the Hub, or an address where people read about the files or fetch them by hand.
        data: what it was trained on.
        certainty: how the settings and the network are known.
        system: a row of `irsde_cli.systems.SYSTEMS`.
        network: a row of `irsde_cli.networks.NETWORKS`.
        options: the network's hyper-parameters; the tensors are asked, and must agree.
        settings: of the system, besides.
        dialect: a row of `irsde_cli.conversions.DIALECTS`: how its files are written.
        made: names of tensors in its files that are made anew of the hyper-parameters.
        protocol: its authors' way of measuring.
        licence: of the weights.
        checked: how the weights are known to do what was published; `None` where nobody here had them.
        evidence: the test that shows it.
        better: why it is recommended for its task; empty where it is not.
        remark: when not to use it, or where else the files are.
        doubt: what is not known about it, for people.
        refused: why it cannot be used here; empty where it can.
    """

    other_sizes: ClassVar[bool] = False

    title: str
    task: str
    files: tuple[File, ...]
    source: str
    data: str
    certainty: str
    system: str = "one-pass"
    network: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    dialect: str = "pytorch"
    made: tuple[str, ...] = ()
    protocol: str = "irsde"
    licence: str = ""
    checked: Checked | None = None
    evidence: str = ""
    better: str = ""
    remark: str = ""
    doubt: str = ""
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

    def config(self, parts: Mapping[str, Any], decided: Mapping[str, Any]) -> dict[str, Any]:
        """The system's configuration.

        Args:
            parts: the configuration of each network, by the part that it fills.
            decided: what a user knows better.
        """
        return {**parts, **self.settings}
