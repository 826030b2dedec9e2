"""Seconds of the processor for a megapixel that comes out, for weights by their names, one thread, in turns.

    IRSDE_WEIGHTS=FOLDER python -m tests.benchmarks.seconds NAME ... [--side 256] [--rounds 2] [--precision bf16]

Each restores the same picture as `restore` does by itself; start-up and files are left out.
"""

import argparse
import time

import torch

from irsde_cli.engine.loading import load
from irsde_cli.networks.network import Network
from irsde_cli.networks.tiling import Reduced, whole
from irsde_cli.observation import Observation
from irsde_cli.randomness import ImageNoise, generator_for
from irsde_cli.restorer import Restorer, last
from irsde_cli.samplers.settings import Sampling
from irsde_cli.weights import find_weights
from tests.fingerprints import image


def restored(restorer: Restorer, side: int, half: bool) -> float:
    """Restore a picture whose result has that side; the seconds that it took."""
    shown = image(side // restorer.scale, side // restorer.scale)
    since = time.process_time()
    with torch.inference_mode():
        evaluate = Reduced(torch.bfloat16) if half else whole
        steps = restorer.steps(
            Observation(shown), ImageNoise([generator_for(0, b"")], None), restorer.resolve(Sampling()), evaluate
        )
        last(steps)
    return time.process_time() - since


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+")
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--precision", choices=("bf16", "fp32"), default="bf16")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    found: dict[str, float] = {}
    loaded = {}
    for name in asked.names:
        loaded[name] = load(find_weights(name, ""), "", Sampling()).restorer
        for part in loaded[name].children():
            if isinstance(part, Network):
                part.freeze()
    for _ in range(asked.rounds):
        for name, restorer in loaded.items():
            side = asked.side // restorer.scale * restorer.scale
            taken = 1e6 * restored(restorer, side, asked.precision == "bf16") / side**2
            found[name] = min(found.get(name, float("inf")), taken)
    print("| weights | s/MP |\n|---|---:|")
    for name, seconds in found.items():
        print(f"| `{name}` | {seconds:.3g} |")


if __name__ == "__main__":
    main()
