"""Files of other programs as they are: told by their tensors, by our own networks first and then by spandrel's."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from irsde_cli.cli.program import app
from irsde_cli.conversions.loading import load
from irsde_cli.errors import WeightsError
from irsde_cli.images import read_picture, to_tensor
from irsde_cli.networks import NETWORKS, bridged
from tests.accounting import peak_bytes
from tests.cli.stub import Program, picture, pixels

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit", "ignore:torch.meshgrid")
needs_spandrel = pytest.mark.skipif(
    find_spec("spandrel") is None or find_spec("torchvision") is None, reason="the extra 'spandrel' is not installed"
)


def saved(network: torch.nn.Module, path: Path) -> Path:
    torch.save({"params": network.state_dict()}, path)
    return path


def small(family: str) -> torch.nn.Module:
    """A network of a family of spandrel's, as small as it can be told from its tensors."""
    from spandrel.architectures import SPAN, RealCUGAN, SwinIR

    networks: dict[str, Any] = {
        "SwinIR": lambda: SwinIR.SwinIR(
            img_size=16, window_size=8, embed_dim=12, depths=[2], num_heads=[2], upscale=2, upsampler="pixelshuffle"
        ),
        "SPAN": lambda: SPAN.SPAN(num_in_ch=3, num_out_ch=3, feature_channels=8, upscale=2),
        "RealCUGAN": RealCUGAN.UpCunet2x,
    }
    network: torch.nn.Module = networks[family]()
    return network


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_network_of_ours_needs_no_more_than_its_file(tmp_path: Path, suffix: str) -> None:
    """It restores as the same weights in a checkpoint of ours, at its scale."""
    network = NETWORKS.load("srvgg")(scale=2, width=8, depth=1)
    path = saved(network, tmp_path / "x.pth")
    if suffix == ".safetensors":
        save_file(network.state_dict(), path.with_suffix(suffix))
    found = load(path.with_suffix(suffix))
    assert found.header.origin.startswith(f"x{suffix} ") and found.restorer.scale == 2
    image = torch.rand(1, 3, 9, 7)
    with torch.inference_mode():
        torch.testing.assert_close(found.restorer(image), network(image).clamp(0, 1))


def test_a_file_that_does_not_say_all_names_the_rows_that_do(tmp_path: Path) -> None:
    """FFDNet must be told of the noise; a network of a process belongs to one."""
    path = saved(NETWORKS.load("ffdnet")(depth=8), tmp_path / "x.pth")
    with pytest.raises(WeightsError, match="no tensor says sigma") as caught:
        load(path)
    assert "ffdnet-color" in (caught.value.hint or "")
    path = saved(NETWORKS.load("unet")(nf=8, depth=2), tmp_path / "y.pth")
    with pytest.raises(WeightsError, match="not the process") as caught:
        load(path)
    assert "rain100h" in (caught.value.hint or "")


def test_without_the_extra_one_sentence_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the exit code is that of weights."""
    monkeypatch.setattr(bridged, "is_installed", lambda: False)
    torch.save({"upconv.weight": torch.zeros(2, 3)}, tmp_path / "x.pth")
    picture(tmp_path / "a.png")
    places = [str(tmp_path / "a.png"), str(tmp_path / "out")]
    done = CliRunner().invoke(app, ["restore", *places, "--task", "sr4", "--model", str(tmp_path / "x.pth")])
    assert done.exit_code == 4 and done.stdout == ""
    assert "holds no network that is known" in done.stderr and "pip install 'irsde[spandrel]'" in done.stderr


@needs_spandrel
def test_a_file_that_both_know_is_ours(shared: Path) -> None:
    """spandrel takes KAIR's FFDNet in colour for a DnCNN of 13 channels, and would call it with 12 of noise."""
    import spandrel

    path = shared / "weights" / "ffdnet_color.safetensors"
    assert spandrel.ModelLoader().load_from_state_dict(load_file(path)).architecture.id == "DnCNN"
    with pytest.raises(WeightsError, match="holds a ffdnet"):
        load(path)


@needs_spandrel
@pytest.mark.parametrize("family", ["SwinIR", "SPAN", "RealCUGAN"])
def test_spandrel_tells_the_rest(family: str, tmp_path: Path) -> None:
    """Scale, padding and pixels are those of its own call; memory is no more than is planned for."""
    import spandrel

    path = saved(small(family), tmp_path / "x.pth")
    found = load(path).restorer
    assert found.scale == 2 and found.config.network.options == {"family": family}
    image = torch.rand(1, 3, 41, 38)
    with torch.inference_mode():
        theirs = spandrel.ModelLoader().load_from_file(path).eval()(image)
        torch.testing.assert_close(found(image)[..., :60, :60], theirs[..., :60, :60], atol=0.05, rtol=0)
        image = torch.rand(1, 3, 64, 64)
        torch.testing.assert_close(found(image), spandrel.ModelLoader().load_from_file(path).eval()(image))
        taken = peak_bytes(lambda: found(image)) / 128**2
    assert taken < found.facts.working_bytes < 8 * taken


@needs_spandrel
def test_a_run_with_it_keeps_what_every_run_keeps(tmp_path: Path) -> None:
    """Scale, tiles, transparency, 16 bits, and going on."""
    restore = Program(saved(small("SwinIR"), tmp_path / "x.pth"))
    picture(tmp_path / "in" / "a.png", 70, 90, "RGBA")
    deep = np.random.default_rng(0).integers(0, 65535, (20, 22), dtype=np.uint16)
    from PIL import Image

    Image.fromarray(deep).save(tmp_path / "in" / "b.png")
    result = restore(tmp_path / "in", tmp_path / "out", "--tile", 64, steps=1)
    assert "with x.pth on" in result.stderr
    assert pixels(tmp_path / "out" / "a.png").shape == (140, 180, 4)
    assert read_picture(tmp_path / "out" / "b.png", "b").pixels.dtype == np.uint16
    assert "2 up to date" in restore(tmp_path / "in", tmp_path / "out", "--tile", 64, steps=1).stderr
    whole = load(tmp_path / "x.pth").restorer(to_tensor(read_picture(tmp_path / "in" / "b.png", "b"))[None])
    assert whole.shape == (1, 3, 40, 44)


@needs_spandrel
def test_families_with_terms_say_them(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Those of the second package, where that is installed."""
    pytest.importorskip("spandrel_extra_arches", reason="needs spandrel_extra_arches")
    from spandrel_extra_arches.architectures.MIRNet2 import MIRNet2

    network = MIRNet2(n_feat=16, chan_factor=1.5, n_MRB=1)
    found = load(saved(network, tmp_path / "x.pth"))
    assert "the terms of MIRNet2: for academic research only" in caplog.text
    assert found.header.weights_licence == "for academic research only"


@needs_spandrel
def test_what_fits_no_picture_is_refused(tmp_path: Path) -> None:
    """One channel, or tensors that do not belong together."""
    from spandrel.architectures import SPAN

    path = saved(SPAN.SPAN(num_in_ch=1, num_out_ch=1, feature_channels=8, upscale=2), tmp_path / "x.pth")
    with pytest.raises(WeightsError, match="cannot be used"):
        load(path)
    state = small("SwinIR").state_dict()
    state["conv_last.weight"] = torch.zeros(2, 2)
    torch.save(state, path)
    with pytest.raises(WeightsError, match="cannot be used"):
        load(path)
