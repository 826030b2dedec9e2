"""The selective scan against its definition."""

import pytest
import torch
from torch import Tensor

from irsde_cli.networks import scan
from irsde_cli.networks.scan import fused, operated, selective_scan


def inputs(batch: int, length: int, channels: int, states: int, groups: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(length)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    grouped = (batch, length, groups, states)
    return [
        draw(batch, length, channels),
        torch.nn.functional.softplus(draw(batch, length, channels)),
        -draw(channels, states).exp(),
        draw(*grouped),
        draw(*grouped),
        draw(channels),
    ]


def by_definition(u: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
    """One step after another, in the precision of what comes in."""
    each = u.shape[-1] // b.shape[2]
    b, c = (x.repeat_interleave(each, dim=2) for x in (b, c))
    h = torch.zeros(len(u), *a.shape, dtype=u.dtype)
    rows = []
    for t in range(u.shape[1]):
        h = (delta[:, t, :, None] * a).exp() * h + (delta[:, t] * u[:, t])[..., None] * b[:, t]
        rows.append((h * c[:, t]).sum(-1) + d * u[:, t])
    return torch.stack(rows, dim=1)


SHAPES = [(1, 1, 2, 1, 1), (2, 7, 6, 3, 2), (1, 40, 4, 2, 4), (2, 32, 3, 5, 1)]


@pytest.mark.parametrize("shape", SHAPES)
def test_the_scan_is_what_its_definition_says(shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the segments, in values and in all six gradients."""
    monkeypatch.setattr(scan, "HELD", 1)
    monkeypatch.setattr(scan, "FEWEST", 16)
    exact = [x.requires_grad_() for x in inputs(*shape)]
    ours = [x.detach().float().requires_grad_() for x in exact]
    wanted, found = by_definition(*exact), selective_scan(*ours)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), wanted, atol=1e-5, rtol=1e-5)
    weights = torch.linspace(-1, 1, wanted.numel(), dtype=torch.float64).reshape(wanted.shape)
    (wanted * weights).sum().backward()  # type: ignore[no-untyped-call]
    (found * weights.float()).sum().backward()  # type: ignore[no-untyped-call]
    for one, other in zip(ours, exact, strict=True):
        assert one.grad is not None and other.grad is not None
        torch.testing.assert_close(one.grad.double(), other.grad, atol=2e-5, rtol=2e-5)


def test_a_long_scan_stays_finite() -> None:
    """Factors whose product is far below what float32 holds."""
    u, delta, a, b, c, d = (x.float() for x in inputs(1, 3000, 2, 2, 1))
    found = selective_scan(u, delta + 5, a * 3, b, c, d)
    exact = by_definition(*(x.double() for x in (u, delta + 5, a * 3, b, c, d)))
    torch.testing.assert_close(found.double(), exact, atol=1e-3, rtol=1e-4)


def test_the_operator_for_gpus_is_given_what_it_asks_for() -> None:
    """Time last, and the arguments in its order; its own arithmetic is that of the definition."""

    def operator(u: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
        assert all(x.is_contiguous() and x.dtype == torch.float32 for x in (u, delta, b, c))
        return by_definition(u.mT, delta.mT, a, b.permute(0, 3, 1, 2), c.permute(0, 3, 1, 2), d).mT

    values = [x.float() for x in inputs(2, 9, 6, 3, 2)]
    torch.testing.assert_close(operated(operator, *values), selective_scan(*values), atol=1e-5, rtol=1e-5)


@pytest.mark.gpu
def test_the_operator_for_gpus_agrees() -> None:
    """With the plain scan on the CPU, in values and gradients, where it is installed and there is a GPU."""
    if fused() is None:
        pytest.skip("needs mamba_ssm")
    plain = [x.float().requires_grad_() for x in inputs(2, 700, 6, 3, 2)]
    quick = [x.detach().cuda().requires_grad_() for x in plain]
    found, wanted = selective_scan(*quick), selective_scan(*plain)
    torch.testing.assert_close(found.cpu(), wanted, atol=1e-3, rtol=1e-3)
    for y in (found, wanted):
        y.square().mean().backward()  # type: ignore[no-untyped-call]
    for one, other in zip(quick, plain, strict=True):
        assert one.grad is not None and other.grad is not None
        torch.testing.assert_close(one.grad.cpu(), other.grad, atol=1e-3, rtol=1e-2)


def test_half_precision_around_it_changes_nothing() -> None:
    """Under autocast the scan computes in float32."""
    values = [x.float() for x in inputs(1, 9, 4, 2, 1)]
    plain = selective_scan(*values)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(selective_scan(*values), plain)
