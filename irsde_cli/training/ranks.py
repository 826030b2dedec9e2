"""One device, or several through Hugging Face accelerate: what a training step asks of either."""

import os
from typing import Any

import torch
from torch import Tensor, nn

from irsde_cli import extras
from irsde_cli.errors import UsageError


class Ranks:
    """One process on one device.

    Attributes:
        device: where this process computes.
        rank: its number; 0 writes and prints.
        world: how many there are.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.rank = 0
        self.world = 1

    def wrap(self, lesson: nn.Module) -> nn.Module:
        """The module whose gradients are averaged over all processes."""
        return lesson

    def total(self, values: list[float]) -> list[float]:
        """The sums over all processes."""
        return values

    def wait(self) -> None:
        """Until all processes are here."""

    def close(self) -> None:
        """Leave the group."""


class AcceleratedRanks(Ranks):
    """One of several processes that `accelerate launch` or `torchrun` started."""

    def __init__(self, device: torch.device) -> None:
        build = extras.load("accelerate", "training on several devices").Accelerator
        self._accelerator: Any = build(cpu=device.type == "cpu")
        super().__init__(self._accelerator.device)
        self.rank = self._accelerator.process_index
        self.world = self._accelerator.num_processes

    def wrap(self, lesson: nn.Module) -> nn.Module:
        """See `Ranks.wrap`."""
        wrapped: nn.Module = self._accelerator.prepare_model(lesson)
        return wrapped

    def total(self, values: list[float]) -> list[float]:
        """See `Ranks.total`."""
        here = torch.tensor(values, dtype=torch.float32, device=self.device)
        sums: Tensor = self._accelerator.reduce(here, reduction="sum")
        return [float(value) for value in sums]

    def wait(self) -> None:
        """See `Ranks.wait`."""
        self._accelerator.wait_for_everyone()

    def close(self) -> None:
        """See `Ranks.close`."""
        self._accelerator.end_training()


def join(device: torch.device, batch_size: int) -> Ranks:
    """The group that this process was started in.

    Raises:
        UsageError: the batch cannot be shared equally.
        MachineError: accelerate is missing.
    """
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if batch_size % world:
        raise UsageError(
            f"a batch of {batch_size} cannot be shared by {world} devices equally.",
            hint="Give --batch-size a multiple of their number.",
        )
    return AcceleratedRanks(device) if world > 1 else Ranks(device)
