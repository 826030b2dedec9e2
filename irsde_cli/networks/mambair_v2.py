"""MambaIRv2: window attention and a state space whose pixels are read class by class.

Guo et al., "MambaIRv2: Attentive State Space Restoration", CVPR 2025. Names of parameters are those of the released
files. As released, the class of each pixel is drawn, and its prompt is added in the order of the pixels, not in that of
the classes.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from irsde_cli.networks import windows
from irsde_cli.networks.facts import Facts
from irsde_cli.networks.layers import pixels, plane
from irsde_cli.networks.network import count_modules
from irsde_cli.networks.scan import selective_scan
from irsde_cli.networks.swin_family import FEATURES, SwinFamily, Upsampler
from irsde_cli.randomness import Prefetched, RandnLike


class MambaIRv2(SwinFamily):
    """Takes any size. It draws noise inside: with the source of noise the same seed gives the same image.

    Without a source the likeliest class of each pixel is taken, which loses 0.03 dB on Set5 (light, three times).

    Args:
        embed_dim: channels.
        d_state: numbers that the scan remembers for each channel.
        depths: layers of each group.
        num_heads: of attention, for each group.
        window_size: side of the windows of attention.
        inner_rank: of the dictionary of prompts.
        num_tokens: classes of pixels.
        convffn_kernel_size: side of the convolutions between attention and scan.
        mlp_ratio: hidden channels by channels.
        gated: the light models' way of those convolutions.
        upsampler: how the image is enlarged; "none" restores at the same size.
        upscale: how many times.
        channels: 3, or 1 for grey.
    """

    def __init__(
        self,
        *,
        embed_dim: int = 48,
        d_state: int = 8,
        depths: Sequence[int] = (5, 5, 5, 5),
        num_heads: Sequence[int] = (4, 4, 4, 4),
        window_size: int = 16,
        inner_rank: int = 32,
        num_tokens: int = 64,
        convffn_kernel_size: int = 5,
        mlp_ratio: float = 1.0,
        gated: bool = True,
        upsampler: Upsampler = "pixelshuffledirect",
        upscale: int = 3,
        channels: int = 3,
    ) -> None:
        super().__init__()
        if len(depths) != len(num_heads):
            raise ValueError(f"{len(depths)} groups of layers have {len(num_heads)} numbers of heads")
        hidden = int(embed_dim * mlp_ratio)
        body = (8 * max(num_heads) + 4) * window_size**2 + 28 * (embed_dim + hidden)  # bytes for a pixel that comes in
        head = 12 * FEATURES * upscale**2 if upsampler == "pixelshuffle" else 0
        self.facts = Facts(
            scale=upscale,
            channels=(channels, channels),
            multiple=window_size,
            padding="symmetric",
            working_bytes=-(-max(body, head) // upscale**2),
            draws=True,
        )
        self.register_buffer("places", windows.places(window_size), persistent=False)
        self.lay(embed_dim, channels, upsampler, upscale)
        layer = {
            "d_state": d_state,
            "window": window_size,
            "rank": inner_rank,
            "tokens": num_tokens,
            "kernel": convffn_kernel_size,
            "hidden": hidden,
            "gated": gated,
        }
        self.layers = nn.ModuleList(
            Group(embed_dim, depth, heads, layer) for depth, heads in zip(depths, num_heads, strict=True)
        )

    @classmethod
    def options_from(cls, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
        """See `Network.options_from`."""
        layer = "layers.0.residual_group.layers.0."
        dim, channels = tensors["conv_first.weight"].shape[:2]
        groups = range(count_modules(tensors, "layers."))
        tables = [f"layers.{group}.residual_group.layers.0.win_mhsa.relative_position_bias_table" for group in groups]
        gated = f"{layer}convffn1.sg.conv.weight" in tensors
        convolution = "convffn1.sg.conv.weight" if gated else "convffn1.dwconv.depthwise_conv.0.weight"
        tokens, rank = tensors[f"{layer}assm.embeddingB.weight"].shape
        return {
            "embed_dim": dim,
            "d_state": tensors[f"{layer}assm.selectiveScan.A_logs"].shape[1],
            "depths": tuple(count_modules(tensors, f"layers.{group}.residual_group.layers.") for group in groups),
            "num_heads": tuple(tensors[table].shape[1] for table in tables),
            "window_size": (math.isqrt(tensors[tables[0]].shape[0]) + 1) // 2,
            "inner_rank": rank,
            "num_tokens": tokens,
            "convffn_kernel_size": tensors[layer + convolution].shape[-1],
            "mlp_ratio": tensors[f"{layer}assm.in_proj.0.weight"].shape[0] / dim,
            "gated": gated,
            **cls.enlarged(tensors),
            "channels": channels,
        }

    def through(self, x: Tensor, size: tuple[int, int], randn_like: RandnLike | None) -> Tensor:
        """See `SwinFamily.through`."""
        places = cast(Tensor, self.places)
        for group in self.layers:
            x = group(x, size, places, randn_like)
        return x


class Group(nn.Module):
    """Layers, every other one with shifted windows, and a convolution around which everything is added."""

    def __init__(self, dim: int, depth: int, heads: int, layer: dict[str, Any]) -> None:
        super().__init__()
        layers = nn.ModuleList(Layer(dim, heads, shifted=index % 2 == 1, **layer) for index in range(depth))
        self.residual_group = nn.ModuleDict({"layers": layers})
        self.conv = nn.Conv2d(dim, dim, 3, padding=1)

    def forward(self, x: Tensor, size: tuple[int, int], places: Tensor, randn_like: RandnLike | None) -> Tensor:
        """(B, H W, C) to the same."""
        h = x
        for layer in cast(nn.ModuleList, self.residual_group["layers"]):
            h = layer(h, size, places, randn_like)
        return pixels(self.conv(plane(h, size))) + x


class Layer(nn.Module):
    """Attention in windows, then the state space; each followed by convolutions."""

    def __init__(
        self,
        dim: int,
        heads: int,
        *,
        d_state: int,
        window: int,
        shifted: bool,
        rank: int,
        tokens: int,
        kernel: int,
        hidden: int,
        gated: bool,
    ) -> None:
        super().__init__()
        self.window = window
        self.shift = window // 2 if shifted else 0
        self.norm1, self.norm2, self.norm3, self.norm4 = (nn.LayerNorm(dim) for _ in range(4))
        self.scale1 = nn.Parameter(torch.full((dim,), 1e-4))
        self.scale2 = nn.Parameter(torch.full((dim,), 1e-4))
        self.wqkv = nn.Linear(dim, 3 * dim)
        self.win_mhsa = WindowAttention(dim, heads, window)
        self.assm = StateSpace(dim, hidden, d_state, rank, tokens)
        make = GatedConvolutions if gated else Convolutions
        self.convffn1 = make(dim, hidden, kernel)
        self.convffn2 = make(dim, hidden, kernel)
        self.embeddingA = nn.Embedding(rank, d_state)

    def forward(self, x: Tensor, size: tuple[int, int], places: Tensor, randn_like: RandnLike | None) -> Tensor:
        """(B, H W, C) to the same."""
        attended = self._attended(self.wqkv(self.norm1(x)), size, places) + x
        attended = self.convffn1(self.norm2(attended), size) + attended
        x = x * self.scale1 + attended
        scanned = self.assm(self.norm3(x), size, self.embeddingA.weight, randn_like) + x
        scanned = scanned + self.convffn2(self.norm4(scanned), size)
        return x * self.scale2 + cast(Tensor, scanned)

    def _attended(self, qkv: Tensor, size: tuple[int, int], places: Tensor) -> Tensor:
        mask = windows.strangers(size, self.window, self.shift, qkv.device) if self.shift else None
        attended = self.win_mhsa(windows.cut(torch.unflatten(qkv, 1, size), self.window, self.shift), places, mask)
        return windows.joined(attended, size, self.shift).flatten(1, 2)


class WindowAttention(nn.Module):
    """Attention among the pixels of a window, with a learnt bias for each distance."""

    def __init__(self, dim: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads = heads
        self.relative_position_bias_table = windows.empty_table(window, heads)
        self.proj = nn.Linear(dim, dim)

    def forward(self, qkv: Tensor, places: Tensor, strangers: Tensor | None) -> Tensor:
        """`qkv` (windows, pixels, 3 C) to (windows, pixels, C)."""
        bias = windows.biases(self.relative_position_bias_table, places)
        return cast(Tensor, self.proj(windows.attended(qkv, self.heads, bias, strangers)))


class StateSpace(nn.Module):
    """The scan over pixels sorted by class, told the class of each by a prompt."""

    def __init__(self, dim: int, hidden: int, d_state: int, rank: int, tokens: int) -> None:
        super().__init__()
        self.selectiveScan = Scan(hidden, d_state)
        self.out_norm = nn.LayerNorm(hidden)
        self.out_proj = nn.Linear(hidden, dim)
        self.in_proj = nn.Sequential(nn.Conv2d(dim, hidden, 1))
        self.CPE = nn.Sequential(nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden))
        self.embeddingB = nn.Embedding(tokens, rank)
        self.route = nn.Sequential(nn.Linear(dim, dim // 3), nn.GELU(), nn.Linear(dim // 3, tokens), nn.LogSoftmax(-1))

    def forward(self, x: Tensor, size: tuple[int, int], shared: Tensor, randn_like: RandnLike | None) -> Tensor:
        """(B, H W, C) to the same; `shared` is the layer's half of the dictionary, (rank, N)."""
        prompts = self.embeddingB.weight @ shared
        chosen = self.chosen(self.route(x), randn_like)
        order = chosen.argmax(-1).argsort(dim=-1, stable=True)
        h = self.in_proj(plane(x, size))
        h = pixels(h * self.CPE(h).sigmoid())
        y = self.selectiveScan(_taken(h, order), chosen @ prompts)
        return _taken(self.out_proj(self.out_norm(y)), order.argsort(dim=-1))

    def chosen(self, scores: Tensor, randn_like: RandnLike | None) -> Tensor:
        """One class for each pixel, drawn by its probability, as ones and zeros whose gradient is that of the softmax.

        Gumbel's noise is made of the normal one, so that there is one source of noise.
        """
        if randn_like is not None:
            source = randn_like.source if isinstance(randn_like, Prefetched) else randn_like
            uniform = torch.special.ndtr(source(scores.float())).clamp(1e-20, 1 - 2**-24)
            scores = scores - (-uniform.log()).log()
        soft = scores.softmax(-1)
        hard = torch.zeros_like(soft).scatter_(-1, soft.argmax(-1, keepdim=True), 1.0)
        return hard - soft.detach() + soft if soft.requires_grad else hard


class Scan(nn.Module):
    """The selective scan with what it selects by."""

    def __init__(self, hidden: int, d_state: int) -> None:
        super().__init__()
        rank = math.ceil(hidden / 16)
        self.split = [rank, d_state, d_state]
        self.x_proj_weight = nn.Parameter(torch.empty(1, rank + 2 * d_state, hidden))
        self.dt_projs_weight = nn.Parameter(torch.empty(1, hidden, rank).uniform_(-(rank**-0.5), rank**-0.5))
        nn.init.kaiming_uniform_(self.x_proj_weight[0], math.sqrt(5))
        # Steps between 0.001 and 0.1 at first, as Mamba begins.
        steps = torch.empty(1, hidden).uniform_(math.log(1e-3), math.log(1e-1)).exp().clamp_min(1e-4)
        self.dt_projs_bias = nn.Parameter(steps + torch.log(-torch.expm1(-steps)))
        self.A_logs = nn.Parameter(torch.arange(1.0, d_state + 1).log().repeat(hidden, 1))
        self.Ds = nn.Parameter(torch.ones(hidden))

    def forward(self, x: Tensor, prompt: Tensor) -> Tensor:
        """`x` (B, L, D) and what is added to C, (B, L, N); (B, L, D)."""
        low, b, c = torch.split(F.linear(x, self.x_proj_weight[0]), self.split, dim=-1)
        delta = F.softplus(F.linear(low, self.dt_projs_weight[0]).float() + self.dt_projs_bias[0].float())
        c = c.float() + prompt.float()
        y = selective_scan(x, delta, -self.A_logs.float().exp(), b[:, :, None], c[:, :, None], self.Ds)
        return y.to(x.dtype)


class GatedConvolutions(nn.Module):
    """One half of the channels, times the other through a convolution of each channel."""

    def __init__(self, dim: int, hidden: int, kernel: int) -> None:
        super().__init__()
        half = hidden // 2
        self.fc1 = nn.Linear(dim, hidden)
        self.sg = nn.ModuleDict(
            {"norm": nn.LayerNorm(half), "conv": nn.Conv2d(half, half, kernel, padding=kernel // 2, groups=half)}
        )
        self.fc2 = nn.Linear(half, dim)

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """(B, H W, C) to the same."""
        kept, gate = F.gelu(self.fc1(x)).chunk(2, dim=-1)
        gate = pixels(self.sg["conv"](plane(self.sg["norm"](gate), size)))
        return cast(Tensor, self.fc2(kept * gate))


class Convolutions(nn.Module):
    """A convolution of each channel, added to what goes in."""

    def __init__(self, dim: int, hidden: int, kernel: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        convolution = nn.Conv2d(hidden, hidden, kernel, padding=kernel // 2, groups=hidden)
        self.dwconv = nn.ModuleDict({"depthwise_conv": nn.Sequential(convolution, nn.GELU())})
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """(B, H W, C) to the same."""
        h = F.gelu(self.fc1(x))
        h = h + pixels(self.dwconv["depthwise_conv"](plane(h, size)))
        return cast(Tensor, self.fc2(h))


def _taken(x: Tensor, order: Tensor) -> Tensor:
    """The rows of (B, L, C) in the order (B, L)."""
    return x.gather(1, order[..., None].expand(-1, -1, x.shape[-1]))
