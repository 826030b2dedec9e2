"""MAXIM: stages of U-Nets whose blocks mix pixels within windows and, at equal strides, across the whole image.

Tu et al., "MAXIM: Multi-Axis MLP for Image Processing", CVPR 2022. Inside, images lie as (B, H, W, C): most of the work
is linear in channels. Names of modules are those of the official parameters, with `weight` for `kernel` and `scale`.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from irsde_cli.networks.facts import Facts
from irsde_cli.networks.network import Mapper, count_modules
from irsde_cli.randomness import RandnLike

LEVELS = 3
# Sides of a window, and of the grid, of the two finest levels and of what lies below them.
FINE, COARSE = 16, 8
SLOPE = 0.2
EPS = 1e-6
Axis = Literal["grid", "block"]


class MAXIM(Mapper):
    """S-2 has two stages and S-3 three; the answer is the last stage's full-scale image.

    The official code pads on all sides; here, as elsewhere, below and to the right.

    Args:
        features: channels of the finest level; each level below doubles them.
        num_stages: U-Nets, one behind the other.
        num_groups: pairs of a multi-axis and a channel block in each place.
        num_bottleneck_blocks: blocks of the coarsest level.
    """

    def __init__(
        self, *, features: int = 32, num_stages: int = 2, num_groups: int = 2, num_bottleneck_blocks: int = 2
    ) -> None:
        super().__init__()
        self.facts = Facts(multiple=COARSE * 2**LEVELS, working_bytes=120 * features, tile=512)
        self.num_stages = num_stages
        self.num_bottleneck_blocks = num_bottleneck_blocks
        widths = [features * 2**level for level in range(LEVELS)]
        sides = [FINE, FINE, COARSE]
        deepest = widths[-1]
        for stage in range(num_stages):
            later = stage > 0
            for level, (width, side) in enumerate(zip(widths, sides, strict=True)):
                here = {
                    f"input_conv_{level}": Conv3(3, width),
                    f"encoder_block_{level}": Encoder(
                        (features if level == 0 else widths[level - 1]) + width,
                        width,
                        side,
                        num_groups,
                        down=True,
                        crossed=later,
                    ),
                    f"cross_gating_block_{level}": CrossGating(
                        LEVELS * width, width, side, below=deepest if level == LEVELS - 1 else widths[level + 1]
                    ),
                    f"decoder_block_{level}": Decoder(
                        deepest if level == LEVELS - 1 else widths[level + 1], width, side, num_groups
                    ),
                }
                if later:
                    here[f"input_fuse_sam_{level}"] = CrossGating(width, width, side)
                if stage + 1 < num_stages:
                    here[f"supervised_attention_module_{level}"] = SupervisedAttention(width)
                elif level == 0:
                    here["output_conv_0"] = Conv3(width, 3)
                for name, module in here.items():
                    self.add_module(f"stage_{stage}_{name}", module)
            for index in range(num_bottleneck_blocks):
                self.add_module(f"stage_{stage}_global_block_{index}", Bottleneck(deepest, COARSE, num_groups))
        self.resized = 2 * LEVELS * LEVELS
        for number in range(num_stages * self.resized):
            from_skips, place = divmod(number % self.resized, LEVELS * LEVELS)
            to, source = LEVELS - 1 - place // LEVELS, place % LEVELS
            source = LEVELS - 1 - source if from_skips else source
            self.add_module(f"UpSampleRatio_{number}", Resized(widths[source], widths[to], to - source))

    @classmethod
    def options_from(cls, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
        """See `Network.options_from`."""
        return {
            "features": tensors["UpSampleRatio_0.Conv_0.weight"].shape[1],
            "num_stages": count_modules(tensors, "UpSampleRatio_") // (2 * LEVELS * LEVELS),
            "num_groups": count_modules(tensors, "stage_0_encoder_block_0.SplitHeadMultiAxisGmlpLayer_"),
            "num_bottleneck_blocks": count_modules(tensors, "stage_0_global_block_"),
        }

    def part(self, stage: int, name: str) -> nn.Module:
        """The module of a stage."""
        return self.get_submodule(f"stage_{stage}_{name}")

    def forward(self, image: Tensor, randn_like: RandnLike | None = None) -> Tensor:
        """See `Mapper.forward`."""
        height, width = image.shape[-2:]
        full = self.padded(image).permute(0, 2, 3, 1).contiguous()
        # The nearest pixel to a coarse one's centre, of four that are equally near.
        images = [full, *(full[:, step // 2 :: step, step // 2 :: step] for step in (2, 4))]
        attended: Sequence[Tensor] = []
        before: Sequence[Tensor] = []
        for stage in range(self.num_stages):
            encoded, decoded, attended = self._stage(stage, images, attended, before)
            before = [one + other for one, other in zip(encoded, decoded, strict=True)]
            del encoded
        restored: Tensor = full + self.part(self.num_stages - 1, "output_conv_0")(decoded[0])
        return restored[:, :height, :width].permute(0, 3, 1, 2)

    def _stage(
        self, stage: int, images: Sequence[Tensor], attended: Sequence[Tensor], before: Sequence[Tensor]
    ) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
        """What encoders, decoders and supervised attention made, from the finest level on.

        Args:
            stage: its number.
            images: what is to be restored, at all scales.
            attended: features of the stage before, where there is one.
            before: encoders' and decoders' of the stage before, together.
        """
        inputs = [self.part(stage, f"input_conv_{level}")(image) for level, image in enumerate(images)]
        for level, features in enumerate(attended):
            inputs[level], _ = self.part(stage, f"input_fuse_sam_{level}")(inputs[level], features)
        x = inputs[0]
        encoded: list[Tensor] = []
        for level in range(LEVELS):
            seen = before[level] if before else None
            x, bridge = self.part(stage, f"encoder_block_{level}")(torch.cat((x, inputs[level]), dim=-1), seen)
            encoded.append(bridge)
        del inputs
        for index in range(self.num_bottleneck_blocks):
            x = self.part(stage, f"global_block_{index}")(x)
        number = stage * self.resized
        running = x
        skips: list[Tensor] = []  # from the coarsest level on
        for level in reversed(range(LEVELS)):
            signal = self._gathered(number, encoded)
            number += LEVELS
            skip, running = self.part(stage, f"cross_gating_block_{level}")(signal, running)
            skips.append(skip)
        del running
        decoded: list[Tensor] = []
        features_out: list[Tensor] = []
        for level in reversed(range(LEVELS)):
            signal = self._gathered(number, skips)
            number += LEVELS
            x = self.part(stage, f"decoder_block_{level}")(x, signal)
            decoded.insert(0, x)
            if stage + 1 < self.num_stages:
                features, _ = self.part(stage, f"supervised_attention_module_{level}")(x, images[level])
                features_out.insert(0, features)
        return encoded, decoded, features_out

    def _gathered(self, number: int, maps: Sequence[Tensor]) -> Tensor:
        """Maps of all levels, each through a resizing of its own, side by side."""
        return torch.cat(
            [self.get_submodule(f"UpSampleRatio_{number + index}")(one) for index, one in enumerate(maps)], dim=-1
        )


class Conv3(nn.Conv2d):
    """A 3x3 convolution of (B, H, W, C) that keeps the size."""

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__(channels, out_channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


class Down(nn.Conv2d):
    """Halves the size of (B, H, W, C)."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels, 4, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


class Up(nn.ConvTranspose2d):
    """Doubles the size of (B, H, W, C)."""

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__(channels, out_channels, 2, stride=2)

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        return super().forward(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


class Resized(nn.Module):
    """Bilinear resizing, with antialiasing, and a 1x1 convolution.

    Both are linear and resizing keeps constants, so that either may come first: here the one that leaves less to do.

    Args:
        channels: of what comes in.
        out_channels: of what goes out.
        levels: how many times its size is halved; doubled where negative.
    """

    def __init__(self, channels: int, out_channels: int, levels: int) -> None:
        super().__init__()
        self.Conv_0 = nn.Linear(channels, out_channels)
        self.levels = levels

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, C) to (B, H', W', C')."""
        if self.levels >= 0:
            x = self._resized(x)
        projected: Tensor = self.Conv_0(x)
        return projected if self.levels >= 0 else self._resized(projected)

    def _resized(self, x: Tensor) -> Tensor:
        if self.levels == 0:
            return x
        wide = x.permute(0, 3, 1, 2).float()  # on a CPU torch resizes nothing in bfloat16 with antialiasing
        factor = 2.0**-self.levels
        down = F.interpolate(wide, scale_factor=factor, mode="bilinear", antialias=True, align_corners=False)
        return down.permute(0, 2, 3, 1).to(x.dtype)


class Mixing(nn.Linear):
    """Mixes pixels, alike in all channels: those of a window, or those that lie one cell of the grid apart.

    Args:
        side: of the window, or cells along a side of the grid.
        axis: which of the two.
    """

    def __init__(self, side: int, axis: Axis) -> None:
        super().__init__(side * side, side * side)
        self.side = side
        self.axis = axis

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, C), its sides multiples of `side`, to the same shape."""
        batch, height, width, channels = x.shape
        down, across = height // self.side, width // self.side
        if self.axis == "grid":
            cells = x.reshape(batch, self.side, down, self.side, across, channels).permute(0, 1, 3, 2, 4, 5)
            mixed = self._mixed(cells.reshape(batch, self.side**2, -1))
            mixed = mixed.reshape(batch, self.side, self.side, down, across, channels).permute(0, 1, 3, 2, 4, 5)
        else:
            windows = x.reshape(batch, down, self.side, across, self.side, channels).permute(0, 1, 3, 2, 4, 5)
            mixed = self._mixed(windows.reshape(batch * down * across, self.side**2, channels))
            mixed = mixed.reshape(batch, down, across, self.side, self.side, channels).permute(0, 1, 3, 2, 4, 5)
        return mixed.reshape(batch, height, width, channels)

    def _mixed(self, x: Tensor) -> Tensor:
        """(N, side^2, C), along the second axis."""
        return torch.matmul(self.weight, x) + self.bias[:, None]


class Gmlp(nn.Module):
    """A gated multi-layer perceptron whose gate mixes pixels along one axis."""

    def __init__(self, channels: int, side: int, axis: Axis) -> None:
        super().__init__()
        self.LayerNorm = nn.LayerNorm(channels, EPS)
        self.in_project = nn.Linear(channels, 2 * channels)
        self.gate = f"{axis.capitalize()}GatingUnit"
        self.add_module(self.gate, Gate(channels, side, axis))
        self.out_project = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, C) to the same shape."""
        gated = self.get_submodule(self.gate)(gelu(self.in_project(self.LayerNorm(x))))
        out: Tensor = x + self.out_project(gated)
        return out


class Gate(nn.Module):
    """Half of the channels, times one more than a mixture of the other half."""

    def __init__(self, channels: int, side: int, axis: Axis) -> None:
        super().__init__()
        self.intermediate_layernorm = nn.LayerNorm(channels, EPS)
        self.Dense_0 = Mixing(side, axis)

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, 2C) to (B, H, W, C)."""
        kept, mixed = x.chunk(2, dim=-1)
        mixed = self.Dense_0(self.intermediate_layernorm(mixed))
        return torch.addcmul(kept, kept, mixed)


class MultiAxis(nn.Module):
    """Half of the channels through a grid's gMLP, the other half through a window's."""

    def __init__(self, channels: int, side: int) -> None:
        super().__init__()
        self.LayerNorm_in = nn.LayerNorm(channels, EPS)
        self.in_project = nn.Linear(channels, 2 * channels)
        self.GridGmlpLayer = Gmlp(channels, side, "grid")
        self.BlockGmlpLayer = Gmlp(channels, side, "block")
        self.out_project = nn.Linear(2 * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, C) to the same shape."""
        across, within = gelu(self.in_project(self.LayerNorm_in(x))).chunk(2, dim=-1)
        both = torch.cat((self.GridGmlpLayer(across), self.BlockGmlpLayer(within)), dim=-1)
        out: Tensor = x + self.out_project(both)
        return out


class GatingWeights(nn.Module):
    """What one signal says to multiply the other by: mixed along both axes."""

    def __init__(self, channels: int, side: int) -> None:
        super().__init__()
        self.LayerNorm_in = nn.LayerNorm(channels, EPS)
        self.in_project = nn.Linear(channels, 2 * channels)
        self.Dense_0 = Mixing(side, "grid")
        self.Dense_1 = Mixing(side, "block")
        self.out_project = nn.Linear(2 * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, C) to the same shape."""
        across, within = gelu(self.in_project(self.LayerNorm_in(x))).chunk(2, dim=-1)
        weights: Tensor = self.out_project(torch.cat((self.Dense_0(across), self.Dense_1(within)), dim=-1))
        return weights


class CrossGating(nn.Module):
    """Two signals, each gated by the other.

    Args:
        channels: of the first signal.
        width: of both that go out.
        side: of windows and grid.
        below: channels of the second signal, where that comes from a level below and is enlarged first.
    """

    def __init__(self, channels: int, width: int, side: int, below: int = 0) -> None:
        super().__init__()
        self.ConvTranspose_0 = Up(below, width) if below else None
        self.Conv_0 = nn.Linear(channels, width)
        self.Conv_1 = nn.Linear(width, width)
        for signal in "xy":
            self.add_module(f"LayerNorm_{signal}", nn.LayerNorm(width, EPS))
            self.add_module(f"in_project_{signal}", nn.Linear(width, width))
            self.add_module(f"SplitHeadMultiAxisGating_{signal}", GatingWeights(width, side))
            self.add_module(f"out_project_{signal}", nn.Linear(width, width))

    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Two of (B, H, W, C): all that is known, and the second alone."""
        if self.ConvTranspose_0 is not None:
            y = self.ConvTranspose_0(y)
        x, y = self.Conv_0(x), self.Conv_1(y)
        left, right = self._features("x", x), self._features("y", y)
        to_y, to_x = self._weights("x", left), self._weights("y", right)
        y = y + self._projected("y", right * to_y)
        x = x + self._projected("x", left * to_x) + y
        return x, y

    def _features(self, signal: str, x: Tensor) -> Tensor:
        normalised = self.get_submodule(f"LayerNorm_{signal}")(x)
        return gelu(self.get_submodule(f"in_project_{signal}")(normalised))

    def _weights(self, signal: str, x: Tensor) -> Tensor:
        weights: Tensor = self.get_submodule(f"SplitHeadMultiAxisGating_{signal}")(x)
        return weights

    def _projected(self, signal: str, x: Tensor) -> Tensor:
        projected: Tensor = self.get_submodule(f"out_project_{signal}")(x)
        return projected


class ChannelAttention(nn.Module):
    """Each channel times a number that all channels' means decide."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.Conv_0 = nn.Linear(channels, channels // 4)
        self.Conv_1 = nn.Linear(channels // 4, channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, C) to the same shape."""
        mean = x.mean((1, 2), keepdim=True)
        out: Tensor = x * self.Conv_1(self.Conv_0(mean).relu()).sigmoid()
        return out


class ConvAttention(nn.Module):
    """Two 3x3 convolutions with channel attention, beside what came in."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.LayerNorm = nn.LayerNorm(channels, EPS)
        self.conv1 = Conv3(channels, channels)
        self.conv2 = Conv3(channels, channels)
        self.channel_attention = ChannelAttention(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, C) to the same shape."""
        h = F.leaky_relu(self.conv1(self.LayerNorm(x)), SLOPE)
        out: Tensor = x + self.channel_attention(self.conv2(h))
        return out


class DenseAttention(nn.Module):
    """Two layers in channels alone with channel attention, beside what came in."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.LayerNorm = nn.LayerNorm(channels, EPS)
        self.channel_mixing = nn.ModuleDict({f"Dense_{index}": nn.Linear(channels, channels) for index in range(2)})
        self.channel_attention = ChannelAttention(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, C) to the same shape."""
        h = gelu(self.channel_mixing["Dense_0"](self.LayerNorm(x)))
        out: Tensor = x + self.channel_attention(self.channel_mixing["Dense_1"](h))
        return out


class Encoder(nn.Module):
    """Groups of a multi-axis block and convolutions, and where `crossed` a gating by the stage before.

    Args:
        channels: of all that comes in, side by side.
        width: of what goes out.
        side: of windows and grid.
        groups: of blocks.
        down: whether what goes out is halved too.
        crossed: whether there is a stage before.
    """

    def __init__(self, channels: int, width: int, side: int, groups: int, *, down: bool, crossed: bool) -> None:
        super().__init__()
        self.Conv_0 = nn.Linear(channels, width)
        self.groups = groups
        for index in range(groups):
            self.add_module(f"SplitHeadMultiAxisGmlpLayer_{index}", MultiAxis(width, side))
            self.add_module(f"channel_attention_block_1{index}", ConvAttention(width))
        self.cross_gating_block = CrossGating(width, width, side) if crossed else None
        self.Conv_1 = Down(width) if down else None

    def forward(self, x: Tensor, before: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(B, H, W, C): the map at half the size, where it is halved, and the map."""
        x = shortcut = self.Conv_0(x)
        for index in range(self.groups):
            x = self.get_submodule(f"SplitHeadMultiAxisGmlpLayer_{index}")(x)
            x = self.get_submodule(f"channel_attention_block_1{index}")(x)
        x = x + shortcut
        if self.cross_gating_block is not None:
            x, _ = self.cross_gating_block(x, before)
        return (x if self.Conv_1 is None else self.Conv_1(x)), x


class Decoder(nn.Module):
    """Enlarges the level below, joins what skips it, and works like an encoder."""

    def __init__(self, below: int, width: int, side: int, groups: int) -> None:
        super().__init__()
        self.ConvTranspose_0 = Up(below, width)
        self.UNetEncoderBlock_0 = Encoder((1 + LEVELS) * width, width, side, groups, down=False, crossed=False)

    def forward(self, x: Tensor, skips: Tensor) -> Tensor:
        """(B, H / 2, W / 2, C') and (B, H, W, 3C) to (B, H, W, C)."""
        decoded: Tensor = self.UNetEncoderBlock_0(torch.cat((self.ConvTranspose_0(x), skips), dim=-1))[1]
        return decoded


class Bottleneck(nn.Module):
    """Groups of a multi-axis block and layers in channels."""

    def __init__(self, width: int, side: int, groups: int) -> None:
        super().__init__()
        self.input_proj = nn.Linear(width, width)
        self.groups = groups
        for index in range(groups):
            self.add_module(f"SplitHeadMultiAxisGmlpLayer_{index}", MultiAxis(width, side))
            self.add_module(f"channel_attention_block_1_{index}", DenseAttention(width))

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, C) to the same shape."""
        x = shortcut = self.input_proj(x)
        for index in range(self.groups):
            x = self.get_submodule(f"SplitHeadMultiAxisGmlpLayer_{index}")(x)
            x = self.get_submodule(f"channel_attention_block_1_{index}")(x)
        out: Tensor = x + shortcut
        return out


class SupervisedAttention(nn.Module):
    """An image that can be compared with the clean one, and features weighted by what it shows."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.Conv_0 = Conv3(width, width)
        self.Conv_1 = Conv3(width, 3)
        self.Conv_2 = Conv3(3, width)

    def forward(self, x: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
        """Features (B, H, W, C) and the image at this scale (B, H, W, 3) to the same shapes."""
        restored = image + self.Conv_1(x)
        return torch.addcmul(x, self.Conv_0(x), self.Conv_2(restored.to(x.dtype)).sigmoid()), restored


def gelu(x: Tensor) -> Tensor:
    """As the official code computes it."""
    return F.gelu(x, approximate="tanh")
