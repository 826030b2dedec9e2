"""Networks as ONNX graphs: the same pictures by two other runtimes, at any size."""

import sys
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from irsde_cli import checkpoint
from irsde_cli.cli.program import app
from irsde_cli.engine import openvino
from irsde_cli.networks import NETWORKS
from irsde_cli.observation import Observation
from irsde_cli.restorer import Restorer, last
from irsde_cli.samplers.settings import Sampling
from irsde_cli.systems.mean_reverting import MeanReverting, MeanRevertingConfig
from irsde_cli.systems.one_pass import OnePass, OnePassConfig
from irsde_cli.systems.parts import NetworkConfig, ProcessConfig
from irsde_cli.workflows.weights.graph import Graph
from tests.cli.stub import save_stub

onnx = pytest.importorskip("onnx", reason="the extra 'onnx' is not installed")
pytest.importorskip("onnxscript", reason="the extra 'onnx' is not installed")

QUARTER = NetworkConfig("quarter-unet", {"widths": (32, 32), "blocks": (1, 1), "time_dim": 8, "state": False})
SIZES = ((8, 8), (37, 53), (64, 40))


def one_pass(path: Path) -> Path:
    torch.manual_seed(0)
    restorer = OnePass(OnePassConfig(QUARTER))
    for parameter in restorer.parameters():
        parameter.data.add_(0.05 * torch.randn_like(parameter))
    checkpoint.save(path, restorer, task="denoise", licence="terms", data="photographs", weights_licence="Apache-2.0")
    return path


def runtimes(path: Path) -> dict[str, Any]:
    """What runs a graph here, by name: a function of arrays."""
    found: dict[str, Any] = {}
    if find_spec("onnxruntime"):
        import onnxruntime

        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        names = [one.name for one in session.get_inputs()]
        found["onnxruntime"] = lambda *arrays: session.run(None, dict(zip(names, arrays, strict=True)))[0]
    if find_spec("openvino"):
        # Left to itself it computes in bfloat16 where the processor can.
        compiled = openvino.library().Core().compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        found["openvino"] = lambda *arrays: compiled(list(arrays))[0]
    if not found:
        pytest.skip("neither onnxruntime nor openvino is installed")
    return found


def grouped(path: Path) -> Path:
    """With group normalisation."""
    torch.manual_seed(0)
    network = NetworkConfig("ncsnpp", dict(NETWORKS["ncsnpp"].example))
    restorer = MeanReverting(MeanRevertingConfig(network, ProcessConfig(prediction="clean")))
    for parameter in restorer.parameters():
        parameter.data.add_(0.02 * torch.randn_like(parameter))
    checkpoint.save(path, restorer, task="denoise")
    return path


MADE: dict[str, Callable[[Path], Path]] = {"one-pass": one_pass, "mean-reverting": save_stub, "grouped": grouped}


@pytest.fixture(scope="module", params=MADE)
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Restorer]:
    folder = tmp_path_factory.mktemp("graph")
    made = MADE[request.param](folder / "w.safetensors")
    words = ["export", str(made), str(folder / "x.onnx")]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    assert result.stdout.strip() == str(folder / "x.onnx")
    assert ("'noise'" in result.stderr) == (request.param != "one-pass")
    assert [path.name for path in folder.iterdir() if path.suffix != ".safetensors"] == ["x.onnx"]
    return folder / "x.onnx", checkpoint.load(made).restorer


@pytest.mark.parametrize("size", SIZES)
def test_other_runtimes_give_the_same_pictures(exported: tuple[Path, Restorer], size: tuple[int, int]) -> None:
    """At sizes that no example had, multiples and not; a network with noise is asked at the largest time index."""
    path, restorer = exported
    image = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(1))
    noise = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(2))
    if restorer.draws:
        sampling = restorer.resolve(Sampling(realism=0.0))
        given = [image, noise]
        with torch.inference_mode():
            expected = last(restorer.steps(Observation(image), lambda like: noise, sampling))
    else:
        given = [image]
        expected = restorer(image)
    for name, run in runtimes(path).items():
        found = run(*(one.numpy() for one in given))
        assert np.abs(found - expected.clamp(0, 1).numpy()).max() < 1e-3, name


def test_a_graph_says_where_it_is_from(exported: tuple[Path, Restorer]) -> None:
    """Weights by their digest, what they learnt from, the terms, and what goes in."""
    path, restorer = exported
    about = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    assert about["task"] == "denoise" and len(about["sha256"]) == 64 and "smallest" in about["input"]
    assert ("noise" in about) == restorer.draws
    if not restorer.draws:
        assert about["licence of the weights"] == "Apache-2.0" and about["terms of that data"] == "terms"


def test_no_node_loses_its_digits(exported: tuple[Path, Restorer]) -> None:
    """ONNX Runtime's GroupNormalization is wrong by its own size where means are large: it is written out."""
    path, _ = exported
    assert "GroupNormalization" not in {node.op_type for node in onnx.load(path).graph.node}


def test_what_has_no_mean_is_refused(tmp_path: Path) -> None:
    """A network that predicts noise has no estimate at the first step; a name that is no file of ONNX is none."""
    stub = save_stub(tmp_path / "stub.safetensors")
    config = checkpoint.load(stub).restorer.config
    noisy = MeanReverting(replace(config, process=ProcessConfig(prediction="noise")))
    checkpoint.save(tmp_path / "noise.safetensors", noisy, task="denoise")
    result = CliRunner().invoke(app, ["export", str(tmp_path / "noise.safetensors"), str(tmp_path / "x.onnx")])
    assert result.exit_code == 2 and "they predict noise" in result.output and not (tmp_path / "x.onnx").exists()
    result = CliRunner().invoke(app, ["export", str(stub), str(tmp_path / "x.pt")])
    assert result.exit_code == 2 and "no name of an ONNX file" in result.output


def test_without_the_extra_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is loaded."""
    monkeypatch.setitem(sys.modules, "onnx", None)
    stub = save_stub(tmp_path / "stub.safetensors")
    result = CliRunner().invoke(app, ["export", str(stub), str(tmp_path / "x.onnx")])
    assert result.exit_code == 5 and "irsde[onnx]" in result.output


def test_the_graph_is_the_first_estimate(tmp_path: Path) -> None:
    """Before it is exported: exactly what --realism 0 gives, for sizes that need no padding."""
    restorer = checkpoint.load(save_stub(tmp_path / "stub.safetensors")).restorer.eval()
    graph = Graph(restorer)
    image, noise = torch.rand(1, 3, 16, 24), torch.randn(1, 3, 16, 24)
    with torch.inference_mode():
        expected = last(restorer.steps(Observation(image), lambda like: noise, graph.sampling)).clamp(0, 1)
        torch.testing.assert_close(graph(image, noise), expected, atol=1e-5, rtol=0)
