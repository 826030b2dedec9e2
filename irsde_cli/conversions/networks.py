"""Which network a file of somebody's holds, read from names and shapes; nothing else in it says so."""

from collections.abc import Mapping

import torch
from torch import Tensor

from irsde_cli.errors import WeightsError
from irsde_cli.networks import NETWORKS
from irsde_cli.systems.parts import NetworkConfig, build_network

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
        first = ", ".join(f"'{name}'" for name in list(tensors)[:3])
        raise WeightsError(f"{where} holds no network that is known; its first tensors are {first}.")
    found: list[NetworkConfig] = []
    reasons = []
    for name in sorted(marked, key=lambda name: -len(NETWORKS[name].marks)):
        try:
            found.append(NetworkConfig(name, NETWORKS.load(name).options_from(tensors)))
        except KeyError as error:
            reasons.append(f"{where} holds a part of a network only: {error} is missing.")
        except (ValueError, ZeroDivisionError, IndexError):
            reasons.append(f"{where} holds tensors whose shapes are those of no network that is known.")
    if not found:
        raise WeightsError(reasons[0])
    # Small networks share names: all shapes tell which of several it is.
    return found[0] if len(found) == 1 else next((one for one in found if _fits(one, tensors)), found[0])


def _fits(config: NetworkConfig, tensors: Mapping[str, Tensor]) -> bool:
    """Whether the file has all that the network has, in its shapes."""
    with torch.device("meta"):
        wanted = build_network(config).state_dict()
    return all(name in tensors and tensors[name].shape == value.shape for name, value in wanted.items())
