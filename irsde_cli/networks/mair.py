"""MaIR: selective scans that walk an image in stripes, back and forth, and so keep neighbours together.

Li et al., "MaIR: A Locality- and Continuity-Preserving Mamba for Image Restoration", CVPR 2025. Names of parameters are
those of the released files.
"""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from irsde_cli.networks.facts import Facts
from irsde_cli.networks.layers import pixels, plane
from irsde_cli.networks.network import count_modules
from irsde_cli.networks.restormer import Skeleton
from irsde_cli.networks.scan import selective_scan
from irsde_cli.networks.swin_family import FEATURES, ResidualGroup, SwinFamily, Upsampler
from irsde_cli.randomness import RandnLike

WAYS = 4  # of walking: as it is, from the other end, and both along columns
STATES = 4  # of the first level of the U-Net


class MaIR(SwinFamily):
    """Takes any size. Every pixel depends on all that is walked before it.

    Args:
        embed_dim: channels.
        d_state: numbers that the scan remembers for each channel.
        depths: blocks of each group.
        ssm_ratio: channels of the scan by channels.
        mlp_ratio: hidden channels by channels.
        scan_len: width of the stripes, in pixels.
        upsampler: how the image is enlarged; "none" restores at the same size.
        upscale: how many times.
    """

    untold: ClassVar[tuple[str, ...]] = ("scan_len",)

    def __init__(
        self,
        *,
        embed_dim: int = 60,
        d_state: int = 16,
        depths: Sequence[int] = (6, 6, 6, 6),
        ssm_ratio: float = 1.4,
        mlp_ratio: float = 1.6,
        scan_len: int = 4,
        upsampler: Upsampler = "pixelshuffledirect",
        upscale: int = 2,
    ) -> None:
        super().__init__()
        body = working_bytes(embed_dim, ssm_ratio, d_state)
        head = 12 * FEATURES * upscale**2 if upsampler == "pixelshuffle" else 0
        self.facts = Facts(scale=upscale, working_bytes=-(-max(body, head) // upscale**2))
        self.lay(embed_dim, 3, upsampler, upscale)

        def block(index: int) -> Block:
            return Block(embed_dim, d_state, ssm_ratio, mlp_ratio, "conv_blk", scan_len, shifted=index % 2 == 1)

        self.layers = nn.ModuleList(
            ResidualGroup(embed_dim, nn.ModuleList(block(index) for index in range(depth))) for depth in depths
        )

    @classmethod
    def options_from(cls, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
        """See `Network.options_from`; the width of the stripes leaves no trace."""
        dim, channels = tensors["conv_first.weight"].shape[:2]
        if channels != 3:
            raise ValueError("not a MaIR of pictures")
        first = "layers.0.residual_group.blocks.0."
        groups = range(count_modules(tensors, "layers."))
        return {
            "embed_dim": dim,
            "d_state": tensors[f"{first}self_attention.A_logs"].shape[1],
            "depths": tuple(count_modules(tensors, f"layers.{group}.residual_group.blocks.") for group in groups),
            "ssm_ratio": len(tensors[f"{first}self_attention.conv2d.weight"]) / dim,
            "mlp_ratio": len(tensors[f"{first}conv_blk.fc1.weight"]) / dim,
            **cls.enlarged(tensors),
        }

    def through(self, x: Tensor, size: tuple[int, int], randn_like: RandnLike | None) -> Tensor:
        """See `SwinFamily.through`."""
        for group in self.layers:
            x = group(x, size)
        return x


class MaIRUNet(Skeleton):
    """The same blocks in Restormer's U-Net, for blur, haze and the noise of phones; stripes are never shifted.

    Args:
        dim: channels of the first level; each level below doubles it.
        num_blocks: of each level, from the first.
        refinement: blocks at the end.
        ssm_ratio: channels of the scan by channels.
        flp_ratio: hidden channels by channels, in the first level of the encoder.
        mlp_ratio: and in all others.
        scan_len: width of the stripes, in pixels.
    """

    untold: ClassVar[tuple[str, ...]] = ("scan_len",)

    def __init__(
        self,
        *,
        dim: int = 48,
        num_blocks: Sequence[int] = (4, 6, 6, 8),
        refinement: int = 4,
        ssm_ratio: float = 2.0,
        flp_ratio: float = 4.0,
        mlp_ratio: float = 1.5,
        scan_len: int = 4,
    ) -> None:
        super().__init__()
        self.facts = Facts(multiple=8, working_bytes=working_bytes(2 * dim, ssm_ratio, 2 * STATES))

        def level(_depth: int, count: int, channels: int) -> Level:
            states = STATES * channels // dim
            hidden = flp_ratio if channels == dim else mlp_ratio
            return Level(Block(channels, states, ssm_ratio, hidden, "mlp", scan_len) for _ in range(count))

        self.lay(dim, num_blocks, refinement, level)

    @classmethod
    def options_from(cls, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
        """See `Network.options_from`; the width of the stripes leaves no trace."""
        dim = len(tensors["patch_embed.proj.weight"])
        levels = [*(f"encoder_level{level}." for level in (1, 2, 3)), "latent."]
        return {
            "dim": dim,
            "num_blocks": tuple(count_modules(tensors, level) for level in levels),
            "refinement": count_modules(tensors, "refinement."),
            "ssm_ratio": len(tensors["latent.0.self_attention.conv2d.weight"]) / (8 * dim),
            "flp_ratio": len(tensors["encoder_level1.0.mlp.fc1.weight"]) / dim,
            "mlp_ratio": len(tensors["latent.0.mlp.fc1.weight"]) / (8 * dim),
        }


def working_bytes(channels: int, ratio: float, states: int) -> int:
    """`Facts.working_bytes` of blocks at the full size: the scan's sequences, and what it remembers of a segment."""
    inner = _times(channels, ratio)
    return 4 * 8 * WAYS * inner + 3 * states * inner + 20 * channels


def _times(channels: int, ratio: float) -> int:
    """Channels by a ratio that may have been made of their number, and then is rounded."""
    return int(channels * ratio + 1e-6)


class Level(nn.Sequential):
    """Blocks in turn, of features as convolutions take them."""

    def __init__(self, blocks: Iterator[nn.Module]) -> None:
        super().__init__(*blocks)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        size = (x.shape[-2], x.shape[-1])
        h = pixels(x)
        for block in self:
            h = block(h, size)
        return plane(h, size)


class Block(nn.Module):
    """The scan, then two layers on each pixel, each beside a share of what comes in."""

    def __init__(
        self,
        dim: int,
        d_state: int,
        ssm_ratio: float,
        mlp_ratio: float,
        mlp: str,
        scan_len: int,
        *,
        shifted: bool = False,
    ) -> None:
        super().__init__()
        hidden = _times(dim, mlp_ratio)
        self.name = mlp
        self.ln_1 = nn.LayerNorm(dim)
        self.self_attention = Walking(dim, _times(dim, ssm_ratio), d_state, scan_len, shifted=shifted)
        self.skip_scale = nn.Parameter(torch.ones(dim))
        self.add_module(mlp, nn.ModuleDict({"fc1": nn.Linear(dim, hidden), "fc2": nn.Linear(hidden, dim)}))
        self.ln_2 = nn.LayerNorm(dim)
        self.skip_scale2 = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """(B, H W, C) to the same."""
        x = x * self.skip_scale + self.self_attention(self.ln_1(x), size)
        mlp = cast(nn.ModuleDict, self.get_submodule(self.name))
        return x * self.skip_scale2 + cast(Tensor, mlp["fc2"](F.gelu(mlp["fc1"](self.ln_2(x)))))


class Walking(nn.Module):
    """The scan along four ways; how much of each counts depends on all four, channel by channel."""

    def __init__(self, dim: int, inner: int, d_state: int, scan_len: int, *, shifted: bool) -> None:
        super().__init__()
        rank = math.ceil(dim / 16)
        self.split = [rank, d_state, d_state]
        self.scan_len = scan_len
        self.shifted = shifted
        self.in_proj = nn.Linear(dim, 2 * inner, bias=False)
        self.conv2d = nn.Conv2d(inner, inner, 3, padding=1, groups=inner)
        self.x_proj_weight = nn.Parameter(torch.empty(WAYS, rank + 2 * d_state, inner).uniform_(-1, 1) * inner**-0.5)
        self.dt_projs_weight = nn.Parameter(torch.empty(WAYS, inner, rank).uniform_(-1, 1) * rank**-0.5)
        # Steps between 0.001 and 0.1 at first, as Mamba begins.
        steps = torch.empty(WAYS, inner).uniform_(math.log(1e-3), math.log(1e-1)).exp()
        self.dt_projs_bias = nn.Parameter(steps + torch.log(-torch.expm1(-steps)))
        self.A_logs = nn.Parameter(torch.arange(1.0, d_state + 1).log().repeat(WAYS * inner, 1))
        self.Ds = nn.Parameter(torch.ones(WAYS * inner))
        self.out_norm = nn.LayerNorm(inner)
        self.out_proj = nn.Linear(inner, dim, bias=False)
        gate = nn.Conv2d(WAYS * inner, WAYS * inner, 1, groups=inner)
        self.gating = nn.ModuleDict({"gating": nn.Sequential(nn.AdaptiveAvgPool2d(1), gate, nn.Sigmoid())})

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """(B, H W, C) to the same."""
        x, opened = self.in_proj(x).chunk(2, -1)
        x = pixels(F.silu(self.conv2d(plane(x, size))))
        walked, back = (one.to(x.device) for one in ways(*size, self.scan_len, shifted=self.shifted))
        along = x[:, walked]  # (B, 4, L, D)
        low, b, c = torch.split(along @ self.x_proj_weight.mT, self.split, dim=-1)
        delta = F.softplus((low @ self.dt_projs_weight.mT).float() + self.dt_projs_bias.float()[:, None])
        scanned = selective_scan(
            _together(along),
            _together(delta),
            -self.A_logs.float().exp(),
            b.transpose(1, 2),
            c.transpose(1, 2),
            self.Ds,
        )
        seen = torch.unflatten(scanned, -1, (WAYS, -1))
        # The four numbers of a channel stand side by side.
        mean = seen.mean(1).transpose(1, 2).flatten(1)[..., None, None].to(x.dtype)
        shares = torch.unflatten(self.gating["gating"](mean).flatten(1), 1, (-1, WAYS))
        mixed = torch.zeros_like(x)
        for way in range(WAYS):
            mixed = mixed + seen[:, back[way], way].to(x.dtype) * shares[:, None, :, way]
        return cast(Tensor, self.out_proj(self.out_norm(mixed) * F.silu(opened)))


def _together(x: Tensor) -> Tensor:
    """(B, 4, L, D) to (B, L, 4 D)."""
    return x.transpose(1, 2).flatten(2)


@lru_cache(maxsize=32)
def ways(height: int, width: int, stripe: int, *, shifted: bool) -> tuple[Tensor, Tensor]:
    """The four orders in which pixels are walked, (4, L), and where each pixel stands in them.

    The second and the fourth begin at the other end; the third and the fourth walk the image with rows and columns
    exchanged.
    """
    last = height * width - 1
    along = torch.tensor(walk(height, width, stripe, shifted=shifted))
    turned = torch.tensor(walk(width, height, stripe, shifted=shifted))
    across = turned % height * width + turned // height
    order = torch.stack((along, last - along, across, last - across))
    return order, order.argsort(-1)


def walk(height: int, width: int, stripe: int, *, shifted: bool) -> list[int]:
    """Stripes from the left, one down and the next up, each row by row, every other row from the right.

    With `shifted` the first stripe is half as wide.
    """
    borders = [0, *range(stripe // 2 if shifted else stripe, width, stripe), width]
    order: list[int] = []
    for number, (left, right) in enumerate(itertools.pairwise(borders)):
        rows = range(height) if number % 2 == 0 else reversed(range(height))
        for place, row in enumerate(rows):
            columns = range(left, right) if place % 2 == 0 else reversed(range(left, right))
            order += [row * width + column for column in columns]
    return order
