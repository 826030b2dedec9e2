"""The restored image against the clean one: the CNN baseline of Luo et al., ICML 2023, for systems of one pass."""

from torch import Tensor

from irsde_cli.systems.direct import Direct


def direct_regression(system: Direct, x0: Tensor, mu: Tensor, t: Tensor, noise: Tensor) -> Tensor:
    """Mean absolute difference."""
    return (system.predict(mu) - x0).abs().flatten(1).mean(1)
