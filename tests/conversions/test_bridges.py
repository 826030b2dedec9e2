"""GOUB's and UniDB's files: IR-SDE's network, another process."""

from pathlib import Path

import pytest
import torch

from irsde_cli.conversions.published import convert
from irsde_cli.networks.unet import UNet
from irsde_cli.processes.bridge import MeanRevertingBridge
from irsde_cli.samplers.settings import Sampling
from irsde_cli.systems.mean_reverting import MeanReverting
from irsde_cli.weights.catalogue import CATALOGUE, LAMBDA


@pytest.mark.parametrize(("name", "penalty"), [("goub-rain100h", 0.0), ("unidb-rain100h", 1e-7)])
def test_a_file_becomes_a_bridge(tmp_path: Path, name: str, penalty: float) -> None:
    """Its process, its sampler and its start without noise come from the row."""
    torch.manual_seed(0)
    path = tmp_path / "small.pth"
    torch.save(UNet(nf=8, depth=2).state_dict(), path)
    restorer = convert(name, CATALOGUE[name], [path], {LAMBDA: 30 / 255}).restorer
    assert isinstance(restorer, MeanReverting) and isinstance(restorer.process, MeanRevertingBridge)
    assert restorer.process.penalty == penalty and float(restorer.process.s[-1]) == 0
    resolved = restorer.resolve(Sampling())
    assert (resolved.sampler, resolved.steps, resolved.clip) == ("euler-maruyama", 100, False)
    assert restorer.first(resolved) == 100  # the published sampler begins at T, where the network is not believed
    assert restorer.first(restorer.resolve(Sampling(sampler="ode-2", steps=8))) == 99
    degraded = torch.rand(3, 16, 16)
    for asked in (Sampling(steps=4), Sampling(sampler="ode-2", steps=4), Sampling(sampler="euler-mean", steps=4)):
        assert torch.isfinite(restorer(degraded, sampling=asked)).all()
