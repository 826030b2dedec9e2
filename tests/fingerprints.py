"""Networks filled by a rule, and the numbers that published code gave with the same fill.

The rules stand in the golden folder: `systems1_fingerprints.md`, section 1.
"""

import json
import math
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

Rule = Literal["A", "H"]
PASSED_OVER = ("relative_position_index", "relative_positions", "num_batches_tracked", "queue_ptr")


def fingerprint(shared: Path, file: str, name: str) -> dict[str, Any]:
    """What was recorded of one network."""
    recorded: dict[str, Any] = json.loads((shared / "golden" / f"{file}.json").read_text())[name]
    return recorded


def fill(network: nn.Module, rule: Rule, named: Callable[[str], str] = str) -> None:
    """Give each value of a network the number of its name and place; `named` says the published name."""
    for name, tensor in network.state_dict().items():
        if tensor.is_floating_point() and not any(word in name for word in PASSED_OVER):
            tensor.copy_(_values(named(name), tensor, rule))


def _values(name: str, tensor: Tensor, rule: Rule) -> Tensor:
    index = torch.arange(1, tensor.numel() + 1, dtype=torch.float64)
    wave = torch.sin(12.9898 * index + zlib.crc32(name.encode()) % 1000)
    if rule == "A":
        base = math.sqrt(2) * wave
    else:
        hashed = 43758.5453 * wave
        base = math.sqrt(3) * (2 * (hashed - hashed.floor()) - 1)
    base = base.reshape(tensor.shape)
    last, dims = name.rpartition(".")[2], tensor.ndim
    if last == "temperature":
        return (4 * (1 + 0.1 * base)).to(tensor)
    if dims >= 5:
        return base.to(tensor)
    if dims >= 3 and len(tensor) == 1:
        return (1 + 0.1 * base).to(tensor)
    if dims >= 2:
        return (0.7 * base / math.sqrt(tensor[0].numel())).to(tensor)
    if last == "running_var":
        return (1 + 0.1 * base.abs()).to(tensor)
    return (1 + 0.1 * base if last == "weight" else 0.1 * base).to(tensor)


def image(height: int, width: int) -> Tensor:
    """The picture that every network was shown, (1, 3, H, W)."""
    y, x = torch.arange(height)[:, None], torch.arange(width)
    return torch.stack([0.5 + 0.5 * torch.sin(0.1 * y * (c + 1) + 0.07 * x) for c in range(3)])[None]


def check(output: Tensor, recorded: dict[str, Any], tolerance: float = 1e-4) -> None:
    """Shape, mean, spread and four values, within that share of the output's largest value."""
    assert list(output.shape) == recorded["shape"]
    flat = output.double().flatten()
    count = len(flat)
    found = [flat.mean(), flat.std(correction=0), *(flat[at] for at in (0, count // 3, count // 2, count - 1))]
    wanted = torch.tensor([recorded["mean"], recorded["std"], *recorded["probe"]], dtype=torch.float64)
    torch.testing.assert_close(torch.stack(found), wanted, atol=tolerance * float(flat.abs().max()), rtol=0)
