"""Channels of a quarter-unet that are never on, and how to wake them.

    python -m tests.benchmarks.dead WEIGHTS PHOTOS [OUT] [--rarely 0.002] [--slope 0]

Crops of 128 pixels with five damages go through the network, or with white noise of five levels where it must be told
of noise. OUT is the same network; where it can but need not be told, one that cannot. Channels that are on more rarely
than in that share of all places have fresh weights, and what follows them begins at 0, so that its results stay; with a
slope below 0, which its ReLUs had not, they change until training goes on.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from irsde_cli import checkpoint
from irsde_cli.degradations import DegradationConfig, build_degradation
from irsde_cli.networks.quarter_unet import QuarterBlock, QuarterUNet
from irsde_cli.systems.one_pass import UNTOLD, OnePass
from irsde_cli.training.data import CleanSource, load_clean
from tests.benchmarks.blind import SETS

SIDE = 128
LEVELS = (2, 10, 25, 75, 200)  # of 255
LARGER = 3  # than fresh weights, so that what wakes is about as large as the rest


def photos(folder: Path) -> CleanSource:
    """The photographs of a folder."""
    nothing = build_degradation(DegradationConfig("gaussian-noise"))
    return load_clean(folder, nothing, crop=SIDE, device=torch.device("cpu"), skip_bad=None)


def crops(folder: Path) -> Tensor:
    """A few of each damage, (N, 3, H, W)."""
    clean = photos(folder)
    found = []
    for _, damage, options in SETS["all"]:
        source = replace(clean, degradation=build_degradation(DegradationConfig(damage, options)))
        found += [source.pair(index, SIDE, 0)[1].observation.image for index in range(0, len(source), 4)]
    return torch.cat(found).clamp(0, 1)


def noisy(folder: Path) -> list[tuple[Tensor, Tensor | None]]:
    """A few with noise of each level, which is told."""
    source = photos(folder)
    clean = torch.cat([source.pair(index, SIDE, 0)[1].clean for index in range(0, len(source), 4)])
    return [(clean + level / 255 * torch.randn_like(clean), torch.full((len(clean),), level)) for level in LEVELS]


def untold(old: OnePass) -> OnePass:
    """The network, with what it does where nobody says how strong the noise is."""
    new = OnePass(replace(old.config, noise_level_max=0.0))
    new.load_state_dict(old.state_dict())
    network = cast(QuarterUNet, new.network)
    time = network.time_mlp(torch.tensor([UNTOLD]))
    for layer in cast("list[nn.Linear]", [*network.times]):
        bias = layer(time)[0].detach().clone()
        nn.init.zeros_(layer.weight)
        layer.bias.data.copy_(bias)
    return new


def sloped(old: OnePass, slope: float) -> OnePass:
    """The network with another slope of its ReLUs below 0."""
    network = replace(old.config.network, options={**old.config.network.options, "slope": slope})
    new = OnePass(replace(old.config, network=network))
    new.load_state_dict(old.state_dict())
    return new


def parser() -> argparse.ArgumentParser:
    """What the command takes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path)
    parser.add_argument("photos", type=Path)
    parser.add_argument("out", type=Path, nargs="?")
    parser.add_argument("--rarely", type=float, default=0.002, help="share of all places")
    parser.add_argument("--slope", type=float, help="of the ReLUs of OUT, below 0; that of WEIGHTS if not given")
    return parser


def main() -> None:
    """Print a line for each block."""
    asked = parser().parse_args()
    torch.manual_seed(0)
    loaded = checkpoint.load(asked.weights)
    old, header = loaded.restorer, loaded.header
    assert isinstance(old, OnePass)
    told = old.config.noise_level_max > 0 and not old.config.blind
    system = untold(old) if old.config.noise_level_max and not told else old
    system.requires_grad_(True)  # so that blocks are called and not their fused form
    on: dict[str, Tensor] = {}

    def keep(name: str) -> Any:
        def share(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
            found = (output > 0).float().mean((0, 2, 3))
            on[name] = torch.maximum(on.get(name, found), found)

        return share

    blocks = {name: one for name, one in system.named_modules() if isinstance(one, QuarterBlock)}
    hooks = [block.conv1.register_forward_hook(keep(name)) for name, block in blocks.items()]
    seen = noisy(asked.photos) if told else [(crops(asked.photos), None)]
    before = [system.predict(images, levels=levels).detach() for images, levels in seen]
    for hook in hooks:
        hook.remove()
    for name, block in blocks.items():
        dead = on[name] < asked.rarely
        print(f"{name:24} {int(dead.sum()):4} of {len(dead)} never on")
        fresh = nn.Conv2d(block.conv1.in_channels, block.conv1.out_channels, 3)
        with torch.no_grad():
            block.conv1.weight[dead] = LARGER * fresh.weight[dead]
            cast(Tensor, block.conv1.bias)[dead] = 0
            block.conv2.weight[:, dead] = 0
    if asked.slope is not None:
        system = sloped(system, asked.slope)
        system.requires_grad_(True)
    after = [system.predict(images, levels=levels).detach() for images, levels in seen]
    change = [float((one - other).abs().mean()) for one, other in zip(after, before, strict=True)]
    print(f"results change by {sum(change) / len(change):.5f} on average")
    if asked.out is not None:
        asked.out.parent.mkdir(parents=True, exist_ok=True)
        checkpoint.save(asked.out, system, task=header.task, data=header.data, licence=header.licence)


if __name__ == "__main__":
    main()
