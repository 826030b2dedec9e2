"""What trajectory learning changes: shipped networks, what reinforcement makes of them, and their students.

    python -m tests.benchmarks.trajectory PHOTOS LPIPS TASK [--model LABEL=FILE ...] [--limit N] [--side N]

PHOTOS are cropped to their middle and degraded from seed 1; the draws are those of seeds 0 and 1. Prints a Markdown
table: PSNR (dB) / SSIM / LPIPS of the first draw as an 8-bit file, and the spread, the standard deviation between draws
in 1/255. Networks with students' nodes are sampled at these, all others in four ways; times by cost come from
`restore --nodes auto`'s own walk over the same photographs.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from irsde_cli import checkpoint
from irsde_cli.metrics.lpips import LpipsAlex
from irsde_cli.metrics.psnr import psnr
from irsde_cli.metrics.ssim import ssim
from irsde_cli.networks.tiling import Reduced
from irsde_cli.observation import Observation
from irsde_cli.randomness import ImageNoise, generator_for
from irsde_cli.restorer import last
from irsde_cli.samplers.costs import cheapest, jump_costs, mean_costs
from irsde_cli.samplers.nodes import even_nodes, times_from
from irsde_cli.samplers.settings import Sampling
from irsde_cli.systems.diffusion import Diffusion
from irsde_cli.weights import find_weights
from irsde_cli.workflows.restore.calibrate import WALK
from tests.benchmarks.solvers import made_pairs, middles, read_photos

COUNTS = (1, 2, 4, 8, 100)
SAMPLERS = ("posterior", "ode-1", "ode-2")
BF16 = Reduced(torch.bfloat16)
Pairs = dict[str, tuple[Tensor, Tensor]]


def noise_for(key: str, seed: int) -> ImageNoise:
    """The noise of a draw of one picture."""
    return ImageNoise([generator_for(seed, key.encode())])


def costs(restorer: Diffusion, pairs: Pairs) -> Tensor:
    """What jumps cost on all pictures, in 25 steps."""
    tables = []
    for key, (_, degraded) in pairs.items():
        with torch.inference_mode():
            reverse = restorer.reverse(Observation(degraded), noise_for(key, 0), restorer.resolve(Sampling()), BF16)
            times = times_from(even_nodes(reverse.first, WALK))
            tables.append(jump_costs(reverse.predict_clean, reverse.start(reverse.first), reverse.path, times))
    return mean_costs(tables)


def figures(restorer: Diffusion, pairs: Pairs, sampling: Sampling, lpips: LpipsAlex) -> str:
    """PSNR / SSIM / LPIPS / spread."""
    found = []
    for key, (clean, degraded) in pairs.items():
        with torch.inference_mode():
            draws = [
                last(restorer.steps(Observation(degraded), noise_for(key, seed), sampling, BF16)).clamp(0, 1)
                for seed in (0, 1)
            ]
            image = draws[0].mul(255).round().div(255)
            spread = 255 * (draws[0] - draws[1]).square().mean().div(2).sqrt()
            found.append([*(float(metric(image, clean)) for metric in (psnr, ssim, lpips)), float(spread)])
    means = torch.tensor(found).mean(0).tolist()
    return " / ".join(f"{value:.{places}f}" for value, places in zip(means, (2, 3, 3, 1), strict=True))


def rows(label: str, restorer: Diffusion, pairs: Pairs, lpips: LpipsAlex) -> Iterator[list[str]]:
    """A row for each way to sample a network."""
    published = restorer.config.sampling
    own = {len(nodes): nodes for nodes in (published.nodes, *published.schedules) if nodes}
    if own:
        cells = [
            figures(restorer, pairs, restorer.resolve(Sampling(steps=count)), lpips) if count in own else ""
            for count in COUNTS
        ]
        yield [f"{label}, its own times", *cells]
        return
    for sampler in SAMPLERS:
        asked = (restorer.resolve(Sampling(sampler=sampler, steps=count)) for count in COUNTS)
        yield [f"{label}, {sampler}", *(figures(restorer, pairs, one, lpips) for one in asked)]
    table = costs(restorer, pairs)
    times = times_from(even_nodes(restorer.process.num_timesteps, WALK))
    cells = []
    for count in COUNTS:
        nodes = cheapest(table, times, count) if count <= WALK else None
        asked_nodes = Sampling(sampler="ode-1", nodes=nodes)
        cells.append("" if nodes is None else figures(restorer, pairs, restorer.resolve(asked_nodes), lpips))
    yield [f"{label}, ode-1, times by cost", *cells]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("lpips", type=Path)
    parser.add_argument("task")
    parser.add_argument("--model", action="append", default=[], metavar="LABEL=FILE")
    parser.add_argument("--only-models", action="store_true", help="leave the shipped network out")
    parser.add_argument("--limit", type=int, default=8)
    parser.add_argument("--side", type=int, default=256)
    arguments = parser.parse_args()
    shipped = find_weights(None, arguments.task)
    models = [] if arguments.only_models else [(shipped.name, shipped.path)]
    models += [(label, Path(path)) for label, _, path in (text.partition("=") for text in arguments.model)]
    photos = read_photos(arguments.photos, arguments.limit)
    pairs: Pairs | None = None
    lpips = LpipsAlex.load(arguments.lpips)
    print(f"\n**{arguments.task}**, the middle {arguments.side} pixels of {len(photos)} photographs\n")
    print("| | " + " | ".join(map(str, COUNTS)) + " |\n|---|" + "---|" * len(COUNTS))
    for label, path in models:
        restorer = checkpoint.load(path).restorer
        assert isinstance(restorer, Diffusion)
        restorer.freeze()
        pairs = pairs or made_pairs(arguments.task, middles(photos, arguments.side), restorer.facts.multiple)
        for row in rows(label, restorer, pairs, lpips):
            print("| " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    main()
