"""What a network computes on its way, for strategies that look inside."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from irsde_cli.networks.network import Network
from irsde_cli.systems.one_pass import OnePass


@contextmanager
def tapped(network: nn.Module, names: Sequence[str]) -> Iterator[dict[str, Tensor]]:
    """The newest outputs of a network's modules of these names, while it is called."""
    found: dict[str, Tensor] = {}

    def keeping(name: str) -> Any:
        def keep(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
            found[name] = output

        return keep

    hooks = [network.get_submodule(name).register_forward_hook(keeping(name)) for name in names]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def widths(system: OnePass) -> list[int]:
    """The channels of the stages of a system's network, from fine to coarse.

    Raises:
        ValueError: its network has no decoder to look into.
    """
    network: Network = system.network
    if not network.stages:
        raise ValueError(f"the network '{system.config.network.name}' has no decoder whose features could be seen")
    parameter = next(network.parameters())
    side = max(network.facts.padded_size(1, 1))
    with torch.no_grad(), tapped(network, network.stages) as found:
        system.predict(torch.zeros(1, 3, side, side, device=parameter.device))
    return [found[name].shape[1] for name in network.stages]
