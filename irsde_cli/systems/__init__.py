"""Restoration systems: parts put together, one file and one row each."""

from irsde_cli.registry import Registry

SYSTEMS = Registry(
    "system",
    {
        "mean-reverting": "irsde_cli.systems.mean_reverting:MeanReverting",
        "denoising": "irsde_cli.systems.denoising:Denoising",
        "latent": "irsde_cli.systems.latent:Latent",
    },
)
