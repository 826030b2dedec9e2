"""MoCE-IR: a U-Net in whose decoder each image takes the expert that suits its damage; experts differ in size.

Zamfir et al., "Complexity Experts are Task-Discriminative Learners for Any Image Restoration", CVPR 2025. Names of
parameters are those of the released files.
"""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from irsde_cli.networks.facts import Facts, round_up
from irsde_cli.networks.network import Mapper, count_modules
from irsde_cli.networks.restormer import Attention, Down, FeedForward, Norm, Patches, Up, across_channels
from irsde_cli.randomness import Prefetched, RandnLike

EXPERTS = 4
FEED_FORWARD = 2  # hidden channels by channels
SMALLEST_WINDOW = 4


class MoCEIR(Mapper):
    """Every pixel depends on all of the image.

    As published, the choice of the experts is drawn, and so is their strength. Here it is not, unless `draws`: then the
    same seed gives the same image.

    Args:
        dim: channels of the first level; each level below doubles it.
        num_blocks: of each level, from the first.
        num_dec_blocks: of each level of the decoder, from the first.
        refinement: blocks at the end.
        heads: of each level.
        draws: whether noise is added to what chooses the experts.
    """

    def __init__(
        self,
        *,
        dim: int = 48,
        num_blocks: Sequence[int] = (4, 6, 6, 8),
        num_dec_blocks: Sequence[int] = (2, 4, 4),
        refinement: int = 4,
        heads: Sequence[int] = (1, 2, 4, 8),
        draws: bool = False,
    ) -> None:
        super().__init__()
        self.facts = Facts(multiple=8, draws=draws, working_bytes=4 * 20 * dim)
        levels = range(len(num_dec_blocks))
        deepest = dim * 2 ** len(levels)
        self.patch_embed = Patches(dim)
        self.freq_embed = Frequencies(deepest)
        self.enc = nn.ModuleList(
            nn.ModuleList((Blocks(num_blocks[level], dim * 2**level, heads[level]), Down(dim * 2**level)))
            for level in levels
        )
        self.latent = Blocks(num_blocks[-1], deepest, heads[-1])
        self.dec = nn.ModuleList(
            Upward(num_dec_blocks[level], dim * 2**level, heads[level], deepest) for level in reversed(levels)
        )
        self.refinement = Blocks(refinement, dim, heads[0])
        self.output = nn.Conv2d(dim, 3, 3, padding=1, bias=False)

    @classmethod
    def options_from(cls, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
        """See `Network.options_from`."""
        levels = count_modules(tensors, "enc.")
        encoder = [*(f"enc.{level}.0.layers." for level in range(levels)), "latent.layers."]
        return {
            "dim": len(tensors["patch_embed.proj.weight"]),
            "num_blocks": tuple(count_modules(tensors, level) for level in encoder),
            "num_dec_blocks": tuple(
                count_modules(tensors, f"dec.{level}.2.layers.") for level in reversed(range(levels))
            ),
            "refinement": count_modules(tensors, "refinement.layers."),
            "heads": tuple(len(tensors[f"{level}0.mixer.temperature"]) for level in encoder),
        }

    def forward(self, image: Tensor, randn_like: RandnLike | None = None) -> Tensor:
        """See `Mapper.forward`."""
        height, width = image.shape[-2:]
        padded = self.padded(image)
        x = self.patch_embed(padded)
        kept = []
        for blocks, down in cast(Sequence[Any], self.enc):
            x = blocks(x)
            kept.append(x)
            x = down(x)
        x = self.latent(x)
        damage = self.freq_embed(x)
        noise = randn_like if self.facts.draws else None
        for up in self.dec:
            x = up(x, kept.pop(), damage, noise)
        restored: Tensor = self.output(self.refinement(x)) + padded
        return restored[..., :height, :width]


class Frequencies(nn.Module):
    """What the high frequencies say of the damage."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        convolution = nn.Conv2d(dim, dim, 3, padding=1, groups=dim, bias=False)
        laplacian = torch.tensor([[-1.0, -1.0, -1.0], [-1.0, 8.0, -1.0], [-1.0, -1.0, -1.0]])
        convolution.weight = nn.Parameter(laplacian.expand(dim, 1, 3, 3).clone())
        self.high_conv = nn.Sequential(nn.ModuleDict({"conv": convolution}))
        self.mlp = nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C)."""
        high = cast(nn.ModuleDict, self.high_conv[0])["conv"](x)
        embedding: Tensor = self.mlp(F.gelu(high).mean((-2, -1)))
        return embedding


class Blocks(nn.Module):
    """Blocks of the encoder in turn."""

    def __init__(self, count: int, channels: int, heads: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(*(Block(channels, heads) for _ in range(count)))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        features: Tensor = self.layers(x)
        return features


class Block(nn.Module):
    """Attention between channels, then a gated feed-forward layer, each beside the identity."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(Norm(channels, biased=True) for _ in range(2))
        self.mixer = Attention(channels, heads, bias=True)
        self.ffn = FeedForward(channels, FEED_FORWARD * channels, bias=True)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        x = x + self.mixer(self.norms[0](x))
        x = x + self.ffn(self.norms[1](x))
        return x


class Upward(nn.ModuleList):
    """A level of the decoder: twice the size, what the encoder kept, and blocks with experts."""

    def __init__(self, count: int, channels: int, heads: int, embedding: int) -> None:
        layers = nn.ModuleList(ExpertBlock(channels, heads, embedding) for _ in range(count))
        super().__init__(
            (
                Up(2 * channels),
                nn.Conv2d(2 * channels, channels, 1, bias=False),
                nn.ModuleDict({"layers": layers}),
            )
        )

    def forward(self, x: Tensor, kept: Tensor, damage: Tensor, noise: RandnLike | None) -> Tensor:
        """(B, 2 C, H, W), (B, C, 2 H, 2 W) and (B, embedding) to (B, C, 2 H, 2 W)."""
        x = self[1](torch.cat((self[0](x), kept), 1))
        for layer in cast(Any, self[2])["layers"]:
            x = layer(x, damage, noise)
        return x


class ExpertBlock(nn.Module):
    """What all images share, and what an expert does, one asking the other."""

    def __init__(self, channels: int, heads: int, embedding: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(Norm(channels, biased=True) for _ in range(2))
        self.proj = nn.ModuleList(nn.Conv2d(channels, channels, 1) for _ in range(2))
        self.shared = Attention(channels, heads)
        self.mixer = Asking(channels, heads)
        self.ffn = FeedForward(channels, FEED_FORWARD * channels)
        self.adapter = Adapter(channels, embedding)

    def forward(self, x: Tensor, damage: Tensor, noise: RandnLike | None) -> Tensor:
        """(B, C, H, W) and (B, embedding) to (B, C, H, W)."""
        normed = self.norms[0](x)
        shared = self.shared(self.proj[0](normed))
        adapted = self.adapter(self.proj[1](normed), damage, shared, noise)
        x = x + self.mixer(adapted, shared)
        x = x + self.ffn(self.norms[1](x))
        return x


def _wide(channels: int, out: int, side: int, *, bias: bool = False) -> nn.Conv2d:
    """A convolution of each channel."""
    return nn.Conv2d(channels, out, side, padding=side // 2, groups=channels, bias=bias)


class Asking(nn.Module):
    """Attention between channels of two features."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1))
        self.q = nn.Conv2d(channels, channels, 1, bias=False)
        self.q_dwconv = _wide(channels, channels, 3)
        self.kv = nn.Conv2d(channels, 2 * channels, 1, bias=False)
        self.kv_dwconv = _wide(2 * channels, 2 * channels, 7)
        self.project_out = nn.Conv2d(channels, channels, 1, bias=False)

    def forward(self, asking: Tensor, asked: Tensor) -> Tensor:
        """Both (B, C, H, W) to the same."""
        k, v = self.kv_dwconv(self.kv(asked)).chunk(2, 1)
        mixed = across_channels(self.q_dwconv(self.q(asking)), k, v, self.temperature)
        return cast(Tensor, self.project_out(mixed))


class Adapter(nn.Module):
    """The expert that suits an image best, as strong as it suits."""

    def __init__(self, channels: int, embedding: int) -> None:
        super().__init__()
        ranks = [channels // 2 ** (EXPERTS - 1 - place) for place in range(EXPERTS)]
        self.experts = nn.ModuleList(
            nn.Sequential(Expert(channels, max(rank, 1), SMALLEST_WINDOW * 2**place))
            for place, rank in enumerate(ranks)
        )
        self.proj_out = nn.Conv2d(channels, channels, 1, bias=False)
        self.routing = nn.ModuleDict(
            {
                "gate": nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, EXPERTS, bias=False)),
                "freq_gate": nn.Linear(embedding, EXPERTS, bias=False),
            }
        )

    def forward(self, x: Tensor, damage: Tensor, shared: Tensor, noise: RandnLike | None) -> Tensor:
        """(B, C, H, W), (B, embedding) and (B, C, H, W) to (B, C, H, W)."""
        suits = self.routing["gate"](x) + self.routing["freq_gate"](damage)
        if noise is not None:
            source = noise.source if isinstance(noise, Prefetched) else noise
            suits = suits + source(suits.float()) / EXPERTS
        strength, chosen = suits.softmax(-1).max(-1)
        adapted = [
            self.experts[int(expert)][0](x[i : i + 1], shared[i : i + 1]) * strength[i]  # type: ignore[index]
            for i, expert in enumerate(chosen)
        ]
        return cast(Tensor, self.proj_out(torch.cat(adapted)))


class Expert(nn.Module):
    """Few channels, convolved with themselves in windows by their Fourier transforms, and opened by what is shared."""

    def __init__(self, channels: int, rank: int, window: int) -> None:
        super().__init__()
        self.proj = nn.ModuleList(
            (
                nn.Conv2d(channels, rank, 1, bias=False),
                nn.Conv2d(channels, rank, 1, bias=False),
                nn.Conv2d(rank, channels, 1, bias=False),
            )
        )
        self.body = Convolving(rank, window)

    def forward(self, x: Tensor, shared: Tensor) -> Tensor:
        """Both (B, C, H, W) to the same."""
        few = self.body(self.proj[0](x)) * F.silu(self.proj[1](shared))
        return cast(Tensor, self.proj[2](few)) + x


class Convolving(nn.Module):
    """Queries convolved with keys around each window."""

    def __init__(self, rank: int, window: int) -> None:
        super().__init__()
        self.window = window
        self.q = nn.Conv2d(rank, rank, 1, bias=False)
        self.q_dwconv = _wide(rank, rank, 3, bias=True)
        self.kv = nn.Conv2d(rank, 2 * rank, 1, bias=False)
        self.kv_dwconv = _wide(2 * rank, 2 * rank, 7, bias=True)
        self.norm = Norm(rank, biased=True)
        self.proj_out = nn.Conv2d(rank, rank, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, R, H, W) to the same."""
        q = self.q_dwconv(self.q(x))
        k, v = self.kv_dwconv(self.kv(x)).chunk(2, 1)
        return cast(Tensor, self.proj_out(self.norm(self.convolved(q, k)).to(v.dtype) * v))

    def convolved(self, q: Tensor, k: Tensor) -> Tensor:
        """The circular convolution of both (B, R, H, W) in each window; what lies outside of the image is zero."""
        height, width = q.shape[-2:]
        side = self.window
        padding = (0, round_up(width, side) - width, 0, round_up(height, side) - height)
        transforms = (
            torch.fft.rfft2(
                torch.unflatten(torch.unflatten(F.pad(one.float(), padding), 3, (-1, side)), 2, (-1, side)).transpose(
                    3, 4
                )
            )
            for one in (q, k)
        )
        mixed: Tensor = torch.fft.irfft2(next(transforms) * next(transforms), s=(side, side))
        return mixed.transpose(3, 4).flatten(4, 5).flatten(2, 3)[..., :height, :width]
