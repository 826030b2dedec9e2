"""The autoencoder of latent diffusion as `diffusers` builds it, from the extra `irsde[flux]`; FLUX.1's by default.

Rombach et al., CVPR 2022; the parameters have the names of diffusers' files behind `vae.`.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from irsde_cli.extras import load
from irsde_cli.networks.facts import Facts, round_up
from irsde_cli.networks.network import pad_to


class KlAutoencoder(nn.Module):
    """Encoder and decoder without skips. It has no time input and is no `Network`.

    Args:
        widths: of the levels; each but the last halves the resolution.
        layers: residual blocks a level.
        latent_channels: channels of the latent.
        groups: of the normalisations.
        scale: what latents are multiplied by, so that their standard deviation is 1.
        shift: what is subtracted before.
        degraded_encoder: whether there is a second encoder, for degraded images.

    Raises:
        MachineError: diffusers is missing, or does not load.
    """

    def __init__(
        self,
        *,
        widths: Sequence[int] = (128, 256, 512, 512),
        layers: int = 2,
        latent_channels: int = 16,
        groups: int = 32,
        scale: float = 0.3611,
        shift: float = 0.1159,
        degraded_encoder: bool = False,
    ) -> None:
        super().__init__()
        self.factor = 2 ** (len(widths) - 1)
        self.latent_channels = latent_channels
        self.scale = scale
        self.shift = shift
        # The widest two maps at full resolution, some six of which live at once, and the image.
        self.facts = Facts(multiple=self.factor, working_bytes=4 * (6 * max(widths[:2]) + 4))
        build = load("flux", "the network 'kl-autoencoder'").AutoencoderKL
        options = {
            "block_out_channels": tuple(widths),
            "layers_per_block": layers,
            "latent_channels": latent_channels,
            "norm_num_groups": groups,
            "down_block_types": ("DownEncoderBlock2D",) * len(widths),
            "up_block_types": ("UpDecoderBlock2D",) * len(widths),
            "use_quant_conv": False,
            "use_post_quant_conv": False,
        }
        self.vae = build(**options)
        self.degraded_encoder = build(**options).encoder if degraded_encoder else None

    def encode(self, image: Tensor, *, degraded: bool = False, multiple: int = 1) -> Tensor:
        """(B, 3, H, W) in [0, 1] to the latent's mean (B, latent_channels, H / factor, W / factor).

        The image is padded first, so that the latent's height and width are multiples of `multiple`. With `degraded`
        the second encoder is asked, where there is one.
        """
        height, width = image.shape[-2:]
        side = self.factor * multiple
        padded = pad_to(image, (round_up(height, side), round_up(width, side)), "reflect")
        encoder = (self.degraded_encoder if degraded else None) or self.vae.encoder
        mean: Tensor = encoder(2 * padded - 1)[:, : self.latent_channels]
        return (mean - self.shift) * self.scale

    def decode(self, latent: Tensor, size: tuple[int, int] | None = None) -> Tensor:
        """The image (B, 3, *size) of a latent, all of it without a size; about [0, 1]."""
        image: Tensor = (self.vae.decoder(latent / self.scale + self.shift) + 1) / 2
        return image if size is None else image[..., : size[0], : size[1]]

    def forward(self, image: Tensor) -> Tensor:
        """Decode what was encoded, (B, 3, H, W) to the same shape."""
        return self.decode(self.encode(image), (image.shape[-2], image.shape[-1]))
