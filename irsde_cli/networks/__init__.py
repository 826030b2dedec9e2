"""Backbones: one file and one row each."""

from irsde_cli.registry import Registry

NETWORKS = Registry(
    "network",
    {
        "unet": "irsde_cli.networks.unet:UNet",
        "nafnet": "irsde_cli.networks.nafnet:NAFNet",
        "latent-unet": "irsde_cli.networks.latent_unet:LatentUNet",
        "pocket-unet": "irsde_cli.networks.pocket_unet:PocketUNet",
        "quarter-unet": "irsde_cli.networks.quarter_unet:QuarterUNet",
        "daclip-unet": "irsde_cli.networks.daclip_unet:DaClipUNet",
        "daclip": "irsde_cli.networks.daclip:DaClip",
        "flux": "irsde_cli.networks.flux:Flux",
        "kl-autoencoder": "irsde_cli.networks.kl_autoencoder:KlAutoencoder",
        "dncnn": "irsde_cli.networks.dncnn:DnCNN",
        "ffdnet": "irsde_cli.networks.ffdnet:FFDNet",
        "aod-net": "irsde_cli.networks.aod_net:AODNet",
    },
)
