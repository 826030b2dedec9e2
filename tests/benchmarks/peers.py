"""Peers as checkpoints of one pass, and classical baselines as folders, for `irsde evaluate`.

    python -m tests.benchmarks.peers weights SHARED/weights OUT
    python -m tests.benchmarks.peers {nl-means,wavelet,telea,harmonic} SAVED OUT

`weights` writes OUT/{ffdnet-25,dncnn-blind,aod-net}.safetensors. The others restore the pictures that
`irsde evaluate --save SAVED` wrote: SAVED/input with noise of 25 by scikit-image's non-local means and wavelets, or
with the holes of SAVED/known by OpenCV's Telea, or by the surface that our networks begin with.
`irsde evaluate --from OUT`, with the same damage, measures them.
They need scikit-image with PyWavelets, or OpenCV.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from irsde_cli import checkpoint
from irsde_cli.centres.filled import filled
from irsde_cli.conversions.published import Converted, convert
from irsde_cli.datasets.dataset import clean_alone
from irsde_cli.images import read_picture
from irsde_cli.weights.catalogue import CATALOGUE

# By the names that docs/results.md has for them: the row of the list, and the file in SHARED/weights.
PEERS = {
    "ffdnet-25": ("ffdnet-color", "ffdnet_color"),
    "dncnn-blind": ("dncnn-color-blind", "dncnn_color_blind"),
    "aod-net": ("aod-net", "aodnet_dehaze"),
}


def peer(name: str, weights: Path) -> Converted:
    """A peer with its published weights."""
    row, file = PEERS[name]
    return convert(row, CATALOGUE[row], [weights / f"{file}.safetensors"])


def classical(method: str, pixels: Any, known: Any) -> Any:
    """One picture, (H, W, 3) uint8."""
    sigma = 25 / 255
    if method == "telea":
        import cv2

        return cv2.inpaint(np.ascontiguousarray(pixels), (~known).astype(np.uint8), 3, cv2.INPAINT_TELEA)
    if method == "harmonic":
        surface = filled(torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255, torch.from_numpy(known)[None, None])
        return (surface[0].permute(1, 2, 0) * 255).round().byte().numpy()
    from skimage.restoration import denoise_nl_means, denoise_wavelet

    if method == "nl-means":  # strength and patches of scikit-image's own example, for a known level
        options = {"h": 0.6 * sigma, "sigma": sigma, "patch_size": 5, "patch_distance": 6}
        smooth = denoise_nl_means(pixels / 255, channel_axis=-1, **options)
    else:
        smooth = denoise_wavelet(pixels / 255, sigma=sigma, channel_axis=-1, convert2ycbcr=True, rescale_sigma=True)
    return (smooth.clip(0, 1) * 255).round().astype(np.uint8)


def main() -> None:
    """Write checkpoints or pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("weights", "nl-means", "wavelet", "telea", "harmonic"))
    parser.add_argument("source", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    if arguments.what == "weights":
        for name in PEERS:
            made = peer(name, arguments.source)
            checkpoint.save(arguments.out / f"{name}.safetensors", made.restorer, **made.fields)
        return
    for pair in clean_alone(arguments.source / "input").pairs:
        pixels = read_picture(pair.clean, pair.key).pixels
        known = None
        if arguments.what in ("telea", "harmonic"):
            known = read_picture(arguments.source / "known" / f"{pair.key}.png", pair.key).pixels[..., 0] > 0
        path = arguments.out / f"{pair.key}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(classical(arguments.what, pixels, known)).save(path)


if __name__ == "__main__":
    main()
