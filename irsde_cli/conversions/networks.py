"""Which network a file of the reference holds, read from names and shapes; nothing else in it says so."""

import math
import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from irsde_cli.errors import WeightsError
from irsde_cli.systems.parts import NetworkConfig

STRANGERS = {
    "cam_mlp": "Refusion's network for bokeh, which needs lens data",
    ".fusion.": "Refusion's network for two views",
    "patch_embed": "a transformer (DiT), which no release uses",
}
CONTEXT = "mid_attn.fn.fn.transformer_blocks.0.attn2"
CLIP_HEAD = 64


def recognise(tensors: Mapping[str, Tensor], where: str) -> NetworkConfig:
    """The network and its hyper-parameters, from the bare module's state dict.

    A latent NAFNet and one for pixels have the same names: 8 channels mean the latent one, with its long skip.

    Raises:
        WeightsError: it is none of ours.
    """
    for mark, what in STRANGERS.items():
        if any(mark in name for name in tensors):
            raise WeightsError(f"{where} holds {what}; it is not supported.")
    try:
        if "visual_control.conv1.weight" in tensors:
            return NetworkConfig("daclip", _daclip(tensors))
        if "latent_conv.weight" in tensors:
            return NetworkConfig("latent-unet", _latent_unet(tensors))
        if "intro.weight" in tensors:
            return NetworkConfig("nafnet", _nafnet(tensors))
        if "init_conv.weight" in tensors and f"{CONTEXT}.to_k.weight" in tensors:
            return NetworkConfig("daclip-unet", _daclip_unet(tensors))
        if "init_conv.weight" in tensors:
            return NetworkConfig("unet", _unet(tensors))
    except KeyError as error:
        raise WeightsError(f"{where} holds a part of a network only: {error} is missing.") from None
    except (ValueError, ZeroDivisionError, IndexError):
        raise WeightsError(f"{where} holds tensors whose shapes are those of no network of the reference.") from None
    first = ", ".join(f"'{name}'" for name in list(tensors)[:3])
    raise WeightsError(f"{where} holds no network of the reference; its first tensors are {first}.")


def _unet(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    nf, channels = tensors["init_conv.weight"].shape[:2]
    out = tensors["final_conv.weight"].shape[0]
    depth = _count(tensors, "downs")
    # Level i ends with a convolution to the width of the next.
    widths = [tensors[f"downs.{level}.3.weight"].shape[0] for level in range(depth)]
    powers = [nf * 2 ** (level + 1) for level in range(depth)]
    return {
        "in_nc": out,
        "out_nc": out,
        "nf": nf,
        **({"depth": depth} if widths == powers else {"ch_mult": tuple(width // nf for width in widths)}),
        "conditional": channels == 2 * out,
        "full_attention": "mid_attn.fn.fn.to_out.weight" in tensors,
    }


def _daclip_unet(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    plain = _unet(tensors)
    nf, depth = plain["nf"], _count(tensors, "downs")
    return {
        "in_nc": plain["in_nc"],
        "out_nc": plain["out_nc"],
        "nf": nf,
        "ch_mult": tuple(tensors[f"downs.{level}.3.weight"].shape[0] // nf for level in range(depth)),
        "context_dim": tensors[f"{CONTEXT}.to_k.weight"].shape[1],
        "degradation_context": "prompt" in tensors,
        "halved": "downsample.weight" in tensors,
    }


def _daclip(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """Numbers of heads leave no trace: all released ones are 64 wide."""
    width, _, patch_size, _ = tensors["visual_control.conv1.weight"].shape
    patches = tensors["visual_control.positional_embedding"].shape[0] - 1
    context_length, text_width = tensors["clip.positional_embedding"].shape
    return {
        "embed_dim": tensors["visual_control.proj"].shape[1],
        "image_size": patch_size * math.isqrt(patches),
        "patch_size": patch_size,
        "width": width,
        "layers": _count(tensors, "clip.visual.transformer.resblocks"),
        "head_width": min(CLIP_HEAD, width),
        "context_length": context_length,
        "vocab_size": tensors["clip.token_embedding.weight"].shape[0],
        "text_width": text_width,
        "text_heads": max(text_width // CLIP_HEAD, 1),
        "text_layers": _count(tensors, "clip.transformer.resblocks"),
    }


def _nafnet(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    width, channels = tensors["intro.weight"].shape[:2]
    image = tensors["ending.weight"].shape[0]
    levels = range(_count(tensors, "encoders"))
    return {
        "img_channel": image,
        "width": width,
        "enc_blk_nums": tuple(_count(tensors, f"encoders.{level}") for level in levels),
        "middle_blk_num": _count(tensors, "middle_blks"),
        "dec_blk_nums": tuple(_count(tensors, f"decoders.{level}") for level in levels),
        "conditional": channels == 2 * image,
        "long_skip": image == 8,
    }


def _latent_unet(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    ch, channels = tensors["init_conv.weight"].shape[:2]
    depth = _count(tensors, "encoder")
    return {
        "in_ch": channels,
        "out_ch": tensors["final_conv.weight"].shape[0],
        "ch": ch,
        "ch_mult": tuple(tensors[f"encoder.{level}.3.weight"].shape[0] // ch for level in range(depth)),
        "embed_dim": tensors["latent_conv.weight"].shape[0],
    }


def _count(tensors: Mapping[str, Tensor], prefix: str) -> int:
    """How many numbered modules stand under a prefix."""
    numbers = {
        int(found[1]) for name in tensors if (found := re.match(rf"{re.escape(prefix)}\.(\d+)\.", name)) is not None
    }
    if numbers != set(range(len(numbers))) or not numbers:
        raise KeyError(f"{prefix}.{min(set(range(len(numbers) + 1)) - numbers)}")
    return len(numbers)
