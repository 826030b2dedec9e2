"""One safetensors file that rebuilds a restorer: its weights, and a JSON header with all settings.

Nothing in a checkpoint is ever run; names, shapes and types are checked before anything is allocated.
"""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.modules.module import register_module_parameter_registration_hook

from irsde_cli import __version__
from irsde_cli.config import from_mapping, to_mapping
from irsde_cli.errors import UsageError, WeightsError
from irsde_cli.restorer import Restorer
from irsde_cli.samplers.settings import Sampling
from irsde_cli.systems import SYSTEMS, build_restorer

FORMAT = 1
KEY = "irsde"
# So that a file that lacks some tensors is still told which, and one that asks for a billion ends early.
SPARE_TENSORS = 1000
_DTYPES = {"F16", "BF16", "F32"}


@dataclass(frozen=True)
class Header:
    """What a checkpoint says of itself.

    Attributes:
        system: a row of `irsde_cli.systems.SYSTEMS`.
        config: the system's configuration, as plain values.
        task: what it undoes.
        data: what it was trained on.
        licence: the terms of that data.
        step: training steps taken.
        version: of this package, when it was written.
        tile_tolerance: largest difference, of 255, of a tiled from an untiled result that was measured, with tiles of
            256 pixels and the default overlap.
        format: of the header.
    """

    system: str
    config: dict[str, Any]
    task: str = ""
    data: str = ""
    licence: str = ""
    step: int = 0
    version: str = ""
    tile_tolerance: float | None = None
    format: int = FORMAT


@dataclass(frozen=True)
class Checkpoint:
    """A restorer, ready to run on the CPU, with its header and the SHA-256 of its file."""

    restorer: Restorer
    header: Header
    sha256: str


def save(path: Path, restorer: Restorer, *, dtype: torch.dtype = torch.float32, **fields: Any) -> None:
    """Write weights and header to `path`; `fields` are those of `Header` besides system and config."""
    tensors = {name: tensor.detach().to("cpu", dtype).contiguous() for name, tensor in restorer.state_dict().items()}
    header = Header(
        system=next(name for name in SYSTEMS if SYSTEMS.load(name) is type(restorer)),
        config=to_mapping(restorer.config),
        version=__version__,
        **fields,
    )
    save_file(tensors, path, metadata={KEY: json.dumps(asdict(header), sort_keys=True)})


def read_header(path: Path) -> Header:
    """The header alone.

    Raises:
        WeightsError: the file is missing, damaged, not ours, or of a newer format.
    """
    with _opened(path) as file:
        return _header(path, file.metadata())


def load(path: Path) -> Checkpoint:
    """Rebuild the restorer of a checkpoint on the CPU, in float32 and in evaluation mode.

    Raises:
        WeightsError: the file is missing, damaged, not ours, or does not fit its own header.
    """
    with _opened(path) as file:
        header = _header(path, file.metadata())
        found = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 - no mapping
        try:
            with torch.device("meta"), _at_most(2 * len(found) + SPARE_TENSORS, path):
                expected = build_restorer(header.system, header.config, f"'{path}'").state_dict()
            _check_fit(path, expected, {name: (s.get_shape(), s.get_dtype()) for name, s in found.items()})
            restorer = build_restorer(header.system, header.config, f"'{path}'")
            restorer.resolve(Sampling())
        except UsageError as error:
            raise WeightsError(error.message, hint=error.hint) from None
        tensors = {name: file.get_tensor(name).float() for name in found}
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise WeightsError(f"'{path}' is damaged: '{name}' holds values that are not finite.")
    restorer.load_state_dict(tensors, strict=True, assign=True)
    restorer.requires_grad_(False)
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return Checkpoint(restorer.eval(), header, digest)


@contextmanager
def _at_most(count: int, path: Path) -> Iterator[None]:
    """No more than so many tensors are made, even without memory for their values."""
    left = count

    def note(*_: object) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise WeightsError(f"the header of '{path}' asks for more than {count} tensors, which it does not hold.")

    handle = register_module_parameter_registration_hook(note)
    try:
        yield
    finally:
        handle.remove()


def _opened(path: Path) -> Any:
    try:
        return safe_open(path, "pt")
    except FileNotFoundError:
        raise WeightsError(f"no weight file '{path}'.") from None
    except (SafetensorError, OSError) as error:
        raise WeightsError(
            f"'{path}' is not a whole safetensors file: {error}.",
            hint="Checkpoints of other programs are converted first; pickles are never opened.",
        ) from None


def _header(path: Path, metadata: dict[str, str] | None) -> Header:
    text = (metadata or {}).get(KEY)
    if text is None:
        raise WeightsError(f"'{path}' has no header of irsde.", hint="It may be another program's file.")
    try:
        values = json.loads(text)
        if not isinstance(values, dict):
            raise ValueError("not a table")
    except ValueError as error:
        raise WeightsError(f"the header of '{path}' is not JSON: {error}.") from None
    if isinstance(values.get("format"), int) and values["format"] > FORMAT:
        raise WeightsError(f"'{path}' was written by a newer irsde (format {values['format']}).", hint="Update irsde.")
    try:
        return from_mapping(Header, values, f"the header of '{path}'")
    except UsageError as error:
        raise WeightsError(error.message, hint=error.hint) from None


def _check_fit(path: Path, expected: dict[str, Tensor], found: dict[str, tuple[list[int], str]]) -> None:
    """Compare names, shapes and types; the first difference is named."""
    for name, tensor in expected.items():
        if name not in found:
            raise WeightsError(f"'{path}' lacks the tensor '{name}' that its header asks for.")
        shape, dtype = found[name]
        if list(tensor.shape) != list(shape):
            raise WeightsError(f"'{path}': '{name}' has shape {list(shape)}, its header asks for {list(tensor.shape)}.")
        if dtype not in _DTYPES:
            raise WeightsError(f"'{path}': '{name}' has type {dtype}; it can be {', '.join(sorted(_DTYPES))}.")
    for name in found:
        if name not in expected:
            raise WeightsError(f"'{path}' holds a tensor '{name}' that its header does not know.")
