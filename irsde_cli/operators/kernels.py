"""Kernels of blurs: of files, and by formula.

Each is (K, K), K odd, of sum 1, with its centroid in the middle.
"""

import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from irsde_cli.errors import InputError, UsageError
from irsde_cli.images import read_picture, to_tensor

MOST_SIDE = 1023


def read_kernel(path: Path) -> Tensor:
    """The kernel of a picture, whose channels are averaged, or of a NumPy array: normalised and centred.

    Raises:
        UsageError: it cannot be read, or is no kernel.
    """
    where = f"the kernel '{path}'"
    if path.suffix.lower() == ".npy":
        try:
            values = torch.from_numpy(np.load(path, allow_pickle=False).astype(np.float64))
        except (OSError, ValueError, TypeError) as error:
            raise UsageError(f"{where} cannot be read: {error}.") from None
    else:
        try:
            values = to_tensor(read_picture(path, path.name)).double().mean(0)
        except InputError as error:
            raise UsageError(f"{where}: {error.message}", hint=error.hint) from None
        except OSError as error:
            raise UsageError(f"{where} cannot be read: {error.strerror or error}.") from None
    if values.ndim != 2 or not values.numel() or not torch.isfinite(values).all():
        raise UsageError(f"{where} is no image of finite values: its shape is {list(values.shape)}.")
    if float(values.sum()) <= 0:
        raise UsageError(
            f"{where} has the sum {float(values.sum()):g}; a blur keeps the light, so it must be positive."
        )
    if _is_negative(values):
        raise UsageError(
            f"{where} is dark on bright ground: a kernel is the picture of a point of light, bright on black.",
            hint="Invert it.",
        )
    return centred(values / values.sum(), where)


def _is_negative(kernel: Tensor) -> bool:
    """Whether all of its rim is bright, and something within is not; a box is bright throughout."""
    inside = kernel[1:-1, 1:-1]
    if not inside.numel():
        return False
    rim = torch.cat((kernel[0], kernel[-1], kernel[:, 0], kernel[:, -1])).min()
    return bool(rim > kernel.max() / 2 > inside.min())


def centred(kernel: Tensor, where: str = "the kernel") -> Tensor:
    """A kernel (H, W) of sum 1 in the smallest odd square that has its centroid in the middle, to half a pixel.

    Raises:
        UsageError: it is too large for any picture.
    """
    rows, columns = (torch.arange(side, dtype=kernel.dtype) for side in kernel.shape)
    middle = [round(float((kernel.sum(1) * rows).sum())), round(float((kernel.sum(0) * columns).sum()))]
    used = kernel.nonzero()
    radius = int((used - torch.tensor(middle)).abs().max())
    if 2 * radius + 1 > MOST_SIDE:
        raise UsageError(f"{where} reaches {radius} pixels from its centre; at most {MOST_SIDE // 2} are possible.")
    canvas = kernel.new_zeros(2 * radius + 1, 2 * radius + 1)
    places = used - torch.tensor(middle) + radius
    canvas[places[:, 0], places[:, 1]] = kernel[used[:, 0], used[:, 1]]
    return canvas


def gaussian_kernel(sigma: float, radius: int | None = None) -> Tensor:
    """A Gaussian of that standard deviation in pixels, to four of them unless a radius is given."""
    radius = max(math.ceil(4 * sigma), 1) if radius is None else radius
    axis = torch.exp(-(torch.arange(-radius, radius + 1, dtype=torch.float64) ** 2) / (2 * sigma**2))
    kernel = axis[:, None] * axis
    return kernel / kernel.sum()


def arc_kernels(length: Tensor, angle: Tensor, bend: Tensor, radius: int) -> Tensor:
    """Kernels (B, 2 * `radius` + 1, the same) of arcs that are followed at constant speed, float32.

    Args:
        length: (B,), in pixels, at most 2 * `radius`: no point of a path is farther from the centroid than half of it.
        angle: (B,), direction halfway, in radians.
        bend: (B,), turn from end to end, in radians.
        radius: pixels from the middle to the border.
    """
    count = 8 * radius  # points at most a quarter of a pixel apart
    along = (torch.arange(count, device=length.device) + 0.5) / count - 0.5
    heading = angle[:, None] + bend[:, None] * along
    path = torch.stack((heading.sin(), heading.cos())).cumsum(-1) * (length / count)[:, None]
    return _of_path(path, radius)


def shaken_kernel(length: float, seed: int) -> Tensor:
    """A shaken camera's, like those that Levin et al. (CVPR 2009) measured: a path of that length that wanders."""
    generator = torch.Generator().manual_seed(seed)
    count = 16 * math.ceil(length)
    turns = torch.randn(count, generator=generator, dtype=torch.float64) * (3 / math.sqrt(count))
    speed = torch.nn.functional.interpolate(
        torch.rand(1, 1, 6, generator=generator, dtype=torch.float64) + 0.2, size=count, mode="linear"
    )[0, 0]
    heading = 2 * math.pi * torch.rand((), generator=generator, dtype=torch.float64) + turns.cumsum(0)
    path = torch.stack((heading.sin(), heading.cos())) * speed * (length / speed.sum())
    kernel = _of_path(path.cumsum(-1)[:, None], math.ceil(length / 2) + 1)[0]
    return centred(kernel / kernel.sum())


def _of_path(path: Tensor, radius: int) -> Tensor:
    """Kernels of paths (2, B, points) around their centroids, rows first."""
    path = path - path.mean(-1, keepdim=True)
    pixel = torch.arange(-radius, radius + 1, device=path.device)
    rows, columns = (1 - (pixel - path[..., None]).abs()).clamp_min(0)  # bilinear, which keeps the centroid
    kernels: Tensor = rows.mT @ columns / path.shape[-1]
    return kernels
