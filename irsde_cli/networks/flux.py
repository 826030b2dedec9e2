"""FLUX.1's transformer with a ControlNet as `diffusers` builds them, from the extra `irsde[flux]`.

Black Forest Labs 2024; Zhu et al., TPAMI 2025, for the ControlNet that restores. The parameters have the names of
diffusers' files behind `transformer.` and `controlnet.`.
"""

import warnings
from collections.abc import Sequence

import torch
from torch import Tensor

from irsde_cli.extras import load
from irsde_cli.networks.facts import Facts
from irsde_cli.networks.network import Predictor

PATCH = 2


class Flux(Predictor):
    """Predicts the velocity noise - x_0 of a latent flow, told by the degraded latent and by a text.

    It reads the text's embeddings from buffers, so no text encoder is needed: `text` and `pooled` of the prompt, and
    of the empty one behind `negative_`.

    Args:
        channels: of the latent.
        heads: of the attention.
        axes: how many channels of a head tell the text's place, the row and the column; their sum is a head's width.
        double_blocks: blocks with weights of their own for text and image.
        single_blocks: blocks with one set of weights for both.
        control_double_blocks: those of the ControlNet; they are added to the transformer's, again and again in turn.
        control_single_blocks: likewise.
        control_weight: what the ControlNet's words are multiplied by.
        guidance: the strength that a guidance-distilled model is told; `None` for one that takes none.
        text_length: tokens of a prompt.
        text_dim: length of a token's embedding (T5).
        pooled_dim: length of the prompt's embedding (CLIP).

    Raises:
        MachineError: diffusers is missing, or does not load.
    """

    def __init__(
        self,
        *,
        channels: int = 16,
        heads: int = 24,
        axes: Sequence[int] = (16, 56, 56),
        double_blocks: int = 19,
        single_blocks: int = 38,
        control_double_blocks: int = 2,
        control_single_blocks: int = 0,
        control_weight: float = 0.9,
        guidance: float | None = 4.0,
        text_length: int = 512,
        text_dim: int = 4096,
        pooled_dim: int = 768,
    ) -> None:
        super().__init__()
        self.control_weight = control_weight
        self.guidance = guidance
        # Some twenty maps of the width a token, and a token is a square of `PATCH` latent pixels.
        self.facts = Facts(
            channels=(channels, channels),
            multiple=PATCH,
            working_bytes=4 * 20 * heads * sum(axes) // PATCH**2,
        )
        diffusers = load("flux", "the network 'flux'")
        options = {
            "in_channels": channels * PATCH**2,
            "attention_head_dim": sum(axes),
            "num_attention_heads": heads,
            "joint_attention_dim": text_dim,
            "pooled_projection_dim": pooled_dim,
            "guidance_embeds": guidance is not None,
            "axes_dims_rope": tuple(axes),
        }
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of the package about its own parts
            self.transformer = diffusers.FluxTransformer2DModel(
                num_layers=double_blocks, num_single_layers=single_blocks, **options
            )
            self.controlnet = diffusers.FluxControlNetModel(
                num_layers=control_double_blocks, num_single_layers=control_single_blocks, **options
            )
        self.text: Tensor
        self.pooled: Tensor
        for prompt in ("", "negative_"):
            self.register_buffer(f"{prompt}text", torch.zeros(text_length, text_dim))
            self.register_buffer(f"{prompt}pooled", torch.zeros(pooled_dim))

    def forward(self, x: Tensor, mu: Tensor, t: Tensor, prompt: str = "") -> Tensor:
        """See `Predictor.forward`, for latents and the flow's own time t in [0, 1].

        Args:
            x: (1 - t) x_0 + t noise.
            mu: the degraded latent.
            t: (B,) or (1,).
            prompt: which embeddings are read: "" or "negative_".
        """
        size = x.shape[-2:]
        x, mu = self.padded(x), self.padded(mu)
        rows, columns = (side // PATCH for side in x.shape[-2:])
        places = torch.zeros(rows, columns, 3, device=x.device)
        places[..., 1] = torch.arange(rows, device=x.device)[:, None]
        places[..., 2] = torch.arange(columns, device=x.device)
        text = getattr(self, f"{prompt}text").to(x.dtype).expand(len(x), -1, -1)
        told = {
            "encoder_hidden_states": text,
            "pooled_projections": getattr(self, f"{prompt}pooled").to(x.dtype).expand(len(x), -1),
            "timestep": t.to(x.dtype).expand(len(x)),
            "guidance": None if self.guidance is None else x.new_full((len(x),), self.guidance),
            "img_ids": places.reshape(-1, 3),
            "txt_ids": torch.zeros(text.shape[1], 3, device=x.device),
            "return_dict": False,
        }
        tokens = _packed(x)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Mismatch dtype")  # a slower kernel where weights stay in float32
            double, single = self.controlnet(
                tokens, controlnet_cond=_packed(mu), conditioning_scale=self.control_weight, **told
            )
            (velocity,) = self.transformer(
                tokens, controlnet_block_samples=double, controlnet_single_block_samples=single,
                controlnet_blocks_repeat=True, **told,
            )  # fmt: skip
        return _unpacked(velocity, rows, columns)[..., : size[0], : size[1]]


def _packed(x: Tensor) -> Tensor:
    """Latents (B, C, H, W) as tokens (B, H W / 4, 4 C)."""
    count, channels, height, width = x.shape
    squares = x.reshape(count, channels, height // PATCH, PATCH, width // PATCH, PATCH)
    return squares.permute(0, 2, 4, 1, 3, 5).reshape(count, -1, channels * PATCH**2)


def _unpacked(tokens: Tensor, rows: int, columns: int) -> Tensor:
    """Back to (B, C, 2 rows, 2 columns)."""
    squares = tokens.reshape(len(tokens), rows, columns, -1, PATCH, PATCH)
    return squares.permute(0, 3, 1, 4, 2, 5).reshape(len(tokens), -1, rows * PATCH, columns * PATCH)
