"""Weights of LPIPS: torchvision's backbone and the authors' heads, in one file or two, as our metric names them."""

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from irsde_cli.conversions.dialects import read_state
from irsde_cli.conversions.official import WEIGHT_SUFFIXES
from irsde_cli.errors import WeightsError
from irsde_cli.metrics import METRICS
from irsde_cli.storage import weight_files


def lpips_tensors(metric: str, paths: Sequence[Path]) -> dict[str, Tensor]:
    """The state dict of a row of `METRICS` that is an LPIPS, gathered from files in any order.

    Args:
        metric: `lpips-alex` or `lpips-squeeze`.
        paths: `.pth` files of torchvision and of LPIPS, or a `.safetensors` file with everything.

    Raises:
        WeightsError: a file is damaged, or they do not hold these weights together.
    """
    found: dict[str, Tensor] = {}
    for path in paths:
        found |= {_ours(name): tensor for name, tensor in _read(path).items()}
    expected = METRICS.load(metric)().state_dict()
    where = " and ".join(f"'{path}'" for path in paths)
    for name, tensor in expected.items():
        if name not in found:
            raise WeightsError(f"{where}: '{name}' of {metric} is missing.", hint="Give --from once for each file.")
        if found[name].shape != tensor.shape:
            shapes = f"{list(found[name].shape)}, {metric} has {list(tensor.shape)}"
            raise WeightsError(f"{where}: '{name}' has shape {shapes}.")
    return {name: found[name].float().contiguous() for name in expected}


def _read(path: Path) -> dict[str, Tensor]:
    if path.suffix in WEIGHT_SUFFIXES:
        return read_state(path)
    return weight_files.read(path)


def _ours(name: str) -> str:
    # The authors' heads are called lin0.model.1.weight: a dropout stands before the convolution.
    return name.replace(".model.1.", ".")
