"""What a step will cost, counted on tensors without memory before anything is trained."""

import time
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from irsde_cli.observation import Observation
from irsde_cli.systems import build_restorer
from irsde_cli.training.config import TrainConfig
from irsde_cli.training.strategy import Samples, Strategy, build_objective

PROBE_SECONDS = 0.5
EFFICIENCY = 2.0  # how much slower a whole network's step was, than its FLOPs at that speed, on small networks here
STATES = {"adam": 2, "adamw": 2, "lion": 1}


@dataclass(frozen=True)
class Estimate:
    """An estimate, within a factor of two.

    Attributes:
        parameters: how many numbers are learnt.
        memory: bytes at the peak of a step, without the pictures.
        flops: of a step, forwards and backwards.
        seconds: a step, at the speed of a 3x3 convolution measured here and now.
    """

    parameters: int
    memory: int
    flops: int
    seconds: float


def estimate(config: TrainConfig, device: torch.device) -> Estimate:
    """Count one micro-batch on the meta device, and measure the device for a moment."""
    count = config.batch_size // config.accumulate
    seen: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        seen[id(tensor)] = tensor.numel() * tensor.element_size()
        return tensor

    with torch.device("meta"):
        system = build_restorer(config.system, config.model, "'model'")
        system.requires_grad_(False)
        system.learnt.requires_grad_(True)
        clean = torch.empty(count, 3, config.crop, config.crop)
        degraded = torch.empty(count, 3, config.crop // system.scale, config.crop // system.scale)
        t = torch.ones(count, dtype=torch.long)
        objective = build_objective(config.objective, config.objective_options, system, config.system)
        counter = FlopCounterMode(display=False)
        with counter:
            x0, mu = system.endpoints(clean, Observation(degraded))
            with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
                if isinstance(objective, Strategy):
                    loss = objective.probe(system, Samples(x0, mu, t, x0, t, t, t)).mean()
                elif (output := system.probe(x0, mu, t)) is not None:
                    loss = output.mean()
                else:
                    loss = objective(system, x0, mu, t, x0).mean()
    beside = objective.helpers.parameters() if isinstance(objective, Strategy) else ()
    helping = sum(parameter.numel() for parameter in beside)
    weights = sum(parameter.numel() for parameter in system.parameters())
    learnt = sum(parameter.numel() for parameter in system.learnt.parameters())
    del loss
    kept = sum(seen.values()) - 4 * (weights + helping)
    half = config.precision == "bf16"
    numbers = 2 * weights + helping + (learnt + helping) * (1 + STATES[config.optimiser])
    memory = 4 * numbers + max(kept, 0) // (2 if half else 1)
    flops = 3 * counter.get_total_flops() * config.accumulate  # backwards costs twice what forwards does
    return Estimate(learnt, memory, flops, flops / _speed(device, half))


def _speed(device: torch.device, half: bool) -> float:
    """FLOP/s of a 3x3 convolution of 64 channels, forwards."""
    image, weight = torch.rand(4, 64, 64, 64, device=device), torch.rand(64, 64, 3, 3, device=device)
    image = image.contiguous(memory_format=torch.channels_last)
    with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=half):
        F.conv2d(image, weight, padding=1).sum().item()
        fastest, until = float("inf"), time.monotonic() + PROBE_SECONDS
        while time.monotonic() < until:
            since = time.perf_counter()
            F.conv2d(image, weight, padding=1).flatten()[0].item()
            fastest = min(fastest, time.perf_counter() - since)  # others may be at work
    return 2 * 4 * 64 * 64 * 64 * 64 * 9 / fastest / EFFICIENCY
