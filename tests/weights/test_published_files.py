"""Weights that their authors publish and no package registry holds, where somebody has put them.

IRSDE_RELEASED names a folder with the files, by the names of the rows: `prenet-rain100l.pth`, `mambairv2-light-x3.pth`.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from irsde_cli import checkpoint
from irsde_cli.cli.program import app
from irsde_cli.conversions.networks import recognise
from irsde_cli.degradations.downsampling import Downsampling
from irsde_cli.images import read_picture, to_tensor
from irsde_cli.metrics.protocols import get_protocol
from irsde_cli.metrics.scoring import Scorer
from irsde_cli.networks import NETWORKS
from irsde_cli.networks.network import Mapper
from irsde_cli.randomness import RandnLike
from irsde_cli.registry import Entry, Registry
from irsde_cli.systems import SYSTEMS
from irsde_cli.systems.one_pass import OnePassConfig
from irsde_cli.systems.parts import NetworkConfig
from irsde_cli.weights.catalogue import CATALOGUE
from tests.cli.stub import picture
from tests.fingerprints import check, fill, fingerprint, image

GOLDEN = {"prenet-rain100l": "prenet_real_Rain100L", "prenet-r-rain100l": "prenet_r_real_Rain100L"}
# Of each released file the mean, the spread and four pixels of what its program makes.
PRENETS = {
    f"{name}-{data.lower()}": f"{name.replace('-', '_')}_real_{data}"
    for name in ("prenet", "prenet-r", "prn", "prn-r")
    for data in ("Rain100L", "Rain100H", "Rain1400")
} | {f"prenet-real-{number}": f"prenet_real_PReNet{number}" for number in (1, 2)}


def converted(name: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The checkpoint that `irsde download` makes of the authors' file."""
    place = os.environ.get("IRSDE_RELEASED")
    if place is None or not (file := Path(place) / f"{name}.pth").is_file():
        pytest.skip(f"needs the authors' file as '{name}.pth' in the folder that IRSDE_RELEASED names")
    monkeypatch.setenv("IRSDE_WEIGHTS", str(home))
    done = CliRunner().invoke(app, ["download", name, "--from", str(file)])
    assert done.exit_code == 0, done.output
    return Path(done.stdout.strip())


@pytest.mark.parametrize("name", GOLDEN)
def test_prenet_restores_as_its_authors_weights_do(
    name: str, shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The recorded pixels of the authors' program, at two sizes."""
    network = checkpoint.load(converted(name, tmp_path, monkeypatch)).restorer.get_submodule("network")
    golden = load_file(shared / "golden" / "systems1_golden.safetensors")
    for size, shown in (("48x56", image(48, 56)), ("16x16", golden["common/image16"])):
        with torch.inference_mode():
            restored = network(shown)
        torch.testing.assert_close(restored, golden[f"{GOLDEN[name]}/restored_{size}"], atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", PRENETS)
def test_every_file_of_prenet_is_what_was_recorded(
    name: str, shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All fourteen of the authors' repository."""
    recorded = fingerprint(shared, "systems1_fingerprints", PRENETS[name])
    assert CATALOGUE[name].files[0].sha256 == recorded["sha256"]
    network = checkpoint.load(converted(name, tmp_path, monkeypatch)).restorer.get_submodule("network")
    with torch.inference_mode():
        check(network(image(48, 56)), recorded["outputs"]["restored"])


@pytest.mark.slow
def test_mambair_v2_reaches_its_figure_on_set5(shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """34.71 dB as published, by the field's protocol; our draws give 34.71 too."""
    restorer = checkpoint.load(converted("mambairv2-light-x3", tmp_path, monkeypatch)).restorer
    scorer, figures = Scorer(get_protocol("sr-y"), None, {}), []
    for path in sorted((shared / "data/testsets/set5/GT").iterdir()):
        clean = to_tensor(read_picture(path, path.name))[None]
        height, width = (size // 3 * 3 for size in clean.shape[-2:])
        clean = clean[..., :height, :width]
        small = Downsampling(factor=3).apply(clean, torch.Generator())
        figures.append(scorer.score(restorer(small), clean)["psnr"] or 0.0)
    assert sum(figures) / len(figures) == pytest.approx(34.71, abs=0.015)


@pytest.mark.parametrize("name", [name for name, row in NETWORKS.items() if row.marks and not row.extra])
def test_a_network_is_told_by_its_tensors(name: str) -> None:
    """Of the smallest network of each row that a file can hold: which it is, and how large."""
    network = NETWORKS.load(name)(**NETWORKS[name].example)
    tensors = network.state_dict()
    found = recognise(tensors, "x")
    assert found.name == name
    again = NETWORKS.load(name)(**found.options)
    assert {key: value.shape for key, value in again.state_dict().items()} == {
        key: value.shape for key, value in tensors.items()
    }


class Curves(Mapper):
    """Has the names of AOD-Net's convolutions, as Zero-DCE has, and two more."""

    def __init__(self) -> None:
        super().__init__()
        for index in range(1, 8):
            self.add_module(f"e_conv{index}", torch.nn.Conv2d(3, 4, 3))

    @classmethod
    def options_from(cls, tensors: Mapping[str, torch.Tensor]) -> dict[str, Any]:
        return {} if "e_conv7.weight" in tensors else {"width": tensors["e_conv7.weight"].shape[0]}

    def forward(self, image: torch.Tensor, randn_like: RandnLike | None = None) -> torch.Tensor:
        return image


def test_networks_that_share_names_are_told_by_all_their_shapes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever their order in the table is."""
    row = Entry(f"{__name__}:Curves", marks=("e_conv1.weight", "e_conv5.weight"))
    for rows in ({"curves": row, **NETWORKS}, {**NETWORKS, "curves": row}):
        table = Registry("network", rows)
        for module in ("irsde_cli.conversions.networks", "irsde_cli.systems.parts"):
            monkeypatch.setattr(f"{module}.NETWORKS", table)
        assert recognise(Curves().state_dict(), "x").name == "curves"
        assert recognise(NETWORKS.load("aod-net")().state_dict(), "x").name == "aod-net"


def test_a_file_of_another_network_is_named(tmp_path: Path) -> None:
    """PReNet's own layout in a file that is not the published one: the sum of its bytes is compared."""
    network = NETWORKS.load("prenet")()
    fill(network, "H")
    torch.save(network.state_dict(), tmp_path / "mine.pth")
    done = CliRunner().invoke(app, ["download", "prenet-rain100l", "--from", str(tmp_path / "mine.pth")])
    assert done.exit_code == 4
    assert "SHA-256" in done.output and CATALOGUE["prenet-rain100l"].files[0].name in done.output


def test_a_run_says_what_its_weights_were_made_of(tmp_path: Path) -> None:
    """Weights of others have no training steps that anybody knows."""
    network = NetworkConfig("srvgg", {"scale": 2, "width": 4, "depth": 1})
    restorer = SYSTEMS.load("one-pass")(OnePassConfig(network))
    origin = "two words.pth 0123456789abcdef; b.bin fedcba9876543210"
    checkpoint.save(tmp_path / "x.safetensors", restorer, task="sr4", origin=origin)
    photograph = picture(tmp_path / "in" / "a.png")
    arguments = ["restore", str(photograph), str(tmp_path / "out.png"), "--task", "sr4"]
    done = CliRunner().invoke(app, [*arguments, "--model", str(tmp_path / "x.safetensors")])
    assert done.exit_code == 0, done.output
    assert "x.safetensors (made from two words.pth, b.bin) on" in done.stderr
    assert read_picture(tmp_path / "out.png", "out").size == (18, 28)
