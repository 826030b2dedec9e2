"""Whole modules, as `torch.save(model)` writes them: their tensors, and nothing of their classes.

Whatever such a file names, a class or a function, stays a name: nothing is imported or called. Objects become inert
ones that keep what they were given, and the state dict is gathered from their `_modules`, `_parameters` and `_buffers`.
"""

import pickle
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from irsde_cli.errors import WeightsError

# Plain data, of classes that a file cannot change.
PLAIN: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("builtins", "set"): set,
    ("__builtin__", "set"): set,
}
REBUILT = ("torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2")
PARAMETERS = ("torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state")
# Parts that are shared may be nested to any number: more than this is no network.
MOST_PARTS = 100_000


class Inert:
    """What stands for an object: it keeps what it was given, and does nothing."""

    def __new__(cls, *given: Any, **_: Any) -> "Inert":
        inert = super().__new__(cls)
        inert.given, inert.state = given, None
        return inert

    given: tuple[Any, ...]
    state: Any

    def __call__(self, *given: Any, **_: Any) -> "Inert":
        return Inert(*given)

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def __setitem__(self, key: Any, value: Any) -> None:
        """Entries of tables of other kinds are not needed, and neither are those of lists and sets."""

    def append(self, value: Any) -> None: ...

    add = append


class Unpickler(pickle._Unpickler):
    """In Python: the one in C sets as much memory aside as a few bytes of a file ask for."""

    def find_class(self, module: str, name: str) -> Any:
        """Plain data as it is; of anything else a class that bears its name."""
        return PLAIN.get((module, name)) or type(f"{module}.{name}", (Inert,), {"__module__": "?"})


def read_modules(path: Path) -> dict[str, dict[str, Tensor]]:
    """The state dicts of the modules in a table, by its keys, or of a whole module by ''. Empty where there is none.

    Args:
        path: a file that torch has looked at, and found to be no program (TorchScript): see `weight_files.unpickled`.

    Raises:
        WeightsError: the file or a module is damaged.
    """
    inert: Any = SimpleNamespace(__name__=__name__, Unpickler=Unpickler, load=_load)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of sources that are not compared
            held = torch.load(
                path, map_location="cpu", pickle_module=inert, weights_only=False, mmap=zipfile.is_zipfile(path)
            )
    except Exception:  # pickle has no errors of its own for damaged files
        raise WeightsError(
            f"'{path}' is not a file of weights alone: it holds what no file of tensors needs, or is damaged.",
            hint="Nothing in it was run.",
        ) from None
    if _is_module(held):
        return {"": _state(held, path)}
    found = {str(key): value for key, value in held.items() if _is_module(value)} if isinstance(held, dict) else {}
    return {key: _state(module, path) for key, module in found.items()}


def _load(file: Any, **options: Any) -> Any:
    return Unpickler(file, **options).load()


def _is_module(held: Any) -> bool:
    return isinstance(held, Inert) and isinstance(held.state, dict) and "_modules" in held.state


def _state(module: Inert, path: Path) -> dict[str, Tensor]:
    try:
        return {name: _tensor(held) for name, held in _parts(module)}
    except Exception as error:  # of a state that no module has
        raise WeightsError(f"'{path}' holds a whole module that is damaged: {error}.") from None


def _parts(module: Inert) -> Iterator[tuple[str, Any]]:
    """What a state dict has, by its names."""
    waiting = [("", module)]
    for _ in range(MOST_PARTS):
        if not waiting:
            return
        prefix, part = waiting.pop()
        state = part.state
        passing = state.get("_non_persistent_buffers_set", ())
        tensors = {**state["_parameters"], **{k: v for k, v in state["_buffers"].items() if k not in passing}}
        yield from ((f"{prefix}{name}", held) for name, held in tensors.items() if held is not None)
        inner = [(f"{prefix}{name}.", held) for name, held in state["_modules"].items() if held is not None]
        waiting += reversed(inner)
    raise ValueError(f"it has more than {MOST_PARTS} parts")


def _tensor(held: Any) -> Tensor:
    if type(held).__name__ in PARAMETERS:
        return _tensor(held.given[0])
    if type(held).__name__ not in REBUILT:
        raise ValueError(f"'{type(held).__name__}' stands where a tensor should")
    storage, offset, size, stride = held.given[:4]
    return torch.empty(0, dtype=storage.dtype).set_(storage, offset, size, stride)
