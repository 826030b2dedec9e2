"""Peers with their published weights against the figures that are known of them."""

from pathlib import Path

import numpy as np
import pytest
import torch

from irsde_cli.images import read_picture, to_tensor
from irsde_cli.metrics.psnr import psnr
from irsde_cli.samplers.settings import Sampling
from tests.benchmarks.peers import classical, peer


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


@pytest.mark.parametrize(("method", "needs", "least"), [("nl-means", "skimage", 6), ("wavelet", "pywt", 5)])
def test_classical_denoisers_denoise(shared: Path, method: str, needs: str, least: float) -> None:
    """By decibels, on an 8-bit photograph with white noise of 25."""
    pytest.importorskip(needs)
    path = sorted((shared / "data/testsets/kodak24").iterdir())[2]
    clean = to_tensor(read_picture(path, path.name))[:, 100:228, 100:228]
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    noisy = (clean + 25 / 255 * noise).clamp(0, 1).mul(255).round()
    pixels = noisy.byte().permute(1, 2, 0).numpy()
    restored = torch.from_numpy(classical(method, pixels, None)).permute(2, 0, 1)[None] / 255
    assert psnr(restored, clean[None]).item() > psnr(noisy[None] / 255, clean[None]).item() + least


def test_classical_inpainting_fills_holes(shared: Path) -> None:
    """And leaves what is known."""
    pytest.importorskip("cv2")
    path = sorted((shared / "data/testsets/kodak24").iterdir())[2]
    clean = read_picture(path, path.name).pixels[100:164, 100:164]
    known = np.ones(clean.shape[:2], bool)
    known[20:28, 10:50] = False
    holes = np.where(known[..., None], clean, 255).astype(np.uint8)
    filled = classical("telea", holes, known)
    assert np.array_equal(filled[known], clean[known])
    left, before = (np.abs(image[~known].astype(int) - clean[~known]).mean() for image in (filled, holes))
    assert left < before / 3
