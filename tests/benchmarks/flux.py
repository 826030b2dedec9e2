"""What FLUX costs: parameters, work and memory, counted without memory for them; and the time of a slice of it.

    python -m tests.benchmarks.flux [--measure] [--threads N]

With --measure one block of each kind at full width, on fresh weights in bfloat16, and the autoencoder in float32 are
evaluated three times; the fastest counts.
"""

import argparse
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from irsde_cli.networks.flux import PATCH, Flux
from irsde_cli.networks.kl_autoencoder import KlAutoencoder

FACTOR, CHANNELS, TEXT = 8, 16, 512
SIDES = (512, 1024, 2048)


def millions(module: torch.nn.Module) -> float:
    return sum(parameter.numel() for parameter in module.parameters()) / 1e6


def latents(side: int) -> tuple[Tensor, Tensor, Tensor]:
    shape = (1, CHANNELS, side // FACTOR, side // FACTOR)
    return torch.empty(shape), torch.empty(shape), torch.ones(1)


def work(call: Callable[[], Any]) -> float:
    """In 10^12 multiplications and additions."""
    counter = FlopCounterMode(display=False)
    with counter:
        call()
    return counter.get_total_flops() / 1e12


def kept_for_gradients(network: Flux, side: int) -> float:
    """Bytes in bfloat16 that an evaluation keeps, with a kernel that does not keep attention's matrices."""
    own = {parameter.untyped_storage()._cdata for parameter in network.parameters()}
    tokens = (side // FACTOR // PATCH) ** 2 + TEXT
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()._cdata
        if storage not in own and tuple(tensor.shape[-2:]) != (tokens, tokens):
            kept[storage] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        network(*latents(side))
    return sum(tensor.untyped_storage().nbytes() for tensor in kept.values()) / 2


def count() -> None:
    """Print the tables that need no time."""
    with torch.device("meta"):
        network, autoencoder = Flux().requires_grad_(False), KlAutoencoder().requires_grad_(False)
        parts = {
            "transformer": network.transformer, "controlnet": network.controlnet,
            "encoder": autoencoder.vae.encoder, "decoder": autoencoder.vae.decoder,
        }  # fmt: skip
        for name, part in parts.items():
            print(f"{name:12} {millions(part):10.1f} million parameters")
        for side in SIDES:
            image, (latent, _, _) = torch.empty(1, 3, side, side), latents(side)
            found = {
                "evaluation": work(partial(network, *latents(side))),
                "encode": work(partial(autoencoder.encode, image)),
                "decode": work(partial(autoencoder.decode, latent)),
            }
            network.controlnet.requires_grad_(True)
            bytes_kept = kept_for_gradients(network, side)
            network.controlnet.requires_grad_(False)
            figures = ", ".join(f"{name} {value:.1f}" for name, value in found.items())
            print(f"{side:5} pixels: TFLOP {figures}; for gradients {bytes_kept / 1e9:.1f} GB")


def fastest(call: Callable[[], Any]) -> float:
    seconds = []
    for _ in range(3):
        since = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - since)
    return min(seconds)


def measure() -> None:
    """Print seconds of a slice."""
    small: dict[str, Any] = {"double_blocks": 1, "single_blocks": 1, "control_double_blocks": 1}
    with torch.device("meta"):
        slice_work = {side: work(partial(Flux(**small), *latents(side))) for side in SIDES[:2]}
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    network = Flux(**small).requires_grad_(False)
    torch.set_default_dtype(default)
    autoencoder = KlAutoencoder().requires_grad_(False)
    with torch.inference_mode():
        for side in SIDES[:2]:
            x = torch.randn(1, CHANNELS, side // FACTOR, side // FACTOR).bfloat16()
            seconds = fastest(partial(network, x, x, torch.tensor([0.5])))
            speed = slice_work[side] / seconds
            print(f"{side:5} pixels: a slice of {slice_work[side]:.2f} TFLOP in {seconds:.1f} s, {speed:.2f} TFLOP/s")
        image = torch.rand(1, 3, 256, 256)
        latent = autoencoder.encode(image)
        encoding, decoding = fastest(partial(autoencoder.encode, image)), fastest(partial(autoencoder.decode, latent))
        print(f"  256 pixels: encoding {encoding:.1f} s, decoding {decoding:.1f} s")


def main() -> None:
    """Print what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measure", action="store_true")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    count()
    if arguments.measure:
        measure()


if __name__ == "__main__":
    main()
