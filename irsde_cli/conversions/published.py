"""Released files of the reference to restorers, and back: the row says lambda and T, the tensors say the network."""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from irsde_cli import checkpoint
from irsde_cli.conversions.networks import recognise
from irsde_cli.conversions.official import read_state
from irsde_cli.errors import WeightsError
from irsde_cli.networks import NETWORKS
from irsde_cli.restorer import Restorer
from irsde_cli.storage import digests
from irsde_cli.systems.parts import NetworkConfig, ProcessConfig
from irsde_cli.weights.catalogue import File, Published

PARTS = {"latent-unet": "autoencoder", "daclip": "clip"}
TWIN = "visual."  # of "clip.visual.": DA-CLIP's files hold the picture tower under both names
PUBLISHED = {"prediction": "noise", "centre": "degraded", "process": "mean-reverting"}


@dataclass(frozen=True)
class Decided:
    """What a user knows better than the catalogue; `None` asks the row.

    Attributes:
        max_sigma: lambda, of 255.
        num_timesteps: T.
        upsampling: `nearest` or `bicubic`, how the degraded image is enlarged first.
    """

    max_sigma: float | None = None
    num_timesteps: int | None = None
    upsampling: str | None = None


@dataclass(frozen=True)
class Converted:
    """A restorer made of other files, with the fields of its header."""

    restorer: Restorer
    fields: dict[str, Any]


def convert(name: str, row: Published, paths: Sequence[Path], decided: Decided) -> Converted:
    """The restorer of a row of the catalogue, of the files at `paths` in any order.

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
        {"task": row.task, "data": row.data, "licence": row.licence, "origin": origin},
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
    name: str, row: Published, paths: Sequence[Path]
) -> Iterator[tuple[str, tuple[Path, NetworkConfig, dict[str, Tensor]]]]:
    seen: dict[str, Path] = {}
    files = {file.part: file for file in row.files}
    for path in paths:
        state = read_state(path)
        network = recognise(state, f"'{path}'")
        part = PARTS.get(network.name, "network")
        if part not in files:
            raise WeightsError(f"'{path}' holds a {network.name}, which '{name}' has none of.")
        if part in seen:
            raise WeightsError(f"'{path}' and '{seen[part]}' both hold the {part} of '{name}'.")
        _check_published(files[part], path)
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


def _check_published(file: File, path: Path) -> None:
    if file.sha256 is not None and digests.sha256(path) != file.sha256:
        raise WeightsError(
            f"'{path}' is not the published '{file.name}': its SHA-256 differs.", hint=f"Expected {file.sha256}."
        )


def _check_network(name: str, row: Published, network: NetworkConfig, decided: Decided) -> None:
    """What was recognised against the row; sizes may differ where the user says what lambda is."""
    expected = _defaults(row.network) | dict(row.options)
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
        if decided.max_sigma is None:
            raise WeightsError(
                f"{difference}, so the lambda of '{name}' may not be the one that the file was trained with.",
                hint="If you know it, say it with --max-sigma (of 255).",
            )


def _config(name: str, row: Published, networks: Mapping[str, NetworkConfig], decided: Decided) -> dict[str, Any]:
    max_sigma = row.max_sigma if decided.max_sigma is None else decided.max_sigma
    upsampling = row.upsampling if decided.upsampling is None else decided.upsampling
    for value, option in ((max_sigma, "--max-sigma"), (upsampling, "--upsampling")):
        if value is None:
            raise WeightsError(f"of '{name}', {row.doubt}.", hint=f"Decide with {option}; try both, keep the better.")
    assert max_sigma is not None
    num_timesteps = row.num_timesteps if decided.num_timesteps is None else decided.num_timesteps
    parts = {part: {"name": network.name, "options": network.options} for part, network in networks.items()}
    return {
        **parts,
        "process": {
            "name": row.process,
            "options": {
                "stationary_std": max_sigma / 255,
                "num_timesteps": num_timesteps,
                "schedule": row.schedule,
                "eps": row.eps,
                **row.process_options,
            },
        },
        "sampling": {"sampler": row.sampler, "steps": num_timesteps, "clip": False},
        **({"scale": row.scale, "upsampling": upsampling} if row.system == "mean-reverting" else {}),
        **row.settings,
    }


def _defaults(network: str) -> dict[str, Any]:
    parameters = inspect.signature(NETWORKS.load(network)).parameters.values()
    return {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}


def _plain(value: Any) -> Any:
    return tuple(value) if isinstance(value, list | tuple) else value
