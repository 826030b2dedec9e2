"""Networks of two outputs: what each of them learns, how they are sampled, and what they are refused."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from irsde_cli.errors import UsageError
from irsde_cli.networks.facts import Facts
from irsde_cli.networks.tiling import Tiles
from irsde_cli.samplers.settings import Sampling
from irsde_cli.systems import SYSTEMS
from irsde_cli.systems.diffusion import Diffusion
from irsde_cli.systems.parts import ProcessConfig
from irsde_cli.training.strategy import build_objective
from irsde_cli.training.two_outputs import two_outputs
from tests.systems.test_restorers import build, noise, run

PAIRS = {"rddm": ("residual-and-noise", "rddm"), "fod": ("clean-and-variance", "fod-variance")}
TWO = {"name": "pocket-unet", "options": {**SYSTEMS["mean-reverting"].example["network"]["options"], "heads": 2}}


def of(process: str, **settings: Any) -> Diffusion:
    """The system with a network of two outputs."""
    config = ProcessConfig(process, prediction=PAIRS[process][0], residual_std=0.1)  # type: ignore[arg-type]
    system = build("mean-reverting", process=config, network=TWO, **settings)
    assert isinstance(system, Diffusion)
    return system


class Says(nn.Module):
    """A network that says one thing, whatever it sees."""

    facts = Facts(channels=(3, 6))

    def __init__(self, first: Tensor, second: Tensor) -> None:
        super().__init__()
        self.output = nn.Parameter(torch.cat((first, second), 1))

    def forward(self, x: Tensor, mu: Tensor, t: Tensor) -> Tensor:
        return self.output


def test_each_output_learns_what_it_says() -> None:
    """RDDM: nothing is missed by the true residual and the true noise, and each is missed by itself."""
    system = of("rddm")
    clean, mu, noise = torch.rand(2, 3, 8, 8), torch.rand(2, 3, 8, 8), torch.randn(2, 3, 8, 8)
    t = torch.tensor([1, 700])
    residual = (mu - clean) / 0.1
    for first, second, missed in (
        (residual, noise, 0.0),
        (residual + 0.5, noise, 0.5),
        (residual, noise - 0.25, 0.25),
    ):
        system.network = Says(first, second)  # type: ignore[assignment]
        losses = two_outputs(system, clean, mu, t, noise)
        torch.testing.assert_close(losses, torch.full((2,), missed), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("t", [1, 50, 100])
def test_the_best_variance_is_that_of_the_error(t: int) -> None:
    """FoD: for an estimate that is off by 0.03 everywhere, the loss falls towards a variance of 0.0009."""
    system = of("fod")
    mu = torch.rand(1, 3, 8, 8)
    clean, noise, index = mu + 0.1, torch.randn(1, 3, 8, 8), torch.tensor([t])
    x = system.state(clean, mu, index, noise)
    says = Says(torch.zeros_like(mu), torch.zeros_like(mu))
    system.network = says  # type: ignore[assignment]
    estimate, _ = system.estimates(x, mu, index)
    unit = system.open_std(x, index)
    off = (clean + 0.03 - estimate) / unit  # the first output adds to the estimate in this unit
    best = torch.log(0.03**2 / unit**2).expand_as(mu)
    says.output.data = torch.cat((off, best), 1)
    estimate, variance = system.estimates(x, mu, index)
    torch.testing.assert_close(estimate, clean + 0.03, atol=1e-4, rtol=0)
    torch.testing.assert_close(variance, torch.full_like(variance, 0.03**2), atol=0, rtol=1e-3)
    least = two_outputs(system, clean, mu, index, noise)
    torch.autograd.backward(least.sum())
    assert says.output.grad is not None
    assert float(says.output.grad[:, 3:].abs().max()) < 2e-4
    says.output.data[:, 3:] += 0.5
    more = two_outputs(system, clean, mu, index, noise)
    says.output.data[:, 3:] -= 1.0
    less = two_outputs(system, clean, mu, index, noise)
    assert more.item() > least.item() < less.item()


@pytest.mark.parametrize("process", PAIRS)
def test_they_are_sampled_by_both_outputs_or_by_one(process: str) -> None:
    """Their own sampler and those of one output; tiles agree with the whole, and realism blends with the mean."""
    system, degraded = of(process), torch.rand(1, 3, 40, 24)
    own = PAIRS[process][1]
    others = ("ode-2", "ancestral") if process == "rddm" else ("fod-mc",)
    results = [run(system, degraded, noise(), sampler=sampler, steps=3) for sampler in (own, *others)]
    for result in results:
        assert result.shape == degraded.shape and torch.isfinite(result).all()
    assert not torch.equal(results[0], results[1])
    whole, parts = (run(system, degraded, noise(), use, sampler=own, steps=2) for use in (None, Tiles(32, 24)))
    torch.testing.assert_close(whole, parts, atol=0.05, rtol=0)
    mean, half, draw = (run(system, degraded, noise(), sampler=own, steps=3, realism=one) for one in (0.0, 0.5, 1.0))
    torch.testing.assert_close(half, (mean + draw) / 2, atol=1e-5, rtol=0)


@pytest.mark.parametrize("process", PAIRS)
def test_what_does_not_go_together_is_refused(process: str) -> None:
    """A network of one output, another objective, and the sampler where a network says nothing more."""
    prediction, own = PAIRS[process]
    config = {"name": process, "prediction": prediction}
    with pytest.raises(UsageError, match="heads = 2"):
        build("mean-reverting", process=config)
    with pytest.raises(UsageError, match="has one output"):
        build("mean-reverting", network=TWO)
    with pytest.raises(UsageError, match="not for the prediction"):
        build_objective("clean-matching", {}, of(process), "mean-reverting")
    plain = build("mean-reverting", process={"name": process, "prediction": "clean"})
    with pytest.raises(UsageError, match="not for the prediction"):
        build_objective("two-outputs", {}, plain, "mean-reverting")
    with pytest.raises(UsageError, match="beside the clean image"):
        plain.resolve(Sampling(sampler=own))
