"""Attention among the pixels of square windows: how a plane is cut into them, and who may look at whom."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def cut(plane: Tensor, side: int, shift: int = 0) -> Tensor:
    """A plane (B, H, W, C), of sides that windows divide, to windows (B rows columns, side side, C).

    With a shift the windows begin that much farther down and to the right, and the last ones go around.
    """
    if shift:
        plane = plane.roll((-shift, -shift), dims=(1, 2))
    parts = torch.unflatten(torch.unflatten(plane, 2, (-1, side)), 1, (-1, side))
    return parts.transpose(2, 3).flatten(3, 4).flatten(0, 2)


def joined(windows: Tensor, size: tuple[int, int], shift: int = 0) -> Tensor:
    """The plane (B, H, W, C) of that size again; see `cut`."""
    side = math.isqrt(windows.shape[1])
    parts = torch.unflatten(torch.unflatten(windows, 1, (side, side)), 0, (-1, size[0] // side, size[1] // side))
    plane = parts.transpose(2, 3).flatten(3, 4).flatten(1, 2)
    return plane.roll((shift, shift), dims=(1, 2)) if shift else plane


def places(side: int) -> Tensor:
    """For each two pixels of a window the place of their distance in the table of biases."""
    along = torch.arange(side)
    pixels = torch.cartesian_prod(along, along)
    down, across = (pixels[:, None] - pixels[None]).unbind(-1)
    return (down + side - 1) * (2 * side - 1) + across + side - 1


def strangers(size: tuple[int, int], side: int, shift: int, device: torch.device) -> Tensor:
    """-100 where two pixels of a shifted window come from opposite borders of the image, (windows, pixels, pixels)."""
    # Which of three parts a row or column lies in: the last window is the only one that wraps around.
    down, across = (
        (torch.arange(length, device=device) >= length - side).int()
        + (torch.arange(length, device=device) >= length - shift).int()
        for length in size
    )
    parts = cut((down[:, None] * 3 + across)[None, ..., None], side)[..., 0]
    return (parts[:, :, None] != parts[:, None]) * -100.0


def biases(table: Tensor, places: Tensor) -> Tensor:
    """What is learnt for each distance, ((2 side - 1)^2, heads), for each two pixels, (1, heads, pixels, pixels)."""
    return table[places].permute(2, 0, 1)[None]


def empty_table(side: int, heads: int) -> nn.Parameter:
    """A table of biases for each distance of two pixels, before it is learnt."""
    table = nn.Parameter(torch.zeros((2 * side - 1) ** 2, heads))
    nn.init.trunc_normal_(table, std=0.02)
    return table


def attended(qkv: Tensor, heads: int, bias: Tensor | None = None, apart: Tensor | None = None) -> Tensor:
    """What the pixels of each window gather, (windows, pixels, C), of their `qkv` (windows, pixels, 3 C).

    Args:
        qkv: queries, keys and values.
        heads: of attention.
        bias: (1, heads, pixels, pixels).
        apart: see `strangers`.
    """
    q, k, v = torch.unflatten(qkv, -1, (3, heads, -1)).permute(2, 0, 3, 1, 4)
    mask = None if bias is None else bias.to(q.dtype)
    if apart is not None:  # each window of each image has its own
        apart = apart[:, None].to(q.dtype)
        mask = (apart if mask is None else mask + apart).repeat(len(q) // len(apart), 1, 1, 1)
    gathered = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    return gathered.transpose(1, 2).flatten(2)
