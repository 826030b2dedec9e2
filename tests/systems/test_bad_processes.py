"""Processes, samplers and weights that do not go together: refused with the reason, before anything is restored."""

from typing import Any

import pytest
import torch

from irsde_cli.errors import UsageError
from irsde_cli.processes import PROCESSES
from irsde_cli.processes.bridge import MeanRevertingBridge
from irsde_cli.restorer import Restorer
from irsde_cli.samplers.fit import fitting
from irsde_cli.samplers.settings import Sampling
from irsde_cli.systems import SYSTEMS, build_restorer
from irsde_cli.systems.diffusion import Diffusion
from irsde_cli.systems.parts import NOWHERE
from tests.systems.test_restorers import noise, run

NAN = float("nan")


def of(process: dict[str, Any], **settings: Any) -> Restorer:
    """The example of IR-SDE's system with another process."""
    torch.manual_seed(0)
    return build_restorer("mean-reverting", {**SYSTEMS["mean-reverting"].example, "process": process, **settings}, "it")


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("goub", {"penalty": -1e-8}, "penalty must be at least 0, not -1e-08"),
        ("goub", {"penalty": NAN}, "penalty must be at least 0, not nan"),
        ("goub", {"eps": 0.0}, "eps"),
        ("goub", {"stationary_std": -1.0}, "stationary_std"),
        ("goub", {"schedule": "cosin"}, "schedule"),
        ("goub", {"penalti": 1.0}, "Did you mean 'penalty'"),
        ("goub", {"num_timesteps": 0}, "num_timesteps must be from 2"),
        ("goub", {"stationary_std": 1e-30}, "stationary_std must be positive, from 1e-06"),
        ("mean-reverting", {"stationary_std": 1e300}, "stationary_std must be positive, from 1e-06"),
        ("resshift", {"kappa": 1e-320}, "kappa must be positive, from 1e-06"),
        ("driftrec", {"largest_std": 1e300}, "largest_std must be positive, from 1e-06"),
        ("fod", {"num_timesteps": 1}, "at least two steps"),
        ("fod", {"residual_std": 0.0}, "residual_std must be positive"),
        ("straight-flow", {"noise_std": 0.0}, "noise_std must be positive"),
        ("brownian-bridge", {"noise_std": NAN}, "noise_std must be positive"),
        ("driftrec", {"smallest_std": 1.0}, "below 'largest_std'"),
        ("driftrec", {"stiffness": "linear"}, "stiffness"),
        ("gob", {}, "Did you mean 'goub'"),
    ],
)
def test_settings_out_of_range(name: str, options: dict[str, Any], words: str) -> None:
    """A usage error that names the setting, and the nearest one where it is unknown."""
    with pytest.raises(UsageError) as raised:
        of({"name": name, "options": options, "prediction": "clean"})
    assert words in f"{raised.value} {raised.value.hint}"


ALL = [(name, prediction) for name in PROCESSES for prediction in PROCESSES.load(name).predictions]


@pytest.mark.parametrize(("name", "prediction"), ALL)
@pytest.mark.parametrize("count", [1, 2, 3])
def test_few_indices_run_or_are_refused(name: str, prediction: str, count: int) -> None:
    """Each process and what networks of it predict: a reason, or finite pictures by every sampler that fits it.

    With as many time indices, all of them or the first alone, which at the pinned end of a bridge holds nothing.
    """
    system = "denoising" if name == "denoising" else "mean-reverting"
    process = {"name": name, "options": {"num_timesteps": count}, "prediction": prediction}
    network = dict(SYSTEMS[system].example["network"])
    if "-and-" in prediction:
        network["options"] = {**network["options"], "heads": 2}
    try:
        restorer = build_restorer(system, {**SYSTEMS[system].example, "network": network, "process": process}, "it")
    except UsageError as error:
        assert "step" in str(error) or "num_timesteps" in str(error)
        return
    assert isinstance(restorer, Diffusion)
    restorer.requires_grad_(False)
    for sampler in fitting(restorer.path(NOWHERE)):
        for steps in {1, count}:
            try:
                restored = run(restorer, torch.rand(1, 3, 8, 8), noise(), sampler=sampler, steps=steps)
            except UsageError:
                continue
            assert torch.isfinite(restored).all(), (sampler, steps)


@pytest.mark.parametrize("penalty", [1e30, 1e39, 1e300])
def test_a_penalty_beyond_float32_is_infinite(penalty: float) -> None:
    """Where a bridge and IR-SDE are the same numbers, and the tables of the bridge would overflow."""
    bridge = MeanRevertingBridge(penalty=penalty)
    torch.testing.assert_close(bridge.m, bridge.free.m)
    torch.testing.assert_close(bridge.s, bridge.free.s)


@pytest.mark.parametrize(
    ("process", "sampling", "words"),
    [
        ({"name": "rddm"}, {"sampler": "euler-ode", "steps": 5}, "nobody publishes the rates"),
        ({"name": "goub"}, {"sampler": "ancestral", "steps": 5}, "falls again"),
        ({"name": "fod"}, {"sampler": "ode-2", "steps": 5}, "FoD's samplers are for FoD alone"),
        ({"name": "goub"}, {"sampler": "fod-mc", "steps": 5}, "FoD's samplers are for FoD alone"),
        ({"name": "resshift"}, {"sampler": "ancestral", "steps": 100}, "100 steps are beyond what these weights know"),
        ({"name": "goub"}, {"sampler": "ode-2", "steps": 2, "nodes": (140, 20)}, "140"),
        ({"name": "goub"}, {"sampler": "ode2", "steps": 2}, "Did you mean 'ode-2'"),
    ],
)
def test_weights_whose_tables_do_not_fit(process: dict[str, Any], sampling: dict[str, Any], words: str) -> None:
    """A checkpoint that says a sampler, steps or nodes that its own process does not have."""
    restorer = of({**process, "prediction": "clean"}, sampling=sampling)
    with pytest.raises(UsageError) as raised:
        restorer.resolve(Sampling())
    assert words in f"{raised.value} {raised.value.hint}"
