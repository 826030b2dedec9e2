"""What every row of the table of networks promises."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from irsde_cli.networks import NETWORKS
from irsde_cli.networks.facts import Facts, behind
from irsde_cli.networks.flux import Flux
from irsde_cli.networks.flux2 import Flux2
from irsde_cli.networks.network import Predictor, pad_to
from irsde_cli.runtime import HALVES
from tests.extras import rows

# Not those that make embeddings.
IMAGE_NETWORKS = [name for name, row in NETWORKS.items() if row.fills != "clip"]


def build_small(name: str) -> Any:
    torch.manual_seed(0)
    network = NETWORKS.load(name)(**NETWORKS[name].example)
    for parameter in network.parameters():  # fresh networks may start as zero or as the identity
        parameter.data.add_(0.05 * torch.randn_like(parameter))
    return network.eval().requires_grad_(False)


def evaluate(
    network: Any, x: torch.Tensor, t: torch.Tensor | None = None, mu: torch.Tensor | None = None
) -> torch.Tensor:
    """What a network makes of an image, with its mirror image as the degraded one, at other times for each of a batch.

    FLUX rounds the times of its flow to three digits in bfloat16; not these.
    """
    if not isinstance(network, Predictor):
        mapped: torch.Tensor = network(x)
        return mapped
    if t is None:
        t = torch.tensor([0.25, 0.5] if isinstance(network, Flux | Flux2) else [1, 100])
    predicted: torch.Tensor = network(x, x.flip(-1) if mu is None else mu, t)
    return predicted


def enlarged(network: Any, size: tuple[int, ...]) -> tuple[int, ...]:
    """The size of what comes out."""
    return (*size[:-2], *(network.facts.scale * side for side in size[-2:]))


@pytest.mark.parametrize("name", rows(IMAGE_NETWORKS))
@pytest.mark.parametrize("size", [(16, 16), (13, 22), (1, 1), (1, 40), (3, 2)])
def test_any_size(name: str, size: tuple[int, int]) -> None:
    """Every network takes any image size and gives it back, or as many times larger as it says."""
    x = torch.rand(2, 3, *size)
    network = build_small(name)
    out = evaluate(network, x)
    assert out.shape == enlarged(network, x.shape)
    assert torch.isfinite(out).all()


@pytest.mark.parametrize("name", rows(IMAGE_NETWORKS))
def test_each_image_of_a_batch_is_alone(name: str) -> None:
    """What stands beside an image in a batch does not reach it."""
    network = build_small(name)
    x = torch.rand(2, 3, 16, 12)
    other = torch.cat((x[:1], torch.rand(1, 3, 16, 12)))
    torch.testing.assert_close(evaluate(network, x)[0], evaluate(network, other)[0])


@pytest.mark.parametrize("name", NETWORKS)
def test_options_have_names(name: str) -> None:
    """Hyper-parameters are keyword-only, so that a configuration file can name each."""
    with pytest.raises(TypeError):
        NETWORKS.load(name)(8)


@pytest.mark.parametrize("name", rows(IMAGE_NETWORKS))
def test_half_precision_stays_near(name: str) -> None:
    """In what it says that it stands, a network computes the same function; normalisation keeps float32 and its eps."""
    network = build_small(name)
    x = 0.02 * torch.randn(2, network.facts.channels[0], 16, 16) + 0.5
    exact = evaluate(network, x)
    for half in network.facts.half:
        with torch.autocast("cpu", HALVES[half]):
            reduced = evaluate(network, x).float()
        assert 0 < (reduced - exact).norm() < 0.05 * exact.norm(), half


def test_padding_reflects_back_and_forth() -> None:
    """Reflection equals PyTorch's where that is defined, and goes on where it is not."""
    x = torch.arange(12.0).reshape(1, 1, 3, 4)
    torch.testing.assert_close(pad_to(x, (5, 7), "reflect"), torch.nn.functional.pad(x, (0, 3, 0, 2), mode="reflect"))
    row = pad_to(torch.tensor([[[[1.0, 2.0]]]]), (1, 6), "reflect")
    assert row.flatten().tolist() == [1, 2, 1, 2, 1, 2]
    assert pad_to(torch.ones(1, 1, 1, 1), (2, 2), "reflect").flatten().tolist() == [1, 1, 1, 1]
    assert pad_to(torch.tensor([[[[1.0, 2.0]]]]), (2, 4), "replicate")[0, 0].tolist() == [[1, 2, 2, 2]] * 2
    assert pad_to(torch.tensor([[[[1.0, 2.0]]]]), (1, 7), "symmetric").flatten().tolist() == [1, 2, 2, 1, 1, 2, 2]


@pytest.mark.parametrize(
    ("facts", "size", "padded"),
    [
        (Facts(multiple=8), (9, 16), (16, 16)),
        (Facts(multiple=8, smallest=20), (1, 40), (24, 40)),
        (Facts(multiple=4, square=True), (5, 13), (16, 16)),
    ],
)
def test_an_image_is_padded_to_what_a_network_takes(
    facts: Facts, size: tuple[int, int], padded: tuple[int, int]
) -> None:
    """Multiple, smallest and square sizes, in this order."""
    assert facts.padded_size(*size) == padded


def test_facts_of_a_system_are_in_pixels_of_what_comes_out() -> None:
    """A network that enlarges, after an image that was enlarged before."""
    facts = Facts(scale=2, multiple=4, smallest=8, reach=10, working_bytes=100, half=("bf16",), draws=True)
    assert facts.outside(3) == replace(facts, scale=6, multiple=8, smallest=16, reach=20)
    assert behind(facts, 2) == Facts(multiple=8, smallest=16, working_bytes=25, half=("bf16",), draws=True)
