"""Which network a file of somebody's holds, read from names and shapes; nothing else in it says so."""

import re
from collections.abc import Iterable, Mapping
from functools import cache

import torch
from torch import Tensor

from irsde_cli.errors import UsageError, WeightsError
from irsde_cli.networks import NETWORKS
from irsde_cli.systems.parts import NetworkConfig, build_network

NUMBER = re.compile(r"\d+")
ALIKE = 0.25  # shared names, numbers left out, of all names of both; below it none is near
STRANGERS = {
    "cam_mlp": "Refusion's network for bokeh, which needs lens data",
    ".fusion.": "Refusion's network for two views",
    "patch_embed.proj.bias": "a transformer (DiT), which no release uses",
}


def recognise(tensors: Mapping[str, Tensor], where: str) -> NetworkConfig:
    """The network and its hyper-parameters, from the bare module's state dict.

    A latent NAFNet and one for pixels have the same names: 8 channels mean the latent one, with its long skip.

    Raises:
        WeightsError: it is none of ours.
    """
    marked = [name for name, row in NETWORKS.items() if row.marks and all(mark in tensors for mark in row.marks)]
    for mark, what in STRANGERS.items():
        if any(mark in name for name in tensors) and "mpmf-net" not in marked:  # which shares a name with one of them
            raise WeightsError(f"{where} holds {what}; it is not supported.")
    if not marked:
        raise WeightsError(f"{where} holds no network that is known; {_nearest(tensors)}.")
    found: list[NetworkConfig] = []
    reasons = []
    for name in sorted(marked, key=lambda name: -len(NETWORKS[name].marks)):
        try:
            found.append(NetworkConfig(name, NETWORKS.load(name).options_from(tensors)))
        except KeyError as error:
            reasons.append(f"{where} holds a part of a network only, by its names of a {name}: {error} is missing.")
        except (ValueError, TypeError, ArithmeticError, IndexError, StopIteration):
            reasons.append(f"{where} has the names of a {name}, and tensors whose shapes are those of no {name}.")
    if not found:
        raise WeightsError(reasons[0])
    # Small networks share names: all shapes tell which of several it is.
    return found[0] if len(found) == 1 else next((one for one in found if _fits(one, tensors)), found[0])


def _nearest(tensors: Mapping[str, Tensor]) -> str:
    """The network whose names are the nearest, and the first name that differs; of far ones, what there is."""
    held = _unnumbered(tensors)
    shares = {
        name: len(held.keys() & known.keys()) / len(held.keys() | known.keys())
        for name, known in ((name, _known(name)) for name, row in NETWORKS.items() if row.marks)
    }
    name = max(shares, key=lambda one: shares[one])
    if shares[name] < ALIKE:
        return f"its first tensors are {', '.join(repr(str(one)) for one in list(tensors)[:3])}"
    known = _known(name)
    extra = next((first for key, first in held.items() if key not in known), None)
    if extra is not None:
        return f"the nearest is {name}, which has no '{extra}'"
    lacks = (known[key] for key in known if key not in held)
    # Where only a number differs, a name that tells the network lacks: it was not recognised.
    missing = next(lacks, None) or next(mark for mark in NETWORKS[name].marks if mark not in tensors)
    return f"the nearest is {name}, of which '{missing}' is missing"


def _unnumbered(names: Iterable[str]) -> dict[str, str]:
    """Names with their numbers left out, in their order, and the first that each stands for."""
    found: dict[str, str] = {}
    for name in names:
        found.setdefault(NUMBER.sub("#", name), name)
    return found


@cache
def _known(name: str) -> dict[str, str]:
    """The names of the tensors of a network."""
    with torch.device("meta"):
        return _unnumbered(NETWORKS.load(name)(**NETWORKS[name].example).state_dict())


def _fits(config: NetworkConfig, tensors: Mapping[str, Tensor]) -> bool:
    """Whether the file has all that the network has, in its shapes."""
    try:
        with torch.device("meta"):
            wanted = build_network(config).state_dict()
    except UsageError:  # sizes that no network has
        return False
    return all(name in tensors and tensors[name].shape == value.shape for name, value in wanted.items())
