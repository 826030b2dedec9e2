"""Latents of a codec's files: what is read is what was written, and how long it is."""

import pytest
import torch

from irsde_cli.errors import UsageError
from irsde_cli.images.container import DamagedError
from irsde_cli.networks.codec import FACTOR
from irsde_cli.systems import build_restorer
from irsde_cli.systems.codec import HEAD, Codec

pytest.importorskip("constriction", reason="the extra 'codec' is not installed")
OPTIONS = {"width": 8, "channels": 16, "hyper": 8, "blocks": (1, 0, 1, 0)}


@pytest.fixture(scope="module")
def codec() -> Codec:
    torch.manual_seed(0)
    built = build_restorer("codec", {"network": {"name": "codec", "options": OPTIONS}}, "'model'").eval()
    assert isinstance(built, Codec)
    for parameter in built.parameters():
        parameter.data.add_(0.03 * torch.randn_like(parameter))
    return built.requires_grad_(False)


@pytest.mark.parametrize("size", [(1, 1), (33, 47), (64, 128)])
@pytest.mark.parametrize("quality", [0, 63])
def test_what_is_read_is_what_was_written(codec: Codec, size: tuple[int, int], quality: int) -> None:
    """The picture of a file is that of the whole numbers, bit for bit, with any number of threads."""
    image = torch.rand(3, *size, generator=torch.Generator().manual_seed(1))
    latent = codec.coded(image, quality)
    shown = codec.opened(latent, quality, size)
    assert shown.shape == image.shape
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(3 - min(threads, 2))
        assert codec.coded(image, quality)[: HEAD.size] == latent[: HEAD.size]
        torch.testing.assert_close(codec.opened(latent, quality, size), shown, atol=1e-5, rtol=0)
    finally:
        torch.set_num_threads(threads)
    if quality == 63:
        torch.testing.assert_close(shown, codec.network(image[None])[0], atol=1e-4, rtol=0)


def test_bits_are_as_estimated(codec: Codec) -> None:
    """Within one percent of what the probabilities say, beside the head."""
    image = torch.rand(3, 160, 256, generator=torch.Generator().manual_seed(2))
    for quality in (0, 40):
        real = 8 * (len(codec.coded(image, quality)) - HEAD.size)
        assert real == pytest.approx(codec.estimated_bits(image, quality), rel=0.01)


def test_other_numbers_are_found_out(codec: Codec) -> None:
    """A flipped bit, a cut or another quality's prior is an error, and never another picture."""
    latent = codec.coded(torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(3)), 40)
    shown = codec.opened(latent, 40, (64, 64))
    for place in range(HEAD.size - 4, len(latent), 7):
        broken = bytearray(latent)
        broken[place] ^= 0x10
        try:  # the coder reads over a few bits of its last word
            torch.testing.assert_close(codec.opened(bytes(broken), 40, (64, 64)), shown)
            assert place >= len(latent) - 8
        except DamagedError as error:
            assert "numbers" in str(error)
    for cut in (0, HEAD.size - 1, len(latent) - 1):
        with pytest.raises(DamagedError):
            codec.opened(latent[:cut], 40, (64, 64))
    with pytest.raises(DamagedError):
        codec.opened(latent, 40, (64, 64 + FACTOR))


def test_a_codec_is_a_codec() -> None:
    """The system takes no other network, and other systems make no files."""
    with pytest.raises(UsageError, match="no codec"):
        build_restorer(
            "codec", {"network": {"name": "pocket-unet", "options": {"widths": (8, 8), "blocks": (1, 1)}}}, "'model'"
        )
    other = build_restorer("one-pass", {"network": {"name": "codec", "options": OPTIONS}}, "'model'")
    with pytest.raises(UsageError, match="no codec"):
        other.coded(torch.rand(3, 16, 16), 1)
