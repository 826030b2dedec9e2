"""The noise in the state against what the network says of it, as denoising diffusion models are trained.

Ho et al., "Denoising Diffusion Probabilistic Models", NeurIPS 2020; the L1 norm is that of the IR-SDE reference.
"""

from torch import Tensor

from irsde_cli.systems.diffusion import Diffusion


def noise_matching(system: Diffusion, x0: Tensor, mu: Tensor, t: Tensor, noise: Tensor) -> Tensor:
    """Mean absolute difference, each timestep weighted alike."""
    _, predicted = system.clean_and_noise(system.state(x0, mu, t, noise), mu, t)
    return (predicted - noise).abs().flatten(1).mean(1)
