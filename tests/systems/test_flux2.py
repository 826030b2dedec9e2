"""FLUX.2 against diffusers' own parts, with random values of a tiny size."""

import copy
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from irsde_cli import checkpoint
from irsde_cli.conversions.flux import from_diffusers
from irsde_cli.errors import WeightsError
from irsde_cli.networks.flux2 import Flux2
from irsde_cli.systems.flux2 import Flux2Restorer
from tests.cli.stub import Program, picture, pixels
from tests.extras import needs_diffusers
from tests.systems.test_restorers import build, noise, run

pytestmark = needs_diffusers


def restorer(**settings: Any) -> Flux2Restorer:
    torch.manual_seed(0)
    system = build("flux2", **settings)
    assert isinstance(system, Flux2Restorer)
    for name in ("text", "negative_text"):
        getattr(system.network, name).copy_(torch.randn_like(getattr(system.network, name)))
    system.autoencoder.vae.bn.running_mean.copy_(torch.randn(16))
    system.autoencoder.vae.bn.running_var.copy_(torch.rand(16) + 0.5)
    return system


def test_sampling_is_that_of_diffusers() -> None:
    """Its transformer, autoencoder and scheduler put together as its pipeline does, from the same noise.

    Latents packed pixel by pixel, the reference at time 10, guidance of 4 against the empty prompt, shifted times.
    """
    system, steps = restorer(), 5
    build_scheduler: Any = import_module("diffusers").FlowMatchEulerDiscreteScheduler
    degraded = torch.rand(1, 3, 16, 24)
    vae: Any = system.autoencoder.vae
    transformer = system.network.transformer
    mean = vae.bn.running_mean.view(1, -1, 1, 1)
    std = torch.sqrt(vae.bn.running_var.view(1, -1, 1, 1) + vae.config.batch_norm_eps)
    latent = vae.encode(2 * degraded - 1).latent_dist.mode()
    count, channels, height, width = latent.shape
    squares = latent.view(count, channels, height // 2, 2, width // 2, 2).permute(0, 1, 3, 5, 2, 4)
    reference = (squares.reshape(count, 4 * channels, height // 2, width // 2) - mean) / std
    rows, columns = reference.shape[-2:]
    times = [
        torch.cartesian_prod(torch.tensor([time]), torch.arange(rows), torch.arange(columns), torch.arange(1))
        for time in (0, 10)
    ]
    words = torch.cartesian_prod(torch.arange(1), torch.arange(1), torch.arange(1), torch.arange(3))

    def packed(image: Tensor) -> Tensor:
        return image.reshape(count, 4 * channels, -1).permute(0, 2, 1)

    scheduler: Any = build_scheduler(shift=7.56)
    scheduler.set_timesteps(sigmas=np.linspace(0.999, 0.999 / steps, steps).tolist())
    first = float(scheduler.sigmas[0])
    assert first == pytest.approx(0.99987, abs=1e-5)
    state = packed((1 - first) * reference + first * noise()(reference))
    for t in scheduler.timesteps:
        both = torch.cat((state, packed(reference)), dim=1)
        told = {"timestep": t.expand(1) / 1000, "img_ids": torch.cat(times)[None], "txt_ids": words[None]}
        text, empty = (
            transformer(both, encoder_hidden_states=prompt[None], return_dict=False, **told)[0][:, : state.shape[1]]
            for prompt in (system.network.text, system.network.negative_text)
        )
        state = scheduler.step(empty + 4 * (text - empty), t, state, return_dict=False)[0]
    end = state.permute(0, 2, 1).reshape(reference.shape) * std + mean
    end = end.reshape(count, channels, 2, 2, rows, columns).permute(0, 1, 4, 2, 5, 3)
    expected = (vae.decode(end.reshape(latent.shape)).sample + 1) / 2
    torch.testing.assert_close(run(system, degraded, noise(), steps=steps), expected, atol=2e-4, rtol=1e-3)


def test_a_picture_is_restored_from_a_checkpoint(tmp_path: Path) -> None:
    """The real program, on an odd size; the prompt is heard, and so is the degraded picture."""
    system = restorer()
    checkpoint.save(tmp_path / "a.safetensors", system, task="denoise")
    restore = Program(tmp_path / "a.safetensors")
    source = picture(tmp_path / "in" / "a.png", 21, 35)
    restore(source, tmp_path / "out")
    found = pixels(tmp_path / "out" / "a.png")
    assert found.shape == (21, 35, 3) and found.std() > 1
    degraded = torch.rand(1, 3, 16, 16)
    before = run(system, degraded, noise(), steps=2)
    assert not torch.equal(run(system, 1 - degraded, noise(), steps=2), before)
    system.network.text.add_(1)
    assert not torch.equal(run(system, degraded, noise(), steps=2), before)


def test_folders_of_diffusers_are_one_checkpoint(tmp_path: Path) -> None:
    """What its own `save_pretrained` writes; a folder without weights is named."""
    system = restorer()
    system.network.transformer.save_pretrained(tmp_path / "transformer")
    system.autoencoder.vae.save_pretrained(tmp_path / "vae")
    words = {name: getattr(system.network, name).clone() for name in ("text", "negative_text")}
    save_file(words, tmp_path / "prompt.safetensors")
    places = {"autoencoder": tmp_path / "vae", "prompt": tmp_path / "prompt.safetensors"}
    made = from_diffusers(system.config, transformer=tmp_path / "transformer", **places)
    degraded = torch.rand(1, 3, 16, 16)
    assert torch.equal(run(made, degraded, noise(), steps=2), run(system, degraded, noise(), steps=2))
    with pytest.raises(WeightsError, match="no safetensors files in"):
        from_diffusers(system.config, transformer=tmp_path / "absent", **places)


def test_the_transformer_learns_and_the_rest_is_shared() -> None:
    system = restorer()
    twin = copy.deepcopy(system)
    mine, other = dict(system.named_parameters()), dict(twin.named_parameters())
    assert {name for name in mine if mine[name] is not other[name]} == {n for n in mine if "network.transformer." in n}


def test_the_default_is_klein_base_of_four_billion() -> None:
    """3.9 billion parameters, counted without memory for them."""
    with torch.device("meta"):
        count = sum(parameter.numel() for parameter in Flux2().parameters())
    assert count == 3_875_544_576
