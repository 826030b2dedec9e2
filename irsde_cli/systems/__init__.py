"""Restoration systems: parts put together, one file and one row each."""

from typing import TYPE_CHECKING, Any, get_type_hints

from irsde_cli.config import from_mapping
from irsde_cli.errors import UsageError
from irsde_cli.registry import Registry

if TYPE_CHECKING:
    from irsde_cli.restorer import Restorer

SYSTEMS = Registry(
    "system",
    {
        "mean-reverting": "irsde_cli.systems.mean_reverting:MeanReverting",
        "denoising": "irsde_cli.systems.denoising:Denoising",
        "latent": "irsde_cli.systems.latent:Latent",
        "daclip": "irsde_cli.systems.daclip:DaClipRestorer",
        "flux-ir": "irsde_cli.systems.flux:FluxRestorer",
        "autoencoder": "irsde_cli.systems.autoencoder:Autoencoder",
        "direct": "irsde_cli.systems.direct:Direct",
    },
)


def read_config(system: str, config: dict[str, Any], where: str) -> Any:
    """The configuration of the system of that name, as its frozen dataclass.

    Raises:
        UsageError: the name or a setting is unknown or impossible; `where` names their origin.
    """
    return from_mapping(get_type_hints(SYSTEMS.load(system))["config"], config, where)


def build_restorer(system: str, config: dict[str, Any], where: str) -> "Restorer":
    """The system of that name with fresh weights; see `read_config`."""
    settings = read_config(system, config, where)
    try:
        restorer: Restorer = SYSTEMS.load(system)(settings)
    except ValueError as error:
        raise UsageError(f"{where}: {error}.") from None
    return restorer
