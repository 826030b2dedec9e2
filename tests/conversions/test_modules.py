"""Whole modules and MATLAB's files: their tensors come back, and nothing in them runs."""

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from typer.testing import CliRunner

from irsde_cli.cli.program import app
from irsde_cli.conversions.dialects import read_state
from irsde_cli.conversions.loading import load
from irsde_cli.conversions.modules import read_modules
from irsde_cli.errors import MachineError, WeightsError
from irsde_cli.networks import NETWORKS
from irsde_cli.weights.catalogue import CATALOGUE
from tests.cli.stub import picture, pixels

SOURCE = """
from torch import nn

class Options(dict):
    pass

class Net(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner
        self.again = inner[0]
        self.options = Options(width=3)
        self.act = nn.functional.relu
        self.register_buffer("passing", inner[0].bias.detach().clone(), persistent=False)
        self.register_buffer("count", inner[0].bias.detach().clone().long())
        self.register_buffer("empty", None)
        self.register_parameter("scale", nn.Parameter(inner[0].bias.detach().clone()))
        self.scale.note = "a parameter with a note is stored in another way"
"""
FORMATS = [True, False]  # of torch.save: a ZIP archive, and what it wrote before 1.6


@pytest.fixture
def net(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A module of a class that is gone once the test says so."""
    module = ModuleType("gone")
    monkeypatch.setitem(sys.modules, "gone", module)
    exec(SOURCE, module.__dict__)
    return module.__dict__["Net"](nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.PReLU()))


@pytest.mark.filterwarnings("ignore:Couldn't retrieve source code")
@pytest.mark.parametrize("zipped", FORMATS)
def test_a_whole_module_gives_its_state_dict(
    net: nn.Module, zipped: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where its class cannot be imported; names and values are those that the module itself would save."""
    path = tmp_path / "net.pth"
    torch.save(net, path, _use_new_zipfile_serialization=zipped)
    monkeypatch.delitem(sys.modules, "gone")
    found, expected = read_state(path), net.state_dict()
    assert list(found) == list(expected) and "passing" not in found
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value.float(), rtol=0, atol=0)


@pytest.mark.parametrize("zipped", FORMATS)
@pytest.mark.filterwarnings("ignore:Couldn't retrieve source code")
def test_modules_in_a_table(zipped: bool, tmp_path: Path) -> None:
    """Of a network and its critic, as DA-RCOT publishes them, the network is taken."""
    network = NETWORKS.load("srvgg")(scale=2, width=8, depth=1)
    table = {"epoch": 55, "Tnet": nn.DataParallel(network), "Fnet": nn.Linear(2, 2)}
    path = tmp_path / "x.pth"
    torch.save(table, path, _use_new_zipfile_serialization=zipped)
    found = load(path).restorer
    image = torch.rand(1, 3, 9, 7)
    with torch.inference_mode():
        torch.testing.assert_close(found(image), network(image).clamp(0, 1))
    torch.save({"epoch": 1, "model": network, "critic": nn.Linear(2, 2)}, path)
    assert list(read_state(path)) == list(network.state_dict())


class Payload:
    """What a hostile file would run."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.canary,)


@pytest.mark.parametrize("zipped", FORMATS)
@pytest.mark.filterwarnings("ignore:Couldn't retrieve source code")
def test_nothing_is_called(zipped: bool, tmp_path: Path) -> None:
    """The tensors beside a payload are read; where it stands for a tensor, one sentence says so."""
    module, canary, path = nn.Linear(2, 2), tmp_path / "canary", tmp_path / "net.pth"
    module.__dict__["payload"] = Payload(canary)
    torch.save(module, path, _use_new_zipfile_serialization=zipped)
    torch.testing.assert_close(read_state(path)["weight"], module.weight.detach())
    module._parameters["weight"] = Payload(canary)  # type: ignore[assignment]
    torch.save(module, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(WeightsError, match=r"net\.pth' holds a whole module that is damaged: 'Inert' stands"):
        read_state(path)
    assert not canary.exists()
    torch.load(path, weights_only=False)
    assert canary.exists(), "the payload is one"


def nested(path: Path) -> None:
    module: nn.Module = nn.Linear(2, 2)
    for _ in range(60):
        module = nn.Sequential(module, module)
    torch.save(module, path)


def circular(path: Path) -> None:
    module = nn.Sequential()
    module._modules["0"] = module
    torch.save(module, path)


def odd(path: Path) -> None:
    module = nn.Linear(2, 2)
    module._modules = 3  # type: ignore[assignment]
    torch.save(module, path)


def cut(path: Path) -> None:
    torch.save(nn.Linear(2, 2), path)
    path.write_bytes(path.read_bytes()[:-99])


def cut_old(path: Path) -> None:
    torch.save(nn.Linear(2, 2), path, _use_new_zipfile_serialization=False)
    path.write_bytes(path.read_bytes()[:-9])


def misnamed(path: Path) -> None:
    """An archive that says it is encrypted, with a name that is no UTF-8."""
    torch.save(nn.Linear(2, 2), path)
    data = bytearray(path.read_bytes())
    entry = data.index(b"PK\1\2")
    data[entry + 8 : entry + 10], data[entry + 46] = b"\1\x08", 0xCD
    path.write_bytes(data)


@pytest.mark.filterwarnings("ignore:Couldn't retrieve source code")
@pytest.mark.parametrize("make", [nested, circular, odd, cut, cut_old, misnamed])
def test_damaged_modules_are_refused(make: Any, tmp_path: Path) -> None:
    """In one sentence, and at once."""
    make(tmp_path / "net.pth")
    with pytest.raises(WeightsError, match=r"net\.pth' .*damaged"):
        read_state(tmp_path / "net.pth")


def test_whole_modules_restore(tmp_path: Path) -> None:
    """`download NAME --from FILE` and `--model FILE` take a known network that was saved whole."""
    network = NETWORKS.load("srvgg")(scale=2, width=8, depth=1)
    torch.save(network, tmp_path / "net.pth")
    torch.save({"params": network.state_dict()}, tmp_path / "plain.pth")
    picture(tmp_path / "a.png")
    for name in ("net", "plain"):
        places = [str(tmp_path / "a.png"), str(tmp_path / name)]
        model = str(tmp_path / f"{name}.pth")
        done = CliRunner().invoke(app, ["restore", *places, "--task", "sr2", "--model", model, "--device", "cpu"])
        assert done.exit_code == 0, done.stderr
    assert np.array_equal(pixels(tmp_path / "net" / "a.png"), pixels(tmp_path / "plain" / "a.png"))


def test_whole_modules_are_downloaded(tmp_path: Path, shared: Path) -> None:
    """The digest of a row is that of tensors, however they are kept."""
    network = NETWORKS.load("dncnn")()
    network.load_state_dict(load_file(shared / "weights" / "dncnn_color_blind.safetensors"))
    torch.save(network, tmp_path / "whole.pth")
    arguments = ["dncnn-color-blind", "--from", str(tmp_path / "whole.pth"), "--local-dir", str(tmp_path / "here")]
    done = CliRunner().invoke(app, ["download", *arguments])
    assert done.exit_code == 0, done.stderr
    torch.save(NETWORKS.load("dncnn")(), tmp_path / "whole.pth")
    done = CliRunner().invoke(app, ["download", *arguments])
    assert done.exit_code == 4 and "whole.pth' does not hold the published weights" in done.stderr


def test_files_without_a_module_have_none(tmp_path: Path) -> None:
    torch.save({"a": Payload(tmp_path / "x")}, tmp_path / "net.pth")
    assert read_modules(tmp_path / "net.pth") == {}


def in_matlab(network: nn.Module, path: Path, last: str = "loss", **options: Any) -> Path:
    """A network as MatConvNet keeps it."""
    io = pytest.importorskip("scipy.io", reason="the extra 'mat' is not installed")
    layers: list[dict[str, Any]] = []
    for layer in network.get_submodule("model"):  # type: ignore[attr-defined]
        if isinstance(layer, nn.Conv2d):
            assert layer.bias is not None
            weights = np.empty((1, 2), object)
            weights[0, 0] = layer.weight.detach().permute(2, 3, 1, 0).numpy()
            weights[0, 1] = layer.bias.detach()[:, None].numpy()
            layers.append({"type": "conv", "name": "conv", "weights": weights, "pad": 1.0})
        else:
            layers.append({"type": "relu", "leak": 0.0})
    row = np.empty((1, len(layers) + 1), object)
    row[0, :] = [*layers, {"type": last}]
    io.savemat(path, {"net": {"layers": row}, "sigma": 25.0}, **options)
    return path


@pytest.mark.parametrize("packed", [False, True])
def test_matlabs_files_restore_the_same(packed: bool, tmp_path: Path) -> None:
    """Height, width, in, out become torch's order, and layers its names."""
    network = NETWORKS.load("dncnn")(depth=3, width=4)
    path = in_matlab(network, tmp_path / "x.mat", do_compression=packed)
    found = load(path).restorer
    assert found.config.network.options == {"depth": 3, "width": 4}
    image = torch.rand(1, 3, 9, 7)
    with torch.inference_mode():
        torch.testing.assert_close(found(image), network(image).clamp(0, 1))


def test_the_published_network_in_matlabs_format_is_the_published_one(tmp_path: Path, shared: Path) -> None:
    from irsde_cli.conversions.published import convert

    network = NETWORKS.load("dncnn")()
    network.load_state_dict(load_file(shared / "weights" / "dncnn_color_blind.safetensors"))
    path = in_matlab(network, tmp_path / "x.mat", do_compression=True)
    assert convert("dncnn-color-blind", CATALOGUE["dncnn-color-blind"], [path]).restorer.scale == 1


def test_other_files_of_matlab_are_refused(tmp_path: Path) -> None:
    """Other layers, other variables, cut, too new, or of far more memory than bytes; grey to colour."""
    io = pytest.importorskip("scipy.io", reason="the extra 'mat' is not installed")
    network, path = NETWORKS.load("dncnn")(depth=3, width=4), tmp_path / "x.mat"
    whole = in_matlab(network, path).read_bytes()

    def refused(words: str) -> None:
        with pytest.raises(WeightsError, match=rf"x\.mat' .*{words}"):
            load(path)

    in_matlab(network, path, "bnorm")
    refused("a layer is 'bnorm'")
    io.savemat(path, {"other": 1.0})
    refused("'net'")
    path.write_bytes(whole[: len(whole) // 2])
    refused("can be read")
    path.write_bytes(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\0\2IM" + bytes(400))
    refused("can be read")
    io.savemat(path, {"net": np.zeros(1 << 20)}, do_compression=True)
    refused("far more memory")
    network.model[0] = nn.Conv2d(1, 4, 3)
    in_matlab(network, path)
    refused("")


def test_a_grey_network_of_matlab_is_one_of_one_channel(tmp_path: Path) -> None:
    pytest.importorskip("scipy.io", reason="the extra 'mat' is not installed")
    path = in_matlab(NETWORKS.load("dncnn")(depth=3, width=4, channels=1), tmp_path / "x.mat")
    assert load(path).restorer.facts.channels == (1, 1)


def test_without_scipy_one_sentence_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = in_matlab(NETWORKS.load("dncnn")(depth=3, width=4), tmp_path / "x.mat")
    monkeypatch.setitem(sys.modules, "scipy", None)
    with pytest.raises(MachineError, match=r"x\.mat' is a MATLAB file") as caught:
        load(path)
    assert caught.value.hint == "Run: pip install 'irsde[mat]'." and caught.value.exit_code == 5
