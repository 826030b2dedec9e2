"""The faster form of a frozen network beside its plain layers, channels last: processor time of one thread, in turns.

    python -m tests.benchmarks.frozen [NETWORK ...] [--size 128] [--rounds 5] [--precision bf16 fp32]

Fresh weights. Prints the shortest time of each form, their ratio, the median ratio of the rounds, and how far each lies
from the plain layers in float32.
"""

import argparse
import copy
import statistics
from functools import partial

import torch
from torch import Tensor

from irsde_cli.networks import NETWORKS
from irsde_cli.networks.fusible import Fusible
from tests.benchmarks.turns import in_turns

DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}


def forms(name: str) -> tuple[Fusible, Fusible]:
    """The plain layers and the faster form, with the same weights."""
    torch.manual_seed(0)
    network = NETWORKS.load(name)().eval().requires_grad_(False)
    if not isinstance(network, Fusible):
        raise SystemExit(f"'{name}' has no faster form")
    for parameter in network.parameters():
        parameter.add_(0.01 * torch.randn_like(parameter))
    plain = copy.deepcopy(network)
    for one in (plain, network):
        one.freeze()
    plain.frozen = False
    return plain, network


def output(network: Fusible, image: Tensor, dtype: torch.dtype) -> Tensor:
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=dtype != torch.float32):
        made: Tensor = network(image, image, torch.tensor([50])).float()
    return made


def main() -> None:
    """Print a line for each network and precision."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", default=["nafnet", "unet"])
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--precision", nargs="+", choices=DTYPES, default=[*DTYPES])
    asked = parser.parse_args()
    torch.set_num_threads(1)
    image = torch.rand(1, 3, asked.size, asked.size, generator=torch.Generator().manual_seed(0))
    for name in asked.networks:
        pair = forms(name)
        exact = output(pair[0], image, torch.float32)
        for precision in asked.precision:
            dtype = DTYPES[precision]
            errors = [float((output(one, image, dtype) - exact).norm() / exact.norm()) for one in pair]
            before, after = (partial(output, one, image, dtype) for one in pair)
            taken = in_turns({"plain": before, "faster": after}, asked.rounds)
            plain, faster = (1000 * min(times) for times in taken.values())
            median = statistics.median(one / other for one, other in zip(*taken.values(), strict=True))
            print(
                f"{name} {asked.size} {precision}: {plain:.0f} ms, {faster:.0f} ms, {plain / faster:.2f} times as fast "
                f"(median {median:.2f}); errors {errors[0]:.1e}, {errors[1]:.1e}",
                flush=True,
            )


if __name__ == "__main__":
    main()
