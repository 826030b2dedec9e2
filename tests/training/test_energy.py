"""The loss of two heads on toys where the truth is known: spread, error and correlation at each realism."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from irsde_cli.errors import UsageError
from irsde_cli.systems.two_heads import TwoHeads
from irsde_cli.training.energy import difficulty, drawing, energy, score, two_heads
from tests.systems.test_restorers import build


class Toy(nn.Module):
    """A small network from noise to a mean and a difference, of two numbers each."""

    def __init__(self) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.zeros(2))
        self.body = nn.Sequential(nn.Linear(2, 48), nn.SiLU(), nn.Linear(48, 48), nn.SiLU(), nn.Linear(48, 2))

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 2, 1, 1) each: two channels of one pixel."""
        mean = self.mean.expand(len(z), 2)
        return mean[..., None, None], self.body(z)[..., None, None]


def gaussian(count: int, generator: torch.Generator) -> Tensor:
    """Two numbers with a correlation of 0.92."""
    z = torch.randn(count, 2, generator=generator)
    return torch.stack((z[:, 0], 0.92 * z[:, 0] + (1 - 0.92**2) ** 0.5 * z[:, 1]), 1)


def two_modes(count: int, generator: torch.Generator) -> Tensor:
    """One of two places, with little noise around it."""
    side = torch.randint(2, (count, 1), generator=generator) * 2.0 - 1
    return side * torch.tensor([1.0, 0.5]) + 0.15 * torch.randn(count, 2, generator=generator)


def learnt(law: Callable[[int, torch.Generator], Tensor]) -> tuple[Toy, torch.Generator]:
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    network = Toy()
    optimiser = torch.optim.Adam(network.parameters(), 3e-3)
    steps = 1000
    rate = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    shift = torch.zeros(2, dtype=torch.long)
    for _ in range(steps):
        clean = law(512, generator)[..., None, None]
        one, other = (network(torch.randn(512, 2, generator=generator)) for _ in range(2))
        loss = score(one, other, clean, 1.0, shift).mean()
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
        rate.step()
    return network, generator


@pytest.mark.parametrize("law", [gaussian, two_modes])
def test_a_toy_is_learnt(law: Callable[[int, torch.Generator], Tensor]) -> None:
    """Draws at realism A spread A times as far as the truth, and their error is 1 + A^2 times that of the mean."""
    network, generator = learnt(law)
    clean = law(20_000, generator)
    with torch.no_grad():
        mean, difference = (head.clone() for head in network(torch.randn(20_000, 2, generator=generator)))
    least = (clean - clean.mean(0)).square().sum(1).mean()
    for realism in (0.0, 0.5, 1.0):
        drawn = (mean + realism * difference)[..., 0, 0]
        spread = drawn.std(0) / clean.std(0)
        torch.testing.assert_close(spread, torch.full((2,), realism), atol=0.06, rtol=0)
        error = (drawn - clean).square().sum(1).mean() / least
        assert float(error) == pytest.approx(1 + realism**2, rel=0.05)
    truth, found = (torch.corrcoef(points.T)[0, 1] for points in (clean, (mean + difference)[..., 0, 0]))
    assert float(found) == pytest.approx(float(truth), abs=0.04)


class Linear(nn.Module):
    """The network that is exact for a Gaussian problem: mean and difference are linear maps of rows of pixels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mean = nn.Linear(width, width)
        self.difference = nn.Linear(width, width, bias=False)

    def forward(self, mu: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """(B, width) each to (B, 1, 1, width) each."""
        return self.mean(mu)[:, None, None], self.difference(z)[:, None, None]


def test_a_gaussian_problem_is_learnt_within_two_percent() -> None:
    """Rows of 16 pixels under blur and noise: spread and error at each realism are those of the closed form."""
    width, steps, batch = 16, 1500, 1024
    places = torch.arange(width)
    prior = 0.04 * torch.pow(0.9, (places[:, None] - places[None]).abs().float())
    blur = torch.zeros(width, width)
    for offset, weight in ((-1, 0.25), (0, 0.5), (1, 0.25)):
        inside = (places + offset).abs()
        inside = torch.where(inside > width - 1, 2 * (width - 1) - inside, inside)
        blur[places, inside] += weight
    noise = 0.05
    posterior = torch.linalg.inv(torch.linalg.inv(prior) + blur.T @ blur / noise**2)
    least = posterior.trace() / width
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    network, root = Linear(width), torch.linalg.cholesky(prior)
    optimiser = torch.optim.Adam(network.parameters(), 2e-2)
    rate = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)

    def drawn(count: int) -> tuple[Tensor, Tensor]:
        clean = torch.randn(count, width, generator=generator) @ root.T
        return clean, clean @ blur.T + noise * torch.randn(count, width, generator=generator)

    for _ in range(steps):
        clean, mu = drawn(batch)
        one, other = (network(mu, torch.randn(batch, width, generator=generator)) for _ in range(2))
        shift = torch.randint(8, (2,), generator=generator)
        loss = score(one, other, clean[:, None, None], 0.1, shift).mean()
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
        rate.step()
    clean, mu = drawn(100_000)
    with torch.no_grad():
        mean, difference = (head[:, 0, 0] for head in network(mu, torch.randn(len(mu), width, generator=generator)))
    for realism in (0.0, 0.25, 0.5, 1.0):
        restored = mean + realism * difference
        error = (restored - clean).square().mean() / least
        assert float(error) == pytest.approx(1 + realism**2, rel=0.02)
        spread = ((restored - mean).square().mean() / least).sqrt()
        assert float(spread) == pytest.approx(realism, rel=0.02)
    learnt_root = network.difference.weight.detach()
    # The score sees patches alone: what lies farther apart is free to vary together or not.
    missed = (learnt_root @ learnt_root.T - posterior).diagonal(1).square().mean().sqrt() / least
    assert float(missed) < 0.12, "neighbours vary together as they should"


def test_true_draws_have_the_least_score() -> None:
    """For 4,000 pictures of noise: draws with half or with twice the spread score worse."""
    generator = torch.Generator().manual_seed(0)
    truth, one, other = (torch.randn(1000, 3, 16, 16, generator=generator) for _ in range(3))
    shift = torch.tensor([3, 5])
    scores = [float(energy(factor * one, factor * other, truth, shift).mean()) for factor in (1.0, 0.5, 2.0, 0.0)]
    assert scores[0] == min(scores)


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (8, 8), (13, 40)])
def test_any_size_has_a_score(size: tuple[int, int]) -> None:
    """Smaller than a patch too, wherever the grid lies, and with gradients that are numbers."""
    clean, mean, one, other = (torch.rand(2, 3, *size, requires_grad=True) for _ in range(4))
    losses = score((mean, one), (mean, other), clean, 0.1, torch.tensor([7, 2]))
    assert losses.shape == (2,) and torch.isfinite(losses).all()
    torch.autograd.backward(losses.sum())
    assert mean.grad is not None and torch.isfinite(mean.grad).all()
    assert one.grad is not None and torch.isfinite(one.grad).all()


def test_a_hard_image_weighs_as_much_as_an_easy_one() -> None:
    """Ten times the errors make the same gradient: the worst do not decide, nor does what is nearly clean."""
    torch.manual_seed(0)
    clean = torch.rand(1, 3, 16, 16)
    errors, differences = torch.randn(2, 1, 3, 16, 16), torch.randn(2, 1, 3, 16, 16)
    gradients = []
    for size in (0.02, 0.2):
        means = [(clean + size * error).requires_grad_() for error in errors]
        heads = [(mean, size * difference) for mean, difference in zip(means, differences, strict=True)]
        unit = difficulty(means[0], clean)
        loss = unit.flatten() * score(heads[0], heads[1], clean, unit, torch.zeros(2, dtype=torch.long))
        gradients.append(torch.autograd.grad(loss.sum(), means[0])[0])
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-2, atol=1e-5)


def test_a_drawing_branch_learns_alone() -> None:
    """The score is that of whole draws, its gradient is theirs, and nothing but the branch has one."""
    torch.manual_seed(0)
    options = {"widths": [8, 16], "blocks": [1, 1], "time_dim": 8, "state": False, "heads": 2, "drawing": 1}
    restorer = build("two-heads", network={"name": "quarter-unet", "options": options}).train().requires_grad_()
    assert isinstance(restorer, TwoHeads)
    for parameter in restorer.parameters():
        parameter.data.add_(0.05 * torch.randn_like(parameter))
    clean, mu, noise = torch.rand(2, 3, 20, 28), torch.rand(2, 3, 20, 28), torch.randn(2, 3, 20, 28)
    gradients = []
    for objective in (drawing, two_heads):
        restorer.zero_grad(set_to_none=True)
        torch.autograd.backward(objective(restorer, clean, mu, torch.ones(2), noise).sum())
        gradients.append({name: one.grad for name, one in restorer.named_parameters() if one.grad is not None})
    alone, both = gradients
    assert alone and all(name.startswith("network.drawing.") for name in alone)
    for name, gradient in alone.items():
        torch.testing.assert_close(gradient, both[name], rtol=1e-4, atol=1e-7)
    with pytest.raises(UsageError, match="with a drawing branch"):
        drawing(build("two-heads"), clean, mu, torch.ones(2), noise)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="for the system 'two-heads'"):
        drawing(build("one-pass"), clean, mu, torch.ones(2), noise)  # type: ignore[arg-type]
