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
from safetensors.torch import load_file

from irsde_cli import checkpoint
from irsde_cli.centres.filled import filled
from irsde_cli.datasets.dataset import clean_alone
from irsde_cli.images import read_picture
from irsde_cli.systems.one_pass import OnePass, OnePassConfig
from irsde_cli.systems.parts import NetworkConfig

PEERS = {
    "ffdnet-25": ("ffdnet_color", NetworkConfig("ffdnet", {"sigma": 25.0}), "denoise"),
    "dncnn-blind": ("dncnn_color_blind", NetworkConfig("dncnn"), "denoise"),
    "aod-net": ("aodnet_dehaze", NetworkConfig("aod-net"), "dehaze"),
}


def peer(name: str, weights: Path) -> OnePass:
    """A peer with its published weights."""
    file, network, _ = PEERS[name]
    system = OnePass(OnePassConfig(network))
    system.network.load_state_dict(load_file(weights / f"{file}.safetensors"), strict=True)
    return system


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
        for name, (_, _, task) in PEERS.items():
            checkpoint.save(arguments.out / f"{name}.safetensors", peer(name, arguments.source), task=task)
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
