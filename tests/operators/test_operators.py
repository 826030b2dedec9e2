import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from irsde_cli.errors import InputError, UsageError
from irsde_cli.operators import OPERATORS, OperatorConfig, build_recipe
from irsde_cli.operators.blur import Blur
from irsde_cli.operators.kernels import gaussian_kernel, read_kernel, shaken_kernel
from irsde_cli.operators.operator import Operator

MORE: dict[str, tuple[str, dict[str, Any]]] = {
    "blur, zero": ("blur", {"kernel": "gaussian", "sigma": 1.0, "border": "zero"}),
    "blur, circular": ("blur", {"kernel": "motion", "length": 6.0, "angle": 30.0, "border": "circular"}),
    "blur, shaken": ("blur", {"kernel": "levin", "length": 8.0, "seed": 3}),
    "separable, compat": ("separable-blur", {"rows": (0.2, 0.5, 0.3), "columns": (0.1, 0.8, 0.1), "compat": "ddrm"}),
    "mean-pool by 2": ("mean-pool", {"factor": 2}),
    "decimation by 3": ("blurred-downsampling", {"factor": 3, "kernel": "motion", "length": 4.0}),
}
KINDS = {name: (name, dict(row.example)) for name, row in OPERATORS.items()} | MORE


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def image(size: tuple[int, int], seed: int = 0, count: int = 1) -> Tensor:
    return torch.rand(count, 3, *size, generator=seeded(seed), dtype=torch.float64)


def build(kind: str, size: tuple[int, int], **settings: Any) -> Operator:
    name, options = KINDS[kind]
    return build_recipe(OperatorConfig(name, options | settings)).build(size)


def sizes(kind: str) -> list[tuple[int, int]]:
    """Any three, but for operators that are choosy."""
    name, options = KINDS[kind]
    drawn = random.Random(kind)
    if name == "walsh-hadamard":
        return [(2 ** drawn.randint(2, 5), 2 ** drawn.randint(2, 5)) for _ in range(3)]
    each = options["factor"] if name == "blurred-downsampling" else 1
    return [(each * drawn.randint(18 // each, 48 // each), each * drawn.randint(18 // each, 48 // each)) for _ in "abc"]


@pytest.mark.parametrize("kind", KINDS)
def test_adjoints_are_transposes(kind: str) -> None:
    """<A x, y> = <x, A^T y>, the border included; the map is linear, and its scale is what it says."""
    for size in sizes(kind):
        a, x = build(kind, size), image(size)
        seen = a.forward(x)
        assert seen.shape[-2:] == (-(-size[0] // a.scale), -(-size[1] // a.scale))
        y = torch.rand(seen.shape, generator=seeded(1), dtype=torch.float64)
        torch.testing.assert_close((seen * y).sum(), (x * a.adjoint(y)).sum())
        torch.testing.assert_close(a.forward(2 * x + 1), 2 * seen + a.forward(torch.ones_like(x)))


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_seen_of_what_is_hidden(kind: str) -> None:
    """A x is the same without the hidden part of x; where fewer values are seen than there are, something is hidden."""
    for size in sizes(kind):
        a, x = build(kind, size), image(size)
        hidden = a.hidden(x).expand_as(x)
        torch.testing.assert_close(a.forward(x - hidden), a.forward(x), atol=1e-6, rtol=1e-6)
        torch.testing.assert_close(a.hidden(hidden).expand_as(x), hidden, atol=1e-6, rtol=1e-6)
        assert hidden.abs().max() > 0.01 or int(a.forward(x).count_nonzero()) == x.numel()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("ridge", [1e-3, 0.05])
def test_regularised_inverses_solve_their_equation(kind: str, ridge: float) -> None:
    """(A^T A + ridge) x = A^T y for x = A^T (A A^T + ridge)^-1 y; `towards` minimises what it says."""
    for size in sizes(kind):
        a = build(kind, size)
        if isinstance(a, Blur):
            a.tolerance = 1e-9
        y = a.forward(image(size)) + 0.1 * torch.rand(1, generator=seeded(2), dtype=torch.float64)
        x = a.inverse(y, ridge)
        torch.testing.assert_close(a.adjoint(a.forward(x)) + ridge * x, a.adjoint(y), atol=1e-6, rtol=1e-6)
        z = image(size, 3)
        best = a.towards(y)(z, ridge)
        if isinstance(a, Blur) and a.border != "circular":
            continue
        slope = a.adjoint(a.forward(best) - y) + ridge * (best - z)
        assert slope.abs().max() < 1e-6


@pytest.mark.parametrize("border", ["mirror", "zero"])
def test_a_step_to_the_data_is_exact_inside_and_calm_at_the_border(border: Any) -> None:
    """With a border that is not circular a step comes near the true one inside, and lowers what it minimises."""
    size, ridge = (90, 80), 0.01
    a = Blur(gaussian_kernel(1.2)[None], size, border)
    x, z = image(size), image(size, 3)
    y, exact = a.forward(x), z + Blur(a.kernels, size, border, 1e-6).inverse(a.forward(x) - a.forward(z), ridge)
    found = a.towards(y)(z, ridge)

    def cost(one: Tensor) -> float:
        return float((a.forward(one) - y).square().sum() + ridge * (one - z).square().sum())

    assert (found - exact)[..., 25:-25, 25:-25].abs().max() < 0.02
    assert cost(exact) <= cost(found) < 0.2 * cost(z)


@pytest.mark.parametrize("kind", KINDS)
def test_a_recipe_says_whether_there_is_a_spectrum(kind: str) -> None:
    """Before there is a picture, what the operator says then."""
    name, options = KINDS[kind]
    a = build(kind, sizes(kind)[0])
    assert build_recipe(OperatorConfig(name, options)).spectral == a.spectral == (a.spectrum is not None)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if build(kind, sizes(kind)[0]).spectral])
def test_a_spectrum_is_a_singular_value_decomposition(kind: str) -> None:
    """A x = U S V^T x and A^T y = V S U^T y; V^T V = 1 where values are; A+ is Moore's and Penrose's."""
    for size in sizes(kind):
        a, x = build(kind, size), image(size)
        spectrum = a.spectrum
        assert spectrum is not None and float(spectrum.values.min()) >= 0
        values = spectrum.values.double()
        assert values.dtype == torch.float64
        y = torch.rand(a.forward(x).shape, generator=seeded(1), dtype=torch.float64)
        torch.testing.assert_close(a.adjoint(y), spectrum.synthesise(values * spectrum.observe(y)))
        torch.testing.assert_close(spectrum.observe(a.forward(x)), values * spectrum.analyse(x))
        row = spectrum.synthesise((values > 0) * spectrum.analyse(x))
        torch.testing.assert_close(spectrum.synthesise((values > 0) * spectrum.analyse(row)), row)
        torch.testing.assert_close((row * x).sum(), row.square().sum())
        plus, forward = a.inverse, a.forward
        torch.testing.assert_close(forward(plus(forward(x))), forward(x), atol=1e-5, rtol=0)
        torch.testing.assert_close(plus(forward(plus(y))), plus(y), atol=1e-4, rtol=1e-5)


def test_every_operator_is_the_matrix_that_it_says() -> None:
    """On a small image, column by column; a reflecting border by hand."""
    kernel = torch.tensor([[0.0, 0.1, 0.0], [0.2, 0.4, 0.3], [0.0, 0.0, 0.0]], dtype=torch.float64)
    x = image((5, 4))
    for border, mode in (("mirror", "reflect"), ("zero", "constant"), ("circular", "circular")):
        expected = F.conv2d(F.pad(x[0][:, None], (1, 1, 1, 1), mode), kernel.flip(0, 1)[None, None])[:, 0]
        found = Blur(kernel[None], (5, 4), border).forward(x)[0]  # type: ignore[arg-type]
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("border", ["mirror", "zero"])
def test_large_images_are_blurred_alike(border: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tap by tap or by FFT, forwards and backwards."""
    kernels, x = shaken_kernel(12, 1)[None], image((37, 50))
    a = Blur(kernels, (37, 50), border)
    direct = a.forward(x), a.adjoint(x)
    monkeypatch.setattr("irsde_cli.operators.blur.DIRECT_PIXELS", 0)
    for found, expected in zip((a.forward(x), a.adjoint(x)), direct, strict=True):
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_bicubic_is_torch_s_inside(factor: int) -> None:
    """torch's antialiased bicubic, away from the border, which it cuts where we mirror."""
    x = image((12 * factor, 10 * factor))
    ours = build("bicubic", (12 * factor, 10 * factor), factor=factor).forward(x)
    theirs = F.interpolate(x, scale_factor=1 / factor, mode="bicubic", antialias=True)
    torch.testing.assert_close(ours[..., 2:-2, 2:-2], theirs[..., 2:-2, 2:-2], atol=1e-6, rtol=0)
    flat = build("mean-pool", (12 * factor, 10 * factor), factor=factor).forward(x)
    torch.testing.assert_close(flat, F.avg_pool2d(x, factor))


def test_kernels_read_like_pictures(tmp_path: Path) -> None:
    """An off-centre spot in a colour picture becomes a normalised kernel with its centroid in the middle."""
    spot = np.zeros((9, 14, 3), np.uint8)
    spot[2:5, 8:11] = 200
    Image.fromarray(spot).save(tmp_path / "psf.png")
    np.save(tmp_path / "psf.npy", spot[..., 0].astype(np.float32))
    for name in ("psf.png", "psf.npy"):
        kernel = read_kernel(tmp_path / name)
        assert kernel.shape == (3, 3)
        torch.testing.assert_close(kernel, torch.full((3, 3), 1 / 9, dtype=torch.float64))


def test_nonsense_is_no_kernel(tmp_path: Path) -> None:
    """Black, negative, not finite, no image, absent, or larger than the picture: each is said in a sentence."""
    Image.fromarray(np.zeros((5, 5), np.uint8)).save(tmp_path / "black.png")
    Image.fromarray(np.full((41, 41), 9, np.uint8)).save(tmp_path / "large.png")
    np.save(tmp_path / "negative.npy", -np.ones((3, 3)))
    np.save(tmp_path / "nan.npy", np.full((3, 3), np.nan))
    np.save(tmp_path / "cube.npy", np.ones((3, 3, 3)))
    np.save(tmp_path / "dark.npy", 1 - np.pad(np.ones((1, 5)), 3))
    (tmp_path / "text.png").write_text("no picture")
    words = {
        "black.png": "sum 0",
        "negative.npy": "sum -9",
        "nan.npy": "finite",
        "dark.npy": "dark on bright ground",
        "cube.npy": r"\[3, 3, 3\]",
        "text.png": "text.png",
        "absent.png": "absent.png",
    }
    for name, word in words.items():
        recipe = build_recipe(OperatorConfig("blur", {"kernel": str(tmp_path / name)}))
        with pytest.raises(UsageError, match=word):
            recipe.check()
    large = build_recipe(OperatorConfig("blur", {"kernel": str(tmp_path / "large.png")}))
    large.check()
    with pytest.raises(InputError, match="41 pixels wide, and the picture 40 x 50"):
        large.build((50, 40))
    with pytest.raises(UsageError, match="which kernel"):
        build_recipe(OperatorConfig("blur")).check()
    with pytest.raises(UsageError, match="Did you mean 'length'"):
        build_recipe(OperatorConfig("blur", {"lenght": 3}))


def test_kernels_keep_the_light_and_the_place() -> None:
    """Each formula gives a sum of 1, nothing negative, and a centroid within half a pixel of the middle."""
    for kernel in (gaussian_kernel(3.0), shaken_kernel(20, 0), shaken_kernel(33.5, 7)):
        position = torch.arange(len(kernel), dtype=torch.float64) - len(kernel) // 2
        assert kernel.min() >= 0 and len(kernel) % 2 == 1
        assert float(kernel.sum()) == pytest.approx(1)
        assert abs(float(kernel.sum(0) @ position)) <= 0.5 and abs(float(kernel.sum(1) @ position)) <= 0.5
