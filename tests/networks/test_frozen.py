"""Networks whose weights no longer change may run in another form; what they compute stays the same."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from irsde_cli.networks import NETWORKS
from irsde_cli.networks.fusible import MOST_TIMES
from irsde_cli.networks.mpmf_net import Distances
from irsde_cli.networks.network import Network, Predictor
from irsde_cli.networks.onednn import is_usable
from irsde_cli.networks.pocket_unet import FusedPocketUNet, PocketUNet
from irsde_cli.networks.quarter_unet import FusedQuarterUNet, QuarterUNet
from tests.extras import rows
from tests.networks.test_contract import IMAGE_NETWORKS, build_small, evaluate

FREEZABLE = rows(name for name in IMAGE_NETWORKS if issubclass(NETWORKS.load(name), Network))
TIMED = rows(name for name in IMAGE_NETWORKS if issubclass(NETWORKS.load(name), Predictor))


@pytest.fixture(autouse=True)
def without_gradients() -> Iterator[None]:
    with torch.no_grad():
        yield


def frozen(name: str) -> Network:
    network: Network = build_small(name)
    network.freeze()
    return network


def images(*size: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(size, generator=generator), torch.rand(size, generator=generator)


@pytest.mark.parametrize("name", FREEZABLE)
@pytest.mark.parametrize("size", [(1, 3, 32, 32), (2, 3, 13, 22), (3, 3, 1, 1), (1, 3, 1, 40)])
@pytest.mark.parametrize("t", [1, 50.5, 100])
def test_a_frozen_network_computes_the_same(name: str, size: tuple[int, ...], t: float) -> None:
    """Within rounding, at any size and time, and without a change of what it was given."""
    x, _ = images(*size)
    times = torch.full((size[0],), t)
    expected = evaluate(build_small(name), x, times)
    network, before = frozen(name), x.clone()
    torch.testing.assert_close(evaluate(network, x, times), expected, atol=1e-5, rtol=1e-5)
    assert torch.equal(evaluate(network, x, times), evaluate(network, x, times))
    assert torch.equal(x, before)


@pytest.mark.parametrize("name", TIMED)
def test_images_of_a_frozen_batch_have_their_own_times(name: str) -> None:
    """Unequal times in a batch are what each image would have alone."""
    x, mu = images(2, 3, 16, 16)
    network, times = frozen(name), torch.tensor([7, 90])
    alone = torch.cat([network(x[[index]], mu[[index]], times[[index]]) for index in range(2)])
    torch.testing.assert_close(network(x, mu, times), alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", FREEZABLE)
def test_a_frozen_network_in_bfloat16_stays_near(name: str) -> None:
    """Reduced precision is that of the plain network or better."""
    x, _ = images(1, 3, 32, 32)
    t = torch.tensor([32])  # a thousand times this, which FLUX embeds, is a number in bfloat16
    exact = evaluate(build_small(name), x, t)
    network = frozen(name)
    with torch.autocast("cpu", torch.bfloat16):
        half, plainly = (evaluate(one, x, t).float() for one in (network, build_small(name)))
    assert (half - exact).norm() < 1.2 * (plainly - exact).norm()


@pytest.mark.parametrize("name", ["pocket-unet", "quarter-unet"])
def test_a_frozen_network_keeps_only_so_many_times(name: str) -> None:
    """Any number of time indices, each computed as the first; memory does not grow with it."""
    x, mu = images(1, 3, 16, 16)
    plain, network = build_small(name), frozen(name)
    for t in (*range(1, 2 * MOST_TIMES), 1):
        times = torch.tensor([t])
        torch.testing.assert_close(network(x, mu, times), plain(x, mu, times), atol=1e-5, rtol=1e-5)
    assert isinstance(network, PocketUNet | QuarterUNet)
    if is_usable(torch.float32):
        fused = network._fused[torch.float32]
        assert isinstance(fused, FusedPocketUNet | FusedQuarterUNet)
        assert len(fused.firsts if isinstance(fused, FusedPocketUNet) else fused.entries) == MOST_TIMES


@pytest.mark.parametrize("size", [(1, 3, 32, 32), (2, 3, 13, 22), (3, 3, 1, 1)])
def test_a_quarter_unet_of_smaller_blocks_is_frozen_alike(size: tuple[int, ...]) -> None:
    """With 2x2 pixels a block, a leaky ReLU and a branch that draws, it computes the same, at any size."""
    torch.manual_seed(0)
    shape: dict[str, Any] = {"widths": (8, 16), "blocks": (1, 1), "time_dim": 8, "state": False, "heads": 2}
    network = QuarterUNet(**shape, patch=2, slope=0.1, drawing=1)
    for parameter in network.parameters():
        parameter.copy_(torch.randn_like(parameter) / 10)
    network.eval().requires_grad_(False)
    (x, mu), times = images(*size), torch.full(size[:1], 50)
    expected = network(x, mu, times)
    network.freeze()
    torch.testing.assert_close(network(x, mu, times), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ["nafnet", "unet"])
def test_a_frozen_network_takes_images_of_any_size_in_turn(name: str) -> None:
    """Weights that were packed for one image are right for the next, and for a batch."""
    plain, network = build_small(name), frozen(name)
    for size in [(1, 3, 16, 16), (2, 3, 40, 24), (1, 3, 9, 50), (1, 3, 16, 16)]:
        x, mu = images(*size)
        times = torch.full((size[0],), 50)
        torch.testing.assert_close(network(x, mu, times), plain(x, mu, times), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ["pocket-unet", "quarter-unet", "nafnet", "unet"])
def test_weights_that_change_again_are_seen(name: str) -> None:
    """Training ends what `freeze` began, and gradients flow in a frozen network too."""
    x, mu = images(1, 3, 16, 16)
    t = torch.tensor([50])
    network = frozen(name)
    network(x, mu, t)
    with torch.enable_grad():
        network.requires_grad_(True)(x, mu, t).sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
    network.train()
    for parameter in network.parameters():
        parameter.mul_(1.1)
    network.eval()
    plain = build_small(name)
    plain.load_state_dict(network.state_dict())
    torch.testing.assert_close(network(x, mu, t), plain(x, mu, t), atol=1e-5, rtol=1e-5)


@pytest.mark.skipif(not is_usable(torch.float32), reason="needs an x86 CPU with oneDNN")
def test_a_frozen_pocket_unet_is_fused() -> None:
    """Where oneDNN is, a block costs its convolutions and one SiLU: no separate sum, product or second SiLU."""
    x, mu = images(1, 3, 16, 16)
    network = frozen("pocket-unet")
    network(x, mu, torch.tensor([50]))
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        network(x, mu, torch.tensor([50]))
    calls = {event.key: event.count for event in profile.key_averages()}
    blocks = 3  # one a level down, one in the middle, one up
    assert calls["aten::silu"] == blocks
    assert calls["mkldnn::_convolution_pointwise_"] == blocks
    assert "aten::mul" not in calls
    assert "aten::addmm" not in calls


@pytest.mark.skipif(not is_usable(torch.float32), reason="needs an x86 CPU with oneDNN")
def test_a_frozen_quarter_unet_is_convolutions_alone() -> None:
    """No pass over features of its own for an activation, a block's sum or time; one sum for each skip."""
    x, mu = images(1, 3, 16, 16)
    network = frozen("quarter-unet")
    network(x, mu, torch.tensor([50]))
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        network(x, mu, torch.tensor([50]))
    calls = {event.key: event.count for event in profile.key_averages()}
    blocks = 3  # one a level down, one in the middle, one up
    assert calls["mkldnn::_convolution_pointwise_"] == blocks
    assert calls["aten::add_"] == 1
    assert not {"aten::relu", "aten::relu_", "aten::clamp_min", "aten::mul", "aten::addcmul", "aten::addmm"} & {*calls}


def test_a_branch_that_draws_leaves_the_mean_alone() -> None:
    """The same frozen; the mean does not see the noise, the other head does, and only its branch learns from it."""
    options: dict[str, Any] = {"widths": (8, 16), "blocks": (1, 1), "time_dim": 8, "state": False}
    options |= {"heads": 2, "drawing": 1}
    torch.manual_seed(0)
    plain = QuarterUNet(**options).eval()
    network = QuarterUNet(**options).eval()
    network.load_state_dict(plain.state_dict())
    network.freeze()
    (x, mu), t = images(2, 3, 13, 22), torch.full((2,), 1)
    mean, other = plain(x, mu, t).chunk(2, dim=1)
    torch.testing.assert_close(network(x, mu, t), torch.cat((mean, other), dim=1), atol=1e-5, rtol=1e-5)
    same, changed = plain(mu, mu, t).chunk(2, dim=1)
    assert torch.equal(mean, same)
    assert not torch.allclose(other, changed)
    with torch.enable_grad():
        plain(x, mu, t)[:, 3:].sum().backward()
    gradients = {name.split(".")[0]: parameter.grad for name, parameter in plain.named_parameters()}
    learnt = {name for name, gradient in gradients.items() if gradient is not None and gradient.any()}
    assert learnt == {"drawing"}
    with pytest.raises(ValueError, match="two heads"):
        QuarterUNet(drawing=1)


def test_a_frozen_mpmf_net_that_learns_again_forgets_what_it_kept() -> None:
    """What its windows add for distances follows the weights."""
    network, x = frozen("mpmf-net"), images(1, 3, 32, 32)[0]
    kept = [module for module in network.modules() if isinstance(module, Distances)]
    assert kept and all(module.kept is not None for module in kept)
    network.train()
    for module in kept:
        for parameter in module.meta.parameters():
            parameter.add_(1)
    expected = build_small("mpmf-net")
    expected.load_state_dict(network.state_dict())
    torch.testing.assert_close(network.eval()(x), expected(x), atol=1e-5, rtol=1e-5)
    assert kept[0].kept is None
    network.freeze()
    torch.testing.assert_close(network(x), expected(x), atol=1e-5, rtol=1e-5)
