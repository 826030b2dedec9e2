"""FID and KID: the arithmetic against closed forms and definitions."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from irsde_cli.metrics import SET_METRICS
from irsde_cli.metrics.fid import fid
from irsde_cli.metrics.kid import kid
from irsde_cli.metrics.sets import FeatureSets


def features(count: int, size: int, seed: int = 0) -> NDArray[np.float32]:
    generator = np.random.default_rng(seed)
    mixed = generator.normal(size=(count, size)) @ generator.normal(size=(size, size)) + generator.normal(size=size)
    return mixed.astype(np.float32)


class Means(nn.Module):
    """A feature network whose answers are known: the mean of each channel."""

    def forward(self, images: Tensor) -> Tensor:
        return images.mean((2, 3))


def test_fid_of_moved_and_stretched_features() -> None:
    """Moved by d it is |d|^2; stretched by c about the mean it is (c - 1)^2 times the trace of the covariance."""
    x = features(500, 6)
    move = np.arange(6, dtype=np.float32) / 4
    assert fid((x + move).astype(np.float32), x) == pytest.approx(np.square(move).sum(), rel=1e-4)
    mean = x.mean(0)
    stretched: NDArray[np.float32] = mean + 3 * (x - mean)
    assert fid(stretched, x) == pytest.approx(4 * np.trace(np.cov(x.T)), rel=1e-4)


def test_fid_is_that_of_the_papers_formula() -> None:
    """With the trace of the root of the product of covariances, for sets of different sizes."""
    x, y = features(400, 5, 1), features(3000, 5, 2)
    ours, theirs = np.cov(x.T), np.cov(y.T)
    root = np.sqrt(np.linalg.eigvals(ours @ theirs).real).sum()
    expected = np.square(x.mean(0) - y.mean(0)).sum() + np.trace(ours + theirs) - 2 * root
    assert fid(x, y) == pytest.approx(expected, rel=1e-4)


def test_fid_of_fewer_pictures_than_features() -> None:
    """Features that are always zero change nothing, though the covariance then has no inverse."""
    x, y = features(8, 5, 1), features(7, 5, 2)
    wide_x, wide_y = (np.pad(z, ((0, 0), (0, 40))) for z in (x, y))
    assert fid(wide_x, wide_y) == pytest.approx(fid(x, y), rel=1e-6)


def test_kid_is_that_of_its_definition() -> None:
    """Means of (x . y / D + 1)^3 over pairs, without a row's pair with itself."""
    x, y = features(7, 3, 1).astype(float), features(5, 3, 2).astype(float)

    def kernel(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
        return float((a @ b / 3 + 1) ** 3)

    ours = np.mean([kernel(a, b) for i, a in enumerate(x) for j, b in enumerate(x) if i != j])
    theirs = np.mean([kernel(a, b) for i, a in enumerate(y) for j, b in enumerate(y) if i != j])
    across = np.mean([kernel(a, b) for a in x for b in y])
    assert kid(x.astype(np.float32), y.astype(np.float32)) == pytest.approx(ours + theirs - 2 * across, rel=1e-5)


def test_kid_of_constant_features() -> None:
    """One vector against another: k(a, a) + k(b, b) - 2 k(a, b)."""
    a, b = np.full((4, 2), 1, np.float32), np.full((6, 2), 3, np.float32)
    assert kid(a, b) == pytest.approx((1 + 1) ** 3 + (9 + 1) ** 3 - 2 * (3 + 1) ** 3)


def test_kid_of_many_pictures_is_a_mean_over_subsets() -> None:
    """It stays near that of all pictures, and is the same in every run."""
    x, y = features(1500, 4, 1), features(1400, 4, 1) + np.float32(0.5)
    value = kid(x, y)
    assert value == kid(x, y)
    assert value == pytest.approx(kid(x[:1000], y[:1000]), rel=0.2)


@pytest.mark.parametrize("name", SET_METRICS)
def test_sets_of_one_law_are_near_and_others_far(name: str) -> None:
    metric = SET_METRICS.load(name)
    x, same, other = features(600, 4)[:300], features(600, 4)[300:], features(300, 4) * 2
    assert abs(metric(x, same)) < 0.1 * metric(x, other)
    with pytest.raises(ValueError, match="at least 2 pictures, not 1"):
        metric(x[:1], same)


def test_features_are_collected_by_contender() -> None:
    """On a network with a known answer: brighter by d in three channels is 3 d^2; one picture makes no set."""
    with FeatureSets(Means(), ["fid"]) as sets:
        for seed in range(6):
            clean = torch.rand(1, 3, 8, 8 + seed, generator=torch.Generator().manual_seed(seed))
            images = (
                {"brighter": clean + 0.25}
                | ({"late": clean} if seed > 2 else {})
                | ({"once": clean} if not seed else {})
            )
            sets.add(images, clean)
        found = sets.measure()
        folder = Path(sets._folder.name)
    assert sets.counts == {"brighter": 6, "once": 1, "late": 3} and set(found) == {"brighter", "late"}
    assert found["brighter"]["fid"] == pytest.approx(3 * 0.25**2, rel=1e-4)
    assert found["late"]["fid"] == pytest.approx(0, abs=1e-9)
    assert not folder.exists()
