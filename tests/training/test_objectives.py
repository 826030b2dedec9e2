"""The published objective against the reference: losses, predicted means, optima and gradients."""

import json

import pytest
import torch
from torch.nn import functional as F

from irsde_cli.systems.mean_reverting import MeanReverting, MeanRevertingConfig
from irsde_cli.systems.parts import NetworkConfig
from irsde_cli.training import OBJECTIVES
from irsde_cli.training.maximum_likelihood import maximum_likelihood
from tests.golden import load_golden


@pytest.fixture(scope="module")
def system(shared: object) -> MeanReverting:
    golden = load_golden(shared, "irsde_trajectories")
    network = json.loads(golden.metadata["network"])
    del network["kind"]
    config = MeanRevertingConfig(NetworkConfig("unet", network), stationary_std=10 / 255, num_timesteps=20)
    system = MeanReverting(config)
    system.network.load_state_dict(golden.parameters(), strict=True)
    return system


def test_maximum_likelihood_equals_the_reference(shared: object, system: MeanReverting) -> None:
    """The recorded training step has the recorded loss and gradients."""
    golden = load_golden(shared, "irsde_loss")
    system.zero_grad()
    loss = maximum_likelihood(system, golden["x0"], golden["mu"], golden["t"], golden["noise"])
    loss.backward()  # type: ignore[no-untyped-call]
    torch.testing.assert_close(loss.detach()[None], golden["ml_l1.loss"], rtol=1e-5, atol=0)
    parameters = dict(system.network.named_parameters())
    for key, expected in golden.items():
        if key.startswith("ml_l1.grad."):
            gradient = parameters[key.removeprefix("ml_l1.grad.")].grad
            torch.testing.assert_close(gradient, expected, rtol=1e-3, atol=1e-7)


def test_states_of_the_recorded_step(shared: object, system: MeanReverting) -> None:
    """The noised image, the predicted mean and the optimum are the recorded ones."""
    golden = load_golden(shared, "irsde_loss")
    x0, mu, t = golden["x0"], golden["mu"], golden["t"]
    marginal = system.sde.marginal(x0, mu, t)
    state = marginal.mean + marginal.std * golden["noise"]
    torch.testing.assert_close(state, golden["xt"], atol=1e-6, rtol=0)
    with torch.no_grad():
        noise = system.clean_and_noise(state, mu, t)[1]
    torch.testing.assert_close(F.l1_loss(noise, golden["noise"])[None], golden["noise_l1.loss"], rtol=1e-5, atol=0)
    torch.testing.assert_close(system.sde.reverse_mean(state, noise, mu, t), golden["ml_l1.predicted_mean"])
    torch.testing.assert_close(system.sde.posterior(state, x0, mu, t).mean, golden["ml_l1.optimum"])


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize("prediction", ["noise", "clean", "velocity"])
@pytest.mark.parametrize("batch", [1, 3])
def test_every_objective_teaches_every_parameterisation(name: str, prediction: str, batch: int) -> None:
    """A few steps on one batch lower the loss; a batch of one works."""
    torch.manual_seed(0)
    network = NetworkConfig("pocket-unet", {"widths": (8, 8), "blocks": (1, 1), "time_dim": 8})
    system = MeanReverting(MeanRevertingConfig(network, stationary_std=30 / 255, prediction=prediction))  # type: ignore[arg-type]
    clean = torch.rand(batch, 3, 16, 16)
    mu = clean.mean(dim=1, keepdim=True).expand_as(clean)
    t, noise = torch.tensor([100, 20, 1])[:batch], torch.randn_like(clean)
    optimiser = torch.optim.Adam(system.parameters(), lr=3e-3)
    objective = OBJECTIVES.load(name)
    losses = []
    for _ in range(40):
        loss = objective(system, clean, mu, t, noise)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]
