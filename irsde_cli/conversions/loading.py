"""Weights of whichever program: a checkpoint of ours, or a file whose tensors tell what network they belong to."""

import logging
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from irsde_cli import checkpoint, extras
from irsde_cli.checkpoint import KEY, Checkpoint, Header
from irsde_cli.config import to_mapping
from irsde_cli.content import kind_of_path
from irsde_cli.conversions.dialects import DIALECTS
from irsde_cli.conversions.networks import recognise
from irsde_cli.conversions.official import BY_KIND, read_tensors
from irsde_cli.errors import MachineError, WeightsError
from irsde_cli.networks import NETWORKS, bridged
from irsde_cli.networks.network import Mapper
from irsde_cli.storage import digests, weight_files
from irsde_cli.systems.one_pass import OnePass, OnePassConfig
from irsde_cli.systems.parts import NetworkConfig
from irsde_cli.weights.catalogue import CATALOGUE

SAFE = "a safetensors file"
logger = logging.getLogger(__name__)
INSTALL = f"Run: {extras.how('spandrel')}, which knows forty families more."


def load(path: Path) -> Checkpoint:
    """The restorer of a file, on the CPU and in evaluation mode.

    A file of another program is first told by our own networks, and then by spandrel's where that is installed.

    Raises:
        WeightsError: the file is missing, damaged, holds no network that is known, or one that needs to be told more.
        MachineError: spandrel is installed and cannot be used.
    """
    weight_files.check_regular(path)
    if not _is_of_others(path):
        return checkpoint.load(path)
    tensors = read_tensors(path)
    where = f"'{path}'"
    restorer = _of_ours(tensors, where)
    header = Header(
        "one-pass",
        to_mapping(restorer.config),
        depends_on_tiles=restorer.facts.reach is None,
        origin=f"{path.name} {digests.sha256(path)}",
        weights_licence=getattr(restorer.network, "terms", ""),
    )
    return Checkpoint(restorer, header, path)


def task_of(path: Path) -> str:
    """What the weights of a file say that they undo; empty where they do not say it.

    Raises:
        WeightsError: the file is missing or damaged.
    """
    weight_files.check_regular(path)
    return "" if _is_of_others(path) else checkpoint.read_header(path).task


def _is_of_others(path: Path) -> bool:
    """Whether it holds tensors and is no checkpoint of ours."""
    kind = kind_of_path(path)
    if kind is None or kind.name not in {*weight_files.PYTORCH, *BY_KIND}:
        return False
    if kind.name != SAFE:
        return True
    with weight_files.opened(path) as file:
        return KEY not in (file.metadata() or {})


def _of_ours(tensors: Mapping[str, Tensor], where: str) -> OnePass:
    """By our networks, in whichever way the names were wrapped; else by spandrel's."""
    errors = []
    for dialect in DIALECTS.values():
        if dialect.reader == "tensors":
            try:
                return _told(dialect.renamed(tensors), where)
            except ToldError:
                raise
            except WeightsError as error:
                errors.append(error)
    return _of_spandrel(tensors, where, errors[0])


def _told(tensors: Mapping[str, Tensor], where: str) -> OnePass:
    network = recognise(tensors, where)
    cls = NETWORKS.load(network.name)
    named = [name for name, row in CATALOGUE.items() if row.network == network.name]
    hint = f"Say which: irsde download NAME --from FILE, of {', '.join(named)}." if named else ""
    if not issubclass(cls, Mapper):
        raise ToldError(f"{where} holds a {network.name}, and not the process that it belongs to.", hint=hint)
    if cls.untold:
        raise ToldError(
            f"{where} holds a {network.name}, of which no tensor says {' or '.join(cls.untold)}.", hint=hint
        )
    held = {f"network.{name}": tensor for name, tensor in tensors.items()}
    restorer = checkpoint.assemble("one-pass", to_mapping(OnePassConfig(network)), held, where)
    assert isinstance(restorer, OnePass), "what was asked for"
    return restorer


def _of_spandrel(tensors: Mapping[str, Tensor], where: str, error: WeightsError) -> OnePass:
    if not bridged.is_installed():
        raise WeightsError(error.message, hint=INSTALL)
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise WeightsError(f"{where} is damaged: '{name}' holds values that are not finite.")
    try:
        network = bridged.described(tensors)
        if network is None:
            raise error
        restorer = OnePass(OnePassConfig(NetworkConfig(bridged.MODULE, {"family": network.family})), network)
    except (ImportError, RuntimeError) as broken:
        raise MachineError(f"spandrel cannot be used: {str(broken).splitlines()[0]}.", hint=INSTALL) from None
    except ValueError as reason:
        raise WeightsError(f"{where} cannot be used: {reason}.") from None
    if network.terms:
        logger.warning("the terms of %s: %s", network.family, network.terms)
    return restorer.requires_grad_(False).eval()


class ToldError(WeightsError):
    """The network is one of ours, and a file of it alone does not say enough."""
