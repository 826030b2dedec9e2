"""Damage by latent diffusion, of a tiny model with random weights."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from typer.testing import CliRunner

from irsde_cli.cli.program import app
from irsde_cli.degradations import DegradationConfig, build_degradation
from irsde_cli.degradations.matched import AMOUNTS, bins, drawn_amounts
from irsde_cli.errors import UsageError, WeightsError
from irsde_cli.networks.gendeg import FIRST, LAST, NULL, STEPS, GenDeg, Words, levels, load_gendeg
from tests.cli.stub import save_stub
from tests.extras import needs_diffusers

pytestmark = needs_diffusers
TOKENS, CHANNELS = 5, 8


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The layout of InstructPix2Pix: eight channels into the U-Net; and what is GenDeg's own."""
    import diffusers

    parts: Any = diffusers
    place = tmp_path_factory.mktemp("gendeg")
    torch.manual_seed(0)
    unet = parts.UNet2DConditionModel(
        in_channels=8,
        out_channels=4,
        block_out_channels=(8, 16),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=CHANNELS,
        attention_head_dim=4,
        norm_num_groups=4,
    )
    vae = parts.AutoencoderKL(
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        norm_num_groups=4,
        scaling_factor=0.18215,
    )
    unet.save_pretrained(place / "unet")
    vae.save_pretrained(place / "vae")
    words = Words(TOKENS, CHANNELS)
    texts = {"prompt": torch.randn(TOKENS, CHANNELS), "empty": torch.randn(TOKENS, CHANNELS)}
    save_file({**words.state_dict(), **texts}, place / "gendeg.safetensors")
    return place


@pytest.fixture(scope="module")
def model(folder: Path) -> GenDeg:
    return load_gendeg(folder)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_fresh_words_are_handed_on() -> None:
    """As published: the words go through as they are, whatever the numbers say, until that is learnt."""
    words = Words(TOKENS, CHANNELS)
    text = torch.randn(TOKENS, CHANNELS)
    told = words(text, torch.tensor([[3, 90], [NULL, NULL]]))
    torch.testing.assert_close(told, text.expand(2, -1, -1))
    with torch.no_grad():
        words.cc_projection.weight.add_(0.1)
    apart = words(text, torch.tensor([[3, 90], [4, 90]]))
    assert not torch.allclose(apart[0], apart[1])


def test_guidance_of_one_is_the_model(model: GenDeg) -> None:
    """With both scales 1 it is what words and picture say; with both 0 what nothing says."""
    state, image = torch.randn(2, 2, 4, 8, 8, generator=seeded()).unbind()
    wanted, t = torch.tensor([[5, 9], [60, 70]]), torch.tensor(400.0)

    def asked(words: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = model.unet(torch.cat((state, seen), 1), t, encoder_hidden_states=words).sample
        return found

    both = asked(model.words(model.prompt, wanted), image)
    torch.testing.assert_close(model.noise(state, t, image, wanted, 1, 1), both, atol=1e-5, rtol=1e-4)
    silent = model.words(model.empty, torch.full_like(wanted, NULL))
    nothing = asked(silent, torch.zeros_like(image))
    torch.testing.assert_close(model.noise(state, t, image, wanted, 0, 0), nothing, atol=1e-5, rtol=1e-4)


@pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")  # of the package about itself
def test_a_sampler_of_diffusers_agrees(model: GenDeg) -> None:
    """Euler's method with fresh noise, in time indices that are whole."""
    import diffusers

    parts: Any = diffusers
    scheduler = parts.EulerAncestralDiscreteScheduler(STEPS, FIRST, LAST, "scaled_linear")
    scheduler.set_timesteps(4)
    sigmas, times = levels(4)
    torch.testing.assert_close(sigmas.float(), scheduler.sigmas, rtol=1e-4, atol=1e-5)
    assert times.tolist() == scheduler.timesteps.tolist() == [999, 666, 333, 0]
    clean, wanted = torch.rand(1, 3, 16, 24, generator=seeded(1)), torch.tensor([[12, 30]])
    generator = seeded(2)
    found = model(clean, wanted, lambda x: torch.randn(x.shape, generator=generator), steps=4)
    generator = seeded(2)
    image = model.vae.encode(2 * clean - 1).latent_dist.mode()
    state = scheduler.init_noise_sigma * torch.randn(image.shape, generator=generator)
    for time in scheduler.timesteps:
        noise = model.noise(scheduler.scale_model_input(state, time), time, image, wanted, 7.5, 1.5)
        state = scheduler.step(noise, time, state, generator=generator).prev_sample
    expected = (model.vae.decode(state / 0.18215).sample + 1) / 2
    torch.testing.assert_close(found, expected.clamp(0, 1), atol=1e-3, rtol=0)


def test_the_same_seed_gives_the_same_damage(folder: Path) -> None:
    """Reproducible, another for each image and seed, of any size, and told by how much."""
    options = {"model": str(folder), "steps": 2}
    damage = build_degradation(DegradationConfig("generated", options))
    clean = torch.rand(1, 3, 13, 22, generator=seeded(9)).expand(2, -1, -1, -1)
    first = damage.apply(clean, seeded(1))
    assert first.shape == clean.shape and first.min() >= 0 and first.max() <= 1
    assert torch.equal(first, damage.apply(clean, seeded(1)))
    assert not torch.equal(first, damage.apply(clean, seeded(2))) and not torch.equal(first[0], first[1])
    wanted = bins(drawn_amounts(AMOUNTS, 0.05, 500, seeded(3)))
    assert {tuple(row) for row in wanted.tolist()} >= {tuple(row) for row in bins(torch.tensor(AMOUNTS)).tolist()}


def test_evaluate_and_train_take_it(folder: Path, tmp_path: Path) -> None:
    """`evaluate --save` writes what it made; a training learns from it, and `--match` tells it how much."""
    for index in range(2):
        for part, shift in (("GT", 0), ("LQ", 40)):
            path = tmp_path / "pairs" / part / f"{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = np.random.default_rng(index).integers(0, 200, (24, 24, 3), dtype=np.uint8)
            Image.fromarray((pixels + shift).astype(np.uint8)).save(path)

    def run(*words: object) -> Any:
        result = CliRunner().invoke(app, list(map(str, words)))
        assert result.exit_code == 0, (result.output, result.exception)
        return result

    stub = save_stub(tmp_path / "stub.safetensors")
    told = ["--degradation", "generated", "--set", f"model={folder}", "--set", "steps=1"]
    clean = tmp_path / "pairs" / "GT"
    run("evaluate", "--task", "denoise", "--model", stub, "--gt", clean, "--save", tmp_path / "made", *told)
    assert len(list((tmp_path / "made").rglob("*.png"))) >= 2
    settings = tmp_path / "train.toml"
    settings.write_text(
        f"""
task = "denoise"
system = "one-pass"
objective = "direct-regression"
steps = 1
crop = 16
batch_size = 1
[model.network]
name = "pocket-unet"
options = {{ widths = [8, 8], blocks = [1, 1], time_dim = 8 }}
[degradation]
name = "generated"
options = {{ model = {json.dumps(str(folder))}, steps = 1 }}
"""
    )
    out = tmp_path / "run"
    run("train", settings, "--data", clean, "--out", out, "--match", tmp_path / "pairs")
    written = (out / "settings.json").read_text()
    assert "generated" in written and "0.1569" in written  # 40 of 255


def test_what_is_no_model_is_said(tmp_path: Path) -> None:
    """Without a folder, with an empty one, and with a U-Net that sees no picture."""
    with pytest.raises(UsageError, match="'model' must name the folder"):
        build_degradation(DegradationConfig("generated"))
    damage = build_degradation(DegradationConfig("generated", {"model": str(tmp_path)}))
    with pytest.raises(WeightsError, match="holds no model that damages pictures"):
        damage.apply(torch.rand(1, 3, 16, 16), seeded())
