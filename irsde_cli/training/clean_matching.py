"""The clean estimate against the clean image, in units of what the state leaves open.

Karras et al., "Elucidating the Design Space of Diffusion-Based Generative Models", NeurIPS 2022, section 5.
"""

from torch import Tensor

from irsde_cli.systems.diffusion import Diffusion


def clean_matching(system: Diffusion, x0: Tensor, mu: Tensor, t: Tensor, noise: Tensor) -> Tensor:
    """Mean squared error, each timestep weighted alike; its minimum is the conditional mean."""
    estimate, _ = system.clean_and_noise(system.state(x0, mu, t, noise), mu, t)
    return ((estimate - x0) / system.open_std(x0, t)).square().flatten(1).mean(1)
