"""Files of tensors by name: safetensors, and pickles opened without running anything in them."""

from pathlib import Path
from typing import Any

from torch import Tensor

from irsde_cli.content import kind_of_path
from irsde_cli.errors import WeightsError
from irsde_cli.storage import weight_files

WEIGHT_SUFFIXES = {".pth", ".pt", ".ckpt"}
# Tensors may share their memory in such a file, and may even repeat one number; more than this is no set of weights.
MOST_SHARED = 8
WRAPPERS = ("params_ema", "params-ema", "params", "model_state_dict", "state_dict", "model", "net")


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a file by its own names, in float32, whatever it is called.

    Raises:
        WeightsError: the file is missing, damaged, or holds anything but tensors.
    """
    weight_files.check_regular(path)
    kind = kind_of_path(path)
    if kind is not None and kind.name == "a safetensors file":
        return {name: value.float() for name, value in weight_files.read(path).items()}
    held = weight_files.unpickled(path)
    tensors = {name: value for name, value in _flat(held).items() if isinstance(value, Tensor)}
    if not tensors:
        raise WeightsError(f"'{path}' holds no tensors by name.")
    claimed = sum(value.numel() * value.element_size() for value in tensors.values())
    if claimed > MOST_SHARED * path.stat().st_size:
        raise WeightsError(f"'{path}' claims {claimed / 2**20:.0f} MiB of tensors, which it does not hold.")
    return {name: value.float() for name, value in tensors.items()}


def _flat(held: Any) -> dict[str, Any]:
    """The table of names, inside whatever holds it under a usual key."""
    if not isinstance(held, dict):
        return {}
    for key in WRAPPERS:
        if isinstance(held.get(key), dict):
            return {str(name): value for name, value in held[key].items()}
    return {str(name): value for name, value in held.items()}
