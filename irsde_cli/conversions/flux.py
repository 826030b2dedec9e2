"""The released files of FLUX-IR, its base model's and a prompt's embeddings as one system.

FLUX.1's files on the Hub have diffusers' names; those of FLUX-IR, a ControlNet and an encoder for degraded images, have
the names of Black Forest Labs' program.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from irsde_cli.checkpoint import assemble
from irsde_cli.config import to_mapping
from irsde_cli.conversions.dialects import read_state
from irsde_cli.errors import WeightsError
from irsde_cli.restorer import Restorer
from irsde_cli.storage import weight_files
from irsde_cli.systems.flux import FluxConfig
from irsde_cli.systems.flux2 import Flux2Config

# Theirs to ours, first match; several names mean that the tensor holds so many in turn.
CONTROLNET: dict[str, tuple[str, ...]] = {
    r"img_in\.": ("x_embedder.",),
    r"txt_in\.": ("context_embedder.",),
    r"pos_embed_input\.": ("controlnet_x_embedder.",),
    r"time_in\.": ("time_text_embed.timestep_embedder.",),
    r"vector_in\.": ("time_text_embed.text_embedder.",),
    r"guidance_in\.": ("time_text_embed.guidance_embedder.",),
    r"in_layer\.": ("linear_1.",),
    r"out_layer\.": ("linear_2.",),
    r"double_blocks\.": ("transformer_blocks.",),
    r"img_mod\.lin\.": ("norm1.linear.",),
    r"txt_mod\.lin\.": ("norm1_context.linear.",),
    r"img_attn\.norm\.query_norm\.scale": ("attn.norm_q.weight",),
    r"img_attn\.norm\.key_norm\.scale": ("attn.norm_k.weight",),
    r"txt_attn\.norm\.query_norm\.scale": ("attn.norm_added_q.weight",),
    r"txt_attn\.norm\.key_norm\.scale": ("attn.norm_added_k.weight",),
    r"img_attn\.proj\.": ("attn.to_out.0.",),
    r"txt_attn\.proj\.": ("attn.to_add_out.",),
    r"img_mlp\.0\.": ("ff.net.0.proj.",),
    r"img_mlp\.2\.": ("ff.net.2.",),
    r"txt_mlp\.0\.": ("ff_context.net.0.proj.",),
    r"txt_mlp\.2\.": ("ff_context.net.2.",),
    r"img_attn\.qkv\.": ("attn.to_q.", "attn.to_k.", "attn.to_v."),
    r"txt_attn\.qkv\.": ("attn.add_q_proj.", "attn.add_k_proj.", "attn.add_v_proj."),
}
ENCODER: dict[str, tuple[str, ...]] = {
    r"^down\.(\d+)\.block\.": (r"down_blocks.\1.resnets.",),
    r"^down\.(\d+)\.downsample\.": (r"down_blocks.\1.downsamplers.0.",),
    r"nin_shortcut": ("conv_shortcut",),
    r"mid\.block_1\.": ("mid_block.resnets.0.",),
    r"mid\.block_2\.": ("mid_block.resnets.1.",),
    r"mid\.attn_1\.norm\.": ("mid_block.attentions.0.group_norm.",),
    r"mid\.attn_1\.proj_out\.": ("mid_block.attentions.0.to_out.0.",),
    r"mid\.attn_1\.([qkv])\.": (r"mid_block.attentions.0.to_\1.",),
    r"norm_out": ("conv_norm_out",),
}


def from_released(
    config: FluxConfig,
    *,
    transformer: Path,
    autoencoder: Path,
    controlnet: Path,
    prompt: Path,
    encoder: Path | None = None,
) -> Restorer:
    """The system with those weights, on the CPU and in float32: four bytes a parameter.

    Args:
        config: of the system; with `encoder`, its autoencoder has a `degraded_encoder`.
        transformer: the folder of FLUX.1's transformer, with the files of the Hub.
        autoencoder: the folder of its autoencoder.
        controlnet: FLUX-IR's ControlNet, `FluxIR.bin`.
        prompt: a safetensors file with `text`, `pooled`, `negative_text` and `negative_pooled`.
        encoder: FLUX-IR's second encoder, `encoder_lq.bin`.

    Raises:
        WeightsError: a file is missing or damaged, or does not fit the configuration.
    """
    control = {name: value for name, value in read_state(controlnet).items() if not name.startswith("input_hint_block")}
    tensors = {
        **_behind("network.transformer.", _folder(transformer)),
        **_behind("network.controlnet.", renamed(control, CONTROLNET)),
        **_behind("network.", weight_files.read(prompt)),
        **_behind("autoencoder.vae.", _folder(autoencoder)),
    }
    if encoder is not None:
        tensors |= _behind("autoencoder.degraded_encoder.", renamed(read_state(encoder), ENCODER))
    return assemble("flux-ir", to_mapping(config), tensors, f"FLUX of '{transformer}' and '{controlnet}'")


def from_diffusers(config: Flux2Config, *, transformer: Path, autoencoder: Path, prompt: Path) -> Restorer:
    """FLUX.2 as diffusers' folders hold it, on the CPU and in float32: four bytes a parameter.

    Args:
        config: of the system.
        transformer: the folder of the transformer, with the files of the Hub.
        autoencoder: the folder of the autoencoder.
        prompt: a safetensors file with `text` and `negative_text`.

    Raises:
        WeightsError: a file is missing or damaged, or does not fit the configuration.
    """
    tensors = {
        **_behind("network.transformer.", _folder(transformer)),
        **_behind("network.", weight_files.read(prompt)),
        **_behind("autoencoder.vae.", _folder(autoencoder)),
    }
    # A count of batches, which nothing reads, is a whole number, as no tensor of a checkpoint is.
    tensors = {name: value if value.is_floating_point() else value.float() for name, value in tensors.items()}
    return assemble("flux2", to_mapping(config), tensors, f"FLUX.2 of '{transformer}'")


def renamed(tensors: Mapping[str, Tensor], table: Mapping[str, tuple[str, ...]]) -> dict[str, Tensor]:
    """Tensors by our names; 1 x 1 convolutions of an attention are linear layers with us."""
    found = {}
    for name, tensor in tensors.items():
        names = [name]
        for theirs, ours in table.items():
            names = (
                [re.sub(theirs, one, known) for known in names for one in ours] if re.search(theirs, name) else names
            )
        for own, part in zip(names, tensor.chunk(len(names)), strict=True):
            found[own] = part.flatten(1) if ".attentions." in own and part.ndim == 4 else part
    return found


def _behind(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in tensors.items()}


def _folder(folder: Path) -> dict[str, Tensor]:
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise WeightsError(f"no safetensors files in '{folder}'.", hint="It is a folder of the model's repository.")
    return {name: tensor for file in files for name, tensor in weight_files.read(file).items()}
