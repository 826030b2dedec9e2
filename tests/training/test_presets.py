"""The presets of published trainings against what their settings files say."""

from typing import Any

import pytest

from irsde_cli.config import from_mapping
from irsde_cli.presets import preset_names, read_preset
from irsde_cli.training.adversarial import AdversarialConfig
from irsde_cli.training.config import TrainConfig

UNET = {"nf": 64, "depth": 4}
NAFNET = {"width": 64, "enc_blk_nums": (1, 1, 1, 28), "middle_blk_num": 1, "dec_blk_nums": (1, 1, 1, 1)}
HALVED = ((200000, 400000, 600000), 0.5)
# The settings files of github.com/Algolzw/image-restoration-sde, commit of 2024: network, its options, max_sigma, T,
# optimiser, rate, where it is halved or what it falls to, batch, crop, iterations.
# The denoising of IR-SDE has 70 and 1000 in its training file; its released weights and their results have 75 and 100.
PUBLISHED: dict[str, tuple[Any, ...]] = {
    "irsde-rain100h": ("unet", UNET, 10, 100, "adam", 1e-4, HALVED, 4, 128, 700_000),
    "irsde-gopro": ("unet", UNET, 10, 100, "adam", 1e-4, HALVED, 4, 128, 700_000),
    "irsde-deshadow": ("unet", UNET, 10, 100, "adam", 1e-4, HALVED, 4, 128, 700_000),
    "irsde-sr4": ("unet", UNET, 30, 100, "adam", 1e-4, HALVED, 4, 128, 700_000),
    "irsde-inpaint": ("unet", UNET, 30, 100, "adam", 1e-4, HALVED, 4, 128, 700_000),
    "irsde-denoise": ("unet", UNET, 75, 100, "adam", 1e-4, HALVED, 8, 128, 700_000),
    "refusion-rain100h": ("nafnet", NAFNET, 50, 100, "lion", 4e-5, 1e-7, 4, 128, 700_000),
    "refusion-gopro": ("nafnet", NAFNET, 50, 100, "lion", 4e-5, 1e-7, 4, 128, 700_000),
    "refusion-deshadow": ("nafnet", NAFNET, 50, 100, "lion", 4e-5, 1e-7, 4, 128, 700_000),
    "refusion-sr4": ("nafnet", NAFNET, 50, 100, "lion", 4e-5, 1e-7, 4, 128, 700_000),
    "refusion-inpaint": ("nafnet", NAFNET, 50, 100, "lion", 4e-5, 1e-7, 4, 128, 700_000),
    "refusion-denoise": ("nafnet", NAFNET, 70, 1000, "lion", 3e-5, 1e-6, 8, 128, 700_000),
    "latent-refusion-dehaze": ("nafnet", {**NAFNET, "img_channel": 8}, 50, 100, "lion", 3e-5, 1e-7, 8, 1024, 400_000),
    "latent-unet-dehaze": (
        "latent-unet",
        {"ch": 8, "ch_mult": (4, 8, 8, 16), "embed_dim": 8},
        None,
        None,
        "lion",
        3e-5,
        1e-7,
        16,
        256,
        300_000,
    ),
}


def test_every_published_preset_is_in_the_table() -> None:
    ours = [name for name in preset_names() if name.startswith(("irsde-", "refusion-", "latent-"))]
    assert sorted(PUBLISHED) == ours


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_preset_changes_nothing_else(name: str) -> None:
    """What the published settings have in common, and what tells the systems apart."""
    values = read_preset(name)
    values.pop("run", None)
    config = from_mapping(TrainConfig, values, name)
    first = name == "latent-unet-dehaze"
    denoises, latent = name.endswith("-denoise"), name.startswith("latent-")
    system = "autoencoder" if first else "latent" if latent else "denoising" if denoises else "mean-reverting"
    assert (config.system, config.objective) == (system, "reconstruction" if first else "maximum-likelihood")
    assert (config.weight_decay, config.warm_up, config.swap_share) == (0, 0, 0.5 if first else 0)
    assert (config.weighting, config.timesteps, config.pure_start) == ("uniform", "uniform", False)
    assert config.model.get("scale", 1) == (4 if name.endswith("-sr4") else 1)
    if not first:
        assert (config.terminal_share, config.ema_decay) == (0, 0.9995)
        process = config.model["process"]
        assert process["prediction"] == "noise"
        assert (process["options"]["schedule"], process["options"]["eps"]) == ("cosine", 0.04 if denoises else 0.005)


def test_critics_are_weighed_as_published() -> None:
    """DeblurGAN-v2: 0.5 of the squared error in [-1, 1], 0.001 of the critics, which have three and five layers."""
    config = AdversarialConfig()
    assert (config.pixel_weight, config.adversarial_weight, config.layers, config.width) == (0.5, 0.001, (3, 5), 64)
    preset = from_mapping(TrainConfig, read_preset("deblur-adversarial"), "")
    assert preset.objective_options == {}
    assert (preset.optimiser, preset.learning_rate, preset.weight_decay) == ("adam", 1e-4, 0)


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_preset_says_what_was_published(name: str) -> None:
    """Field by field."""
    network, options, sigma, timesteps, optimiser, rate, falls, batch, crop, steps = PUBLISHED[name]
    values = read_preset(name)
    values.pop("run", None)
    config = from_mapping(TrainConfig, values, name)
    found = config.model[
        "network" if sigma is not None else "autoencoder" if "autoencoder" in config.model else "network"
    ]
    assert found["name"] == network
    given = {key: tuple(value) if isinstance(value, list) else value for key, value in found["options"].items()}
    assert {key: given[key] for key in options} == options
    if sigma is not None:
        process = config.model["process"]["options"]
        assert process["stationary_std"] == pytest.approx(sigma / 255)
        assert process.get("num_timesteps", 100) == timesteps
    assert (config.optimiser, config.learning_rate) == (optimiser, rate)
    if isinstance(falls, tuple):
        assert (config.schedule, config.milestones, config.gamma) == ("multi-step", *falls)
    else:
        assert (config.schedule, config.final_rate) == ("cosine", falls)
    assert (config.betas, config.batch_size, config.crop, config.steps) == ((0.9, 0.99), batch, crop, steps)
