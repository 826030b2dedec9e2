"""How other people's files are written: one row each."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from irsde_cli.registry import Registry

READERS = Registry(
    "reader",
    {
        "tensors": "irsde_cli.conversions.official:read_tensors",
        "maxim": "irsde_cli.conversions.maxim:read_state",
        "ncnn": "irsde_cli.conversions.ncnn:read_state",
    },
)


@dataclass(frozen=True)
class Dialect:
    """What stands between the names in a file and those of the bare module.

    Attributes:
        reader: a row of `READERS`: from a path to tensors in float32 by the file's names.
        prefixes: of wrappers, dropped as often as they come.
        averaged: prefix of the weights that are taken where a file holds others too: mostly the averaged ones.
        made: names of tensors that are made anew of the hyper-parameters.
    """

    reader: str = "tensors"
    prefixes: tuple[str, ...] = ("module.",)
    averaged: str = ""
    made: tuple[str, ...] = ()

    def renamed(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The tensors of a file by the bare module's names."""
        averaged = {name: value for name, value in tensors.items() if self.averaged and name.startswith(self.averaged)}
        bare = {self._bare(name): value for name, value in (averaged or tensors).items()}
        return {name: value for name, value in bare.items() if name not in self.made}

    def _bare(self, name: str) -> str:
        found = next((prefix for prefix in self.prefixes if name.startswith(prefix)), None)
        return name if found is None else self._bare(name.removeprefix(found))


DIALECTS = {
    "reference": Dialect(prefixes=("module.", "online_model.", "ema_model.", "model."), averaged="ema_model."),
    "bare": Dialect(),
    "mambair": Dialect(made=("relative_position_index_SA",)),
    "transport": Dialect(prefixes=("Tnet.", "module."), averaged="Tnet."),  # whole modules, with a critic
    "maxim": Dialect("maxim"),
    "ncnn": Dialect("ncnn"),
}


def read_state(path: Path, dialect: str = "reference") -> dict[str, Tensor]:
    """The tensors of a file by the bare module's names, in float32.

    Raises:
        WeightsError: the file is missing, damaged, or holds something else.
    """
    row = DIALECTS[dialect]
    tensors: dict[str, Tensor] = READERS.load(row.reader)(path)
    return row.renamed(tensors)
