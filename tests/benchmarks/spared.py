"""What a GPU gains by what it is spared: pictures a second, and the published U-Net beside a loop like the reference's.

    python -m tests.benchmarks.spared [--device cuda] [--size 512] [--batch 16] [--frame 1280x720] [--evaluations 100]
        [--reference 10] [--rounds 5] [--json FILE]

A batch of 8-bit pictures goes to the device and comes back. The forms: autocast alone, weights in half precision,
recorded networks, and both with 8-bit results made on the device. Clocks are of the wall, the shortest of the rounds.
On a CPU nothing is recorded: --device cpu --size 32 --batch 2 --frame 64x48 --evaluations 2 --reference 2 --rounds 1.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from irsde_cli import checkpoint
from irsde_cli.engine.sparing import Halved, replay
from irsde_cli.images import in_bytes
from irsde_cli.networks.tiling import Float32, Reduced
from irsde_cli.observation import Observation
from irsde_cli.randomness import ImageNoise, Prefetched, generator_for
from irsde_cli.restorer import Restorer, last
from irsde_cli.runtime import received, sent
from irsde_cli.samplers.settings import Sampling
from irsde_cli.systems.mean_reverting import MeanReverting, MeanRevertingConfig
from irsde_cli.systems.parts import NetworkConfig, ProcessConfig
from irsde_cli.weights import shipped_path
from tests.benchmarks.memory import size_of
from tests.benchmarks.speed_reference import reference_sample

SMALL = ("denoise-photo", "deblur-small")
FORMS = {"autocast": (), "weights": ("weights",), "recorded": ("recorded",), "all": ("weights", "recorded", "bytes")}


def restored(system: Restorer, pictures: Tensor, device: torch.device, dtype: torch.dtype | None, **how: Any) -> Tensor:
    """8-bit pictures (B, 3, H, W) of the CPU, restored and back there: in [0, 1], or `whole` numbers."""
    sampling = system.resolve(Sampling(**how.get("sampling", {})))
    noise = ImageNoise([generator_for(0, str(index).encode()) for index in range(len(pictures))])
    with torch.inference_mode(), Prefetched(noise) as ahead:
        observation = Observation(sent(pictures, device))
        result = last(system.steps(observation, ahead, sampling, Reduced(dtype) if dtype else Float32())).clamp(0, 1)
        return received(in_bytes(result) if how.get("whole") else result)


def seconds(work: Callable[[], object], rounds: int) -> float:
    """The shortest; what comes first prepares, and what comes second is recorded."""
    taken = []
    for index in range(rounds + 2):
        since = time.perf_counter()
        work()
        if index > 1:
            taken.append(time.perf_counter() - since)
    return min(taken)


def plain(system: Restorer, device: torch.device) -> None:
    """As a run has it on a GPU; a CPU has a form of its own, which spares it nothing of this."""
    if device.type != "cpu":
        system.freeze()


def small(given: argparse.Namespace, device: torch.device) -> list[dict[str, Any]]:
    """Pictures a second of the networks that ship, in each form, and how far results lie from those of autocast."""
    generator = torch.Generator().manual_seed(0)
    pictures = torch.randint(0, 256, (given.batch, 3, given.size, given.size), generator=generator, dtype=torch.uint8)
    found = []
    for name in SMALL:
        expected: Tensor | None = None
        for form, parts in FORMS.items():
            system = checkpoint.load(shipped_path(name)).restorer.to(device)
            plain(system, device)
            if "weights" in parts:
                Halved(system, torch.bfloat16)
            if "recorded" in parts:
                replay(system)

            def work(system: Restorer = system, whole: bool = "bytes" in parts) -> Tensor:
                return restored(system, pictures, device, torch.bfloat16, whole=whole)

            taken = seconds(work, given.rounds)
            made = work()
            made = made if made.is_floating_point() else made / 255
            expected = made if expected is None else expected
            apart = float((made - expected).abs().max())
            found.append({"network": name, "form": form, "pictures_per_second": given.batch / taken, "apart": apart})
            print(f"{name} {form}: {given.batch / taken:.1f} pictures a second, {apart:.1e} apart", flush=True)
    return found


def published(given: argparse.Namespace, device: torch.device) -> dict[str, Any]:
    """Seconds of the published U-Net with fresh weights on one frame, ours and as the reference has it."""
    width, height = given.frame
    generator = torch.Generator().manual_seed(0)
    frame = torch.randint(0, 256, (1, 3, height, width), generator=generator, dtype=torch.uint8)
    config = MeanRevertingConfig(NetworkConfig("unet"), ProcessConfig(prediction="clean"))
    torch.manual_seed(0)
    system = MeanReverting(config).eval().requires_grad_(False).to(device)
    degraded = sent(frame, device).float() / 255
    with torch.inference_mode():
        loop = seconds(lambda: reference_sample(system, degraded, b"a", given.reference)[-1].cpu(), 1)
    plain(system, device)
    Halved(system, torch.bfloat16)
    replay(system)
    settings = {"sampler": "posterior", "steps": given.evaluations}
    ours = seconds(lambda: restored(system, frame, device, torch.bfloat16, sampling=settings, whole=True), 1)
    ratio = (loop / given.reference) / (ours / given.evaluations)
    print(f"unet {width}x{height}: {given.evaluations} evaluations in {ours:.2f} s, {ratio:.2f} times the reference's")
    return {"frame": given.frame, "evaluations": given.evaluations, "seconds": ours, "times_the_reference": ratio}


def parser() -> argparse.ArgumentParser:
    """What the script takes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--frame", type=size_of, default=(1280, 720))
    parser.add_argument("--evaluations", type=int, default=100)
    parser.add_argument("--reference", type=int, default=10, help="evaluations of the reference's loop")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    return parser


def main() -> None:
    """Print a line for each figure."""
    given = parser().parse_args()
    device = torch.device(given.device)
    found = {"small": small(given, device), "published": published(given, device)}
    if given.json:
        given.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
