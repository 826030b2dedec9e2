"""ncnn's files of Real-ESRGAN's networks, written here as ncnn writes them."""

import struct
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from irsde_cli.cli.program import app
from irsde_cli.conversions.ncnn import FULL, HALF, read_state
from irsde_cli.conversions.networks import recognise
from irsde_cli.errors import WeightsError
from irsde_cli.networks import NETWORKS
from irsde_cli.networks.network import Network

EXAMPLES = {
    "rrdbnet": {"scale": 2, "width": 8, "growth": 4, "blocks": 2},
    "srvgg": {"scale": 3, "width": 5, "depth": 2},
}


def written(network: Network, folder: Path, tag: int = FULL) -> Path:
    """The two files of a network, as ncnn's converter makes them; layers without numbers are left out but one."""
    lines, data = ["Input input 0 1 data"], b""
    for name, module in network.named_modules():
        if isinstance(module, torch.nn.Conv2d):
            sides = f"0={module.out_channels} 1=3 4=1 5=1 6={module.weight.numel()}"
            lines.append(f"Convolution {name} 1 1 a b {sides} 9=2 -23310=1,2.000000e-01")
            numbers = module.weight.detach().numpy().astype("<f2" if tag == HALF else "<f4").tobytes()
            data += struct.pack("<I", tag) + numbers + bytes(-len(numbers) % 4)
            data += module.bias.detach().numpy().astype("<f4").tobytes() if module.bias is not None else b""
        elif isinstance(module, torch.nn.PReLU):
            lines.append(f"PReLU {name} 1 1 a b 0={module.num_parameters}")
            data += module.weight.detach().numpy().astype("<f4").tobytes()
    (folder / "a.param").write_text("\n".join(["7767517", f"{len(lines)} 9", *lines, ""]))
    (folder / "a.bin").write_bytes(data)
    return folder / "a.param"


@pytest.mark.parametrize("name", EXAMPLES)
@pytest.mark.parametrize("tag", [FULL, HALF])
def test_numbers_come_back(name: str, tag: int, tmp_path: Path) -> None:
    """Each by its name, in full and in half precision; either file may be named."""
    torch.manual_seed(0)
    network = NETWORKS.load(name)(**EXAMPLES[name])
    path = written(network, tmp_path, tag)
    state = read_state(path)
    found = recognise(state, "a")
    assert (found.name, found.options) == (name, EXAMPLES[name])
    for key, value in network.state_dict().items():
        half = tag == HALF and value.ndim == 4
        assert torch.equal(state[key], value.half().float() if half else value), key
    assert read_state(tmp_path / "a.bin").keys() == state.keys()


def test_the_authors_own_file_is_taken_too(tmp_path: Path) -> None:
    """A table of PyTorch's, with the averaged weights under their usual key."""
    network = NETWORKS.load("srvgg")(**EXAMPLES["srvgg"])
    torch.save({"params": network.state_dict()}, tmp_path / "a.pth")
    assert recognise(read_state(tmp_path / "a.pth"), "a").name == "srvgg"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda param, data: (param.replace("7767517", "PK"), data), "it begins with 'PK'"),
        (lambda param, data: (param, data[:-1]), "it ends within 'conv_last'"),
        (lambda param, data: (param, data + b"1234"), "4 bytes are left over"),
        (lambda param, data: (param, struct.pack("<I", 0x000D4B38) + data[4:]), "stored in a way"),
        (lambda param, data: (param.replace("Input", "LSTM"), data), "a layer 'LSTM'"),
        (lambda param, data: (param.replace("6=864", "6=-1"), data), "has -1 as its number 6"),
        (lambda param, data: (param.replace(" 0=8 ", " 0=0 "), data), "no whole file"),
        (lambda param, data: (param.replace("1 1 a b", "x y a b"), data), "no whole file"),
        (lambda param, data: ("7767517\n1 1\nInput data 0 1 data\n", data), "no whole file"),
    ],
)
def test_what_is_damaged_is_refused(change: object, said: str, tmp_path: Path) -> None:
    """In a sentence."""
    assert callable(change)
    path = written(NETWORKS.load("rrdbnet")(**EXAMPLES["rrdbnet"]), tmp_path)
    param, data = change(path.read_text(), (tmp_path / "a.bin").read_bytes())
    path.write_text(param)
    (tmp_path / "a.bin").write_bytes(data)
    with pytest.raises(WeightsError) as caught:
        read_state(path)
    assert said in str(caught.value)


def test_both_files_are_needed(tmp_path: Path) -> None:
    """The one that lacks is named."""
    written(NETWORKS.load("srvgg")(**EXAMPLES["srvgg"]), tmp_path)
    (tmp_path / "a.param").unlink()
    with pytest.raises(WeightsError, match=r"'a\.param' should lie beside it"):
        read_state(tmp_path / "a.bin")


def test_another_network_of_the_same_kind_is_not_the_published_one(tmp_path: Path) -> None:
    """Neither of the two digests is its own."""
    path = written(NETWORKS.load("srvgg")(), tmp_path)
    done = CliRunner().invoke(app, ["download", "realesr-animevideov3", "--from", str(path)])
    assert done.exit_code == 4
    assert "does not hold the published weights of 'realesr-animevideov3.pth'" in done.output
