"""Which network a file of somebody's holds, read from names and shapes; nothing else in it says so."""

from collections.abc import Mapping

from torch import Tensor

from irsde_cli.errors import WeightsError
from irsde_cli.networks import NETWORKS
from irsde_cli.systems.parts import NetworkConfig

STRANGERS = {
    "cam_mlp": "Refusion's network for bokeh, which needs lens data",
    ".fusion.": "Refusion's network for two views",
    "patch_embed.proj": "a transformer (DiT), which no release uses",
}


def recognise(tensors: Mapping[str, Tensor], where: str) -> NetworkConfig:
    """The network and its hyper-parameters, from the bare module's state dict.

    A latent NAFNet and one for pixels have the same names: 8 channels mean the latent one, with its long skip.

    Raises:
        WeightsError: it is none of ours.
    """
    for mark, what in STRANGERS.items():
        if any(mark in name for name in tensors):
            raise WeightsError(f"{where} holds {what}; it is not supported.")
    marked = [name for name, row in NETWORKS.items() if row.marks and all(mark in tensors for mark in row.marks)]
    if not marked:
        first = ", ".join(f"'{name}'" for name in list(tensors)[:3])
        raise WeightsError(f"{where} holds no network that is known; its first tensors are {first}.")
    # The most marks first; of several networks with the same names, shapes tell which it is.
    for name in sorted(marked, key=lambda name: -len(NETWORKS[name].marks)):
        try:
            return NetworkConfig(name, NETWORKS.load(name).options_from(tensors))
        except KeyError as error:
            raise WeightsError(f"{where} holds a part of a network only: {error} is missing.") from None
        except (ValueError, ZeroDivisionError, IndexError):
            continue
    raise WeightsError(f"{where} holds tensors whose shapes are those of no network that is known.")
