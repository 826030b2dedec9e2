"""One safetensors file that rebuilds a restorer: its weights, and a JSON header with all settings.

Nothing in a checkpoint is ever run; names, shapes and types are checked before anything is allocated.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from irsde_cli.config import from_mapping, to_mapping
from irsde_cli.errors import UsageError, WeightsError
from irsde_cli.needs.interval import Interval
from irsde_cli.restorer import Restorer
from irsde_cli.samplers.settings import Sampling
from irsde_cli.storage import digests, weight_files
from irsde_cli.systems import SYSTEMS, build_restorer, current
from irsde_cli.systems.upgrades import with_process
from irsde_cli.version import __version__

FORMAT = 2
KEY = "irsde"
# So that a file that lacks some tensors is still told which, and one that asks for a billion ends early.
SPARE_TENSORS = 1000
DTYPES = {torch.float16, torch.bfloat16, torch.float32}


@dataclass(frozen=True)
class Header:
    """What a checkpoint says of itself.

    Attributes:
        system: a row of `irsde_cli.systems.SYSTEMS`.
        config: the system's configuration, as plain values.
        task: what it undoes.
        data: what it was trained on.
        licence: the terms of that data.
        weights_licence: of the weights themselves; it begins with the name that SPDX gives it, where there is one.
        step: training steps taken.
        version: of this package, when it was written.
        tile_tolerance: largest difference, of 255, of a tiled from an untiled result that was measured, with tiles of
            256 pixels and the default overlap.
        depends_on_tiles: whether every pixel depends on all of its image, so that tiles never equal the whole.
        origin: another program's files that it was converted from, with their SHA-256.
        intervals: what was calibrated, by what intervals are around: `result`, or `mean` of several draws; each as
            `irsde_cli.needs.interval.Interval` has it.
        format: of the header.
    """

    system: str
    config: dict[str, Any]
    task: str = ""
    data: str = ""
    licence: str = ""
    weights_licence: str = ""
    step: int = 0
    version: str = ""
    tile_tolerance: float | None = None
    depends_on_tiles: bool = False
    origin: str = ""
    intervals: dict[str, Any] = field(default_factory=dict)
    format: int = FORMAT

    def interval(self, around: Literal["result", "mean"]) -> Interval | None:
        """What was calibrated around that; `None` where nothing was."""
        found = self.intervals.get(around)
        return None if found is None else from_mapping(Interval, found, f"the header's interval '{around}'")


@dataclass(frozen=True)
class Checkpoint:
    """A restorer, ready to run on the CPU, with its header and file."""

    restorer: Restorer
    header: Header
    path: Path

    @cached_property
    def sha256(self) -> str:
        """Of the file; it takes longer than loading it, so it waits until somebody asks."""
        return digests.sha256(self.path)


def _one_to_two(header: dict[str, Any]) -> dict[str, Any]:
    """Format 2: the process is a table of its own in the system's configuration."""
    config = with_process(header.get("system"), header.get("config"))
    return {**header, "config": config, "format": 2}


UPGRADES: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {1: _one_to_two}


def save(path: Path, restorer: Restorer, *, dtype: torch.dtype = torch.float32, **fields: Any) -> None:
    """Write weights and header to `path`; `fields` are those of `Header` besides system and config."""
    tensors = {name: tensor.detach().to("cpu", dtype).contiguous() for name, tensor in restorer.state_dict().items()}
    header = Header(
        system=next(name for name in SYSTEMS if SYSTEMS.load(name) is type(restorer)),
        config=to_mapping(restorer.config),
        version=__version__,
        depends_on_tiles=restorer.facts.reach is None,
        **fields,
    )
    save_file(tensors, path, metadata={KEY: json.dumps(asdict(header), sort_keys=True)})


def read_header(path: Path) -> Header:
    """The header alone.

    Raises:
        WeightsError: the file is missing, damaged, not ours, or of a newer format.
    """
    with weight_files.opened(path) as file:
        return _header(path, file.metadata())


def load(path: Path) -> Checkpoint:
    """Rebuild the restorer of a checkpoint on the CPU, in float32 and in evaluation mode.

    Raises:
        WeightsError: the file is missing, damaged, not ours, or does not fit its own header.
    """
    with weight_files.opened(path) as file:
        header = _header(path, file.metadata())
        # These are views of the mapped file: nothing is read before names, shapes and types were compared.
        held = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    return Checkpoint(assemble(header.system, header.config, held, f"'{path}'"), header, path)


def assemble(system: str, config: dict[str, Any], tensors: Mapping[str, Tensor], where: str) -> Restorer:
    """The restorer with these very tensors, on the CPU, in float32, in evaluation mode; `where` is for errors.

    Raises:
        WeightsError: names, shapes or types differ from what the configuration asks for, or a value is not finite.
    """
    try:
        with torch.device("meta"), _at_most(2 * len(tensors) + SPARE_TENSORS, where):
            expected = build_restorer(system, config, where).state_dict()
        check_fit(where, expected, tensors)
        with _without_values():
            restorer = build_restorer(system, config, where)
        restorer.resolve(Sampling())
    except UsageError as error:
        raise WeightsError(error.message, hint=error.hint) from None
    wide = {name: tensor.float() for name, tensor in tensors.items()}
    for name, tensor in wide.items():
        # A sum is finite only if all is; where it overflows, the slower question decides.
        if not torch.isfinite(tensor.sum()) and not torch.isfinite(tensor).all():
            raise WeightsError(f"{where} is damaged: '{name}' holds values that are not finite.")
    restorer.load_state_dict(wide, strict=True, assign=True)
    return restorer.requires_grad_(False).eval()


def check_fit(where: str, expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> None:
    """Compare names, shapes and types.

    Raises:
        WeightsError: they differ; the first difference is named.
    """
    for name, tensor in expected.items():
        if name not in found:
            raise WeightsError(f"{where} lacks the tensor '{name}' that its settings ask for.")
        shape, dtype = found[name].shape, found[name].dtype
        if tensor.shape != shape:
            raise WeightsError(f"{where}: '{name}' has shape {list(shape)}, its settings ask for {list(tensor.shape)}.")
        if dtype not in DTYPES:
            known = ", ".join(sorted(str(one).removeprefix("torch.") for one in DTYPES))
            raise WeightsError(f"{where}: '{name}' has type {str(dtype).removeprefix('torch.')}; it can be {known}.")
    for name in found:
        if name not in expected:
            raise WeightsError(f"{where} holds a tensor '{name}' that its settings do not know.")


@contextmanager
def _at_most(count: int, where: str) -> Iterator[None]:
    """No more than so many tensors are made, even without memory for their values."""
    left = count

    def note(*_: object) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise WeightsError(f"the header of {where} asks for more than {count} tensors, which it does not hold.")

    handle = register_module_parameter_registration_hook(note)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def _without_values() -> Iterator[None]:
    """Modules that are built meanwhile have parameters without memory and without fresh values; tables stay real."""

    def emptied(_: nn.Module, __: str, parameter: nn.Parameter | None) -> nn.Parameter | None:
        return None if parameter is None else nn.Parameter(parameter.to("meta"))

    # torch's annotation leaves out that a hook may return another parameter, as its documentation says.
    handle = register_module_parameter_registration_hook(emptied)  # type: ignore[arg-type]
    try:
        yield
    finally:
        handle.remove()


def _header(path: Path, metadata: dict[str, str] | None) -> Header:
    text = (metadata or {}).get(KEY)
    if text is None:
        raise WeightsError(f"'{path}' has no header of irsde.", hint="It may be another program's file.")
    try:
        values = json.loads(text)
        if not isinstance(values, dict):
            raise ValueError("not a table")
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"the header of '{path}' is not JSON: {error}.") from None
    written = values.get("format", FORMAT)
    if isinstance(written, int):
        if written > FORMAT:
            raise WeightsError(f"'{path}' was written by a newer irsde (format {written}).", hint="Update irsde.")
        for number in range(written, FORMAT):
            if number not in UPGRADES:
                raise WeightsError(f"the header of '{path}' has a format {written}, which there never was.")
            values = UPGRADES[number](values)
    try:
        header = from_mapping(Header, values, f"the header of '{path}'")
    except UsageError as error:
        raise WeightsError(error.message, hint=error.hint) from None
    return replace(header, system=current(header.system))
