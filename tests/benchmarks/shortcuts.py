"""Ways around evaluations that were tried on the shipped networks: features kept between steps, an early stop for each
picture, and all steps at once.

    python -m tests.benchmarks.shortcuts PHOTOS LPIPS [TASK ...] [--limit N]

Prints a Markdown table a task: the work in whole evaluations of a picture, how many of them follow one another, PSNR
and LPIPS. The middle 256 pixels of PHOTOS are degraded from seed 1; the noise is that of seed 0; 8-bit results.
"""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from irsde_cli import checkpoint
from irsde_cli.metrics.lpips import LpipsAlex
from irsde_cli.metrics.psnr import psnr
from irsde_cli.networks.layers import in_turn
from irsde_cli.networks.pocket_unet import PocketUNet
from irsde_cli.observation import Observation
from irsde_cli.randomness import RandnLike
from irsde_cli.restorer import last
from irsde_cli.samplers.multistep import multistep
from irsde_cli.samplers.nodes import times_from
from irsde_cli.samplers.sampler import transitions
from irsde_cli.samplers.settings import Sampling
from irsde_cli.systems.mean_reverting import MeanReverting
from irsde_cli.systems.parts import Reverse
from irsde_cli.weights import find_weights
from tests.benchmarks.solvers import chosen, made_pairs, middles, read_photos
from tests.benchmarks.trajectory import BF16, noise_for

TASKS = ("denoise", "deblur", "derain")
STOP = 0.5 / 255


class Reusing(PocketUNet):
    """The network, which may take all below its finest level from the evaluation before (DeepCache, CVPR 2024)."""

    every: int = 1
    calls: int = 0

    def forward(self, x: Tensor, mu: Tensor, t: Tensor) -> Tensor:
        """See `PocketUNet.forward`."""
        height, width = x.shape[-2:]
        h = self.intro(F.pixel_unshuffle(self.padded(torch.cat((x - mu, mu - 0.5), dim=1)), 2))
        time = self.time_mlp(t)
        h = in_turn(self.encoders[0], h, time)
        if self.calls % self.every == 0:
            self.deep = self._below(h, time)
        self.calls += 1
        h = in_turn(self.decoders[0], self.deep + h, time)
        return F.pixel_shuffle(self.ending(F.silu(h)), 2)[..., :height, :width]

    def _below(self, h: Tensor, time: Tensor) -> Tensor:
        skips: list[Tensor] = []
        for level, down in enumerate(self.downs):
            if level:
                h = in_turn(self.encoders[level], h, time)
                skips.append(h)
            h = down(h)
        h = in_turn(self.middle, h, time)
        for level in range(len(self.ups) - 1, 0, -1):
            h = in_turn(self.decoders[level], self.ups[level](h) + skips.pop(), time)
        return self.ups[0](h)  # type: ignore[no-any-return]

    @cached_property
    def share(self) -> float:
        """The part of the FLOPs that is not below the finest level."""
        image = torch.zeros(1, 3, 64, 64)
        counted = []
        self.every = 2
        for self.calls in (0, 1):
            with FlopCounterMode(display=False) as counter, torch.inference_mode():
                self(image, image, torch.ones(1))
            counted.append(counter.get_total_flops())
        self.every = 1
        return float(counted[1] / counted[0])


@dataclass
class Done:
    """An image (1, 3, H, W), the work in evaluations, and how many of these followed one another."""

    image: Tensor
    work: float
    depth: float


def plainly(reverse: Reverse, network: Reusing, noise: RandnLike, sampler: str, steps: int) -> Done:
    """A sampler as it is."""
    return Done(last(reverse.solve(Sampling(sampler, steps), noise)), steps, steps)


def reusing(reverse: Reverse, network: Reusing, noise: RandnLike, sampler: str, steps: int) -> Done:
    """Deep features at every second step only."""
    network.every, network.calls = 2, 0
    done = plainly(reverse, network, noise, sampler, steps)
    network.every = 1
    work = -(-steps // 2) + steps // 2 * network.share
    return Done(done.image, work, work)


def stopping(reverse: Reverse, network: Reusing, noise: RandnLike, sampler: str, steps: int) -> Done:
    """No more once an estimate differs from the one before by at most half a level everywhere."""
    estimates: list[Tensor] = []

    def remember(x: Tensor, t: int, /) -> Tensor:
        estimates.append(reverse.predict_clean(x, t))
        return estimates[-1]

    watched = Reverse(remember, reverse.start, reverse.path, reverse.first)
    for _ in watched.solve(Sampling(sampler, steps), noise):
        if len(estimates) > 1 and float((estimates[-1] - estimates[-2]).abs().max()) <= STOP:
            break
    return Done(estimates[-1], len(estimates), len(estimates))


def at_once(reverse: Reverse, network: Reusing, noise: RandnLike, sampler: str, steps: int) -> Done:
    """The first-order ODE by Picard's iteration: all its states in one batch, again and again (Shih et al., 2023)."""
    times = times_from(chosen("even", reverse.path, steps, reverse.first))
    start = reverse.start(reverse.first)
    states = [start] * steps
    ended = start
    for sweep in range(1, steps + 1):
        estimates = {
            t: reverse.predict_clean(state, t) for (t, _), state in zip(transitions(times), states, strict=True)
        }
        walk = multistep(lambda x, t: estimates[t], start, reverse.path, times, torch.randn_like, order=1)  # noqa: B023
        *inner, end = walk
        settled = sweep > 1 and float((end - ended).abs().max()) <= STOP
        states, ended = [start, *inner], end
        if settled:
            break
    return Done(ended, steps * sweep, sweep)


Way = Callable[[Reverse, Reusing, RandnLike, str, int], Done]


def rows(restorer: MeanReverting, pairs: dict[str, tuple[Tensor, Tensor]], lpips: LpipsAlex) -> Iterator[list[str]]:
    """A row a way."""
    network = restorer.network
    assert isinstance(network, PocketUNet)
    network.__class__ = Reusing
    assert isinstance(network, Reusing)
    ways: list[tuple[str, Way, str, int]] = []
    for sampler in ("posterior", "ode-2"):
        ways += [("", plainly, sampler, steps) for steps in (4, 8, 12, 20)]
        ways += [(", features of every second step", reusing, sampler, steps) for steps in (8, 20)]
        ways += [(", stopped early", stopping, sampler, steps) for steps in (20, 100)]
    for steps in (8, 20):
        ways += [("", plainly, "ode-1", steps), (", even times, all at once", at_once, "ode-1", steps)]
    for label, way, sampler, steps in ways:
        found = []
        for key, (clean, degraded) in pairs.items():
            noise = noise_for(key, 0)
            with torch.inference_mode():
                reverse = restorer.reverse(Observation(degraded), noise, restorer.resolve(Sampling()), BF16)
                done = way(reverse, network, noise, sampler, steps)
                image = done.image.clamp(0, 1).mul(255).round().div(255)
                found.append([done.work, done.depth, float(psnr(image, clean)), float(lpips(image, clean))])
        means = torch.tensor(found).mean(0).tolist()
        yield [
            f"{sampler}, {steps}{label}",
            *(f"{value:.{places}f}" for value, places in zip(means, (1, 1, 2, 3), strict=True)),
        ]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("lpips", type=Path)
    parser.add_argument("tasks", nargs="*", default=[*TASKS], metavar="TASK")
    parser.add_argument("--limit", type=int, default=4)
    arguments = parser.parse_args()
    photos = middles(read_photos(arguments.photos, arguments.limit), 256)
    lpips = LpipsAlex.load(arguments.lpips)
    for task in arguments.tasks:
        restorer = checkpoint.load(find_weights(None, task).path).restorer
        assert isinstance(restorer, MeanReverting)
        print(f"\n**{task}**, {len(photos)} photographs\n")
        print("| | work | in a row | PSNR (dB) | LPIPS |\n|---|---|---|---|---|")
        for row in rows(restorer, made_pairs(task, photos, restorer.facts.multiple), lpips):
            print("| " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    main()
