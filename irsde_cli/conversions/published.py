"""Released files to restorers, and back: the row says the system and its settings, the tensors say the network."""

import hashlib
import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from irsde_cli import checkpoint
from irsde_cli.conversions.dialects import read_state
from irsde_cli.conversions.networks import recognise
from irsde_cli.errors import WeightsError
from irsde_cli.networks import NETWORKS
from irsde_cli.restorer import Restorer
from irsde_cli.storage import digests
from irsde_cli.systems.parts import NetworkConfig, ProcessConfig
from irsde_cli.weights.rows import File, Row

TWIN = "visual."  # of "clip.visual.": DA-CLIP's files hold the picture tower under both names
NOTHING: Mapping[str, Any] = MappingProxyType({})
PUBLISHED = {"prediction": "noise", "centre": "degraded", "process": "mean-reverting"}


@dataclass(frozen=True)
class Converted:
    """A restorer made of other files, with the fields of its header."""

    restorer: Restorer
    fields: dict[str, Any]


def convert(name: str, row: Row, paths: Sequence[Path], decided: Mapping[str, Any] = NOTHING) -> Converted:
    """The restorer of a row of the catalogue, of the files at `paths` in any order.

    Args:
        name: of the row.
        row: of the catalogue.
        paths: of the files.
        decided: what a user knows better than the row, by dotted keys of `row.decidable`.

    Raises:
        WeightsError: a file is missing, damaged, not the published one, or holds another network; or something that
            nobody knows has not been decided.
    """
    found = dict(_parts(name, row, paths))
    for file in row.files:
        if file.part not in found:
            raise WeightsError(
                f"'{name}' needs '{file.name}' ({file.part}) too.", hint="Give --from once for each file."
            )
    _check_network(name, row, found["network"][1], decided)
    config = _config(name, row, {part: network for part, (_, network, _) in found.items()}, decided)
    tensors = {f"{part}.{key}": value for part, (_, _, state) in found.items() for key, value in state.items()}
    where = " and ".join(f"'{path}'" for path, _, _ in found.values())
    origin = "; ".join(f"{path.name} {digests.sha256(path)}" for path, _, _ in found.values())
    return Converted(
        checkpoint.assemble(row.system, config, tensors, where),
        {"task": row.task, "data": row.data, "weights_licence": row.licence, "origin": origin},
    )


def export(restorer: Restorer, paths: Sequence[Path]) -> None:
    """Write the parts of a restorer as the reference's own files: bare names, float32, the network first.

    Raises:
        WeightsError: the reference knows no such process, or the number of paths is not that of the parts.
    """
    process = getattr(restorer.config, "process", ProcessConfig())
    said = {"centre": getattr(restorer.config, "centre", "degraded"), "prediction": process.prediction}
    said["process"] = process.name.replace("denoising", "mean-reverting")  # of which the reference knows both
    for key, value in said.items():
        if value != (published := PUBLISHED[key]):
            raise WeightsError(
                f"the reference knows {key} '{published}' only, and restores wrongly with weights of '{value}'.",
                hint="Their own file works wherever irsde does.",
            )
    parts = {name: module for name, module in restorer.named_children() if module.state_dict()}
    order = sorted(parts, key=lambda name: name != "network")
    if len(paths) != len(order):
        raise WeightsError(
            f"it is made of {len(order)} parts ({', '.join(order)}), and {len(paths)} files are named.",
            hint="Name one file for each part, in this order.",
        )
    for name, path in zip(order, paths, strict=True):
        state = {key: value.float().contiguous() for key, value in parts[name].state_dict().items()}
        if name == "clip":
            state |= {
                key.removeprefix("clip."): value for key, value in state.items() if key.startswith(f"clip.{TWIN}")
            }
        torch.save(state, path)


def _parts(
    name: str, row: Row, paths: Sequence[Path]
) -> Iterator[tuple[str, tuple[Path, NetworkConfig, dict[str, Tensor]]]]:
    seen: dict[str, Path] = {}
    files = {file.part: file for file in row.files}
    for path in paths:
        state = read_state(path, row.dialect)
        network = recognise(state, f"'{path}'")
        part = NETWORKS[network.name].fills
        if part not in files:
            raise WeightsError(f"'{path}' holds a {network.name}, which '{name}' has none of.")
        if part in seen:
            raise WeightsError(f"'{path}' and '{seen[part]}' both hold the {part} of '{name}'.")
        _check_published(files[part], path, state)
        seen[part] = path
        if part == "clip":
            state = _without_twin(state, path)
        yield part, (path, network, state)


def _without_twin(state: dict[str, Tensor], path: Path) -> dict[str, Tensor]:
    for name, value in state.items():
        if name.startswith(TWIN):
            twin = state.get(f"clip.{name}")
            if twin is None or not torch.equal(twin, value):
                raise WeightsError(f"'{path}': '{name}' and 'clip.{name}' should be the same tensor.")
    return {name: value for name, value in state.items() if not name.startswith(TWIN)}


def _check_published(file: File, path: Path, state: Mapping[str, Tensor]) -> None:
    """Whether it is the file itself, or another that holds the same."""
    if file.sha256 is None and file.content is None:
        return
    if file.sha256 is not None and digests.sha256(path).startswith(file.sha256):
        return
    if file.content is None:
        raise WeightsError(
            f"'{path}' is not the published '{file.name}': its SHA-256 differs.", hint=f"Expected {file.sha256}."
        )
    if content(state) != file.content:
        either = f"that of '{file.name}' is {file.sha256}, or " if file.sha256 else ""
        raise WeightsError(
            f"'{path}' does not hold the published weights of '{file.name}': {_unlike(state)}.",
            hint=f"SHA-256: {either}that of the tensors should be {file.content}.",
        )


def content(state: Mapping[str, Tensor]) -> str:
    """SHA-256 of tensors: of each, in the order of their names, the name, the shape and the values in float32."""
    digest = hashlib.sha256()
    for name in sorted(state):
        values = state[name].detach().float().contiguous().cpu()
        digest.update(f"{name} {tuple(values.shape)}\n".encode())
        digest.update(values.numpy().astype("<f4", copy=False).tobytes())
    return digest.hexdigest()


def _unlike(state: Mapping[str, Tensor]) -> str:
    bad = next((name for name, value in state.items() if not bool(torch.isfinite(value).all())), None)
    return "its values are others" if bad is None else f"'{bad}' holds values that are not finite"


def _check_network(name: str, row: Row, network: NetworkConfig, decided: Mapping[str, Any]) -> None:
    """What was recognised against the row; sizes may differ where the user says what lambda is."""
    expected = _defaults(row.network) | row.options
    found = _defaults(network.name) | network.options
    if network.name != row.network:
        raise WeightsError(
            f"the file holds a {network.name}; '{name}' is a {row.network}, with other settings.",
            hint="'irsde download --list' names what there is.",
        )
    for option, value in expected.items():
        if _plain(found.get(option)) == _plain(value):
            continue
        difference = f"the network's {option} is {found.get(option)}, that of '{name}' is {value}"
        if option in ("conditional", "long_skip", "img_channel", "in_nc"):
            raise WeightsError(f"{difference}: the file belongs to something else.")
        if not row.sized:
            raise WeightsError(f"{difference}: the file belongs to something else.")
        if row.sized not in decided:
            raise WeightsError(
                f"{difference}, so the {row.sized.rpartition('.')[2]} of '{name}' may not be the one that the file was "
                "trained with.",
                hint=f"If you know it, say it with --set {row.sized}=VALUE.",
            )


def _config(name: str, row: Row, networks: Mapping[str, NetworkConfig], decided: Mapping[str, Any]) -> dict[str, Any]:
    parts = {part: {"name": network.name, "options": network.options} for part, network in networks.items()}
    try:
        return row.config(parts, decided)
    except WeightsError as error:
        raise WeightsError(f"of '{name}', {error.message}", hint=error.hint) from None


def _defaults(network: str) -> dict[str, Any]:
    parameters = inspect.signature(NETWORKS.load(network)).parameters.values()
    return {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}


def _plain(value: Any) -> Any:
    return tuple(value) if isinstance(value, list | tuple) else value
