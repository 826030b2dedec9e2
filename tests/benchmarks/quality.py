"""Quality of a network on photographs that are degraded from a fixed seed: the figures of the model cards.

    python -m tests.benchmarks.quality denoise --photos DIR --lpips FILE [--weights FILE] [--limit N]

Protocol "plain-rgb": results clamped to [0, 1] and rounded to 8 bits; PSNR and SSIM over R, G and B, no border cropped;
LPIPS with AlexNet on the same. Each photograph's degradation comes from (seed, its index), its noise from (seed, name).
"""

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from irsde_cli import checkpoint
from irsde_cli.degradations.degradation import Degradation
from irsde_cli.degradations.gaussian_noise import GaussianNoise
from irsde_cli.degradations.motion_blur import MotionBlur
from irsde_cli.images import looks_like_picture, read_picture, to_tensor
from irsde_cli.metrics.lpips import LpipsAlex
from irsde_cli.metrics.psnr import psnr
from irsde_cli.metrics.ssim import ssim
from irsde_cli.randomness import ImageNoise, generator_for
from irsde_cli.restorer import Restorer, last
from irsde_cli.samplers.settings import Sampling
from irsde_cli.weights import find_weights

DEGRADATIONS: dict[str, dict[str, Degradation]] = {
    "denoise": {
        "sigma 25, float": GaussianNoise(25, 25, quantised_share=0.0),
        "sigma 25, 8-bit file": GaussianNoise(25, 25, quantised_share=1.0),
    },
    "deblur": {"camera shake of 9 to 21 pixels": MotionBlur()},
}


@dataclass(frozen=True)
class Way:
    """A way of using the network."""

    title: str
    sampling: Sampling
    draws: int = 1


WAYS = [
    Way("mean estimate, 1 evaluation", Sampling("ode-1", 1)),
    *(
        Way(f"{sampler}, {steps}", Sampling(sampler, steps))
        for steps in (2, 4, 8, 20)
        for sampler in ("ode-2", "sde-2")
    ),
    Way("posterior, 8", Sampling("posterior", 8)),
    Way("posterior, 100", Sampling("posterior", 100)),
    Way("ode-2, 100", Sampling("ode-2", 100)),
    Way("mean of 8 draws of ode-2, 8", Sampling("ode-2", 8), draws=8),
]


class FFDNet(nn.Module):
    """A peer: the colour denoiser of Zhang, Zuo and Zhang (IEEE TIP 2018), told the noise level."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        widths = [13, *[96] * 11, 12]
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [nn.Conv2d(before, after, 3, padding=1), nn.ReLU()]
        self.model = nn.Sequential(*layers[:-1])
        self.load_state_dict(load_file(path))

    def forward(self, noisy: Tensor, sigma: float) -> Tensor:
        """(1, 3, H, W); `sigma` in 8-bit units."""
        height, width = noisy.shape[-2:]
        blocks = F.pixel_unshuffle(F.pad(noisy, (0, width % 2, 0, height % 2), mode="replicate"), 2)
        level = torch.full_like(blocks[:, :1], sigma / 255)
        restored = F.pixel_shuffle(self.model(torch.cat((blocks, level), dim=1)), 2)
        return restored[..., :height, :width]


def restore(restorer: Restorer, degraded: Tensor, name: str, way: Way, seed: int) -> Tensor:
    """The restored image, or the mean of several draws, (1, 3, H, W)."""
    images = []
    for draw in range(way.draws):
        noise = ImageNoise([generator_for(seed, f"{name}/{draw}".encode())])
        with torch.inference_mode():
            images.append(last(restorer.steps(degraded, noise, restorer.resolve(way.sampling))).clamp(0, 1))
    return torch.stack(images).mean(0)


def rounded(image: Tensor) -> Tensor:
    """As an 8-bit file holds it."""
    return image.clamp(0, 1).mul(255).round().div(255)


def measure(image: Tensor, clean: Tensor, lpips: LpipsAlex) -> list[float]:
    """PSNR, SSIM, LPIPS."""
    with torch.inference_mode():
        image = rounded(image)
        return [float(metric(image, clean)) for metric in (psnr, ssim, lpips)]


def rows(
    restorer: Restorer,
    photos: dict[str, Tensor],
    degradation: Degradation,
    lpips: LpipsAlex,
    ways: list[Way],
    seed: int,
    peer: FFDNet | None,
) -> Iterator[tuple[str, list[float], float]]:
    """A title, the mean metrics and the seconds a megapixel of the input and of each way."""
    pairs = {
        name: (clean, degradation.apply(clean, torch.Generator().manual_seed(seed * 1000003 + index)))
        for index, (name, clean) in enumerate(photos.items())
    }
    megapixels = sum(clean.shape[-1] * clean.shape[-2] for clean, _ in pairs.values()) / 1e6
    inputs = [measure(degraded, clean, lpips) for clean, degraded in pairs.values()]
    yield "input", torch.tensor(inputs).mean(0).tolist(), 0.0
    if peer is not None:
        since = time.perf_counter()
        with torch.inference_mode():
            denoised = {name: peer(degraded, 25.0) for name, (_, degraded) in pairs.items()}
        seconds = (time.perf_counter() - since) / megapixels
        figures = [measure(denoised[name], clean, lpips) for name, (clean, _) in pairs.items()]
        yield "FFDNet, told sigma", torch.tensor(figures).mean(0).tolist(), seconds
    for way in ways:
        since = time.perf_counter()
        restored = {name: restore(restorer, degraded, name, way, seed) for name, (_, degraded) in pairs.items()}
        seconds = (time.perf_counter() - since) / megapixels
        figures = [measure(restored[name], clean, lpips) for name, (clean, _) in pairs.items()]
        yield way.title, torch.tensor(figures).mean(0).tolist(), seconds


def main() -> None:
    """Print a Markdown table and one line of JSON for each test of a task."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=DEGRADATIONS)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--lpips", type=Path, required=True)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--ffdnet", type=Path, help="weights of a peer, for denoise")
    parser.add_argument("--ways", action="append", help="only the way of this title; may be repeated")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    loaded = checkpoint.load(arguments.weights or find_weights(None, arguments.task).path)
    paths = sorted(path for path in arguments.photos.iterdir() if looks_like_picture(path))[: arguments.limit]
    photos = {path.name: to_tensor(read_picture(path, path.name))[None] for path in paths}
    lpips = LpipsAlex.load(arguments.lpips)
    peer = FFDNet(arguments.ffdnet) if arguments.ffdnet else None
    ways = [way for way in WAYS if not arguments.ways or way.title in arguments.ways]
    for title, degradation in DEGRADATIONS[arguments.task].items():
        print(f"\n{title}; {len(photos)} photographs, seed {arguments.seed}, weights {loaded.sha256[:12]}\n")
        print("| | PSNR | SSIM | LPIPS | s/megapixel |\n|---|---|---|---|---|")
        results = {}
        for name, figures, seconds in rows(loaded.restorer, photos, degradation, lpips, ways, arguments.seed, peer):
            results[name] = figures
            print(f"| {name} | {figures[0]:.2f} | {figures[1]:.4f} | {figures[2]:.4f} | {seconds:.1f} |", flush=True)
        print("\n" + json.dumps({"task": arguments.task, "test": title, "results": results}))


if __name__ == "__main__":
    main()
