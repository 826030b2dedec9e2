"""Whole reverse runs against the reference's, with the recorded noise and without clipping."""

import json
from typing import Any

import pytest
import torch
from torch import Tensor

from irsde_cli.networks.unet import UNet
from irsde_cli.processes.denoising import DenoisingSDE
from irsde_cli.processes.mean_reverting import MeanRevertingSDE
from irsde_cli.processes.path import Path
from irsde_cli.samplers import SAMPLERS
from irsde_cli.samplers.nodes import even_nodes, times_from
from irsde_cli.samplers.sampler import CleanPredictor
from tests.golden import Golden, load_golden


class Recorded:
    """Gives out recorded noise, draw by draw."""

    def __init__(self, draws: Tensor) -> None:
        self.draws = iter(draws)

    def __call__(self, x: Tensor, /) -> Tensor:
        draw: Tensor = next(self.draws)
        return draw


def unet(golden: Golden, **extra: Any) -> UNet:
    config = json.loads(golden.metadata["network"])
    config.pop("kind")
    network = UNet(**config, **extra)
    network.load_state_dict(golden.parameters(), strict=True)
    return network


def noise_predictor(network: UNet, mu: Tensor, path: Path) -> CleanPredictor:
    def predict_clean(x: Tensor, t: int, /) -> Tensor:
        m, s = path.at(t)
        clean: Tensor = path.centre + (x - path.centre - s * network(x, mu, torch.tensor([t]))) / m
        return clean

    return predict_clean


@pytest.mark.parametrize(
    ("sampler", "key"),
    [("euler-maruyama", "reverse_sde"), ("euler-ode", "reverse_ode"), ("posterior", "reverse_posterior")],
)
def test_irsde_run_equals_the_reference(shared: object, sampler: str, key: str) -> None:
    """T evaluations end where the reference ends."""
    golden = load_golden(shared, "irsde_trajectories")
    sde = MeanRevertingSDE(10 / 255, 20)
    mu, path = golden["mu"], sde.path(golden["mu"])
    with torch.no_grad():
        *_, x = SAMPLERS.load(sampler)(
            noise_predictor(unet(golden), mu, path),
            golden["xT"],
            path,
            times_from(even_nodes(20, 20)),
            Recorded(golden["noises"]),
        )
    torch.testing.assert_close(x, golden[key], atol=1e-4, rtol=0)


def test_optimal_reverse_equals_the_reference(shared: object) -> None:
    """Following the optimal reverse state ends at the clean image, as recorded."""
    golden = load_golden(shared, "irsde_trajectories")
    sde = MeanRevertingSDE(10 / 255, 20)
    x = golden["xT"]
    for t in range(20, 0, -1):
        x = sde.posterior(x, golden["x0"], golden["mu"], torch.tensor([t])).mean
    torch.testing.assert_close(x, golden["optimal_reverse"], atol=1e-4, rtol=0)


def test_marginals_equal_the_reference(shared: object) -> None:
    """Means, standard deviations and the posterior's spread at the recorded timesteps."""
    golden = load_golden(shared, "irsde_trajectories")
    sde = MeanRevertingSDE(10 / 255, 20)
    t = golden["timesteps"]
    marginal = sde.marginal(golden["x0"], golden["mu"], t)
    torch.testing.assert_close(marginal.mean, golden["mu_bar"], atol=1e-6, rtol=0)
    torch.testing.assert_close(marginal.std, golden["sigma_bar"], atol=0, rtol=1e-6)
    torch.testing.assert_close(sde.alpha(t, golden["x0"]), golden["weights"], atol=0, rtol=1e-6)
    posterior = sde.posterior(golden["x0"], golden["x0"], golden["mu"], t)
    torch.testing.assert_close(posterior.std, golden["reverse_optimum_std"], atol=1e-7, rtol=1e-4)


@pytest.mark.parametrize(("sampler", "key"), [("euler-maruyama", "reverse_sde"), ("euler-ode", "reverse_ode")])
def test_denoising_run_equals_the_reference(shared: object, sampler: str, key: str) -> None:
    """From the noisy image at its own timestep to the end."""
    golden = load_golden(shared, "denoising_trajectories")
    sde = DenoisingSDE(75 / 255)
    start = int(golden["optimal_timestep"])
    assert sde.timestep_for(25 / 255) == start
    noisy = golden["x_noisy"]
    path = sde.path(noisy)
    network = unet(golden, conditional=False, full_attention=True)
    with torch.no_grad():
        *_, x = SAMPLERS.load(sampler)(
            noise_predictor(network, noisy, path),
            noisy,
            path,
            times_from(even_nodes(start, start)),
            Recorded(golden["noises"]),
        )
    torch.testing.assert_close(x, golden[key], atol=1e-4, rtol=0)
