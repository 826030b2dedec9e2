"""MAXIM against the official graphs with their real weights, and what can be known of it without them."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor
from typer.testing import CliRunner

from irsde_cli.cli.program import app
from irsde_cli.conversions.maxim import all_names, read_state
from irsde_cli.images import read_picture, to_tensor
from irsde_cli.metrics.psnr import psnr
from irsde_cli.networks.maxim import MAXIM, Gate, Mixing, Resized
from tests.golden import load_golden
from tests.packages import npm_package

SETS = {
    "deraining": 2,
    "dehazing-indoor": 2,
    "dehazing-outdoor": 2,
    "enhancement": 2,
    "retouching": 2,
    "denoising": 3,
    "deblurring": 3,
}


def keep(images: dict[str, Tensor], key: str) -> Callable[..., None]:
    """A hook that notes the picture of a stage, the first time."""

    def hook(_: object, __: object, out: tuple[Tensor, Tensor]) -> None:
        images.setdefault(key, out[1])

    return hook


@pytest.mark.slow
@pytest.mark.parametrize("name", SETS)
def test_the_official_graphs_are_computed(shared: Path, name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The restored picture and the pictures of earlier stages, within 1e-5: another GELU differs by 3e-4."""
    state = read_state(npm_package(f"@upscalerjs/maxim-{name}", "0.1.0", tmp_path_factory.getbasetemp()))
    network = MAXIM(num_stages=SETS[name]).eval().requires_grad_(False)
    network.load_state_dict(state, strict=True)
    network.freeze()
    golden = load_golden(shared, "maxim/maxim_golden")
    images: dict[str, Tensor] = {}
    for stage in range(SETS[name] - 1):
        for level in range(3):
            module = network.part(stage, f"supervised_attention_module_{level}")
            module.register_forward_hook(keep(images, f"{name}/64x64/stage{stage}_scale{level}"))
    for size in ("64x64", "64x128"):
        degraded = golden[f"input/{size}"].reshape(1, *map(int, size.split("x")), 3).permute(0, 3, 1, 2)
        found = network(degraded).permute(0, 2, 3, 1)
        expected = golden[f"{name}/{size}/out"]
        torch.testing.assert_close(found.reshape(expected.shape), expected, atol=1e-5, rtol=0)
    recorded = {key: golden[key] for key in golden if key.startswith(f"{name}/64x64/stage")}
    assert recorded.keys() <= images.keys() and recorded
    for key, expected in recorded.items():
        torch.testing.assert_close(images[key].reshape(expected.shape), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("stages", "file"), [(2, "names_s2.tsv"), (3, "names_s3.tsv")])
def test_names_and_shapes_are_the_official_ones(shared: Path, stages: int, file: str) -> None:
    """All of them, in the order in which a graph numbers them; four more are of no use to a restored picture."""
    lines = (shared / "golden" / "maxim" / file).read_text(encoding="utf-8").splitlines()
    rows = {name: (shape, where) for _, name, shape, where in (line.split("\t") for line in lines)}
    assert all_names(stages) == list(rows)
    with torch.device("meta"):
        network = MAXIM(num_stages=stages)
    counts = [math.prod(map(int, shape.split("x"))) for shape, where in rows.values() if where == "in package"]
    assert sum(counts) == sum(parameter.numel() for parameter in network.parameters())
    assert len(counts) == len(list(network.parameters()))


def test_a_grid_joins_pixels_of_one_place_in_every_cell() -> None:
    """And a window those beside each other; both against sums that are written out."""
    torch.manual_seed(0)
    side, x = 2, torch.rand(1, 4, 6, 3)
    for axis in ("grid", "block"):
        mixing = Mixing(side, axis)
        expected = torch.empty_like(x)
        down, across = (2, 3) if axis == "grid" else (1, 1)
        for row in range(4):
            for column in range(6):
                first = (row % down, column % across) if axis == "grid" else (row // side * side, column // side * side)
                places = [(first[0] + down * i, first[1] + across * j) for i in range(side) for j in range(side)]
                weights = mixing.weight[places.index((row, column))]
                total = sum(weight * x[0, i, j] for weight, (i, j) in zip(weights, places, strict=True))
                expected[0, row, column] = total + mixing.bias[places.index((row, column))]
        torch.testing.assert_close(mixing(x), expected)


def test_a_gate_that_says_nothing_lets_through() -> None:
    """u (v + 1): with a mixture of zero half of the channels stay as they are."""
    gate = Gate(4, 2, "grid")
    torch.nn.init.zeros_(gate.Dense_0.weight)
    torch.nn.init.zeros_(gate.Dense_0.bias)
    x = torch.rand(1, 4, 4, 8)
    assert torch.equal(gate(x), x[..., :4])


@pytest.mark.parametrize("levels", [-2, -1, 0, 1, 2])
def test_either_order_of_resizing_and_projecting_is_the_same(levels: int) -> None:
    """Resizing keeps constants; smaller is antialiased, by a triangle as wide as the step."""
    torch.manual_seed(0)
    layer, x = Resized(3, 5, levels), torch.rand(1, 8, 12, 3)
    size = (math.ceil(8 * 2.0**-levels), math.ceil(12 * 2.0**-levels))
    resized = torch.nn.functional.interpolate(x.permute(0, 3, 1, 2), size, mode="bilinear", antialias=True)
    torch.testing.assert_close(layer(x), layer.Conv_0(resized.permute(0, 2, 3, 1)))


def test_it_runs_in_half_precision_on_a_cpu() -> None:
    """Where torch resizes nothing in bfloat16; the picture itself stays in float32."""
    network = MAXIM(features=8, num_groups=1).eval().requires_grad_(False)
    image = torch.rand(1, 3, 40, 70)
    with torch.autocast("cpu", torch.bfloat16):
        half = network(image)
    assert half.dtype == torch.float32 and half.shape == image.shape
    assert (half - network(image)).abs().mean() < 0.02


@pytest.mark.slow
def test_a_picture_is_restored_with_the_published_weights(
    shared: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole way, as a user goes it: npm's package, `download`, and `restore --model best`."""
    monkeypatch.setenv("IRSDE_WEIGHTS", str(tmp_path))
    package = npm_package("@upscalerjs/maxim-deraining", "0.1.0", tmp_path_factory.getbasetemp())
    done = CliRunner().invoke(app, ["download", "maxim-derain", "--from", str(package)])
    assert done.exit_code == 0, done.output
    folder = shared / "data" / "testsets" / "rain100l"
    files = [sorted((folder / half).iterdir())[0] for half in ("LQ", "GT")]
    rainy, clean = (to_tensor(read_picture(file, file.name))[None, :, 60:252, 60:252] for file in files)
    pixels = (255 * rainy[0]).round().byte().permute(1, 2, 0).numpy()
    Image.fromarray(pixels).save(tmp_path / "a.png")
    words = ["restore", str(tmp_path / "a.png"), str(tmp_path / "b.png"), "--task", "derain", "--model", "best"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert "with maxim-derain (made from upscalerjs-maxim-deraining-0.1.0.tgz)" in done.stderr
    restored = to_tensor(read_picture(tmp_path / "b.png", "b"))[None]
    assert float(psnr(restored, clean) - psnr(rainy, clean)) > 5
