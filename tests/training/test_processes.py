"""Every process teaches: losses are numbers at every time that a sample can have, pinned ends among them."""

import pytest
import torch

from irsde_cli.errors import UsageError
from irsde_cli.processes import PROCESSES
from irsde_cli.systems import SYSTEMS
from irsde_cli.systems.diffusion import Diffusion
from irsde_cli.systems.parts import ProcessConfig
from irsde_cli.training.clean_matching import clean_matching
from irsde_cli.training.maximum_likelihood import maximum_likelihood, normalised_maximum_likelihood
from irsde_cli.training.noise_matching import noise_matching
from irsde_cli.training.two_outputs import two_outputs
from tests.systems.test_restorers import build

NAMES = [name for name in PROCESSES if name not in ("denoising", "rectified-flow")]


def system_of(name: str, prediction: str) -> Diffusion:
    network = SYSTEMS["mean-reverting"].example["network"]
    if "-and-" in prediction:
        network = {**network, "options": {**network["options"], "heads": 2}}
    process = ProcessConfig(name, prediction=prediction)  # type: ignore[arg-type]
    system = build("mean-reverting", process=process, network=network)
    assert isinstance(system, Diffusion)
    return system


@pytest.mark.parametrize(
    ("name", "prediction"), [(name, one) for name in NAMES for one in PROCESSES.load(name).predictions if one != "flow"]
)
@pytest.mark.parametrize("pure_start", [False, True])
def test_losses_are_numbers_at_every_time(name: str, prediction: str, pure_start: bool) -> None:
    """From the first index to the last that is taught; the drawn times are among these."""
    system = system_of(name, prediction)
    system.pure_start = pure_start
    times = torch.unique(
        torch.tensor([1, 2, system.process.num_timesteps // 2, system.last_taught - 1, system.last_taught])
    )
    clean, degraded, noise = (torch.rand(len(times), 3, 8, 8) for _ in range(3))
    objective = two_outputs if "-and-" in prediction else noise_matching if prediction == "noise" else clean_matching
    losses = objective(system, clean, degraded, times, noise)
    assert torch.isfinite(losses).all() and float(losses.max()) < 1e4
    for spacing in ("uniform", "half-log-snr"):
        drawn = [system.time_at(place, spacing) for place in (0.0, 0.5, 0.999999)]
        assert min(drawn) >= 1 and max(drawn) <= system.last_taught
        assert torch.isfinite(system.signal_to_noise(torch.tensor([*drawn, system.last_taught]))).all()


@pytest.mark.parametrize("name", [name for name in NAMES if "noise" in PROCESSES.load(name).predictions])
def test_likelihood_needs_rates(name: str) -> None:
    """A process with an Euler sampler compares its steps; the others say that they have none."""
    system = system_of(name, "noise")
    clean, degraded, noise = (torch.rand(2, 3, 8, 8) for _ in range(3))
    times = torch.tensor([1, system.last_taught])
    for objective in (maximum_likelihood, normalised_maximum_likelihood):
        if system.process.pull is None:
            with pytest.raises(UsageError, match="no rates"):
                objective(system, clean, degraded, times, noise)
        else:
            assert torch.isfinite(objective(system, clean, degraded, times, noise)).all()


def test_what_a_network_cannot_predict_is_refused() -> None:
    """FoD's noise multiplies, and only the mean-reverting SDE has a velocity."""
    with pytest.raises(ValueError, match="predicts clean or clean-and-variance, not noise"):
        ProcessConfig("fod")
    with pytest.raises(ValueError, match="not velocity"):
        ProcessConfig("goub", prediction="velocity")
