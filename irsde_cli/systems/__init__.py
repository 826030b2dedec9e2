"""Restoration systems: parts put together, one file and one row each."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, get_type_hints

from irsde_cli.config import from_mapping
from irsde_cli.errors import UsageError
from irsde_cli.networks import NETWORKS
from irsde_cli.registry import Entry, Registry

if TYPE_CHECKING:
    from irsde_cli.restorer import Restorer


def _small(network: str, **options: Any) -> dict[str, Any]:
    """The example of a network with other options, as a configuration writes it."""
    return {"name": network, "options": {**NETWORKS[network].example, **options}}


POCKET = _small("pocket-unet", widths=(8, 8))
AUTOENCODER = _small("latent-unet", embed_dim=4)

SYSTEMS = Registry(
    "system",
    {
        "mean-reverting": Entry(
            "irsde_cli.systems.mean_reverting:MeanReverting",
            paper="2301.11699",
            checked="code",
            evidence="tests/samplers/test_trajectories.py::test_irsde_run_equals_the_reference",
            example={"network": POCKET, "process": {"prediction": "clean"}},
        ),
        "denoising": Entry(
            "irsde_cli.systems.denoising:Denoising",
            paper="2301.11699",
            checked="code",
            evidence="tests/samplers/test_trajectories.py::test_denoising_run_equals_the_reference",
            example={"network": _small("unet", conditional=False, full_attention=True)},
        ),
        "latent": Entry(
            "irsde_cli.systems.latent:Latent",
            paper="2304.08291",
            checked="code",
            evidence="tests/conversions/test_published.py::test_latent_refusion_is_two_files",
            example={
                "autoencoder": AUTOENCODER,
                "network": _small("nafnet", img_channel=4, enc_blk_nums=(1,), dec_blk_nums=(1,), long_skip=True),
            },
        ),
        "daclip": Entry(
            "irsde_cli.systems.daclip:DaClipRestorer",
            paper="2310.01018",
            checked="code",
            evidence="tests/networks/test_parity.py::test_golden_daclip_unet",
            example={"network": _small("daclip-unet"), "clip": _small("daclip")},
        ),
        "flux-ir": Entry(
            "irsde_cli.systems.flux:FluxRestorer",
            paper="2410.04811",
            checked="properties",
            evidence="tests/systems/test_flux.py::test_sampling_is_that_of_the_released_program",
            extra="flux",
            example={
                "network": _small("flux", channels=4),
                "autoencoder": _small("kl-autoencoder", widths=(8, 8, 8)),
            },
        ),
        "flux2": Entry(
            "irsde_cli.systems.flux2:Flux2Restorer",
            paper="https://github.com/black-forest-labs/flux2",
            checked="code",
            evidence="tests/systems/test_flux2.py::test_sampling_is_that_of_diffusers",
            extra="flux",
            example={
                "network": _small("flux2", channels=16),
                "autoencoder": _small("flux2-autoencoder"),
            },
        ),
        "pmrf": Entry(
            "irsde_cli.systems.pmrf:Pmrf",
            paper="2410.00418",
            checked="code",
            evidence="tests/systems/test_pmrf.py::test_steps_are_those_of_the_release",
            example={"mean": POCKET, "network": POCKET},
        ),
        "two-heads": Entry(
            "irsde_cli.systems.two_heads:TwoHeads",
            checked="properties",
            evidence="tests/systems/test_two_heads.py::test_draws_are_a_line_from_the_mean",
            example={"network": _small("pocket-unet", widths=(8, 8), heads=2)},
        ),
        "autoencoder": Entry(
            "irsde_cli.systems.autoencoder:Autoencoder",
            paper="2304.08291",
            checked="code",
            evidence="tests/networks/test_parity.py::test_golden_latent_unet",
            example={"autoencoder": AUTOENCODER},
        ),
        "one-pass": Entry(
            "irsde_cli.systems.one_pass:OnePass",
            checked="weights",
            evidence="tests/networks/test_peers.py::test_denoisers_reach_their_figures",
            example={"network": POCKET},
        ),
        "codec": Entry(
            "irsde_cli.systems.codec:Codec",
            paper="https://github.com/ZeldaM1/All-in-one",
            checked="properties",
            evidence="tests/systems/test_codec.py::test_what_is_read_is_what_was_written",
            example={"network": _small("codec")},
        ),
    },
)


RENAMED = {"direct": "one-pass"}


def current(system: str) -> str:
    """The name that a system has now, of one that a checkpoint or a run's settings may still have."""
    return RENAMED.get(system, system)


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


def networks_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configurations of a system's networks, by the parts that they fill."""
    return {part: config[part] for part in dict.fromkeys(row.fills for row in NETWORKS.values()) if part in config}


def papers_of(system: str, networks: Iterable[str]) -> tuple[str, ...]:
    """The papers of a system with these networks, each once."""
    rows = [SYSTEMS[system], *(NETWORKS[name] for name in networks)]
    return tuple(dict.fromkeys(row.paper for row in rows if row.paper))
