"""Peers as checkpoints of one pass, and classical baselines as folders, for `irsde evaluate`.

    python -m tests.benchmarks.peers weights SHARED/weights OUT
    python -m tests.benchmarks.peers {nl-means,wavelet,telea} CLEAN OUT

`weights` writes OUT/{ffdnet-25,dncnn-blind,aod-net}.safetensors. The others restore CLEAN after the damage that
`irsde evaluate --seed 0` makes of it: white noise of 25 in an 8-bit file for scikit-image's non-local means and
wavelets, strokes over 30 % for OpenCV's Telea.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

from irsde_cli import checkpoint
from irsde_cli.datasets.dataset import clean_alone
from irsde_cli.degradations.degradation import Degradation
from irsde_cli.degradations.free_form_mask import FreeFormMask
from irsde_cli.degradations.gaussian_noise import GaussianNoise
from irsde_cli.images import read_picture, to_tensor
from irsde_cli.systems.direct import Direct, DirectConfig
from irsde_cli.systems.parts import NetworkConfig

PEERS = {
    "ffdnet-25": ("ffdnet_color", NetworkConfig("ffdnet", {"sigma": 25.0}), "denoise"),
    "dncnn-blind": ("dncnn_color_blind", NetworkConfig("dncnn"), "denoise"),
    "aod-net": ("aodnet_dehaze", NetworkConfig("aod-net"), "dehaze"),
}


def peer(name: str, weights: Path) -> Direct:
    """A peer with its published weights."""
    file, network, _ = PEERS[name]
    system = Direct(DirectConfig(network))
    system.network.load_state_dict(load_file(weights / f"{file}.safetensors"), strict=True)
    return system


def damaged(index: int, clean: Tensor, degradation: Degradation) -> tuple[Any, Any]:
    """The degraded picture (H, W, 3) uint8, as `irsde evaluate` makes it, and which pixels are known."""

    def generator() -> torch.Generator:
        return torch.Generator().manual_seed(index)

    image = degradation.apply(clean, generator()).clamp(0, 1)
    pixels = (image[0].permute(1, 2, 0) * 255).round().byte().numpy()
    if not isinstance(degradation, FreeFormMask):
        return pixels, None
    return pixels, degradation.masks(1, clean.shape[-2], clean.shape[-1], generator())[0, 0].numpy()


def classical(method: str, pixels: Any, known: Any) -> Any:
    """One picture, (H, W, 3) uint8."""
    sigma = 25 / 255
    if method == "telea":
        import cv2

        return cv2.inpaint(np.ascontiguousarray(pixels), (~known).astype(np.uint8), 3, cv2.INPAINT_TELEA)
    from skimage.restoration import denoise_nl_means, denoise_wavelet

    if method == "nl-means":
        options = {"h": 0.8 * sigma, "sigma": sigma, "patch_size": 5, "patch_distance": 6}
        smooth = denoise_nl_means(pixels / 255, channel_axis=-1, **options)
    else:
        smooth = denoise_wavelet(pixels / 255, sigma=sigma, channel_axis=-1, convert2ycbcr=True, rescale_sigma=False)
    return (smooth.clip(0, 1) * 255).round().astype(np.uint8)


def main() -> None:
    """Write checkpoints or pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("weights", "nl-means", "wavelet", "telea"))
    parser.add_argument("source", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    if arguments.what == "weights":
        for name, (_, _, task) in PEERS.items():
            checkpoint.save(arguments.out / f"{name}.safetensors", peer(name, arguments.source), task=task)
        return
    noise = GaussianNoise(25.0, 25.0, quantised_share=1.0)
    damage = FreeFormMask(0.3, 0.3) if arguments.what == "telea" else noise
    for index, pair in enumerate(clean_alone(arguments.source).pairs):
        clean = to_tensor(read_picture(pair.clean, pair.key))[None]
        restored = classical(arguments.what, *damaged(index, clean, damage))
        Image.fromarray(restored).save(arguments.out / f"{pair.clean.stem}.png")


if __name__ == "__main__":
    main()
