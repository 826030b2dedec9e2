"""The published objective of IR-SDE: the reverse step's mean against the optimal reverse state."""

from torch import Tensor
from torch.nn import functional as F

from irsde_cli.systems.mean_reverting import MeanReverting


def maximum_likelihood(system: MeanReverting, clean: Tensor, mu: Tensor, t: Tensor, noise: Tensor) -> Tensor:
    """Mean absolute difference of the two, without the paper's weights, as the reference computes it.

    It compares an Euler mean with an exact one, so a perfect network does not bring it to zero.
    """
    x = system.sde.marginal(clean, mu, t)
    state = x.mean + x.std * noise
    _, predicted_noise = system.clean_and_noise(state, mu, t)
    predicted = system.sde.reverse_mean(state, predicted_noise, mu, t)
    return F.l1_loss(predicted, system.sde.posterior(state, clean, mu, t).mean)
