"""Rate and distortion of a codec, and of other formats after a denoiser: tests.benchmarks.codec CODEC PHOTOS [DENOISER]

Photographs get white noise of 25 of 255, with a seed by their place. The codec makes a file of each, at six qualities,
and that file is opened. The denoiser restores each, and the result is written as JPEG, WebP and AVIF at many qualities.
PSNR against the clean photograph, over RGB of 8 bits, and bits a pixel of whole files, both as means over photographs.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from irsde_cli.conversions.loading import load
from irsde_cli.degradations import DegradationConfig, build_degradation
from irsde_cli.images import encode_picture, read_picture, to_tensor
from irsde_cli.images.formats.irc import Coded, written
from irsde_cli.images.picture import Picture
from irsde_cli.weights import find_weights

OURS = (0, 12, 25, 38, 50, 63)
THEIRS = {"jpeg": (5, 10, 20, 35, 50, 75), "webp": (1, 10, 25, 50, 75), "avif": (10, 20, 30, 45, 60)}


def eight_bit(image: Tensor) -> np.ndarray:
    """(3, H, W) as (H, W, 3) of 8 bits."""
    return image.clamp(0, 1).mul(255).round().to(torch.uint8).permute(1, 2, 0).contiguous().numpy()


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    """In dB, of 8-bit samples."""
    return float(10 * np.log10(255**2 / np.mean((one.astype(float) - other.astype(float)) ** 2)))


def main() -> None:
    """Print a line for each format and quality."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("codec", type=Path)
    parser.add_argument("photos", type=Path)
    parser.add_argument("denoiser", nargs="?", default="denoise-photo")
    parser.add_argument("--sigma", type=float, default=25.0)
    parser.add_argument("--limit", type=int)
    asked = parser.parse_args()
    loaded = load(asked.codec)
    codec, denoiser = loaded.restorer, load(find_weights(asked.denoiser, "denoise").path).restorer
    codec.freeze()
    denoiser.freeze()
    weights = bytes.fromhex(loaded.sha256)[:16]
    options = {"sigma_min": asked.sigma, "sigma_max": asked.sigma, "quantised_share": 1.0}
    noisy = build_degradation(DegradationConfig("gaussian-noise", options))
    found: dict[tuple[str, int], list[tuple[float, float]]] = {}
    restored_psnr = []
    for place, path in enumerate(sorted(asked.photos.iterdir())[: asked.limit]):
        clean = to_tensor(read_picture(path, path.name))
        truth, pixels = eight_bit(clean), clean[0].numel()
        degraded = noisy.apply(clean[None], torch.Generator().manual_seed(place))
        for quality in OURS:
            with torch.inference_mode():
                latent = codec.coded(degraded[0], quality)
                shown = codec.opened(latent, quality, (clean.shape[-2], clean.shape[-1]))
            size = (clean.shape[-2], clean.shape[-1])
            file = written(Coded(quality, False, size, weights, "codec-small", latent), None, None, None)
            found.setdefault(("irc", quality), []).append((8 * len(file) / pixels, psnr(eight_bit(shown), truth)))
        restored = Picture(eight_bit(denoiser(degraded)[0]))
        restored_psnr.append(psnr(restored.pixels, truth))
        for format, qualities in THEIRS.items():
            for quality in qualities:
                file = encode_picture(restored, format=format, quality=quality)
                shown_pixels = read_picture(file, "it").pixels
                found.setdefault((format, quality), []).append((8 * len(file) / pixels, psnr(shown_pixels, truth)))
    print(f"the denoiser alone: {np.mean(restored_psnr):.2f} dB, {len(restored_psnr)} photographs")
    for (format, quality), figures in found.items():
        rate, distortion = np.mean(figures, axis=0)
        print(f"{format:5} {quality:3}  {rate:.3f} bits a pixel  {distortion:.2f} dB")


if __name__ == "__main__":
    main()
