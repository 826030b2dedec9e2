"""Files of tensors by name, told by what they hold: safetensors, pickles of which nothing is run, MATLAB's."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor

from irsde_cli.content import kind_of_path
from irsde_cli.conversions import matconvnet
from irsde_cli.conversions.modules import read_modules
from irsde_cli.errors import WeightsError
from irsde_cli.storage import weight_files

WEIGHT_SUFFIXES = {".pth", ".pt", ".ckpt"}
# Tensors may share their memory in such a file, and may even repeat one number; more than this is no set of weights.
MOST_SHARED = 8
WRAPPERS = ("params_ema", "params-ema", "params", "model_state_dict", "state_dict", "model", "net")

# By what a file is; all else is for torch.
BY_KIND: dict[str, Callable[[Path], dict[str, Tensor]]] = {
    "a safetensors file": weight_files.read,
    "a MATLAB file": matconvnet.read_state,
}


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a file by its own names, in float32, whatever it is called.

    Raises:
        WeightsError: the file is missing, damaged, or holds anything but tensors.
        MachineError: what reads its format is not installed.
    """
    weight_files.check_regular(path)
    kind = kind_of_path(path)
    reader = BY_KIND.get(kind.name, _unpickled) if kind is not None else _unpickled
    return {name: value.float() for name, value in reader(path).items()}


def _unpickled(path: Path) -> dict[str, Tensor]:
    try:
        held = weight_files.unpickled(path)
    except weight_files.CodeError:
        modules = read_modules(path)
        if not modules:
            raise
        held = modules | {f"{key}.{name}": value for key, state in modules.items() for name, value in state.items()}
        if len(modules) == 1:
            (held,) = modules.values()
    tensors = {name: value for name, value in _flat(held).items() if isinstance(value, Tensor)}
    if not tensors:
        raise WeightsError(f"'{path}' holds no tensors by name.")
    claimed = sum(value.numel() * value.element_size() for value in tensors.values())
    if claimed > MOST_SHARED * path.stat().st_size:
        raise WeightsError(f"'{path}' claims {claimed / 2**20:.0f} MiB of tensors, which it does not hold.")
    return tensors


def _flat(held: Any) -> dict[str, Any]:
    """The table of names, inside whatever holds it under a usual key."""
    if not isinstance(held, dict):
        return {}
    for key in WRAPPERS:
        if isinstance(held.get(key), dict):
            return {str(name): value for name, value in held[key].items()}
    return {str(name): value for name, value in held.items()}
