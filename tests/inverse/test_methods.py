"""What every method must do, with a prior that is known."""

from itertools import pairwise
from typing import Any

import pytest
import torch

from irsde_cli.errors import UsageError
from irsde_cli.inverse import METHODS, build_method
from irsde_cli.inverse.dpir import POSITIONS, flipped
from irsde_cli.restorer import last
from tests.inverse.problems import Gaussian, Noise, operator, posterior_mean, problem, seeded

KINDS: dict[str, dict[str, Any]] = {
    "identity": {},
    "blur": {"kernel": "motion", "length": 5.0, "border": "circular"},
    "bicubic": {"factor": 2},
    "blurred-downsampling": {"factor": 2, "kernel": "gaussian", "sigma": 1.0},
    "mask": {"share": 0.4},
    "grey": {},
    "walsh-hadamard": {"factor": 4},
}
SIZE = (16, 16)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", METHODS)
def test_any_method_takes_any_operator(method: str, kind: str) -> None:
    """Each evaluation is counted and told no more noise than the prior knows; the result fits what was seen."""
    a = operator(kind, SIZE, **KINDS[kind])
    given, x = problem(a, SIZE, 0.02)
    chosen, prior = build_method(method, {}), Gaussian()
    chosen.check(a)
    states = list(chosen.steps(given, prior, 8, Noise()))
    assert len(states) == len(prior.asked) == 8
    assert max(prior.asked) <= 1.0 + 1e-9 and states[-1].shape == x.shape
    before, after = (
        float((a.forward(one) - given.y).square().mean().sqrt()) for one in (torch.full_like(x, 0.5), states[-1])
    )
    assert after < 0.6 * before
    assert (states[-1] - x).square().mean() < 1.2 * (torch.full_like(x, 0.5) - x).square().mean()


@pytest.mark.parametrize("method", METHODS)
def test_the_seed_decides_where_it_is_said_to(method: str) -> None:
    """`draws` says whether two seeds give two results."""
    given, _ = problem(operator("mask", SIZE, share=0.4), SIZE, 0.02)
    chosen = build_method(method, {})
    one, same, other = (last(chosen.steps(given, Gaussian(), 4, Noise(seeded(seed)))) for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert torch.equal(one, other) != chosen.draws


def test_a_gaussian_prior_gives_the_posterior_mean() -> None:
    """DPIR comes near what is best to say, and nearer than the first guess."""
    a = operator("blur", SIZE, kernel="motion", length=5.0, border="circular")
    given, x = problem(a, SIZE, 0.03)
    best = posterior_mean(given, x)
    found = last(build_method("dpir", {"trust": 1.0}).steps(given, Gaussian(), 30, Noise()))
    start = a.guess(given.y, given.noise_std)
    assert (found - best).square().mean() < 0.5 * (start - x).square().mean()
    assert (found - x).square().mean() < 1.5 * (best - x).square().mean()


def test_what_is_hidden_goes_farther() -> None:
    """Holes come nearer to the best answer in as many turns, and nothing changes where nothing is hidden."""

    def error(name: str, ahead: float, **options: object) -> float:
        given, x = problem(operator(name, SIZE, **options), SIZE, 0.01)
        found = last(build_method("dpir", {"ahead": ahead}).steps(given, Gaussian(), 8, Noise()))
        return float((found - posterior_mean(given, x)).square().mean())

    assert error("mask", 1.0, share=0.8) < 0.8 * error("mask", 0.0, share=0.8)
    for name, options in (("identity", {}), ("blur", {"kernel": "motion", "length": 5.0})):
        assert error(name, 1.0, **options) == pytest.approx(error(name, 0.0, **options))
    with pytest.raises(UsageError, match="from 0 to 1"):
        build_method("dpir", {"ahead": 1.5})


def test_turning_undoes_what_a_denoiser_does_to_one_side() -> None:
    """A prior that leans to the right leans nowhere on the whole; turning is undone exactly."""

    class Leaning(Gaussian):
        def __call__(self, x: torch.Tensor, sigma: float) -> torch.Tensor:
            return super().__call__(x, sigma) + 0.02 * torch.linspace(-1, 1, x.shape[-1], dtype=x.dtype)

    x = torch.rand(1, 3, 5, 7, generator=seeded())
    assert all(torch.equal(flipped(flipped(x, axes), axes), x) for axes in POSITIONS)
    assert len({tuple(flipped(x, axes).flatten().tolist()) for axes in POSITIONS}) == len(POSITIONS)
    given, _ = problem(operator("mask", SIZE, share=0.4), SIZE, 0.02)
    straight, leaning, turning = (
        last(build_method("dpir", {"turn": turn}).steps(given, prior, 8, Noise()))
        for turn, prior in ((False, Gaussian()), (False, Leaning()), (True, Leaning()))
    )
    assert (turning - straight).abs().mean() < 0.6 * (leaning - straight).abs().mean()


def test_draws_spread_around_the_posterior_mean() -> None:
    """The mean of DiffPIR's draws for inpainting is near it where pixels are known, and near the mean elsewhere."""
    a = operator("mask", SIZE, share=0.5)
    given, x = problem(a, SIZE, 0.01)
    draws = [
        last(build_method("diffpir", {"zeta": 1.0}).steps(given, Gaussian(), 20, Noise(seeded(k)))) for k in range(40)
    ]
    mean = torch.stack(draws).mean(0)
    assert float((mean - posterior_mean(given, x)).square().mean().sqrt()) < 0.05


def test_levels_fall() -> None:
    """No method tells its prior of more noise than before, but for RDMD's two series, which fall apart."""
    for name in METHODS:
        prior = Gaussian()
        given, _ = problem(operator("identity", SIZE), SIZE, 0.02)
        last(build_method(name, {}).steps(given, prior, 8, Noise()))
        series = [prior.asked[0::2], prior.asked[1::2]] if name == "rdmd" else [prior.asked]
        assert all(a >= b for one in series for a, b in pairwise(one))


def test_a_method_that_needs_singular_values_says_so() -> None:
    """DDRM and a blur with a reflecting border are an impossible pair."""
    a = operator("blur", SIZE, kernel="motion", length=5.0)
    with pytest.raises(UsageError, match="singular values") as raised:
        build_method("ddrm", {}).check(a)
    assert "circular" in str(raised.value.hint)


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("dpir", {"truts": 1.0}, "Did you mean 'trust'"),
        ("dpir", {"first": 0.0}, "first 0"),
        ("diffpir", {"zeta": 2.0}, "zeta"),
        ("ddrm", {"eta": -1.0}, "eta lies"),
        ("cm4ir", {"first": 1000}, "first lies"),
        ("rdmd", {"tau": 1.5}, "tau and zeta"),
        ("ddmr", {}, "Did you mean 'ddrm'"),
    ],
)
def test_impossible_settings_are_refused(name: str, options: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        build_method(name, options)
