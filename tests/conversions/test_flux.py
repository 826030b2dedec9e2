"""The released names against diffusers' own conversions, and a whole system from files of the released layout."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from irsde_cli.conversions.flux import CONTROLNET, ENCODER, from_released, renamed
from irsde_cli.errors import WeightsError
from irsde_cli.networks.kl_autoencoder import KlAutoencoder
from irsde_cli.systems.flux import FluxConfig, FluxRestorer
from irsde_cli.systems.parts import NetworkConfig
from tests.extras import needs_diffusers
from tests.systems.test_restorers import FLUX_NET, KL_AUTOENCODER, noise, run

pytestmark = needs_diffusers
THEIRS = "diffusers.loaders.single_file_utils"
WIDTH, TEXT, POOLED, TOKEN = 32, 8, 6, 16
TWO = NetworkConfig("kl-autoencoder", {**KL_AUTOENCODER.options, "degraded_encoder": True})


def linear(name: str, out: int, into: int) -> dict[str, Tensor]:
    return {f"{name}.weight": torch.randn(out, into), f"{name}.bias": torch.randn(out)}


def released_controlnet(blocks: int) -> dict[str, Tensor]:
    """Random values under the names of ControlNetFlux, of the tiny configuration's shapes."""
    found = {
        **linear("img_in", WIDTH, TOKEN), **linear("txt_in", WIDTH, TEXT), **linear("pos_embed_input", WIDTH, TOKEN),
        "input_hint_block.0.weight": torch.randn(16, 3, 3, 3),
    }  # fmt: skip
    for name, into in (("time_in", 256), ("vector_in", POOLED), ("guidance_in", 256)):
        found |= linear(f"{name}.in_layer", WIDTH, into) | linear(f"{name}.out_layer", WIDTH, WIDTH)
    for block in range(blocks):
        found |= linear(f"controlnet_blocks.{block}", WIDTH, WIDTH)
        for side in ("img", "txt"):
            place = f"double_blocks.{block}.{side}"
            found |= linear(f"{place}_mod.lin", 6 * WIDTH, WIDTH) | linear(f"{place}_attn.qkv", 3 * WIDTH, WIDTH)
            found |= linear(f"{place}_attn.proj", WIDTH, WIDTH) | linear(f"{place}_mlp.0", 4 * WIDTH, WIDTH)
            found |= linear(f"{place}_mlp.2", WIDTH, 4 * WIDTH)
            found |= {f"{place}_attn.norm.{one}_norm.scale": torch.randn(16) for one in ("query", "key")}
    return found


def released_encoder() -> dict[str, Tensor]:
    """The tiny encoder's values under the released names, by going through them the other way round."""
    theirs = {}
    for name, value in KlAutoencoder(**KL_AUTOENCODER.options).vae.encoder.state_dict().items():
        own = name.replace("conv_shortcut", "nin_shortcut").replace("conv_norm_out", "norm_out")
        own = own.replace("down_blocks", "down").replace("resnets", "block").replace("downsamplers.0", "downsample")
        own = own.replace("mid_block.block.0", "mid.block_1").replace("mid_block.block.1", "mid.block_2")
        for ours, one in (
            ("group_norm", "norm"),
            ("to_out.0", "proj_out"),
            ("to_q", "q"),
            ("to_k", "k"),
            ("to_v", "v"),
        ):
            own = own.replace(f"mid_block.attentions.0.{ours}.", f"mid.attn_1.{one}.")
        is_linear = ".attn_1." in own and value.ndim == 2
        theirs[own] = torch.randn_like(value[:, :, None, None] if is_linear else value)
    return theirs


def test_the_controlnet_is_named_as_diffusers_names_it() -> None:
    """Its own conversion, of FLUX's transformer, gives the same tensors where both have some."""
    convert = pytest.importorskip(THEIRS).convert_flux_transformer_checkpoint_to_diffusers
    theirs = released_controlnet(3)
    padded = {name: value.clone() for name, value in theirs.items() if "_block" not in name or "double" in name}
    del padded["pos_embed_input.weight"], padded["pos_embed_input.bias"]
    padded |= linear("final_layer.linear", TOKEN, WIDTH) | linear("final_layer.adaLN_modulation.1", 2 * WIDTH, WIDTH)
    single = "single_blocks.0"
    padded |= linear(f"{single}.modulation.lin", 3 * WIDTH, WIDTH) | linear(f"{single}.linear2", WIDTH, 5 * WIDTH)
    padded |= linear(f"{single}.linear1", 3 * 3072 + 4 * 3072, 1)
    padded |= {f"{single}.norm.{one}_norm.scale": torch.randn(16) for one in ("query", "key")}
    expected: dict[str, Tensor] = convert(padded)
    ours = renamed(theirs, CONTROLNET)
    shared = [name for name in expected if not name.startswith(("single_", "proj_out", "norm_out"))]
    assert len(shared) > 80
    for name in shared:
        assert torch.equal(ours[name], expected[name]), name


def test_the_encoder_is_named_as_diffusers_names_it() -> None:
    convert = pytest.importorskip(THEIRS).convert_ldm_vae_checkpoint
    theirs = released_encoder()
    config = {"down_block_types": ["DownEncoderBlock2D"] * 3, "up_block_types": ["UpDecoderBlock2D"] * 3}
    whole = {f"first_stage_model.encoder.{name}": value for name, value in theirs.items()}
    expected: dict[str, Tensor] = {
        name.removeprefix("encoder."): value for name, value in convert(whole, config).items()
    }
    ours = renamed(theirs, ENCODER)
    assert ours.keys() == expected.keys() and len(ours) > 40
    for name, value in expected.items():
        torch.testing.assert_close(ours[name], value.reshape(ours[name].shape), rtol=0, atol=0)


def released(folder: Path) -> dict[str, Any]:
    """Files of the released layout with the values of a tiny system."""
    torch.manual_seed(0)
    base = FluxRestorer(FluxConfig(FLUX_NET, KL_AUTOENCODER))
    state = base.state_dict()
    parts = {"transformer": "network.transformer.", "vae": "autoencoder.vae."}
    for name, prefix in parts.items():
        held = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
        (folder / name).mkdir(parents=True)
        for half in range(2):
            chosen = {key: value for index, (key, value) in enumerate(held.items()) if index % 2 == half}
            save_file(chosen, folder / name / f"model-{half}.safetensors")
    torch.save(released_controlnet(2), folder / "FluxIR.bin")
    torch.save(released_encoder(), folder / "encoder_lq.bin")
    words = ("text", "pooled", "negative_text", "negative_pooled")
    save_file({name: torch.randn_like(getattr(base.network, name)) for name in words}, folder / "prompt.safetensors")
    return {
        "transformer": folder / "transformer", "autoencoder": folder / "vae", "controlnet": folder / "FluxIR.bin",
        "encoder": folder / "encoder_lq.bin", "prompt": folder / "prompt.safetensors",
    }  # fmt: skip


def test_a_system_is_made_of_released_files(tmp_path: Path) -> None:
    """All of their tensors have a place, none is left without; it restores."""
    files = released(tmp_path)
    system = from_released(FluxConfig(FLUX_NET, TWO, true_guidance=4.0), **files)
    assert isinstance(system, FluxRestorer)
    theirs = torch.load(files["controlnet"])
    query = theirs["double_blocks.1.txt_attn.qkv.weight"][:WIDTH]
    assert torch.equal(system.network.controlnet.transformer_blocks[1].attn.add_q_proj.weight, query)
    assert torch.isfinite(run(system, torch.rand(1, 3, 9, 14), noise(), steps=2)).all()
    with pytest.raises(WeightsError, match="lacks the tensor 'autoencoder"):
        from_released(FluxConfig(FLUX_NET, TWO), **{**files, "encoder": None})
    with pytest.raises(WeightsError, match="no safetensors files in"):
        from_released(FluxConfig(FLUX_NET, TWO), **{**files, "transformer": tmp_path / "absent"})
    with pytest.raises(WeightsError, match="no weight file"):
        from_released(FluxConfig(FLUX_NET, TWO), **{**files, "prompt": tmp_path / "absent"})
    (tmp_path / "cut.safetensors").write_bytes(files["prompt"].read_bytes()[:50])
    with pytest.raises(WeightsError, match="not a whole safetensors file"):
        from_released(FluxConfig(FLUX_NET, TWO), **{**files, "prompt": tmp_path / "cut.safetensors"})
