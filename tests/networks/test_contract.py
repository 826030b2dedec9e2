"""What every row of the table of networks promises."""

from typing import Any

import pytest
import torch

from irsde_cli.networks import NETWORKS
from irsde_cli.networks.flux import Flux
from irsde_cli.networks.network import Network, pad_to
from tests.extras import rows

SMALL: dict[str, dict[str, Any]] = {
    "unet": {"nf": 8, "depth": 2},
    "nafnet": {"width": 8, "enc_blk_nums": (1, 1), "dec_blk_nums": (1, 1)},
    "latent-unet": {"ch": 8, "ch_mult": (1, 2)},
    "pocket-unet": {"widths": (8, 16), "blocks": (1, 1), "time_dim": 8},
    "quarter-unet": {"widths": (8, 16), "blocks": (1, 1), "time_dim": 8},
    "daclip-unet": {"nf": 32, "ch_mult": (1, 1), "context_dim": 8},
    "flux": {
        "channels": 3,
        "heads": 2,
        "axes": (4, 4, 8),
        "double_blocks": 3,
        "single_blocks": 1,
        "text_length": 3,
        "text_dim": 8,
        "pooled_dim": 6,
    },
    "kl-autoencoder": {"widths": (8, 8), "layers": 1, "latent_channels": 4, "groups": 4},
    "dncnn": {"depth": 3, "width": 8},
    "ffdnet": {"depth": 3, "width": 8},
    "aod-net": {},
}
IMAGE_NETWORKS = [name for name in NETWORKS if name != "daclip"]  # which makes embeddings


def build_small(name: str) -> Any:
    torch.manual_seed(0)
    network = NETWORKS.load(name)(**SMALL[name])
    for parameter in network.parameters():  # fresh networks may start as zero or as the identity
        parameter.data.add_(0.05 * torch.randn_like(parameter))
    return network.eval().requires_grad_(False)


def evaluate(network: Any, x: torch.Tensor) -> torch.Tensor:
    """At two times: indices, or those of a flow, which FLUX rounds to three digits in bfloat16; not these."""
    t = torch.tensor([0.25, 0.5] if isinstance(network, Flux) else [1, 100])
    out: torch.Tensor = network(x, x.flip(-1), t) if isinstance(network, Network) else network(x)
    return out


@pytest.mark.parametrize("name", rows(IMAGE_NETWORKS))
@pytest.mark.parametrize("size", [(16, 16), (13, 22), (1, 1), (1, 40), (3, 2)])
def test_any_size(name: str, size: tuple[int, int]) -> None:
    """Every network takes any image size and gives it back."""
    x = torch.rand(2, 3, *size)
    out = evaluate(build_small(name), x)
    assert out.shape == x.shape
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


@pytest.mark.parametrize("name", rows(name for name in IMAGE_NETWORKS if name != "latent-unet"))
def test_half_precision_stays_near(name: str) -> None:
    """In bfloat16 a network computes the same function; normalisation stays in float32 with the same eps."""
    network = build_small(name)
    x = 0.02 * torch.randn(2, 3, 16, 16) + 0.5
    exact = evaluate(network, x)
    half = evaluate(network.bfloat16(), x.bfloat16()).float()
    assert (half - exact).norm() < 0.05 * exact.norm()


def test_padding_reflects_back_and_forth() -> None:
    """Reflection equals PyTorch's where that is defined, and goes on where it is not."""
    x = torch.arange(12.0).reshape(1, 1, 3, 4)
    torch.testing.assert_close(pad_to(x, (5, 7), "reflect"), torch.nn.functional.pad(x, (0, 3, 0, 2), mode="reflect"))
    row = pad_to(torch.tensor([[[[1.0, 2.0]]]]), (1, 6), "reflect")
    assert row.flatten().tolist() == [1, 2, 1, 2, 1, 2]
    assert pad_to(torch.ones(1, 1, 1, 1), (2, 2), "reflect").flatten().tolist() == [1, 1, 1, 1]
