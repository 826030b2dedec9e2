"""The faster form of a frozen network beside its plain layers, channels last: processor time of one thread, in turns.

    python -m tests.benchmarks.frozen [NETWORK ...] [--size 128] [--rounds 5] [--precision bf16 fp32] [--loop 3]

Fresh weights. Prints the shortest time of each form, their ratio, the median ratio of the rounds, and how far each lies
from the plain layers in float32. With `--loop` whole samplings of so many evaluations are compared instead, with a loop
in the style of the reference, in float32: `tests.benchmarks.speed_reference`.
"""

import argparse
import copy
from functools import partial

import torch
from torch import Tensor

from irsde_cli.networks import NETWORKS
from irsde_cli.networks.fusible import Fusible
from irsde_cli.networks.tiling import Reduced, whole
from irsde_cli.observation import Observation
from irsde_cli.randomness import ImageNoise, Prefetched, generator_for
from irsde_cli.restorer import last
from irsde_cli.samplers.settings import Sampling
from irsde_cli.systems.mean_reverting import MeanReverting, MeanRevertingConfig
from irsde_cli.systems.parts import NetworkConfig, ProcessConfig
from tests.benchmarks.speed_reference import reference_sample
from tests.benchmarks.turns import in_turns, times_as_fast

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


def loops(name: str, image: Tensor, steps: int, precisions: list[str], rounds: int) -> None:
    """Print how many times as fast as the reference's loop ours is, and by how much the results differ."""
    systems = []
    for _ in range(2):
        torch.manual_seed(0)
        system = MeanReverting(MeanRevertingConfig(NetworkConfig(name), ProcessConfig(prediction="clean")))
        systems.append(system.eval().requires_grad_(False))
    reference, ours = systems
    ours.freeze()
    sampling = ours.resolve(Sampling("posterior", steps))

    def theirs() -> Tensor:
        with torch.inference_mode():
            return reference_sample(reference, image, b"a", steps)[-1]

    def sampled(precision: str) -> Tensor:
        evaluate = whole if precision == "fp32" else Reduced(DTYPES[precision])
        with torch.inference_mode(), Prefetched(ImageNoise([generator_for(0, b"a")])) as noise:
            return last(ours.steps(Observation(image), noise, sampling, evaluate))

    works = {"reference": theirs} | {one: partial(sampled, one) for one in precisions}
    expected = theirs()
    apart = {one: float((sampled(one) - expected).abs().max()) for one in precisions}
    taken = {work: [1000 * one / steps for one in times] for work, times in in_turns(works, rounds).items()}
    for one in precisions:
        old, new = min(taken["reference"]), min(taken[one])
        print(
            f"{name} {image.shape[-1]} {one}: an evaluation of the reference's loop {old:.0f} ms, ours {new:.0f} ms, "
            f"{times_as_fast(taken['reference'], taken[one])}; largest difference {apart[one]:.1e}",
            flush=True,
        )


def main() -> None:
    """Print a line for each network and precision."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", default=["nafnet", "unet"])
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--precision", nargs="+", choices=DTYPES, default=[*DTYPES])
    parser.add_argument("--loop", type=int, default=0, help="evaluations of a sampling beside the reference's loop")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    image = torch.rand(1, 3, asked.size, asked.size, generator=torch.Generator().manual_seed(0))
    for name in asked.networks:
        if asked.loop:
            loops(name, image, asked.loop, asked.precision, asked.rounds)
            continue
        pair = forms(name)
        exact = output(pair[0], image, torch.float32)
        for precision in asked.precision:
            dtype = DTYPES[precision]
            errors = [float((output(one, image, dtype) - exact).norm() / exact.norm()) for one in pair]
            before, after = (partial(output, one, image, dtype) for one in pair)
            taken = in_turns({"plain": before, "faster": after}, asked.rounds)
            plain, faster = (1000 * min(times) for times in taken.values())
            print(
                f"{name} {asked.size} {precision}: {plain:.0f} ms, {faster:.0f} ms, "
                f"{times_as_fast(*taken.values())}; errors {errors[0]:.1e}, {errors[1]:.1e}",
                flush=True,
            )


if __name__ == "__main__":
    main()
