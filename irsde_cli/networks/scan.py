"""The selective scan of Mamba (Gu and Dao, 2023) in plain PyTorch, in float32 whatever the precision around it.

On a GPU the operator of its authors' package `mamba_ssm` is used where that can be imported.
"""

import math
from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

HELD = 2**17  # numbers of the states that are held at a time, as many as stay in a processor's cache
FEWEST = 32  # steps at a time at least
FEW = 512  # numbers of a state, up to which a step costs more by its call than by its work
OPERATOR = "mamba_ssm.ops.selective_scan_interface"
Operator = Callable[..., Tensor]


def selective_scan(u: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
    """y_t = c_t . h_t + d u_t, where h_t = exp(delta_t a) h_{t-1} + delta_t b_t u_t and h starts at zero.

    Time goes first in memory, so that each step is one multiplication and addition in place.
    Nothing is divided by a product of many factors, which would overflow.

    Args:
        u: (B, L, D).
        delta: (B, L, D), positive.
        a: (D, N), negative.
        b: (B, L, G, N); channels are divided evenly among the G groups.
        c: (B, L, G, N).
        d: (D,).

    Returns:
        (B, L, D), float32.
    """
    with torch.autocast(u.device.type, enabled=False):
        operator = fused() if u.is_cuda else None
        if operator is not None:
            return operated(operator, u, delta, a, b, c, d)
        u, delta, b, c = (x.float().transpose(0, 1).contiguous() for x in (u, delta, b, c))
        y: Tensor = _Scan.apply(u, delta, a.float(), b, c)  # type: ignore[no-untyped-call]
        return (y + u * d.float()).transpose(0, 1)


@cache
def fused() -> Operator | None:
    """The operator for GPUs; `None` where it is not installed, or its binary does not fit torch."""
    try:
        operator: Operator = import_module(OPERATOR).selective_scan_fn
    except Exception:  # an extension that was built for another torch may raise anything
        return None
    return operator


def operated(operator: Operator, u: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
    """`selective_scan` by the operator, which wants time last: (B, D, L) and (B, G, N, L)."""
    u, delta = (x.float().transpose(1, 2).contiguous() for x in (u, delta))
    b, c = (x.float().permute(0, 2, 3, 1).contiguous() for x in (b, c))
    return operator(u, delta, a.float(), b, c, d.float()).transpose(1, 2)


class _Scan(torch.autograd.Function):
    """The same without d, time first. Backward is the same scan in reverse, from states that are computed anew."""

    @staticmethod
    def forward(ctx: Any, u: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
        carry = u.new_zeros(1, u.shape[1], *a.shape)
        carries, parts = [], []
        for part in _segments(len(u), carry.numel()):
            carries.append(carry)
            _, states = _states(u[part], delta[part], a, b[part], carry)
            parts.append(_read(states, c[part]))
            carry = states[-1:].clone()
        if any(ctx.needs_input_grad):
            ctx.save_for_backward(u, delta, a, b, c, *carries)
        return torch.cat(parts)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, ...]:
        u, delta, a, b, c, *carries = ctx.saved_tensors
        du, ddelta, db, dc = (torch.empty_like(x) for x in (u, delta, b, c))
        da = torch.zeros_like(a)
        groups = b.shape[2]
        later = torch.zeros_like(carries[0][0])  # what the segment behind adds to the gradient of the last state
        for part, carry in reversed(list(zip(_segments(len(u), later.numel()), carries, strict=True))):
            factors, states = _states(u[part], delta[part], a, b[part], carry)
            grouped = torch.unflatten(dy[part], -1, (groups, -1))
            dc[part] = torch.einsum("lbgdn,lbgd->lbgn", torch.unflatten(states, 2, (groups, -1)), grouped)
            g = (grouped[..., None] * c[part][..., None, :]).flatten(2, 3)
            g[-1] += later
            each = g.unbind()
            for one, behind, factor in zip(each[-2::-1], each[:0:-1], factors.unbind()[:0:-1], strict=True):
                one.addcmul_(factor, behind)
            later = factors[0] * g[0]
            before = torch.cat((carry, states[:-1]))
            decay = g * before * factors
            read = _read(g, b[part])
            du[part] = read * delta[part]
            ddelta[part] = read * u[part] + (decay * a).sum(-1)
            da += (decay * delta[part][..., None]).sum((0, 1))
            db[part] = torch.einsum(
                "lbgdn,lbgd->lbgn",
                torch.unflatten(g, 2, (groups, -1)),
                torch.unflatten(u[part] * delta[part], -1, (groups, -1)),
            )
        return du, ddelta, da, db, dc


def _segments(length: int, numbers: int) -> list[slice]:
    """Steps that are taken at a time, where a state has so many numbers."""
    size = max(HELD // numbers, FEWEST)
    return [slice(start, min(start + size, length)) for start in range(0, length, size)]


def _states(u: Tensor, delta: Tensor, a: Tensor, b: Tensor, carry: Tensor) -> tuple[Tensor, Tensor]:
    """The factors and the states (L, B, D, N) of a segment; `carry` is the state before it, (1, B, D, N)."""
    factors = (delta[..., None] * a).exp_()
    inputs = torch.unflatten(delta * u, -1, (b.shape[2], -1))
    states = (inputs[..., None] * b[..., None, :]).flatten(2, 3)
    states[0].addcmul_(factors[0], carry[0])
    done = _in_chunks(factors, states) if states[0].numel() <= FEW else 1
    _step(factors[done:], states[done - 1 :])
    return factors, states


def _step(factors: Tensor, states: Tensor) -> None:
    """Each state but the first becomes itself and the one before, times its factor."""
    each = states.unbind()  # at once: to cut out one at a time costs more than the step
    for state, before, factor in zip(each[1:], each[:-1], factors.unbind(), strict=True):
        state.addcmul_(factor, before)


def _in_chunks(factors: Tensor, states: Tensor) -> int:
    """The same in fewer and larger steps, of all chunks at once and then from chunk to chunk; how many are done."""
    side = math.isqrt(len(states))
    count = len(states) // side
    factors, states = (torch.unflatten(x[: count * side], 0, (count, side)) for x in (factors, states))
    decay = factors.clone()  # since the chunk began
    _step(factors[:, 1:].transpose(0, 1), states.transpose(0, 1))
    each = decay.unbind(1)
    for one, before in zip(each[1:], each[:-1], strict=True):
        one.mul_(before)
    ends = states[:, -1]
    _step(decay[1:, -1], ends)
    states[1:, :-1].addcmul_(decay[1:, :-1], ends[:-1, None])
    return count * side


def _read(states: Tensor, c: Tensor) -> Tensor:
    """(L, B, D, N) and (L, B, G, N) to (L, B, D)."""
    return torch.einsum("lbgdn,lbgn->lbgd", torch.unflatten(states, 2, (c.shape[2], -1)), c).flatten(2)
