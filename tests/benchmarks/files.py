"""What a small picture costs beside its network: milliseconds a file, by the clock and of the processor.

    python -m tests.benchmarks.files [--count 3000] [--side 64] [--format png jpeg] [--model denoise-photo] [--profile]

Without --model the network multiplies by 1.01, so that all that is left is reading, judging, writing and recording.
Start-up is left out: time counts from the first event to the last. On Linux the time is told apart that the main thread
stood in line for a processor: less that, the clock says at most a little more than on a machine that does nothing else.
With --profile the main thread is profiled.
"""

import argparse
import cProfile
import os
import pstats
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from irsde_cli import checkpoint
from irsde_cli.networks import NETWORKS
from irsde_cli.networks.facts import Facts
from irsde_cli.networks.network import Mapper
from irsde_cli.randomness import RandnLike
from irsde_cli.registry import Entry
from irsde_cli.systems.one_pass import OnePass, OnePassConfig
from irsde_cli.systems.parts import NetworkConfig
from irsde_cli.workflows.restore.events import Done
from irsde_cli.workflows.restore.options import Options
from irsde_cli.workflows.restore.run import prepare


class Nothing(Mapper):
    """A network that costs nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.facts = Facts(working_bytes=4)

    def forward(self, image: Tensor, randn_like: RandnLike | None = None) -> Tensor:
        return 1.01 * image


def pictures(folder: Path, count: int, side: int, format: str) -> Path:
    """So many pictures of noise on a slope."""
    folder.mkdir()
    draw = np.random.default_rng(0)
    slope = np.add.outer(np.arange(side), np.arange(side))[..., None] * 127 // side
    for index in range(count):
        noisy = slope + draw.normal(0, 10, (side, side, 3))
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(folder / f"{index:05}.{format}")
    return folder


def in_line() -> float:
    """Seconds that this thread could have run and had no processor; 0 where the system does not say it."""
    try:
        return int(Path("/proc/thread-self/schedstat").read_text().split()[1]) / 1e9
    except OSError:
        return 0.0


def restored(options: Options) -> tuple[float, float, float, int]:
    """Seconds by the clock, of them in line for a processor, and of the processor; and how many results."""
    job = prepare(options)
    clock, line, used = time.perf_counter(), in_line(), os.times()
    done = sum(isinstance(event, Done) for event in job.run(lambda: False))
    now = os.times()
    processor = now.user + now.system - used.user - used.system
    return time.perf_counter() - clock, in_line() - line, processor, done


def main() -> None:
    """Print a line for each format."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=3000)
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--format", nargs="+", default=["png", "jpeg"])
    parser.add_argument("--model")
    parser.add_argument("--profile", action="store_true")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        weights = folder / "nothing.safetensors"
        NETWORKS._entries["nothing"] = Entry("tests.benchmarks.files:Nothing")
        checkpoint.save(weights, OnePass(OnePassConfig(NetworkConfig("nothing"))), task="denoise")
        for format in asked.format:
            inputs = pictures(folder / format, asked.count, asked.side, format)
            model = asked.model or str(weights)
            options = Options(inputs=(str(inputs),), outputs=str(folder / f"out-{format}"), task="denoise", model=model)
            profile = cProfile.Profile()
            if asked.profile:
                profile.enable()
            clock, line, processor, done = restored(options)
            if asked.profile:
                profile.disable()
                pstats.Stats(profile).sort_stats("tottime").print_stats(25)
            print(
                f"{done} of {asked.side} pixels, {format}: {1000 * clock / done:.2f} ms each by the clock, "
                f"{1000 * line / done:.2f} of them in line, {1000 * processor / done:.2f} of the processor",
                flush=True,
            )


if __name__ == "__main__":
    main()
