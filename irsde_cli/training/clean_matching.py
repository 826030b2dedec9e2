"""The clean estimate against the clean image, in units of what the state leaves open.

Karras et al., "Elucidating the Design Space of Diffusion-Based Generative Models", NeurIPS 2022, section 5.
"""

from torch import Tensor

from irsde_cli.systems.mean_reverting import MeanReverting


def clean_matching(system: MeanReverting, clean: Tensor, mu: Tensor, t: Tensor, noise: Tensor) -> Tensor:
    """Mean squared error, each timestep weighted alike; its minimum is the conditional mean."""
    x = system.sde.marginal(clean, mu, t)
    estimate, _ = system.clean_and_noise(x.mean + x.std * noise, mu, t)
    unit = system.parameterisation.open_std(system.sde.alpha(t, clean), x.std)
    return ((estimate - clean) / unit).square().mean()
