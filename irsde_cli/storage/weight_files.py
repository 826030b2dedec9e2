"""Files of tensors, opened without running anything in them; what is none is called by its name."""

import pickle
import re
import stat
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from irsde_cli.content import Kind, kind_of_path
from irsde_cli.errors import WeightsError

PYTORCH = {"a PyTorch file", "a pickle"}
CONVERTED = "Official .pth files are converted first: irsde download NAME --from FILE."
# Programs among PyTorch's files: TorchScript, and exported graphs.
PROGRAM = {"constants.pkl", "serialized_exported_program.json"}


class CodeError(WeightsError):
    """A file of PyTorch's that holds more than tensors in plain tables."""


def check_regular(path: Path) -> None:
    """Whether a weight file can be opened: a pipe would be waited for.

    Raises:
        WeightsError: it is missing, out of reach, or no regular file.
    """
    try:
        mode = path.stat().st_mode
    except OSError as error:
        missing = isinstance(error, FileNotFoundError | NotADirectoryError)
        raise WeightsError(f"no weight file '{path}'." if missing else f"'{path}': {error.strerror}.") from None
    if not stat.S_ISREG(mode):
        raise WeightsError(f"'{path}' is {'a folder' if stat.S_ISDIR(mode) else 'no regular file'}.")


def opened(path: Path) -> Any:
    """A safetensors file, as `safe_open` gives it.

    Raises:
        WeightsError: it is missing, damaged, or something else.
    """
    check_regular(path)
    try:
        return safe_open(path, "pt")
    except (SafetensorError, OSError) as error:
        kind = kind_of_path(path)
        other = kind is not None and kind.name != "a safetensors file"
        reason = f"it is {kind.name}" if kind is not None and other else str(error)
        hint = kind.hint if kind is not None and other and kind.name not in PYTORCH else ""
        raise WeightsError(f"'{path}' is not a whole safetensors file: {reason}.", hint=hint or CONVERTED) from None


def read(path: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file.

    Raises:
        WeightsError: as `opened`.
    """
    with opened(path) as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping


def unpickled(path: Path, device: torch.device | None = None) -> Any:
    """What `torch.save` wrote: tensors in plain tables. Nothing that the file names is ever called.

    Raises:
        CodeError: it holds something else beside tensors, or is damaged.
        WeightsError: it is missing, damaged, or something else. Torch's own words are kept back: they tell
            how to load a file that may do harm.
    """
    check_regular(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickle protocols that torch.save does not write: refused or read
            return torch.load(path, map_location=device or "cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except Exception as error:  # torch's unpickler has no errors of its own for damaged files
        kind = kind_of_path(path)
        error_class = CodeError if isinstance(error, pickle.UnpicklingError) else WeightsError
        raise error_class(
            f"'{path}' is not a file of weights alone: {_reason(path, kind, error)}.",
            hint=(kind.hint if kind is not None else "") or "Nothing in it was run.",
        ) from None


def _members(path: Path) -> list[str]:
    """The names in an archive; none where it is damaged."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError):  # UnicodeDecodeError is a ValueError
        return []


def _reason(path: Path, kind: Kind | None, error: Exception) -> str:
    if PROGRAM & {name.rpartition("/")[2] for name in _members(path)}:
        return "it is a program (TorchScript or an exported graph)"
    if kind is not None and kind.name not in PYTORCH:
        return f"it is {kind.name}"
    named = re.search(r"GLOBAL ([\w.]+)", str(error))
    if named is not None:
        return f"it asks for '{named[1]}', which is code and no tensor"
    if isinstance(error, pickle.UnpicklingError):
        return "it holds what no file of tensors needs, or is damaged"
    return "it is cut off or damaged"
