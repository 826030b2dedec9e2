"""What teaches networks of two outputs: the residual and the noise of RDDM, or an estimate and how far it may be off.

Liu et al., "Residual Denoising Diffusion Models", CVPR 2024, take the absolute differences of both. The estimate and
its variance are learnt by the likelihood of a normal distribution, whose best mean and variance are those of the truth.
"""

from torch import Tensor

from irsde_cli.systems.diffusion import Diffusion


def two_outputs(system: Diffusion, x0: Tensor, mu: Tensor, t: Tensor, noise: Tensor) -> Tensor:
    """The sum of what both outputs miss, each timestep weighted alike."""
    clean, second = system.estimates(system.state(x0, mu, t, noise), mu, t)
    if system.parameterisation.second == "noise":
        missed = (clean - x0).abs() / system.parameterisation.residual_std
        return (missed + (second - noise).abs()).flatten(1).mean(1)
    unit = system.open_std(x0, t) ** 2
    return ((clean - x0).square() / second + (second / unit).log()).flatten(1).mean(1) / 2
