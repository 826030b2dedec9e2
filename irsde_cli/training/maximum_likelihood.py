"""The published objective of IR-SDE: the reverse step's mean against the optimal reverse state."""

from torch import Tensor

from irsde_cli.systems.diffusion import Diffusion


def maximum_likelihood(system: Diffusion, x0: Tensor, mu: Tensor, t: Tensor, noise: Tensor) -> Tensor:
    """Mean absolute difference of the two, without the paper's weights, as the reference computes it.

    It compares an Euler mean with an exact one, so a perfect network does not bring it to zero.
    """
    return _difference(system, x0, mu, t, noise).flatten(1).mean(1)


def normalised_maximum_likelihood(system: Diffusion, x0: Tensor, mu: Tensor, t: Tensor, noise: Tensor) -> Tensor:
    """The same in units of the predicted noise, so that each timestep weighs alike.

    As published, a timestep's weight is how far its noise moves the mean: next to nothing at small t.
    """
    difference = _difference(system, x0, mu, t, noise)
    return (difference / system.noise_gain(x0, t)).flatten(1).mean(1)


def _difference(system: Diffusion, x0: Tensor, mu: Tensor, t: Tensor, noise: Tensor) -> Tensor:
    state = system.state(x0, mu, t, noise)
    _, predicted_noise = system.clean_and_noise(state, mu, t)
    predicted = system.reverse_mean(state, predicted_noise, mu, t)
    return (predicted - system.process.posterior(state, x0, mu, t).mean).abs()
