"""What a known blur costs beside the evaluations of the prior in it: processor time of one thread, in turns.

    python -m tests.benchmarks.data_step [--side 1024] [--steps 8] [--rounds 5]

The prior that ships, bfloat16, on white noise; start-up left out. Of all rounds the fastest counts.
"""

import argparse
from collections.abc import Callable

import torch

from irsde_cli import checkpoint
from irsde_cli.inverse import build_method
from irsde_cli.inverse.method import Problem, log_levels
from irsde_cli.networks.tiling import Reduced
from irsde_cli.operators.blur import Blur
from irsde_cli.operators.kernels import arc_kernels
from irsde_cli.restorer import last
from irsde_cli.weights import PRIOR, shipped_path
from tests.benchmarks.turns import in_turns

NOISE = 2 / 255


class Prior:
    """The one that ships, as a method asks for it."""

    def __init__(self) -> None:
        self.restorer = checkpoint.load(shipped_path(PRIOR)).restorer
        self.restorer.freeze()
        self.largest = self.restorer.largest_noise

    def __call__(self, x: torch.Tensor, sigma: float) -> torch.Tensor:
        return self.restorer.denoised(x, sigma, Reduced(torch.bfloat16))


def main() -> None:
    """Print a line for each border."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=1024)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    size, prior, method = (asked.side, asked.side), Prior(), build_method("dpir", {})
    seen = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(0))
    length, angle, bend = (torch.tensor([value]) for value in (15.0, 0.5, 0.6))
    kernels = arc_kernels(length, angle, bend, 11)

    def alone() -> None:
        for sigma in log_levels(49 / 255, NOISE, asked.steps):
            prior(seen, sigma)

    def circular() -> None:
        last(method.steps(Problem(seen, Blur(kernels, size, "circular"), NOISE), prior, asked.steps, torch.randn_like))

    def mirrored() -> None:
        last(method.steps(Problem(seen, Blur(kernels, size), NOISE), prior, asked.steps, torch.randn_like))

    runs: dict[str, Callable[[], None]] = {"the prior alone": alone, "circular": circular, "mirror": mirrored}
    with torch.inference_mode():
        taken = in_turns(runs, asked.rounds)
    least = min(taken["the prior alone"])
    for name, times in taken.items():
        print(f"{name:16} {min(times):6.2f} s of the processor, {min(times) / least:4.2f} times the prior")


if __name__ == "__main__":
    main()
