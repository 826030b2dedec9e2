"""What the autoencoder of latent Refusion learns: both images, each from its latent and the degraded one's skips.

Luo et al., CVPRW 2023, as the reference computes it.
"""

from torch import Tensor

from irsde_cli.systems.autoencoder import Autoencoder

PULL = 1e-3


def reconstruction(system: Autoencoder, x0: Tensor, mu: Tensor, t: Tensor, noise: Tensor) -> Tensor:
    """Mean absolute differences of both images, and a gentle pull of the latent to the image's mean and half its std.

    The pull is measured over the batch, so it differs a little between batch sizes.
    """
    size = (mu.shape[-2], mu.shape[-1])
    degraded_latent, skips = system.autoencoder.encode(mu)
    clean_latent, _ = system.autoencoder.encode(x0)
    errors = [
        (system.autoencoder.decode(latent, skips, size) - image).abs().flatten(1).mean(1)
        for latent, image in ((degraded_latent, mu), (clean_latent, x0))
    ]
    latent = degraded_latent.float()
    pull = (latent.mean() - mu.mean()).abs() + (latent.std() - mu.std() / 2).abs()
    return errors[0] + errors[1] + PULL * pull
