"""Peers as checkpoints of one pass, and classical baselines as folders, for `irsde evaluate`.

    python -m tests.benchmarks.peers weights SHARED/weights OUT
    python -m tests.benchmarks.peers classical METHOD DEGRADED OUT [--masks DIR] [--sigma 25]

`weights` writes OUT/{ffdnet-25,dncnn-blind,aod-net}.safetensors. `classical` restores a folder with scikit-image's
non-local means or wavelets, or fills holes by OpenCV's Telea.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from safetensors.torch import load_file

from irsde_cli import checkpoint
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


def classical(method: str, pixels: Any, known: Any, sigma: float) -> Any:
    """One picture, (H, W, 3) uint8."""
    from skimage.restoration import denoise_nl_means, denoise_wavelet

    image = pixels / 255
    if method == "nl-means":
        sigma = sigma / 255
        fast = denoise_nl_means(image, h=0.8 * sigma, sigma=sigma, patch_size=5, patch_distance=6, channel_axis=-1)
        return (fast.clip(0, 1) * 255).round().astype(np.uint8)
    if method == "wavelet":
        soft = denoise_wavelet(image, sigma=sigma / 255, channel_axis=-1, convert2ycbcr=True, rescale_sigma=False)
        return (soft.clip(0, 1) * 255).round().astype(np.uint8)
    import cv2

    return cv2.inpaint(pixels, (~known).astype(np.uint8), 3, cv2.INPAINT_TELEA)


def main() -> None:
    """Write checkpoints or pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    weights = commands.add_parser("weights")
    weights.add_argument("shared", type=Path)
    weights.add_argument("out", type=Path)
    method = commands.add_parser("classical")
    method.add_argument("method", choices=("nl-means", "wavelet", "telea"))
    method.add_argument("degraded", type=Path)
    method.add_argument("out", type=Path)
    method.add_argument("--masks", type=Path)
    method.add_argument("--sigma", type=float, default=25)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    if arguments.command == "weights":
        for name, (_, _, task) in PEERS.items():
            checkpoint.save(arguments.out / f"{name}.safetensors", peer(name, arguments.shared), task=task)
        return
    for path in sorted(arguments.degraded.iterdir()):
        pixels = np.asarray(Image.open(path).convert("RGB"))
        mask = arguments.masks and Image.open(arguments.masks / path.name).convert("L")
        known = None if mask is None else np.asarray(mask) > 127
        restored = classical(arguments.method, pixels, known, arguments.sigma)
        Image.fromarray(restored).save(arguments.out / f"{path.stem}.png")


if __name__ == "__main__":
    main()
