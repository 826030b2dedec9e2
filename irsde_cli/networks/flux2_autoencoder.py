"""FLUX.2's autoencoder as `diffusers` builds it, from the extra `irsde[flux]`.

Black Forest Labs 2025. A latent pixel is a square of 2 x 2 of the encoder's, each channel in units of what was
measured over many images. The parameters have the names of diffusers' files behind `vae.`.
"""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from irsde_cli.extras import load
from irsde_cli.networks.facts import Facts, round_up
from irsde_cli.networks.network import pad_to

PATCH = 2


class Flux2Autoencoder(nn.Module):
    """Encoder and decoder without skips. It has no time input and is no `Network`.

    Args:
        widths: of the levels; each but the last halves the resolution.
        layers: residual blocks a level.
        latent_channels: of the encoder; the latent has four times as many.
        groups: of the normalisations.

    Raises:
        MachineError: diffusers is missing, or does not load.
    """

    def __init__(
        self,
        *,
        widths: Sequence[int] = (128, 256, 512, 512),
        layers: int = 2,
        latent_channels: int = 32,
        groups: int = 32,
    ) -> None:
        super().__init__()
        self.factor = PATCH * 2 ** (len(widths) - 1)
        self.latent_channels = PATCH**2 * latent_channels
        # The widest two maps at full resolution, some six of which live at once, and the image.
        self.facts = Facts(multiple=self.factor, working_bytes=4 * (6 * max(widths[:2]) + 4))
        self.vae = load("flux", "the network 'flux2-autoencoder'").AutoencoderKLFlux2(
            block_out_channels=tuple(widths),
            layers_per_block=layers,
            latent_channels=latent_channels,
            norm_num_groups=groups,
            down_block_types=("DownEncoderBlock2D",) * len(widths),
            up_block_types=("UpDecoderBlock2D",) * len(widths),
        )

    def encode(self, image: Tensor, *, degraded: bool = False, multiple: int = 1) -> Tensor:
        """(B, 3, H, W) in [0, 1] to the latent's mean (B, latent_channels, H / factor, W / factor).

        The image is padded first, so that the latent's height and width are multiples of `multiple`. There is one
        encoder, whether the image is `degraded` or not.
        """
        height, width = image.shape[-2:]
        side = self.factor * multiple
        padded = pad_to(image, (round_up(height, side), round_up(width, side)), "reflect")
        squares = F.pixel_unshuffle(self.vae.encode(2 * padded - 1).latent_dist.mean, PATCH)
        mean, std = self._units()
        latent: Tensor = (squares - mean) / std
        return latent

    def decode(self, latent: Tensor, size: tuple[int, int] | None = None) -> Tensor:
        """The image (B, 3, *size) of a latent, all of it without a size; about [0, 1]."""
        mean, std = self._units()
        image: Tensor = (self.vae.decode(F.pixel_shuffle(latent * std + mean, PATCH)).sample + 1) / 2
        return image if size is None else image[..., : size[0], : size[1]]

    def forward(self, image: Tensor) -> Tensor:
        """Decode what was encoded, (B, 3, H, W) to the same shape."""
        return self.decode(self.encode(image), (image.shape[-2], image.shape[-1]))

    def _units(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of each channel, (1, latent_channels, 1, 1)."""
        measured = self.vae.bn
        mean, variance = (values.view(1, -1, 1, 1) for values in (measured.running_mean, measured.running_var))
        return mean, (variance + measured.eps).sqrt()
