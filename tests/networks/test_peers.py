"""Peers with their published weights against the figures that are known of them."""

from pathlib import Path

import pytest
import torch

from irsde_cli.images import read_picture, to_tensor
from irsde_cli.metrics.psnr import psnr
from irsde_cli.samplers.settings import Sampling
from tests.benchmarks.peers import peer


@pytest.mark.parametrize(("name", "expected"), [("ffdnet-25", 31.92), ("dncnn-blind", 31.82)])
def test_denoisers_reach_their_figures(shared: Path, name: str, expected: float) -> None:
    """The first six photographs of Kodak24 with white noise of 25; the centre of each, to be quick."""
    system = peer(name, shared / "weights").eval()
    generator = torch.Generator().manual_seed(0)
    found = []
    for path in sorted((shared / "data/testsets/kodak24").iterdir())[:6]:
        clean = to_tensor(read_picture(path, path.name))[None]
        noisy = clean + 25 / 255 * torch.randn(clean.shape, generator=generator)
        with torch.inference_mode():
            restored = system(noisy, sampling=Sampling())
        found.append(float(psnr(restored, clean)))
    assert sum(found) / 6 == pytest.approx(expected, abs=0.05)


def test_aod_net_clears_haze(shared: Path) -> None:
    """By the several decibels that it is known for: 12.5 to 19.8 dB on SOTS indoor."""
    system = peer("aod-net", shared / "weights").eval()
    gains = []
    for path in sorted((shared / "data/testsets/sots_indoor/LQ").iterdir()):
        files = (path, path.parents[1] / "GT" / path.name)
        hazy, clean = (to_tensor(read_picture(file, file.name))[None] for file in files)
        gains.append(float(psnr(system(hazy), clean) - psnr(hazy, clean)))
    assert 5 < sum(gains) / len(gains) < 10
