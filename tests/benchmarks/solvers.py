"""What the studies left open: nodes, second-order coefficient and recentred start, on the networks that ship.

    python -m tests.benchmarks.solvers PHOTOS LPIPS [TASK ...] [--limit N] [--side N] [--steps N ...]

Every variant changes one thing of its base. PHOTOS are degraded from seed 1 as each network's preset says, unless the
table below names a level; all variants share the noise of seed 0. Prints a Markdown table a task: RGB, 8-bit.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from irsde_cli import checkpoint
from irsde_cli.degradations import DegradationConfig, build_degradation
from irsde_cli.images import looks_like_picture, read_picture, to_tensor
from irsde_cli.metrics.lpips import LpipsAlex
from irsde_cli.metrics.psnr import psnr
from irsde_cli.networks.tiling import Reduced
from irsde_cli.observation import Observation
from irsde_cli.processes.path import Path as Process
from irsde_cli.randomness import ImageNoise, generator_for
from irsde_cli.restorer import last
from irsde_cli.samplers.multistep import multistep
from irsde_cli.samplers.nodes import choose_nodes, even_nodes, times_from
from irsde_cli.samplers.settings import Sampling
from irsde_cli.systems.mean_reverting import MeanReverting
from irsde_cli.weights import find_weights

TESTS: dict[str, tuple[str, dict[str, Any]]] = {
    "denoise": ("gaussian-noise", {"sigma_min": 25.0, "sigma_max": 25.0, "quantised_share": 0.0}),
    "deblur": ("motion-blur", {}),
    "derain": ("rain", {}),
    "dehaze": ("haze", {}),
    "sr4": ("downsampling", {}),
    "jpeg": ("jpeg", {"quality_min": 10, "quality_max": 10, "full_colour_share": 0.0}),
    "inpaint": ("free-form-mask", {"hole_min": 0.3, "hole_max": 0.3}),
    "lowlight": ("low-light", {}),
}
NODES = ("rule", "even", "to 1")


@dataclass(frozen=True)
class Variant:
    """A way to sample; order 1 at eta 1 is the posterior sampler."""

    order: Literal[1, 2]
    eta: float
    nodes: str
    coefficient: Literal["midpoint", "exact"] = "midpoint"
    recentre: bool = True

    def __str__(self) -> str:
        name = {0.0: f"ode-{self.order}", 1.0: f"sde-{self.order}"}.get(self.eta, f"sde-{self.order}, eta {self.eta:g}")
        parts = ["posterior" if name == "sde-1" else name, f"nodes {self.nodes}"]
        parts += [] if self.coefficient == "midpoint" else [self.coefficient]
        parts += [] if self.recentre else ["not recentred"]
        return ", ".join(parts)


def variants() -> Iterator[Variant]:
    """One thing changed at a time."""
    for eta in (0.0, 1.0):
        base = Variant(2, eta, "rule")
        yield base
        yield from (replace(base, nodes=nodes) for nodes in NODES[1:])
        yield replace(base, coefficient="exact")
        if eta == 0:
            yield replace(base, recentre=False)
    for eta in (0.0, 0.5, 1.0):
        yield from (Variant(1, eta, nodes) for nodes in NODES[:2])
    yield Variant(1, 0.0, "even", recentre=False)


def chosen(nodes: str, path: Process, steps: int, start: int) -> tuple[int, ...]:
    """The time indices of one of the rules under test."""
    if nodes == "rule":
        return choose_nodes(path, steps, start, fast=True)
    if nodes == "even":
        return even_nodes(start, steps)
    return tuple(round(start - (start - 1) * index / (steps - 1)) for index in range(steps))


def restore(restorer: MeanReverting, degraded: Tensor, key: str, variant: Variant, steps: int) -> Tensor:
    """One draw (1, 3, H, W)."""
    noise = ImageNoise([generator_for(0, key.encode())])
    reverse = restorer.reverse(Observation(degraded), noise, restorer.resolve(Sampling()), Reduced(torch.bfloat16))
    times = times_from(chosen(variant.nodes, reverse.path, steps, reverse.first))
    with torch.inference_mode():
        states = multistep(
            reverse.predict_clean, reverse.start(reverse.first), reverse.path, times, noise,
            order=variant.order, eta=variant.eta, coefficient=variant.coefficient, recentre=variant.recentre,
        )  # fmt: skip
        return last(states).clamp(0, 1)


def made_pairs(task: str, photos: dict[str, Tensor], multiple: int) -> dict[str, tuple[Tensor, Tensor]]:
    """Each photograph (1, 3, H, W), cut to a multiple of the network's, and what is to be restored."""
    name, options = TESTS[task]
    degradation = build_degradation(DegradationConfig(name, options))
    pairs = {}
    for key, photo in photos.items():
        side = degradation.scale * multiple
        clean = photo[..., : photo.shape[-2] // side * side, : photo.shape[-1] // side * side]
        pairs[key] = (clean, degradation.apply(clean, generator_for(1, key.encode())))
    return pairs


def read_photos(folder: Path, limit: int | None) -> dict[str, Tensor]:
    """The first pictures of a folder, (1, 3, H, W) each."""
    paths = sorted(path for path in folder.iterdir() if looks_like_picture(path))[:limit]
    return {path.name: to_tensor(read_picture(path, path.name))[None] for path in paths}


def middles(photos: dict[str, Tensor], side: int) -> dict[str, Tensor]:
    """The central squares."""
    cut = {}
    for key, photo in photos.items():
        top, left = (max(0, (size - side) // 2) for size in photo.shape[-2:])
        cut[key] = photo[..., top : top + side, left : left + side]
    return cut


def measured(task: str, photos: dict[str, Tensor], lpips: LpipsAlex, counts: Sequence[int]) -> Iterator[list[str]]:
    """A row a variant: PSNR and LPIPS at each count."""
    restorer = checkpoint.load(find_weights(None, task).path).restorer
    assert isinstance(restorer, MeanReverting)
    restorer.freeze()
    pairs = made_pairs(task, photos, restorer.facts.multiple)
    for variant in variants():
        cells = [str(variant)]
        for steps in counts:
            figures = []
            for key, (clean, degraded) in pairs.items():
                image = restore(restorer, degraded, key, variant, steps).mul(255).round().div(255)
                with torch.inference_mode():
                    figures.append([float(metric(image, clean)) for metric in (psnr, lpips)])
            decibel, distance = torch.tensor(figures).mean(0).tolist()
            cells.append(f"{decibel:.2f} / {distance:.3f}")
        yield cells


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("lpips", type=Path)
    parser.add_argument("tasks", nargs="*", default=[*TESTS], metavar="TASK")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--side", type=int, help="of the middle square that counts; the whole picture if left out")
    parser.add_argument("--steps", type=int, nargs="+", default=[4, 8, 20])
    arguments = parser.parse_args()
    photos = read_photos(arguments.photos, arguments.limit)
    photos = middles(photos, arguments.side) if arguments.side else photos
    lpips = LpipsAlex.load(arguments.lpips)
    for task in arguments.tasks:
        print(f"\n**{task}**, {len(photos)} photographs: PSNR (dB) / LPIPS\n")
        print("| | " + " | ".join(map(str, arguments.steps)) + " |\n|---|" + "---|" * len(arguments.steps))
        for row in measured(task, photos, lpips, arguments.steps):
            print("| " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    main()
