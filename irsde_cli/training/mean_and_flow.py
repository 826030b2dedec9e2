"""What teaches posterior-mean rectified flow: the mean estimate, and the way from it to the clean image.

Ohayon et al., ICLR 2025, train one after the other. Here both learn at once: the flow's start follows the estimate, and
gives it no gradient.
"""

from torch import Tensor

from irsde_cli.errors import UsageError
from irsde_cli.systems.pmrf import Pmrf


def mean_and_flow(system: Pmrf, x0: Tensor, mu: Tensor, t: Tensor, noise: Tensor) -> Tensor:
    """Squared errors of the mean and of the velocity.

    Raises:
        UsageError: the system is another.
    """
    if not isinstance(system, Pmrf):
        raise UsageError("the objective 'mean-and-flow' is for the system 'pmrf'.")
    mean = system.mean.predict(mu)
    start = mean.detach().clamp(0, 1)
    velocity = system.velocity(system.process.state(x0, start, t, noise), t)
    wanted = x0 - start - system.config.noise_std * noise
    return ((mean - x0).square() + (velocity - wanted).square()).flatten(1).mean(1)
