"""Backbones: one file and one row each."""

from irsde_cli.registry import Entry, Registry

NETWORKS = Registry(
    "network",
    {
        "unet": Entry("irsde_cli.networks.unet:UNet", example={"nf": 8, "depth": 2}),
        "nafnet": Entry(
            "irsde_cli.networks.nafnet:NAFNet",
            example={"width": 8, "enc_blk_nums": (1, 1), "dec_blk_nums": (1, 1)},
        ),
        "latent-unet": Entry("irsde_cli.networks.latent_unet:LatentUNet", example={"ch": 8, "ch_mult": (1, 2)}),
        "pocket-unet": Entry(
            "irsde_cli.networks.pocket_unet:PocketUNet",
            example={"widths": (8, 16), "blocks": (1, 1), "time_dim": 8},
        ),
        "quarter-unet": Entry(
            "irsde_cli.networks.quarter_unet:QuarterUNet",
            example={"widths": (8, 16), "blocks": (1, 1), "time_dim": 8},
        ),
        "daclip-unet": Entry(
            "irsde_cli.networks.daclip_unet:DaClipUNet", example={"nf": 32, "ch_mult": (1, 1), "context_dim": 8}
        ),
        "daclip": Entry(
            "irsde_cli.networks.daclip:DaClip",
            example={
                "embed_dim": 8,
                "image_size": 16,
                "patch_size": 8,
                "width": 16,
                "layers": 2,
                "head_width": 8,
                "text_width": 8,
                "text_heads": 1,
                "text_layers": 2,
            },
        ),
        "flux": Entry(
            "irsde_cli.networks.flux:Flux",
            extra="flux",
            example={
                "channels": 3,
                "heads": 2,
                "axes": (4, 4, 8),
                "double_blocks": 3,
                "single_blocks": 1,
                "text_length": 3,
                "text_dim": 8,
                "pooled_dim": 6,
            },
        ),
        "kl-autoencoder": Entry(
            "irsde_cli.networks.kl_autoencoder:KlAutoencoder",
            extra="flux",
            example={"widths": (8, 8), "layers": 1, "latent_channels": 4, "groups": 4},
        ),
        "dncnn": Entry("irsde_cli.networks.dncnn:DnCNN", example={"depth": 3, "width": 8}),
        "ffdnet": Entry("irsde_cli.networks.ffdnet:FFDNet", example={"depth": 3, "width": 8}),
        "aod-net": Entry("irsde_cli.networks.aod_net:AODNet"),
        "prenet": Entry("irsde_cli.networks.prenet:PReNet", example={"passes": 2}),
        "mambair-v2": Entry(
            "irsde_cli.networks.mambair_v2:MambaIRv2",
            example={
                "embed_dim": 12,
                "d_state": 2,
                "depths": (2,),
                "num_heads": (2,),
                "window_size": 4,
                "inner_rank": 4,
                "num_tokens": 8,
                "upscale": 2,
            },
        ),
        "maxim": Entry("irsde_cli.networks.maxim:MAXIM", example={"features": 8, "num_groups": 1}),
    },
)
