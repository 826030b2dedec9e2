"""Which shape of network learns most in the same seconds, and what an evaluation costs.

    python -m tests.benchmarks.shapes PHOTOS TEST [--seconds 150]

Each shape of `SHAPES` learns white noise of up to 55 of 255, in one evaluation, from the photographs of PHOTOS, for the
same processor time of one thread in bfloat16; making the samples is not counted. Then it restores pictures of TEST with
noise of 15, 25 and 50. Last all shapes take turns at a picture of 512 x 512.
"""

import argparse
import math
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from irsde_cli.degradations.gaussian_noise import GaussianNoise
from irsde_cli.images import looks_like_picture, read_picture, to_tensor
from irsde_cli.networks import NETWORKS
from irsde_cli.networks.network import Network
from irsde_cli.training.data import Batch, Source, load_clean
from tests.benchmarks.turns import in_turns

SHAPES: dict[str, tuple[str, dict[str, Any]]] = {
    "pocket-unet 48-64-96": ("pocket-unet", {"widths": (48, 64, 96), "blocks": (2, 2, 5), "time_dim": 32}),
    "quarter-unet 96-128": ("quarter-unet", {"widths": (96, 128), "blocks": (2, 2), "state": False}),
    "quarter-unet 64-96": ("quarter-unet", {"widths": (64, 96), "blocks": (4, 4), "state": False}),
    "quarter-unet 64-96-128": ("quarter-unet", {"widths": (64, 96, 128), "blocks": (2, 2, 2), "state": False}),
    "quarter-unet 96": ("quarter-unet", {"widths": (96,), "blocks": (8,), "state": False}),
}
CROP, BATCH, RATE, WARM_UP, DECAY = 64, 16, 1e-3, 200, 0.4
LEVELS = (15, 25, 50)
SIDE, ROUNDS = 320, 25


def estimate(network: Network, degraded: Tensor) -> Tensor:
    """The restored images, in bfloat16."""
    with torch.autocast("cpu", torch.bfloat16):
        residual: Tensor = network(degraded, degraded, torch.ones(len(degraded)))
    return degraded + residual.float()


def taught(network: Network, source: Source, seconds: float, seed: int = 0) -> int:
    """The steps of a training of so many seconds; the network ends with its averaged weights."""
    network.to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    optimiser = torch.optim.AdamW(network.parameters(), lr=RATE, betas=(0.9, 0.99), weight_decay=1e-4)
    averaged = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    used, step = 0.0, 0
    while used < seconds:
        seeds = range(seed * 10**9 + BATCH * step, seed * 10**9 + BATCH * (step + 1))
        batch = Batch.of([source.sample(CROP, torch.Generator().manual_seed(one)) for one in seeds])
        clean, degraded = batch.clean, batch.observation.image
        begin = time.process_time()
        rate = RATE * min(1.0, (step + 1) / WARM_UP, (1 - used / seconds) / DECAY)
        for group in optimiser.param_groups:
            group["lr"] = rate
        loss: Any = (estimate(network, degraded) - clean).abs().mean()
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        step += 1
        for name, tensor in network.state_dict().items():
            averaged[name].lerp_(tensor, max(0.002, 9 / (10 + step)))
        used += time.process_time() - begin
    network.load_state_dict(averaged)
    network.eval().requires_grad_(False)
    return step


def quality(network: Network, paths: Sequence[Path], level: int) -> float:
    """Mean PSNR in dB of pictures with white noise, not clipped, of that level."""
    found = []
    for seed, path in enumerate(paths):
        clean = to_tensor(read_picture(path, path.name))[None, :, :SIDE, :SIDE]
        noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(seed))
        with torch.inference_mode():
            restored = estimate(network, clean + noise * level / 255).clamp(0, 1)
        found.append(-10 * math.log10(float((restored - clean).square().mean())))
    return statistics.mean(found)


def milliseconds(works: dict[str, Callable[[], object]]) -> dict[str, float]:
    """The shortest of several rounds in which all take turns."""
    return {name: 1e3 * min(times) for name, times in in_turns(works, ROUNDS).items()}


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("test", type=Path)
    parser.add_argument("--seconds", type=float, default=150, help="0 leaves out the training")
    parser.add_argument("--shape", nargs="+", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--limit", type=int, default=12, help="pictures of TEST")
    given = parser.parse_args()
    torch.set_num_threads(1)
    paths = [path for path in sorted(given.test.iterdir()) if looks_like_picture(path)][: given.limit]
    networks, lines = {}, {}
    for shape in given.shape:
        torch.manual_seed(0)
        name, options = SHAPES[shape]
        network: Network = NETWORKS.load(name)(**options)
        lines[shape] = f"{sum(one.numel() for one in network.parameters()) / 1e6:.2f}"
        if given.seconds:
            source = load_clean(given.photos, GaussianNoise(), crop=CROP, device=torch.device("cpu"), skip_bad=None)
            lines[shape] += f" | {taught(network, source, given.seconds)}"
            lines[shape] += "".join(f" | {quality(network, paths, level):.2f}" for level in LEVELS)
        network.eval().requires_grad_(False)
        network.freeze()
        networks[shape] = network
    picture = torch.rand(1, 3, 512, 512)
    with torch.inference_mode():
        taken = milliseconds({shape: partial(estimate, one, picture) for shape, one in networks.items()})
    print(
        "| shape | M parameters |"
        + (" steps | " + " | ".join(map(str, LEVELS)) + " |" if given.seconds else "")
        + " ms |"
    )
    for shape, line in lines.items():
        print(f"| {shape} | {line} | {taken[shape]:.0f} |")


if __name__ == "__main__":
    main()
