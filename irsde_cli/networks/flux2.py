"""FLUX.2's transformer as `diffusers` builds it, from the extra `irsde[flux]`; the size of klein base with 4 billion.

Black Forest Labs 2025 and 2026. The degraded image is a reference, as the model was trained to edit: its tokens stand
behind those of the state, at another place in time. The parameters have the names of diffusers' files behind
`transformer.`.
"""

import warnings
from collections.abc import Sequence

import torch
from torch import Tensor

from irsde_cli.extras import load
from irsde_cli.networks.facts import Facts
from irsde_cli.networks.network import Predictor

REFERENCE = 10  # where the pipelines of diffusers put the first reference on the axis of time


class Flux2(Predictor):
    """Predicts the velocity noise - x_0 of a latent flow, told by the degraded latent and by a text.

    It reads the text's embeddings from buffers, so no text encoder is needed: `text` of the prompt, and
    `negative_text` of the empty one.

    Args:
        channels: of the latent, whose pixels are tokens.
        heads: of the attention.
        axes: how many channels of a head tell the place in time, the row, the column, and the text's place.
        double_blocks: blocks with weights of their own for text and image.
        single_blocks: blocks with one set of weights for both.
        text_length: tokens of a prompt.
        text_dim: length of a token's embedding: three layers of Qwen3.

    Raises:
        MachineError: diffusers is missing, or does not load.
    """

    def __init__(
        self,
        *,
        channels: int = 128,
        heads: int = 24,
        axes: Sequence[int] = (32, 32, 32, 32),
        double_blocks: int = 5,
        single_blocks: int = 20,
        text_length: int = 512,
        text_dim: int = 7680,
    ) -> None:
        super().__init__()
        # Some 24 maps of the width a token, and a latent pixel is two tokens: the state's and the reference's.
        self.facts = Facts(channels=(channels, channels), working_bytes=4 * 2 * 24 * heads * sum(axes))
        self.transformer = load("flux", "the network 'flux2'").Flux2Transformer2DModel(
            in_channels=channels,
            num_layers=double_blocks,
            num_single_layers=single_blocks,
            attention_head_dim=sum(axes),
            num_attention_heads=heads,
            joint_attention_dim=text_dim,
            axes_dims_rope=tuple(axes),
            guidance_embeds=False,
        )
        self.text: Tensor
        for prompt in ("", "negative_"):
            self.register_buffer(f"{prompt}text", torch.zeros(text_length, text_dim))

    def forward(self, x: Tensor, mu: Tensor, t: Tensor, prompt: str = "") -> Tensor:
        """See `Predictor.forward`, for latents and the flow's own time t in [0, 1].

        Args:
            x: (1 - t) x_0 + t noise.
            mu: the degraded latent.
            t: (B,) or (1,).
            prompt: which embeddings are read: "" or "negative_".
        """
        count, _, rows, columns = x.shape
        text = getattr(self, f"{prompt}text").to(x.dtype).expand(count, -1, -1)
        words = torch.zeros(count, text.shape[1], 4, device=x.device)
        words[..., 3] = torch.arange(text.shape[1], device=x.device)
        tokens = torch.cat((x.flatten(2), mu.flatten(2)), dim=2).transpose(1, 2)
        places = torch.cat([_places(rows, columns, time, x.device) for time in (0, REFERENCE)])
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Mismatch dtype")  # a slower kernel where weights stay in float32
            (velocity,) = self.transformer(
                hidden_states=tokens,
                encoder_hidden_states=text,
                timestep=t.to(x.dtype).expand(count),
                img_ids=places.expand(count, -1, -1),
                txt_ids=words,
                return_dict=False,
            )
        restored: Tensor = velocity[:, : rows * columns].transpose(1, 2).reshape(x.shape)
        return restored


def _places(rows: int, columns: int, time: int, device: torch.device) -> Tensor:
    """(rows columns, 4): time, row, column and nothing."""
    grid = torch.zeros(rows, columns, 4, device=device)
    grid[..., 0] = time
    grid[..., 1] = torch.arange(rows, device=device)[:, None]
    grid[..., 2] = torch.arange(columns, device=device)
    return grid.reshape(-1, 4)
