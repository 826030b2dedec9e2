"""OpenVINO beside our frozen networks: processor time of one thread, in turns, and the distance from plain float32.

    python -m tests.benchmarks.engines [NETWORK ...] [--size 128] [--rounds 7] [--precision bf16 fp32]

A NETWORK is a row of the networks' table, with fresh weights, or a network of the package (`denoise-photo`). OpenVINO
(pip install openvino) gets the graph with the time index as a number, which it can fold as we do, and shapes that may
change. Conversion and compiling are timed apart.
"""

import argparse
import copy
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn

from irsde_cli import checkpoint
from irsde_cli.networks import NETWORKS
from irsde_cli.networks.network import Mapper
from irsde_cli.weights import SHIPPED, shipped_path
from tests.benchmarks.frozen import DTYPES
from tests.benchmarks.turns import in_turns

Call = Callable[[Tensor], Tensor]
TIME = 50


class At(nn.Module):
    """A network of images alone: at one time index, if it has one."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("time", torch.tensor([TIME]))

    def forward(self, image: Tensor) -> Tensor:
        if isinstance(self.network, Mapper):
            mapped: Tensor = self.network(image)
            return mapped
        predicted: Tensor = self.network(image, image, self.time)
        return predicted


def network(name: str) -> Any:
    if name in SHIPPED:
        return cast(nn.Module, checkpoint.load(shipped_path(name)).restorer.network).eval().requires_grad_(False)
    torch.manual_seed(0)
    made = NETWORKS.load(name)().eval().requires_grad_(False)
    for parameter in made.parameters():
        parameter.add_(0.01 * torch.randn_like(parameter))
    return made


def ours(frozen: nn.Module, dtype: torch.dtype) -> Call:
    def call(image: Tensor) -> Tensor:
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=dtype != torch.float32):
            made: Tensor = frozen(image).float()
        return made

    return call


def theirs(plain: nn.Module, image: Tensor, precision: str) -> Call:
    import openvino

    since = time.perf_counter()
    with torch.no_grad():
        model = openvino.convert_model(plain, example_input=image, input=[("image", [1, 3, -1, -1])])
    hint = {"bf16": "bf16", "fp32": "f32"}[precision]
    settings = {"INFERENCE_PRECISION_HINT": hint, "INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": "1"}
    request = openvino.Core().compile_model(model, "CPU", settings).create_infer_request()
    print(f"  converted and compiled in {time.perf_counter() - since:.1f} s")

    def call(image: Tensor) -> Tensor:
        return torch.from_numpy(next(iter(request.infer([image.numpy()], share_inputs=True).values())))

    return call


def main() -> None:
    """Print a line for each network and precision."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", default=["denoise-photo", "denoise-small", "nafnet", "unet"])
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--precision", nargs="+", choices=DTYPES, default=[*DTYPES])
    asked = parser.parse_args()
    torch.set_num_threads(1)
    image = torch.rand(1, 3, asked.size, asked.size, generator=torch.Generator().manual_seed(0))
    for name in asked.networks:
        made = network(name)
        frozen = copy.deepcopy(made)
        frozen.freeze()
        exact = ours(At(made), torch.float32)(image)
        for precision in asked.precision:
            pair = (ours(At(frozen), DTYPES[precision]), theirs(At(made), image, precision))
            errors = [float((one(image) - exact).norm() / exact.norm()) for one in pair]
            taken = in_turns({"ours": partial(pair[0], image), "OpenVINO": partial(pair[1], image)}, asked.rounds)
            mine, other = (1000 * min(times) for times in taken.values())
            median = statistics.median(before / after for before, after in zip(*taken.values(), strict=True))
            print(
                f"{name} {asked.size} {precision}: ours {mine:.1f} ms, OpenVINO {other:.1f}, "
                f"{mine / other:.2f} times as fast (median {median:.2f}); errors {errors[0]:.1e}, {errors[1]:.1e}",
                flush=True,
            )


if __name__ == "__main__":
    main()
