"""The released files of OSDFace and its base model as one network of one pass.

The base is Stable Diffusion 2.1, as diffusers saves it. What was taught is a low-rank change of the U-Net (LoRA), an
encoder and two layers.
"""

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from irsde_cli.checkpoint import assemble
from irsde_cli.config import to_mapping
from irsde_cli.conversions.dialects import read_state
from irsde_cli.errors import WeightsError
from irsde_cli.restorer import Restorer
from irsde_cli.systems.one_pass import OnePassConfig
from irsde_cli.systems.parts import NetworkConfig

LOW = re.compile(r"^(?:unet\.)?(?P<layer>.+)\.(?:lora_A|lora\.down)\.weight$")
EMBEDDER = re.compile(r"^(?:vqvae_LQ\.)?(?=encoder\.|quant_conv\.|quantize\.embedding\.)")


def from_released(
    *,
    unet: Path,
    vae: Path,
    lora: Path,
    embedder: Path,
    projection: Path,
    alpha: float | None = 16.0,
    config: NetworkConfig | None = None,
) -> Restorer:
    """The restorer, ready for `irsde_cli.checkpoint.save`.

    Args:
        unet: the file of Stable Diffusion 2.1's U-Net, with diffusers' names.
        vae: that of its autoencoder.
        lora: `pytorch_lora_weights.safetensors`.
        embedder: `associate_2.ckpt`.
        projection: `embedding_change_weights.pth`.
        alpha: of the LoRA; `None` is its rank.
        config: of the network, if not the published one.

    Raises:
        WeightsError: a file is missing or damaged, or does not fit.
    """
    try:
        changed = merged(read_state(unet), read_state(lora), alpha)
    except ValueError as error:
        raise WeightsError(f"'{lora}' does not fit '{unet}': {error}.") from None
    seen = {name: tensor for name, tensor in read_state(embedder).items() if EMBEDDER.match(name)}
    parts = {
        "unet.": changed,
        "vae.": read_state(vae),
        "embedder.": {EMBEDDER.sub("", name): tensor for name, tensor in seen.items()},
        "projection.": read_state(projection),
    }
    tensors = {f"network.{part}{name}": tensor for part, held in parts.items() for name, tensor in held.items()}
    built = OnePassConfig(config or NetworkConfig("osdface", {}))
    return assemble("one-pass", to_mapping(built), tensors, f"OSDFace of '{embedder}'")


def merged(tensors: Mapping[str, Tensor], lora: Mapping[str, Tensor], alpha: float | None = None) -> dict[str, Tensor]:
    """Weights with a low-rank change in them: W + alpha / r B A.

    Args:
        tensors: of the network.
        lora: A and B of each layer, as diffusers names them, in its own way or in that of peft.
        alpha: by which changes are multiplied, and by their rank divided; `None` leaves them as they are.

    Raises:
        ValueError: a change is of a layer that is not there, or has another shape.
    """
    changed = dict(tensors)
    left = set(lora)
    for name, low in lora.items():
        found = LOW.match(name)
        if found is None:
            continue
        other = name.replace("lora_A", "lora_B").replace("lora.down", "lora.up")
        layer = f"{found['layer']}.weight"
        if layer not in tensors:
            raise ValueError(f"it changes '{layer}', which is nowhere")
        high = lora.get(other)
        if high is None:
            raise ValueError(f"'{other}' is missing")
        scale = 1.0 if alpha is None else alpha / len(low)
        change = scale * (high.flatten(1).float() @ low.flatten(1).float())
        weight = tensors[layer]
        if change.numel() != weight.numel():
            raise ValueError(f"'{name}' is of another shape than '{layer}'")
        changed[layer] = (weight.float() + change.view_as(weight)).to(torch.float32)
        left -= {name, other}
    if unknown := sorted(left):
        raise ValueError(f"'{unknown[0]}' is no part of a low-rank change")
    return changed
