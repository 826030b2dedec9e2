"""The codec that restores: its sizes, its rates, and what its decoder can know."""

import math

import pytest
import torch
from torch.nn import functional as F

from irsde_cli.networks.codec import (
    LEVELS,
    QUALITIES,
    SMALLEST_STEP,
    RestoringCodec,
    at_least,
    chessboard,
    gaussian,
    levels_of,
    scales_of,
)


def small() -> RestoringCodec:
    torch.manual_seed(0)
    network = RestoringCodec(width=8, channels=16, hyper=8, blocks=(1, 0, 1, 0))
    for parameter in network.parameters():
        parameter.data.add_(0.03 * torch.randn_like(parameter))
    return network.eval()


@pytest.mark.parametrize(
    ("options", "millions"),
    [({}, (6.60, 12.47, 19.32, 38.39)), ({"width": 48, "channels": 288, "hyper": 192}, (14.07, 27.29, 25.45, 66.81))],
)
def test_sizes_are_the_published_ones(options: dict[str, int], millions: tuple[float, ...]) -> None:
    """S and L: encoder, decoder, entropy model and all, in millions of parameters; and shapes of some names."""
    with torch.device("meta"):
        network = RestoringCodec(**options)  # type: ignore[arg-type]
    tensors = network.state_dict()
    found = [0, 0, 0]
    for name, tensor in tensors.items():
        encoder, decoder = ("enc.", "N_dim_compress."), ("dec.", "N_dim_decompress.", "refine.")
        found[0 if name.startswith(encoder) else 1 if name.startswith(decoder) else 2] += tensor.numel()
    assert tuple(round(count / 1e6, 2) for count in (*found, sum(found))) == millions
    width, channels = network.refine.in_channels, network.N_dim_compress.out_channels
    assert tensors["q_basic_enc"].shape == (1, 4 * width, 1, 1) and tensors["q_scale_dec"].shape == (2, 1, 1, 1)
    assert tensors["enc.encoder_x16.blocks.3.attn_s.a.2.weight"].shape == (8 * width, 1, 1, 5)
    assert tensors["enc.encoder_x16.blocks.4.body.0.weight"].shape == (4 * width, 8 * width, 3, 3)
    assert tensors["dec.decoder_x1.blocks.0.body.0.weight"].shape == (4 * width, 2 * width, 3, 3)
    assert tensors["y_spatial_prior.0.block.0.conv1.0.weight"].shape == (4 * channels, 4 * channels, 1, 1)
    assert RestoringCodec.options_from(tensors) == {
        "width": width,
        "channels": channels,
        "hyper": network.bit_estimator_z.channels,
        "blocks": (2, 3, 3, 4),
        "heads": 4,
    }


def test_fresh_latents_say_something() -> None:
    """Of photographs many of their numbers are not 0, and more at a better quality: else a decoder learns nothing."""
    torch.manual_seed(0)
    network = RestoringCodec(width=16, channels=64, hyper=16, blocks=(0, 0, 0, 1)).eval()
    image = F.interpolate(torch.rand(1, 3, 10, 10), size=(80, 80), mode="bicubic").clamp(0, 1)
    shares = []
    for number in (0, QUALITIES - 1):
        with torch.no_grad():
            latent = network.latent(image, torch.tensor([number]))
            told = network.y_prior_fusion(network.hyper_dec(network.hyper_latent(latent).round()))
            step, _, mean = told[..., :5, :5].chunk(3, 1)
        shares.append(float(((latent / at_least(step, SMALLEST_STEP) - mean).round() != 0).float().mean()))
    assert 0.1 < shares[0] < shares[1] < 0.99


def test_the_decoder_needs_what_is_sent_alone() -> None:
    """The second pass sees the first one's squares, and none of its own: latents follow from the whole numbers."""
    network, image = small(), torch.rand(1, 3, 40, 72)
    quality = torch.tensor([30])
    sent: list[torch.Tensor] = []
    with torch.no_grad():
        latent = network.latent(image, quality)
        coarse = network.hyper_latent(latent).round()

        def encoder(scale: torch.Tensor, step: torch.Tensor, mean: torch.Tensor, squares: torch.Tensor) -> torch.Tensor:
            sent.append((latent / step - mean).round() * squares)
            return sent[-1]

        wanted = network.rebuilt(coarse, (3, 5), encoder, network)
        numbers = iter(list(sent))
        again = network.rebuilt(coarse, (3, 5), lambda *_: next(numbers), network)
    torch.testing.assert_close(again, wanted, rtol=0, atol=0)
    assert not (sent[0].bool() & sent[1].bool()).any()


def test_squares_of_a_chessboard() -> None:
    """Both colours are all of it, half of the channels begin with the other one."""
    squares = chessboard(4, (2, 3))[0]
    assert squares[0].tolist() == [[1, 0, 1], [0, 1, 0]]
    torch.testing.assert_close(squares[:2] + squares[2:], torch.ones(2, 2, 3))


def test_chances_sum_to_one() -> None:
    """A discretised normal distribution, and a cumulative one of any form."""
    numbers = torch.arange(-400.0, 401.0, dtype=torch.float64)
    for scale in (0.11, 1.0, 50.0):
        torch.testing.assert_close(gaussian(numbers, torch.tensor(scale).double()).sum(), torch.ones(()).double())
    estimator = small().double().bit_estimator_z
    chance = estimator.chance(numbers.expand(1, 8, 1, -1))
    torch.testing.assert_close(chance.sum(-1).flatten(), torch.ones(8).double(), atol=1e-6, rtol=0)


def test_levels_are_evenly_spread_in_the_logarithm() -> None:
    """256 of them from 0.11 to 64, each its own nearest."""
    levels = torch.arange(LEVELS)
    scales = scales_of(levels)
    assert scales[0] == 0.11 and math.isclose(scales[-1], 64)
    assert levels_of(scales).tolist() == levels.tolist()
    assert levels_of(torch.tensor([0.0, 1e6])).tolist() == [0, LEVELS - 1]


def test_a_bound_leads_back() -> None:
    """Below it, the gradient counts that would raise the value."""
    x = torch.tensor([0.1, 0.1, 1.0], requires_grad=True)
    (gradient,) = torch.autograd.grad((at_least(x, 0.5) * torch.tensor([-1.0, 1.0, 1.0])).sum(), x)
    assert gradient.tolist() == [-1, 0, 1]


def test_bits_have_gradients_and_quality_costs() -> None:
    """The encoder learns from rates; a better quality has more of the gain, and more bits."""
    network, image = small().train(), torch.rand(2, 3, 64, 64)
    uniform = torch.rand(2, 500) - 0.5
    _, bits = network.taught(image, torch.tensor([0.0, 0.0]), uniform)
    (gradient,) = torch.autograd.grad(bits.sum(), network.enc.patch_embed.proj.weight)
    assert gradient.abs().max() > 0
    _, more = network.taught(image, torch.tensor([63.0, 63.0]), uniform)
    assert (more > bits).all()
