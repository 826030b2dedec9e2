"""Peers with their published weights against the figures that are known of them."""

from pathlib import Path

import pytest
import torch

from irsde_cli.images import read_picture, to_tensor
from irsde_cli.metrics.psnr import psnr
from irsde_cli.samplers.settings import Sampling
from tests.benchmarks.peers import peer


@pytest.mark.parametrize(("name", "expected"), [("ffdnet-25", 31.42), ("dncnn-blind", 31.30)])
def test_denoisers_reach_their_figures(shared: Path, name: str, expected: float) -> None:
    """The first six photographs of Kodak24 with white noise of 25; the centre of each, to be quick.

    Of the whole photographs the same code makes 31.92 and 31.82 dB.
    """
    system = peer(name, shared / "weights").restorer
    generator = torch.Generator().manual_seed(0)
    found = []
    for path in sorted((shared / "data/testsets/kodak24").iterdir())[:6]:
        clean = to_tensor(read_picture(path, path.name))[None, :, 125:375, 125:375]
        noisy = clean + 25 / 255 * torch.randn(clean.shape, generator=generator)
        with torch.inference_mode():
            restored = system(noisy, sampling=Sampling())
        found.append(float(psnr(restored, clean)))
    assert sum(found) / 6 == pytest.approx(expected, abs=0.05)


def test_aod_net_clears_haze(shared: Path) -> None:
    """By the several decibels that it is known for: 12.5 to 19.8 dB on SOTS indoor. Of three pictures here."""
    system = peer("aod-net", shared / "weights").restorer
    gains = []
    for path in sorted((shared / "data/testsets/sots_indoor/LQ").iterdir())[::3]:
        files = (path, path.parents[1] / "GT" / path.name)
        hazy, clean = (to_tensor(read_picture(file, file.name))[None] for file in files)
        with torch.inference_mode():
            gains.append(float(psnr(system(hazy), clean) - psnr(hazy, clean)))
    assert 5 < sum(gains) / len(gains) < 10
