"""MPMF-Net: a small network for weather, with prompts along the axes of its features, and a coarse image first.

Wen et al., "Multi-Axis Prompt and Multi-Dimension Fusion Network for All-in-One Weather-Degraded Image Restoration",
AAAI 2025. Names of parameters are those of the authors' code.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Self, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from irsde_cli.networks import windows
from irsde_cli.networks.facts import Facts, round_up
from irsde_cli.networks.network import Mapper, count_modules, pad_to
from irsde_cli.randomness import RandnLike

WINDOW = 8
WIDTHS = (24, 48, 96)
DEPTHS = (8, 16, 16, 8, 8, 8)  # of the five layers, and of the refinement
HEADS = (2, 4, 6)
EXPANSIONS = (2, 4, 4, 2, 2)
ATTENTIVE = (1 / 4, 1 / 2, 3 / 4, 0.0, 0.0)  # the share of a layer's last blocks that have attention
PROMPTS = (16, 32, 64)  # sides
COARSE = 4
LINES = 16  # that are looked at together
HIDDEN = 256  # of the implicit network


class MPMFNet(Mapper):
    """Every pixel depends on all of the image, as normalisation does.

    Args:
        depths: blocks of each layer, and of the refinement.
    """

    def __init__(self, *, depths: Sequence[int] = DEPTHS) -> None:
        super().__init__()
        if len(depths) != len(DEPTHS):
            raise ValueError(f"an MPMF-Net has {len(DEPTHS)} depths, not {len(depths)}")
        self.facts = Facts(multiple=COARSE, working_bytes=4 * 18 * WIDTHS[0])
        first, second, third = WIDTHS

        def layer(place: int, channels: int, count: int) -> Layer:
            attentive = round(ATTENTIVE[place] * count)
            heads = HEADS[place] if place < len(HEADS) else 1
            return Layer(channels, count, attentive, heads, EXPANSIONS[place])

        self.patch_embed_inr = Embedded(3, first)
        self.layer_inr = layer(0, first, depths[0])
        self.inr = Implicit(first)
        self.patch_embed = Embedded(6, first)
        self.layer1 = layer(0, first, depths[0])
        self.patch_merge1 = Embedded(first, second, 2)
        self.skip1 = nn.Conv2d(first, first, 1)
        self.layer2 = layer(1, second, depths[1])
        self.patch_merge2 = Embedded(second, third, 2)
        self.skip2 = nn.Conv2d(second, second, 1)
        self.layer3 = layer(2, third, depths[2])
        self.layer3_prompts = Prompts(third, PROMPTS[0])
        self.layer3_mixer = Layer(2 * third, 1, 0, 1, EXPANSIONS[2])
        self.layer3_reduce_channel = nn.Conv2d(2 * third, third, 1)
        self.patch_split1 = Split(third, second)
        self.fusion1 = Fusion(second)
        self.layer4 = layer(3, second, depths[3])
        self.layer4_prompts = Prompts(second, PROMPTS[1])
        self.layer4_last = Layer(2 * second, 1, 0, 1, EXPANSIONS[3])
        self.layer4_reduce_channel = nn.Conv2d(2 * second, second, 1)
        self.patch_split2 = Split(second, first)
        self.fusion2 = Fusion(first)
        self.layer5 = layer(4, first, depths[4])
        self.layer5_prompts = Prompts(first, PROMPTS[2])
        self.layer5_last = Layer(2 * first, 1, 0, 1, EXPANSIONS[4])
        self.layer5_reduce_channel = nn.Conv2d(2 * first, first, 1)
        self.refinement = layer(4, first, depths[5])
        self.patch_unembed = nn.ModuleDict({"proj": nn.Sequential(_reflected(first, 3, 3))})

    @classmethod
    def options_from(cls, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
        """See `Network.options_from`."""
        layers = (*(f"layer{number}" for number in range(1, 6)), "refinement")
        return {"depths": tuple(count_modules(tensors, f"{layer}.blocks.") for layer in layers)}

    def forward(self, image: Tensor, randn_like: RandnLike | None = None) -> Tensor:
        """See `Mapper.forward`."""
        height, width = image.shape[-2:]
        return self.both(self.padded(image))[0][..., :height, :width]

    def freeze(self) -> None:
        """See `Network.freeze`; what windows add for distances is the same for every picture."""
        super().freeze()
        for module in self.modules():
            if isinstance(module, Distances):
                module.freeze()

    def both(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """The restored image, whose sides 4 divides, and the coarse one, of a quarter of its sides."""
        small = image[..., ::COARSE, ::COARSE]
        coarse = self.inr(self.layer_inr(self.patch_embed_inr(small)))
        x = self.patch_embed(torch.cat((image, F.interpolate(coarse, image.shape[-2:])), 1))
        first = self.layer1(x)
        second = self.layer2(self.patch_merge1(first))
        x = self._told(self.layer3(self.patch_merge2(second)), 3, "mixer")
        x = self.fusion1(self.patch_split1(x), self.skip2(second))
        x = self._told(self.layer4(x), 4, "last")
        x = self.fusion2(self.patch_split2(x), self.skip1(first))
        x = self.refinement(self._told(self.layer5(x), 5, "last"))
        return self.patch_unembed["proj"](x) + image, coarse

    def _told(self, x: Tensor, layer: int, mixer: str) -> Tensor:
        """Features beside their prompts, mixed."""
        prompts, mixed, reduced = (
            self.get_submodule(f"layer{layer}_{name}") for name in ("prompts", mixer, "reduce_channel")
        )
        return cast(Tensor, reduced(mixed(torch.cat((x, prompts(x)), 1))))


def _reflected(in_channels: int, out_channels: int, side: int, groups: int = 1) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, side, padding=side // 2, padding_mode="reflect", groups=groups)


def _convolved(layer: nn.Conv2d, x: Tensor) -> Tensor:
    """A convolution with reflection, also where an image is smaller than that takes."""
    side = layer.kernel_size[0] // 2
    height, width = x.shape[-2:]
    x = _extended(x, side, (height + 2 * side, width + 2 * side))
    return F.conv2d(x, layer.weight, layer.bias, groups=layer.groups)


def _extended(x: Tensor, before: int, size: tuple[int, int]) -> Tensor:
    """`x` (B, C, H, W) reflected to `size`, of which that much lies above and to the left."""
    height, width = x.shape[-2:]
    below, right = size[0] - before - height, size[1] - before - width
    if max(before, below, right) < min(height, width):
        return F.pad(x, (before, right, before, below), "reflect")
    if before:
        x = pad_to(x.flip(-2, -1), (height + before, width + before), "reflect").flip(-2, -1)
    return pad_to(x, size, "reflect")


class Embedded(nn.Module):
    """A convolution, which halves the size with a stride of 2."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.proj = (
            nn.Conv2d(in_channels, out_channels, stride, stride)
            if stride > 1
            else _reflected(in_channels, out_channels, 3)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C', H', W')."""
        return cast(Tensor, self.proj(x)) if self.proj.stride[0] > 1 else _convolved(self.proj, x)


class Split(nn.Module):
    """Twice the size."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.proj = nn.Sequential(nn.Conv2d(in_channels, 4 * out_channels, 1), nn.PixelShuffle(2))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C', 2 H, 2 W)."""
        return cast(Tensor, self.proj(x))


class Implicit(nn.Module):
    """A colour for each pixel, of the features around it: one evaluation, as four of the published ones are equal."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        # Of the published inputs two are the size of a pixel, and eighteen are always zero.
        layers: list[nn.Module] = [nn.Linear(9 * channels + 20, HIDDEN), nn.ReLU()]
        layers += [nn.Linear(HIDDEN, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 3)]
        self.imnet = nn.ModuleDict({"layers": nn.Sequential(*layers)})

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, 3, H, W)."""
        around = torch.unflatten(F.unfold(x, 3, padding=1), 2, x.shape[-2:]).permute(0, 2, 3, 1)
        place = torch.cat((around.new_zeros(18), around.new_full((2,), 2.0))).expand(*around.shape[:-1], 20)
        return cast(Tensor, self.imnet["layers"](torch.cat((around, place), -1))).permute(0, 3, 1, 2)


class Rescaled(nn.Module):
    """Normalises whole images, and says what may give them back their size and their level."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1, channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.meta1 = nn.Conv2d(1, channels, 1)
        self.meta2 = nn.Conv2d(1, channels, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, C, H, W) to the same, and two of (B, C, 1, 1)."""
        wide = x if x.dtype == torch.float64 else x.float()
        variance, mean = torch.var_mean(wide, (1, 2, 3), correction=0, keepdim=True)
        spread = (variance + 1e-5).sqrt()
        normed = (wide - mean) / spread * self.weight + self.bias
        return normed.to(x.dtype), self.meta1(spread.to(x.dtype)), self.meta2(mean.to(x.dtype))


class Layer(nn.Module):
    """Blocks, of which the last ones have attention."""

    def __init__(self, channels: int, count: int, attentive: int, heads: int, expansion: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(
            *(
                Block(channels, heads if place >= count - attentive else 0, expansion, shifted=place % 2 == 1)
                for place in range(count)
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        return cast(Tensor, self.blocks(x))


class Block(nn.Module):
    """A wide convolution, with attention or without; then two layers on each pixel."""

    def __init__(self, channels: int, heads: int, expansion: int, *, shifted: bool) -> None:
        super().__init__()
        if heads:
            self.norm1 = Rescaled(channels)
        self.attn = Mixed(channels, heads, shifted=shifted)
        hidden = expansion * channels
        self.mlp = nn.ModuleDict(
            {
                "mlp": nn.Sequential(
                    nn.Conv2d(channels, hidden, 1), nn.ReLU(inplace=True), nn.Conv2d(hidden, channels, 1)
                )
            }
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        if hasattr(self, "norm1"):
            normed, size, level = self.norm1(x)
            x = x + self.attn(normed) * size + level
        else:
            x = x + self.attn(x)
        return x + cast(Tensor, self.mlp["mlp"](x))


class Mixed(nn.Module):
    """A wide convolution of each channel, and what windows of attention add."""

    def __init__(self, channels: int, heads: int, *, shifted: bool) -> None:
        super().__init__()
        self.heads = heads
        self.shift = WINDOW // 2 if shifted else 0
        self.conv = _reflected(channels, channels, 5, channels)
        self.V = nn.Conv2d(channels, channels, 1)
        self.proj = nn.Conv2d(channels, channels, 1)
        if heads:
            self.QK = nn.Conv2d(channels, 2 * channels, 1)
            self.attn = Distances(heads)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        v = self.V(x)
        mixed = _convolved(self.conv, v)
        if self.heads:
            mixed = mixed + self.gathered(torch.cat((self.QK(x), v), 1))
        return cast(Tensor, self.proj(mixed))

    def gathered(self, qkv: Tensor) -> Tensor:
        """(B, 3 C, H, W) to (B, C, H, W); windows are shifted by more padding above and to the left."""
        height, width = qkv.shape[-2:]
        size = (round_up(height + self.shift, WINDOW), round_up(width + self.shift, WINDOW))
        parts = windows.cut(_extended(qkv, self.shift, size).permute(0, 2, 3, 1), WINDOW)
        plane = windows.joined(windows.attended(parts, self.heads, self.attn.biases()), size).permute(0, 3, 1, 2)
        return plane[..., self.shift : self.shift + height, self.shift : self.shift + width]


class Distances(nn.Module):
    """A bias for each two pixels of a window, of how far they are from each other."""

    relative_positions: Tensor
    kept: Tensor | None

    def __init__(self, heads: int) -> None:
        super().__init__()
        along = torch.arange(WINDOW)
        places = torch.cartesian_prod(along, along)
        distance = (places[:, None] - places[None]).float()
        self.register_buffer("relative_positions", distance.sign() * distance.abs().log1p(), persistent=False)
        self.meta = nn.Sequential(nn.Linear(2, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, heads))
        self.register_buffer("kept", None, persistent=False)

    def freeze(self) -> None:
        """See `Network.freeze`."""
        with torch.no_grad():
            self.kept = self.biases().contiguous()

    def train(self, mode: bool = True) -> Self:
        """Weights may change again."""
        if mode:
            self.kept = None
        return super().train(mode)

    def biases(self) -> Tensor:
        """(1, heads, pixels, pixels)."""
        if self.kept is not None:
            return self.kept
        return cast(Tensor, self.meta(self.relative_positions)).permute(2, 0, 1)[None]


class Prompts(nn.Module):
    """A third of the channels each times learnt pictures of the plane, of columns and of rows."""

    def __init__(self, channels: int, side: int) -> None:
        super().__init__()
        third = channels // 3
        self.hw = nn.Parameter(torch.ones(1, third, side, side))
        self.ch = nn.Parameter(torch.ones(1, 1, third, side))
        self.cw = nn.Parameter(torch.ones(1, 1, third, side))
        self.conv_hw = nn.Conv2d(third, third, 3, padding=1, groups=third, bias=False)
        self.conv_ch = nn.Conv1d(third, third, 3, padding=1, groups=third, bias=False)
        self.conv_cw = nn.Conv1d(third, third, 3, padding=1, groups=third, bias=False)
        self.conv_4 = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        height, width = x.shape[-2:]
        plane, down, across = x.chunk(3, 1)
        third = plane.shape[1]
        plane = plane * self.conv_hw(_stretched(self.hw, (height, width)).to(x.dtype))
        down = down * self.conv_ch(_stretched(self.ch, (third, height))[:, 0].to(x.dtype))[..., None]
        across = across * self.conv_cw(_stretched(self.cw, (third, width))[:, 0].to(x.dtype))[:, :, None]
        return cast(Tensor, self.conv_4(torch.cat((plane, down, across), 1))) + x


def _stretched(x: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(x.float(), size, mode="bilinear", align_corners=True)


def _along(q: Tensor, k: Tensor, vu: Tensor, vd: Tensor, scale: Tensor, *, before: bool) -> tuple[Tensor, Tensor]:
    """What each line gathers of the other features, both ways: all (B, lines, pixels, C).

    Args:
        q: of those that gather first.
        k: of the others.
        vu: what the others gather.
        vd: what the first gather.
        scale: by which likeness is multiplied.
        before: whether the second way exchanges the two sides before the softmax, and not after it.
    """
    to_u, to_d = [], []
    # A few lines at a time: likeness takes as much memory for each pixel as a line is long.
    for q_part, k_part, vu_part, vd_part in zip(*(torch.split(x, LINES, 1) for x in (q, k, vu, vd)), strict=True):
        likeness = q_part @ k_part.mT * scale
        shares = likeness.softmax(-1)
        to_u.append(shares @ vd_part)
        to_d.append((likeness.mT.softmax(-1) if before else shares.mT) @ vu_part)
    return torch.cat(to_u, 1), torch.cat(to_d, 1)


class Fusion(nn.Module):
    """Features of decoder and encoder gather from each other: along columns, along rows, and between channels.

    As published, the two ways along an axis share their logits and differ in which side the softmax is taken on: one
    way of columns is transposed after it, one of rows before it, and channels not at all.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scale_h = nn.Parameter(torch.ones(1))
        self.scale_w = nn.Parameter(torch.ones(1))
        self.scale_c = nn.Parameter(torch.ones(1))
        self.norm_u = Rescaled(channels)
        self.norm_d = Rescaled(channels)
        self.pconv_qkv_u = nn.Conv2d(channels, 2 * channels, 1)
        self.pconv_qkv_d = nn.Conv2d(channels, 2 * channels, 1)

    def forward(self, u: Tensor, d: Tensor) -> Tensor:
        """Both (B, C, H, W) to the same."""
        normed_u, size_u, level_u = self.norm_u(u)
        normed_d, size_d, level_d = self.norm_d(d)
        q, v_u = (x.chunk(3, 1) for x in self.pconv_qkv_u(normed_u).chunk(2, 1))
        k, v_d = (x.chunk(3, 1) for x in self.pconv_qkv_d(normed_d).chunk(2, 1))
        # (B, W, H, C) and (B, H, W, C)
        q_h, k_h, vu_h, vd_h = (x[0].permute(0, 3, 2, 1) for x in (q, k, v_u, v_d))
        q_w, k_w, vu_w, vd_w = (x[1].permute(0, 2, 3, 1) for x in (q, k, v_u, v_d))
        q_c, k_c, vu_c, vd_c = (x[2].flatten(2) for x in (q, k, v_u, v_d))
        down_u, down_d = _along(q_h, k_h, vu_h, vd_h, self.scale_h, before=False)
        across_u, across_d = _along(q_w, k_w, vu_w, vd_w, self.scale_w, before=True)
        channels = (q_c @ k_c.mT * self.scale_c).softmax(-1)
        shape = u.shape[-2:]
        to_u = (down_u.permute(0, 3, 2, 1), across_u.permute(0, 3, 1, 2), torch.unflatten(channels @ vd_c, 2, shape))
        to_d = (down_d.permute(0, 3, 2, 1), across_d.permute(0, 3, 1, 2), torch.unflatten(channels @ vu_c, 2, shape))
        gathered_u, gathered_d = (torch.cat(parts, 1) for parts in (to_u, to_d))
        return cast(Tensor, gathered_u * size_u + level_u + u + gathered_d * size_d + level_d + d)
