"""The reference's own files: pickles of tensors by name, opened without running anything in them."""

from pathlib import Path
from typing import Any

from torch import Tensor

from irsde_cli.errors import WeightsError
from irsde_cli.storage.weight_files import unpickled

WEIGHT_SUFFIXES = {".pth", ".pt", ".ckpt"}
# Tensors may share their memory in such a file, and may even repeat one number; more than this is no set of weights.
MOST_SHARED = 8
PREFIXES = ("module.", "online_model.", "ema_model.", "model.")


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a file of the reference, by the bare module's names, in float32.

    Wrappers' prefixes are dropped; of an EMA file that holds both, the averaged weights are taken.

    Raises:
        WeightsError: the file is missing, damaged, or holds anything but tensors.
    """
    held = unpickled(path)
    tensors = {name: value for name, value in _flat(held).items() if isinstance(value, Tensor)}
    if not tensors:
        raise WeightsError(f"'{path}' holds no tensors by name.")
    claimed = sum(value.numel() * value.element_size() for value in tensors.values())
    if claimed > MOST_SHARED * path.stat().st_size:
        raise WeightsError(f"'{path}' claims {claimed / 2**20:.0f} MiB of tensors, which it does not hold.")
    averaged = {name: value for name, value in tensors.items() if name.startswith("ema_model.")}
    return {_bare(name): value.float() for name, value in (averaged or tensors).items()}


def _flat(held: Any) -> dict[str, Any]:
    """The table of names, inside whatever holds it under a usual key."""
    if not isinstance(held, dict):
        return {}
    for key in ("params_ema", "params", "state_dict"):
        if isinstance(held.get(key), dict):
            return {str(name): value for name, value in held[key].items()}
    return {str(name): value for name, value in held.items()}


def _bare(name: str) -> str:
    shortened = next((name.removeprefix(prefix) for prefix in PREFIXES if name.startswith(prefix)), name)
    return name if shortened == name else _bare(shortened)
