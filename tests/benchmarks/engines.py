"""`--engine openvino` beside torch: processor time of one thread, in turns, and the distance from plain float32.

    python -m tests.benchmarks.engines [NETWORK ...] [--size 128 ...] [--rounds 7] [--precision bf16 fp32]

A NETWORK is a row of the networks' table, with fresh weights, or a network of the package (`denoise-photo`). Both run
as in `restore`: torch with frozen weights, OpenVINO converted for any size.
"""

import argparse
import copy
import time
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn

from irsde_cli import checkpoint
from irsde_cli.engine import openvino
from irsde_cli.networks import NETWORKS
from irsde_cli.networks.network import Mapper
from irsde_cli.weights import SHIPPED, shipped_path
from tests.benchmarks.frozen import DTYPES
from tests.benchmarks.turns import in_turns, times_as_fast

TIME = 50


def network(name: str) -> Any:
    if name in SHIPPED:
        return cast(nn.Module, checkpoint.load(shipped_path(name)).restorer.network).eval().requires_grad_(False)
    torch.manual_seed(0)
    made = NETWORKS.load(name)().eval().requires_grad_(False)
    for parameter in made.parameters():
        parameter.add_(0.01 * torch.randn_like(parameter))
    return made


def output(run: Any, inputs: tuple[Tensor, ...], dtype: torch.dtype) -> Tensor:
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=dtype != torch.float32):
        made: Tensor = run(*inputs).float()
    return made


def main() -> None:
    """Print a line for each network, size and precision."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", default=["denoise-photo", "denoise-small", "nafnet", "unet"])
    parser.add_argument("--size", type=int, nargs="+", default=[128])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--precision", nargs="+", choices=DTYPES, default=[*DTYPES])
    asked = parser.parse_args()
    torch.set_num_threads(1)
    for name in asked.networks:
        made = network(name)
        since = time.process_time()
        theirs = openvino.Converted(made.facts, openvino.convert(made))
        print(f"{name}: converted in {time.process_time() - since:.1f} s", flush=True)
        frozen = copy.deepcopy(made)
        frozen.freeze()
        for precision in asked.precision:
            dtype = DTYPES[precision]
            since = time.process_time()
            theirs.compiled(dtype)
            print(f"{name} {precision}: compiled in {time.process_time() - since:.1f} s", flush=True)
            for size in asked.size:
                image = torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(0))
                inputs = (image,) if isinstance(made, Mapper) else (image, image, torch.tensor([TIME]))
                exact = output(made, inputs, torch.float32)
                pair = frozen, theirs
                errors = [float((output(one, inputs, dtype) - exact).norm() / exact.norm()) for one in pair]
                works = {
                    "torch": partial(output, frozen, inputs, dtype),
                    "openvino": partial(output, theirs, inputs, dtype),
                }
                taken = in_turns(works, asked.rounds)
                ours, other = (1000 * min(times) for times in taken.values())
                print(
                    f"{name} {size} {precision}: torch {ours:.1f} ms, OpenVINO {other:.1f}, "
                    f"{times_as_fast(*taken.values())}; errors {errors[0]:.1e}, {errors[1]:.1e}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
