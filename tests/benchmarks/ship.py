"""Put the network of a training run into the package: half precision, with its own sampler.

python -m tests.benchmarks.ship RUN NAME [--mean RUN] [--data-name TEXT --licence TEXT]
"""

import argparse
from pathlib import Path

import torch

from irsde_cli import checkpoint
from irsde_cli.networks.tiling import Evaluate, Tiles, whole
from irsde_cli.observation import Observation
from irsde_cli.randomness import ImageNoise, generator_for
from irsde_cli.restorer import Restorer, last
from irsde_cli.samplers.settings import Sampling
from irsde_cli.weights import shipped_path
from tests.benchmarks.recipes import FREE

WEIGHTS_LICENCE = "Apache-2.0"


def tile_tolerance(restorer: Restorer) -> float:
    """Largest difference, of 255, that tiles of 256 pixels with the default overlap of 128 make on white noise."""
    degraded = torch.rand(1, 3, 448, 448, generator=torch.Generator().manual_seed(0))

    def run(evaluate: Evaluate) -> torch.Tensor:
        noise = ImageNoise([generator_for(0, b"tile")])
        with torch.inference_mode():
            return last(restorer.steps(Observation(degraded), noise, restorer.resolve(Sampling()), evaluate))

    return float((run(Tiles(256, 128)) - run(whole)).abs().max() * 255)


def main() -> None:
    """Write `irsde_cli/shipped/NAME.safetensors`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("name")
    parser.add_argument("--mean", type=Path, help="another run of the same training: the mean of their weights ships")
    parser.add_argument("--data-name", help="what it was trained on, instead of what the run says")
    parser.add_argument("--licence", help="the terms of the data, instead of what the run says")
    arguments = parser.parse_args()
    loaded = checkpoint.load(arguments.run / "model.safetensors")
    restorer, header = loaded.restorer, loaded.header
    if arguments.mean is not None:
        other = checkpoint.load(arguments.mean / "model.safetensors").restorer.state_dict()
        restorer.load_state_dict({name: (one + other[name]) / 2 for name, one in restorer.state_dict().items()})
    checkpoint.save(
        shipped_path(arguments.name),
        restorer,
        dtype=torch.float16,
        task=header.task,
        data=arguments.data_name or header.data,
        licence=arguments.licence or header.licence,
        weights_licence=WEIGHTS_LICENCE if arguments.name in FREE else "",
        step=header.step,
        tile_tolerance=round(tile_tolerance(restorer), 4),
    )
    print(checkpoint.read_header(shipped_path(arguments.name)))


if __name__ == "__main__":
    main()
