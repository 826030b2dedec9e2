"""The flow of FLUX against the released program's way of sampling it, and the program with a checkpoint of it."""

import copy
import json
import re
import sys
import tomllib
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from irsde_cli import checkpoint
from irsde_cli.config import from_mapping, to_mapping
from irsde_cli.networks.flux import Flux, _packed, _unpacked
from irsde_cli.networks.tiling import Tiles
from irsde_cli.systems.flux import FluxConfig, FluxRestorer
from irsde_cli.systems.parts import NetworkConfig
from irsde_cli.training.config import TrainConfig
from tests.cli.stub import Program, pixels, tree
from tests.extras import needs_diffusers
from tests.systems.test_restorers import FLUX_NET, KL_AUTOENCODER, build, noise, run


def restorer(**settings: Any) -> FluxRestorer:
    system = build("flux-ir", **settings)
    assert isinstance(system, FluxRestorer)
    for name in ("text", "pooled", "negative_text", "negative_pooled"):
        getattr(system.network, name).copy_(torch.randn_like(getattr(system.network, name)))
    return system


@needs_diffusers
def test_sampling_is_that_of_the_released_program() -> None:
    """Euler from the noised latent of the second encoder, the ControlNet fed by the first, guided from the 6th step."""
    system = restorer(true_guidance=4.0)
    two = NetworkConfig("kl-autoencoder", {**KL_AUTOENCODER.options, "degraded_encoder": True})
    torch.manual_seed(1)
    both = FluxRestorer(FluxConfig(FLUX_NET, two, true_guidance=4.0)).requires_grad_(False)
    both.load_state_dict(system.state_dict(), strict=False)
    degraded = torch.rand(2, 3, 24, 40)
    vae, second = both.autoencoder.vae, both.autoencoder.degraded_encoder
    assert second is not None
    encoded, own = (0.3611 * (encoder(2 * degraded - 1)[:, :4] - 0.1159) for encoder in (vae.encoder, second))
    steps = torch.linspace(1, 0, 22, dtype=torch.float64)[1:]
    times = (1.596 / (1.596 + 1 / steps - 1)).nan_to_num(0.0).tolist()
    assert times[0] == pytest.approx(0.9696, abs=1e-4)  # what the study calls 0.97
    state = (1 - times[0]) * own + times[0] * noise(count=2)(own)
    for index, (t, s) in enumerate(pairwise(times)):
        velocity = both.network(state, encoded, torch.tensor([t]))
        if index >= 5:
            empty = both.network(state, encoded, torch.tensor([t]), "negative_")
            velocity = empty + 4 * (velocity - empty)
        state = state + (s - t) * velocity
    expected = (vae.decode(state / 0.3611 + 0.1159).sample + 1) / 2
    torch.testing.assert_close(run(both, degraded, noise(count=2)), expected, atol=1e-4, rtol=1e-4)
    assert (run(system, degraded, noise(count=2)) - expected).abs().max() > 1e-3


@needs_diffusers
def test_any_number_of_steps_is_evenly_spread() -> None:
    """The indices are already where FLUX's schedule has its times, whichever sampler asks."""
    system, asked = restorer(), []
    forward = system.network.forward

    def listening(x: Tensor, mu: Tensor, t: Tensor, prompt: str = "") -> Tensor:
        asked.append(float(t[0]))
        return forward(x, mu, t, prompt)

    system.network.forward = listening  # type: ignore[method-assign]
    run(system, torch.rand(1, 3, 8, 8), noise(), sampler="ode-2", steps=5)
    assert asked == pytest.approx([float(system.process.time[t]) for t in (100, 80, 60, 40, 20)])


def test_tokens_are_squares_of_the_latent() -> None:
    """Row by row; in each the channel comes first, then the square's row and column, as FLUX was trained."""
    latent = torch.arange(2 * 4 * 6.0).reshape(1, 2, 4, 6)
    tokens = _packed(latent)
    assert tokens.shape == (1, 6, 8)
    assert tokens[0, 4].tolist() == [14, 15, 20, 21, 38, 39, 44, 45]
    assert torch.equal(_unpacked(tokens, 2, 3), latent)


@needs_diffusers
@pytest.mark.parametrize("name", ["text", "pooled"])
def test_the_prompt_is_heard(name: str) -> None:
    """The embeddings of the checkpoint decide; those of the empty prompt only where estimates are guided."""
    degraded = torch.rand(1, 3, 16, 16)
    for prompt, guidance, heard in (("", 1.0, True), ("negative_", 1.0, False), ("negative_", 4.0, True)):
        system = restorer(true_guidance=guidance)
        before = run(system, degraded, noise(), steps=3)
        getattr(system.network, f"{prompt}{name}").add_(1)
        assert torch.equal(run(system, degraded, noise(), steps=3), before) != heard


@needs_diffusers
def test_tiles_are_those_of_the_picture() -> None:
    """A tile of 32 pixels is one of 8 latent pixels; overlapping predictions are blended inside each step."""
    system, sizes = restorer(), []
    forward = system.network.forward

    def listening(x: Tensor, mu: Tensor, t: Tensor, prompt: str = "") -> Tensor:
        sizes.append(tuple(x.shape[-2:]))
        return forward(x, mu, t, prompt)

    system.network.forward = listening  # type: ignore[method-assign]
    degraded = torch.rand(1, 3, 48, 64)
    whole = run(system, degraded, noise(), steps=2)
    assert set(sizes) == {(12, 16)}
    sizes.clear()
    tiled = run(system, degraded, noise(), Tiles(32, 16), steps=2)
    assert set(sizes) == {(8, 8)} and len(sizes) == 2 * 3 * 5
    assert tiled.shape == whole.shape and torch.isfinite(tiled).all() and not torch.equal(tiled, whole)


@pytest.fixture
def photograph(shared: Path, tmp_path: Path) -> Path:
    """A crop of a real one, of odd size."""
    source = sorted((shared / "data").rglob("*.png"))[0]
    path = tmp_path / "in" / "photograph.png"
    path.parent.mkdir()
    Image.open(source).convert("RGB").crop((20, 10, 20 + 71, 10 + 53)).save(path)
    return path


@needs_diffusers
def test_a_photograph_is_restored_from_a_checkpoint(photograph: Path, tmp_path: Path) -> None:
    """The real program: the same bytes each time, another picture by another seed, in tiles, with any sampler."""
    path = tmp_path / "tiny.safetensors"
    checkpoint.save(path, restorer(true_guidance=2.0), task="denoise", dtype=torch.bfloat16)
    restore = Program(path)
    found: dict[str, Any] = {}
    ways: dict[str, list[object]] = {
        "plain": [],
        "again": ["--batch-size", 4],
        "other": ["--seed", 1],
        "tiles": ["--tile", 32, "--tile-overlap", 16],
        "half": ["--precision", "bf16"],
        "sde": ["--sampler", "sde-2", "--eta", 0.5],
        "nodes": ["--nodes", "auto"],
    }
    for name, options in ways.items():
        restore(photograph.parent, tmp_path / name, *options)
        found[name] = pixels(tmp_path / name / "photograph.png")
        assert found[name].shape == (53, 71, 3) and found[name].std() > 1
    assert tree(tmp_path / "plain") == tree(tmp_path / "again")
    for name in ("other", "tiles", "sde"):
        assert not np.array_equal(found[name], found["plain"])
    assert np.abs(found["half"] - found["plain"]).mean() < 8
    refused = restore(photograph.parent, tmp_path / "small", "--tile", 12, code=2)
    assert "tiles of 12 pixels are too small" in refused.stderr


def test_without_the_extra_it_says_what_to_install(
    photograph: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One sentence and exit code 5, before any weight is read."""
    path = tmp_path / "tiny.safetensors"
    header = checkpoint.Header("flux-ir", to_mapping(FluxConfig(FLUX_NET, KL_AUTOENCODER)), task="denoise")
    save_file({"a": torch.zeros(1)}, path, metadata={"irsde": json.dumps(vars(header))})
    monkeypatch.setitem(sys.modules, "diffusers", None)
    result = Program(path)(photograph, tmp_path / "out", code=5)
    assert "the network 'kl-autoencoder' needs diffusers, which is not installed." in " ".join(result.stderr.split())
    assert "pip install 'irsde[flux]'" in " ".join(result.stderr.split())


def test_settings_of_the_documentation_are_understood() -> None:
    """The training settings and the configuration of docs/flux.md, of the full size."""
    page = (Path(__file__).parents[2] / "docs" / "flux.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    settings = from_mapping(TrainConfig, tomllib.loads(block), "docs/flux.md")
    assert settings.system == "flux-ir" and settings.model["sampling"]["sampler"] == "ddim"
    (code,) = re.findall(r"config = FluxConfig\(.*?^\)", page, re.DOTALL | re.MULTILINE)
    namespace: dict[str, Any] = {"FluxConfig": FluxConfig, "NetworkConfig": NetworkConfig}
    exec(code, namespace)
    assert namespace["config"].true_guidance == 4


@needs_diffusers
def test_copies_share_what_is_never_trained() -> None:
    """Twelve billion numbers exist once, however many copies training keeps; the ControlNet exists in each."""
    system = restorer()
    twin = copy.deepcopy(system)
    degraded = torch.rand(1, 3, 16, 16)
    assert torch.equal(run(twin, degraded, noise(), steps=2), run(system, degraded, noise(), steps=2))
    mine, other = dict(system.named_parameters()), dict(twin.named_parameters())
    assert mine.keys() == other.keys()
    assert {name for name in mine if mine[name] is not other[name]} == {n for n in mine if ".controlnet." in n}
    base = restorer()
    base.network.text.add_(1)
    system.load_state_dict(base.state_dict())
    assert torch.equal(twin.network.text, base.network.text)
    averaged = AveragedModel(system)
    with torch.no_grad():
        for parameter in system.learnt.parameters():
            parameter.add_(1)
    kept = {name: tensor.clone() for name, tensor in system.state_dict().items()}
    averaged.update_parameters(system)
    averaged.update_parameters(system)
    assert all(torch.equal(tensor, kept[name]) for name, tensor in system.state_dict().items())
    assert not torch.equal(run(twin, degraded, noise(), steps=2), run(system, degraded, noise(), steps=2))


@needs_diffusers
def test_the_default_is_the_published_size() -> None:
    """11.9 billion parameters and a ControlNet of two blocks, counted without memory for them."""
    with torch.device("meta"):
        network = Flux()
    count = {
        part: sum(p.numel() for p in getattr(network, part).parameters()) for part in ("transformer", "controlnet")
    }
    assert count == {"transformer": 11_901_408_320, "controlnet": 743_790_592}
