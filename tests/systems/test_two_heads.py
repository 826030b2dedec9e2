"""Mean and draw by one evaluation: what realism does, what it costs, what is refused."""

from typing import Any

import pytest
import torch

from irsde_cli.errors import UsageError
from irsde_cli.networks import NETWORKS
from irsde_cli.networks.tiling import Tiles
from irsde_cli.observation import Observation
from irsde_cli.samplers.settings import Sampling
from irsde_cli.systems.two_heads import TwoHeads
from irsde_cli.training.energy import two_heads
from irsde_cli.workflows.evaluate.request import sampling_of
from tests.systems.test_restorers import build, noise, run


def system(**settings: Any) -> TwoHeads:
    built = build("two-heads", **settings)
    assert isinstance(built, TwoHeads)
    for parameter in built.parameters():
        parameter.data.add_(0.05 * torch.randn_like(parameter))
    return built


def test_draws_are_a_line_from_the_mean() -> None:
    """Mean + A difference, by a number or by a map; another seed is another draw; nothing is a full draw."""
    restorer, degraded = system(), torch.rand(1, 3, 9, 14)
    mean, draw = (run(restorer, degraded, noise(), realism=amount) for amount in (0.0, 1.0))
    assert not torch.allclose(mean, draw)
    torch.testing.assert_close(run(restorer, degraded, noise(), realism=0.3), torch.lerp(mean, draw, 0.3))
    where = torch.rand(9, 14)
    torch.testing.assert_close(run(restorer, degraded, noise(), realism=where), torch.lerp(mean, draw, where))
    assert torch.equal(run(restorer, degraded, noise()), draw)
    assert not torch.equal(run(restorer, degraded, noise(1)), draw)
    settled = system(realism=0.25)
    assert settled.resolve(Sampling()).realism == 0.25 and settled.resolve(Sampling(realism=1)).realism == 1


def test_it_takes_one_evaluation() -> None:
    """At any realism."""
    restorer, asked = system(), []
    restorer.network.register_forward_pre_hook(lambda *_: asked.append(1))
    for realism in (0.0, 0.5, 1.0):
        run(restorer, torch.rand(1, 3, 8, 8), noise(), realism=realism)
    assert len(asked) == 3 and restorer.resolve(Sampling()).steps == 1


@pytest.mark.parametrize("name", ["pocket-unet", "quarter-unet"])
def test_tiles_and_frozen_weights_change_nothing(name: str) -> None:
    """The noise is that of the whole image, cut as it is; the faster form has both heads."""
    restorer = build("two-heads", network={"name": name, "options": {**NETWORKS[name].example, "heads": 2}})
    degraded = torch.rand(1, 3, 90, 70)
    whole = run(restorer, degraded, noise())
    assert (run(restorer, degraded, noise(), Tiles(64, 30)) - whole).abs().max() < 2 / 255
    restorer.freeze()
    with torch.inference_mode():
        torch.testing.assert_close(run(restorer, degraded, noise()), whole, atol=1e-4, rtol=0)


def test_it_enlarges() -> None:
    assert run(system(scale=4), torch.rand(1, 3, 5, 6), noise()).shape == (1, 3, 20, 24)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"realism": 1.5}, "from 0"),
        ({"realism": float("nan")}, "from 0"),
        ({"steps": 2}, "steps"),
        ({"sampler": "posterior"}, "--sampler"),
        ({"eta": 0.5}, "eta"),
        ({"nodes": (5,)}, "nodes"),
    ],
)
def test_what_it_has_not_is_refused(asked: dict[str, Any], words: str) -> None:
    """In a sentence, with what there is instead."""
    with pytest.raises(UsageError, match=words) as refused:
        system().resolve(Sampling(**asked))
    assert "realism" in asked or "--realism" in refused.value.hint


def test_networks_without_two_heads_are_refused() -> None:
    """With the way out, and so is a system that the objective is not for."""
    with pytest.raises(UsageError, match="heads = 2"):
        build("two-heads", network={"name": "pocket-unet", "options": dict(NETWORKS["pocket-unet"].example)})
    image = torch.rand(1, 3, 8, 8)
    with pytest.raises(UsageError, match="for the system 'two-heads'"):
        two_heads(build("one-pass"), image, image, torch.ones(1), image)  # type: ignore[arg-type]


@pytest.mark.parametrize("batch", [1, 3])
def test_the_objective_is_for_two_noises(batch: int) -> None:
    """A batch of one has two as well; equal noises would make the difference of draws cost nothing."""
    restorer, image = system(), torch.rand(batch, 3, 16, 16)
    seen: list[torch.Tensor] = []
    restorer.network.register_forward_pre_hook(lambda _, given: seen.append(given[0] - given[1]))
    loss = two_heads(restorer, image, image, torch.ones(batch), torch.randn(batch, 3, 16, 16))
    assert loss.shape == (batch,) and torch.isfinite(loss).all()
    together = torch.corrcoef(torch.stack([one.flatten() for one in seen]))[0, 1]
    assert abs(float(together)) < 0.15


def test_a_way_of_evaluate_asks_for_the_weights_own() -> None:
    """`one-pass:1x8,realism=0.5`: eight draws of networks that draw at once."""
    sampling, draws = sampling_of("one-pass:1x8,realism=0.5")
    assert (sampling, draws) == (Sampling(steps=1, realism=0.5), 8)
    assert system().resolve(sampling).realism == 0.5
    observed = Observation(torch.rand(2, 3, 8, 8))
    assert [x.shape for x in system().steps(observed, noise(0, 2), system().resolve(sampling))] == [(2, 3, 8, 8)]
