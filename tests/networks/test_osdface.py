"""OSDFace's encoder and its one step."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional as F

from irsde_cli import checkpoint
from irsde_cli.conversions.osdface import from_released, merged
from irsde_cli.errors import WeightsError
from irsde_cli.networks import NETWORKS
from irsde_cli.networks.osdface import TIME, Embedder, Projection, chosen, clean_of
from irsde_cli.systems.parts import NetworkConfig
from tests.extras import needs_diffusers
from tests.fingerprints import Rule, check, fill, fingerprint, image

FILE = "systems1_fingerprints"


def test_the_encoder_is_the_published_one(shared: Path) -> None:
    """Names, shapes, features, the codes in their order, and the prompt's tokens."""
    recorded = fingerprint(shared, FILE, "osdface_embedder")
    embedder = Embedder().eval().requires_grad_(False)
    assert {name: list(tensor.shape) for name, tensor in embedder.state_dict().items()} == recorded["keys"]
    fill(embedder, "H")
    seen = (2 * image(512, 512) - 1 - 0.5) / 0.5
    features = embedder.features(seen)
    check(features, recorded["outputs_hash"]["features"])
    book = embedder.state_dict()["quantize.embedding.weight"]
    tokens, numbers = chosen(features[0], book)
    assert numbers == recorded["selected_codes_hash"]
    check(tokens[None], recorded["outputs_hash"]["tokens"])


@pytest.mark.parametrize("rule", ["A", "H"])
def test_codes_and_prompt_are_the_published_ones(shared: Path, rule: Rule) -> None:
    """Of stored features: the first 77 different codes by distance, and what the U-Net is told."""
    suffix = "_hash" if rule == "H" else ""
    recorded = fingerprint(shared, FILE, f"osdface_selection{suffix}")
    features = load_file(shared / "golden" / "systems1_golden.safetensors")["osdface/selection_features"]
    holder = nn.ModuleDict({"quantize": nn.ModuleDict({"embedding": nn.Embedding(1024, 512)})}).requires_grad_(False)
    fill(holder, rule)
    tokens, numbers = chosen(features[0], holder.state_dict()["quantize.embedding.weight"])
    assert numbers == recorded["codes"]
    check(tokens[None], recorded["outputs"]["tokens"])
    projection = Projection().requires_grad_(False)
    fill(projection, rule)
    if rule == "A":
        wanted = fingerprint(shared, FILE, "osdface_projection")
        assert {name: list(tensor.shape) for name, tensor in projection.state_dict().items()} == wanted["keys"]
        check(projection(tokens[None]), wanted["outputs"]["prompt"])


def test_codes_by_brute_force() -> None:
    """Each once, the nearest place first; zeros fill up."""
    generator = torch.Generator().manual_seed(0)
    features, book = torch.randn(4, 3, 5, generator=generator), torch.randn(9, 4, generator=generator)
    found: list[tuple[float, int]] = []
    for y in range(3):
        for x in range(5):
            apart = [(float((features[:, y, x] - code).square().sum()), number) for number, code in enumerate(book)]
            found.append(min(apart))
    wanted = list(dict.fromkeys(number for _, number in sorted(found)))
    tokens, numbers = chosen(features, book)
    assert numbers == wanted
    torch.testing.assert_close(tokens[: len(wanted)], book[wanted])
    assert not tokens[len(wanted) :].any()


@needs_diffusers
def test_one_step_is_that_of_diffusers() -> None:
    """What its DDIM scheduler takes for the clean latent at t = 399."""
    import diffusers

    parts: Any = diffusers
    scheduler = parts.DDIMScheduler(1000, 0.00085, 0.012, "scaled_linear", clip_sample=False)
    scheduler.set_timesteps(1000)
    latent, noise = torch.randn(2, 1, 4, 8, 8)
    wanted = scheduler.step(noise, TIME, latent).pred_original_sample
    torch.testing.assert_close(clean_of(latent, noise), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("low", "high"), [("lora_A", "lora_B"), ("lora.down", "lora.up")])
def test_lora_is_merged(low: str, high: str) -> None:
    """W x + alpha / r B A x, for matrices and convolutions, by either way of naming; what fits nowhere is an error."""
    torch.manual_seed(0)
    plain = {"a.to_q": torch.randn(10, 6), "b.conv": torch.randn(8, 3, 3, 3)}
    first = {"a.to_q": torch.randn(2, 6), "b.conv": torch.randn(2, 3, 3, 3)}
    second = {"a.to_q": torch.randn(10, 2), "b.conv": torch.randn(8, 2, 1, 1)}
    lora = {f"unet.{name}.{low}.weight": tensor for name, tensor in first.items()}
    lora |= {f"unet.{name}.{high}.weight": tensor for name, tensor in second.items()}
    together = merged({f"{name}.weight": tensor for name, tensor in plain.items()}, lora, alpha=6)
    x = torch.randn(4, 6)
    wanted = F.linear(x, plain["a.to_q"]) + 6 / 2 * F.linear(F.linear(x, first["a.to_q"]), second["a.to_q"])
    torch.testing.assert_close(F.linear(x, together["a.to_q.weight"]), wanted)
    y = torch.randn(2, 3, 5, 7)
    inner = F.conv2d(y, first["b.conv"], padding=1)
    wanted = F.conv2d(y, plain["b.conv"], padding=1) + 6 / 2 * F.conv2d(inner, second["b.conv"])
    torch.testing.assert_close(F.conv2d(y, together["b.conv.weight"], padding=1), wanted, rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match="nowhere"):
        merged({}, lora)
    with pytest.raises(ValueError, match="no part of a low-rank change"):
        merged({}, {"unet.other.weight": torch.ones(2)})


@needs_diffusers
def test_released_files_become_one(tmp_path: Path) -> None:
    """Base, change, encoder and layers; the checkpoint restores faces, by the seed, and an unfit change is said."""
    small = NetworkConfig("osdface", dict(NETWORKS["osdface"].example))
    torch.manual_seed(0)
    whole = NETWORKS.load("osdface")(**small.options).state_dict()
    files: dict[str, Any] = {}
    for part in ("unet", "vae", "embedder", "projection"):
        held = {name.removeprefix(f"{part}."): x for name, x in whole.items() if name.startswith(f"{part}.")}
        if part == "embedder":
            held = {f"vqvae_LQ.{name}": x for name, x in held.items()} | {
                "vqvae_HQ.encoder.conv_in.bias": torch.ones(1)
            }
        files[part] = tmp_path / f"{part}.safetensors"
        save_file({name: x.contiguous() for name, x in held.items()}, files[part])
    layer = next(name for name in whole if name.endswith("attn1.to_q.weight")).removeprefix("unet.")
    out, taken = whole[f"unet.{layer}"].shape
    name = layer.removesuffix(".weight")
    change = {f"unet.{name}.lora_A.weight": torch.ones(2, taken), f"unet.{name}.lora_B.weight": torch.ones(out, 2)}
    files["lora"] = tmp_path / "lora.safetensors"
    save_file(change, files["lora"])
    restorer = from_released(**files, alpha=2.0, config=small)
    found = restorer.state_dict()[f"network.unet.{layer}"]
    torch.testing.assert_close(found, whole[f"unet.{layer}"] + 2)
    checkpoint.save(tmp_path / "model.safetensors", restorer, task="auto")
    loaded = checkpoint.load(tmp_path / "model.safetensors").restorer
    face = torch.rand(3, 21, 18)
    restored = loaded(face, seed=1)
    assert restored.shape == face.shape
    assert torch.equal(restored, loaded(face, seed=1)) and not torch.equal(restored, loaded(face, seed=2))
    save_file({"unet.no.lora_A.weight": torch.ones(2, 2), "unet.no.lora_B.weight": torch.ones(2, 2)}, files["lora"])
    with pytest.raises(WeightsError, match="does not fit"):
        from_released(**files, config=small)
