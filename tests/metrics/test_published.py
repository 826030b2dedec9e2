"""What the field prints for pictures that nobody has restored: a protocol that gives other figures is another one."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from irsde_cli.cli.program import app
from irsde_cli.metrics.protocols import PROTOCOLS

LUMA = [name for name, protocol in PROTOCOLS.items() if protocol.channels == "y"]


def means(label: str, *words: object) -> dict[str, Any]:
    result = CliRunner().invoke(app, ["evaluate", *map(str, words), "--figures", "-", "--quiet"])
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)["means"][label]
    return {name: mean["mean"] for name, mean in found.items()}


@pytest.mark.parametrize(("name", "psnr", "ssim"), [("set5", 28.42, 0.8104), ("set14", 26.00, 0.7027)])
def test_bicubic_four_times(shared: Path, name: str, psnr: float, ssim: float) -> None:
    """Every paper's first column, from SRCNN to SwinIR; rounding by other programs moves the third decimal."""
    sets = shared / "data/testsets"
    found = means("input", "--dataset", name, "--data-root", sets, "--from", sets / name / "GT")
    assert found["psnr"] == pytest.approx(psnr, abs=0.015)
    assert found["ssim"] == pytest.approx(ssim, abs=0.001)


@pytest.mark.parametrize(
    ("quality", "psnr", "ssim"), [(10, 27.82, 0.760), (20, 30.12, 0.834), (30, 31.48, 0.867), (40, 32.43, 0.885)]
)
def test_jpeg_on_classic5(shared: Path, quality: int, psnr: float, ssim: float) -> None:
    """The column "JPEG" of FBCNN's first table (Jiang et al. 2021)."""
    sets = shared / "data/testsets"
    words = ["--dataset", "classic5", "--data-root", sets, "--from", sets / "classic5"]
    found = means("input", *words, "--set", f"quality_min={quality}", "--set", f"quality_max={quality}")
    assert found["psnr"] == pytest.approx(psnr, abs=0.006)
    assert found["ssim"] == pytest.approx(ssim, abs=0.0006)


def grey_file(path: Path, values: np.ndarray, kind: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == "LA":
        Image.merge("LA", [Image.fromarray(values), Image.new("L", values.shape[::-1], 255)]).save(path)
    elif kind == "16":
        Image.fromarray(values.astype(np.uint16) * 257).save(path)
    elif kind == "RGB":
        Image.fromarray(np.repeat(values[..., None], 3, 2)).save(path)
    else:
        Image.fromarray(values).save(path)


@pytest.mark.parametrize("protocol", LUMA)
@pytest.mark.parametrize("clean", ["L", "LA", "16"])
@pytest.mark.parametrize("restored", ["L", "RGB"])
def test_grey_files_are_measured_on_their_own_values(tmp_path: Path, protocol: str, clean: str, restored: str) -> None:
    """Whatever holds the one channel, and also where a tool wrote its result in three equal ones."""
    values = np.random.default_rng(3).integers(20, 200, (30, 28)).astype(np.uint8)
    change = np.random.default_rng(4).integers(0, 30, values.shape).astype(np.uint8)
    grey_file(tmp_path / "gt/a.png", values, clean)
    grey_file(tmp_path / "ours/a.png", values + change, restored)
    border = PROTOCOLS[protocol].border
    inner = change[border : 30 - border, border : 28 - border].astype(float)
    expected = 20 * math.log10(255 / math.sqrt((inner**2).mean()))
    words = ["--gt", tmp_path / "gt", "--from", tmp_path / "ours", "--protocol"]
    found, plain = means("ours", *words, protocol), means("ours", *words, "plain-rgb")
    assert found["psnr"] == pytest.approx(expected, abs=1e-6)
    if not border:
        assert found == pytest.approx(plain, abs=1e-5)


@pytest.mark.parametrize("protocol", LUMA)
def test_grey_in_three_channels_is_a_colour_file(tmp_path: Path, protocol: str) -> None:
    """The field asks the file, not its content: Set14's 'man' is RGB, and with it the mean is 26.00 dB."""
    values = np.full((30, 28), 120, np.uint8)
    grey_file(tmp_path / "gt/a.png", values, "RGB")
    grey_file(tmp_path / "ours/a.png", values + 10, "L")
    found = means("ours", "--gt", tmp_path / "gt", "--from", tmp_path / "ours", "--protocol", protocol)
    assert found["psnr"] == pytest.approx(20 * math.log10(255 / 10 * 255 / 219), abs=1e-3)
