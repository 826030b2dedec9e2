"""A codec that restores: what it stores of a degraded picture is, as near as it can be, the clean one.

"All-in-One Image Compression and Restoration", WACV 2025 (github.com/ZeldaM1/All-in-one). Blocks of Restormer with
attention along strips between their two halves, a hyper-prior, and a prior in two passes over the squares of a
chessboard, as DCVC has it. Names of parameters and counts are those of the published code; no weights of it are known.

The published code rounds without a gradient, so that its encoder learns nothing from what it codes. Here the gradient
of rounding is that of the identity, and rates are those of latents with uniform noise. Torch's own fresh weights make
latents of a fifteenth of a step, which round to 0, so that the decoder sees nothing to learn from. Ours begin larger.
"""

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from irsde_cli.networks.facts import Facts, round_up
from irsde_cli.networks.network import Mapper, numbered, pad_to
from irsde_cli.networks.restormer import Attention, Down, FeedForward, Norm, Patches, Up, working_bytes
from irsde_cli.randomness import RandnLike

QUALITIES = 64
LEVELS = 256
NARROWEST, WIDEST = 0.11, 64.0  # standard deviations that are told apart
SMALLEST_STEP = 0.5
CHANCE = 1e-5  # added to each probability while learning, as published
SLOPE = 0.01
FIRST_GAIN, FIRST_SCALE = 4.0, 1.0  # of fresh latents, and about the standard deviation that the prior expects of them
FACTOR = 16  # of the latent
PRIOR = ("hyper_dec", "y_prior_fusion", "y_spatial_prior", "bit_estimator_z")

# The rounded values of a pass, and 0 elsewhere: of their scale, step and mean, and of the squares, all (B, N, h, w).
Values = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


class RestoringCodec(Mapper):
    """The published S: 38.39 million parameters. L has a width of 48, 288 channels and 192 of the hyper-latent.

    Args:
        width: channels at the full size.
        channels: of the latent, a sixteenth of the picture's sides; an even number.
        hyper: channels of the hyper-latent, a quarter of the latent's sides.
        blocks: of the four levels, from the full size on.
        heads: of attention, at each level.
    """

    def __init__(
        self,
        *,
        width: int = 32,
        channels: int = 256,
        hyper: int = 128,
        blocks: Sequence[int] = (2, 3, 3, 4),
        heads: int = 4,
    ) -> None:
        super().__init__()
        if channels % 2 or width % heads or len(blocks) != 4:
            raise ValueError("'channels' must be even, 'width' a multiple of 'heads', and 'blocks' four numbers")
        self.facts = Facts(multiple=FACTOR, padding="replicate", working_bytes=_memory(width, blocks), half=())
        self.enc = Encoder(width, blocks, heads)
        self.N_dim_compress = nn.Conv2d(FACTOR * width, channels, 3, padding=1)
        self.N_dim_decompress = nn.Conv2d(channels, FACTOR * width, 3, padding=1)
        self.dec = Decoder(width, blocks, heads)
        self.refine = nn.Conv2d(width, 3, 3, padding=1)
        self.hyper_enc = Blocks(
            DepthBlock(channels, hyper),
            nn.Conv2d(hyper, hyper, 3, 2, 1),
            nn.LeakyReLU(SLOPE),
            nn.Conv2d(hyper, hyper, 3, 2, 1),
        )
        self.hyper_dec = Blocks(Doubling(hyper), Doubling(hyper), DepthBlock(hyper, channels))
        self.y_prior_fusion = nn.Sequential(DepthBlock(channels, 2 * channels), DepthBlock(2 * channels, 3 * channels))
        self.y_spatial_prior = nn.Sequential(
            DepthBlock(4 * channels, 3 * channels),
            DepthBlock(3 * channels, 2 * channels),
            DepthBlock(2 * channels, 2 * channels),
        )
        self.bit_estimator_z = Cumulative(hyper)
        self.q_basic_enc = nn.Parameter(torch.empty(1, 4 * width, 1, 1))
        self.q_basic_dec = nn.Parameter(torch.empty(1, 4 * width, 1, 1))
        self.q_scale_enc = nn.Parameter(torch.tensor([0.5, 2.0]).view(2, 1, 1, 1))
        self.q_scale_dec = nn.Parameter(torch.tensor([2.0, 0.5]).view(2, 1, 1, 1))
        self._wide: nn.ModuleDict | None = None
        self._begin(channels)

    def _begin(self, channels: int) -> None:
        """Fresh weights by which latents of photographs are a few steps large, and expected to be."""
        for part in (self.enc, self.N_dim_compress, self.N_dim_decompress, self.dec, self.refine):
            for layer in part.modules():
                if isinstance(layer, nn.Conv2d) and layer.kernel_size == (3, 3) and layer.groups == 1:
                    nn.init.kaiming_normal_(layer.weight, nonlinearity="linear")
        nn.init.constant_(self.q_basic_enc, FIRST_GAIN)
        nn.init.constant_(self.q_basic_dec, 1 / FIRST_GAIN)
        for prior, start in ((self.y_prior_fusion, channels), (self.y_spatial_prior, 0)):
            last = prior[-1]
            assert isinstance(last, DepthBlock)
            gated = last.block[-1]
            assert isinstance(gated, Gated) and gated.conv_out.bias is not None
            nn.init.constant_(gated.conv_out.bias[start : start + channels], FIRST_SCALE)

    @classmethod
    def options_from(cls, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
        """See `Network.options_from`."""
        heads = [key for key in tensors if key.startswith("enc.") and key.endswith(".attn.temperature")]
        levels = [f"enc.encoder_x{2 * 2**level}.blocks." for level in range(4)]
        return {
            "width": len(tensors["enc.patch_embed.proj.weight"]),
            "channels": len(tensors["N_dim_compress.weight"]),
            "hyper": len(tensors["hyper_enc.blocks.1.weight"]),
            "blocks": tuple(len(numbered(tensors, level)) - 1 for level in levels),
            "heads": len(tensors[heads[0]]) if heads else 4,
        }

    def forward(self, image: Tensor, randn_like: RandnLike | None = None) -> Tensor:
        """See `Mapper.forward`: what the file of the best quality would show."""
        quality = torch.full((len(image),), QUALITIES - 1, device=image.device)
        latent = self.latent(image, quality)

        def rounded(scale: Tensor, step: Tensor, mean: Tensor, squares: Tensor) -> Tensor:
            return (latent / step - mean).round() * squares

        coarse = self.hyper_latent(latent).round()
        coded = self.rebuilt(coarse, (latent.shape[-2], latent.shape[-1]), rounded, self)
        return self.shown(coded, quality, (image.shape[-2], image.shape[-1]))

    def latent(self, image: Tensor, quality: Tensor) -> Tensor:
        """Of images (B, 3, H, W), for qualities (B,) from 0 to 63: (B, N, ceil(H / 16), ceil(W / 16))."""
        latent: Tensor = self.N_dim_compress(self.enc(self.padded(image), self.gain("enc", quality)))
        return latent

    def hyper_latent(self, latent: Tensor) -> Tensor:
        """Of latents (B, N, h, w): (B, Z, ceil(h / 4), ceil(w / 4)), not rounded."""
        height, width = latent.shape[-2:]
        hyper: Tensor = self.hyper_enc(pad_to(latent, (round_up(height, 4), round_up(width, 4)), "replicate"))
        return hyper

    def shown(self, latent: Tensor, quality: Tensor, size: tuple[int, int]) -> Tensor:
        """The images (B, 3, *size) of rebuilt latents."""
        features = self.dec(self.N_dim_decompress(latent), self.gain("dec", quality))
        image: Tensor = self.refine(features)
        return image[..., : size[0], : size[1]]

    def gain(self, side: str, quality: Tensor) -> Tensor:
        """What features at a quarter of the size are multiplied by, (B, 4 * width, 1, 1)."""
        low, high = self.get_parameter(f"q_scale_{side}").abs().clamp_min(1e-6).log()
        share = quality.view(-1, 1, 1, 1).to(low) / (QUALITIES - 1)
        gain: Tensor = self.get_parameter(f"q_basic_{side}") * torch.lerp(low, high, share).exp()
        return gain

    def rebuilt(self, coarse: Tensor, size: tuple[int, int], values: Values, prior: nn.Module) -> Tensor:
        """The latents that a decoder has, (B, N, *size).

        Args:
            coarse: the rounded hyper-latent (B, Z, h, w).
            size: height and width of the latents.
            values: called twice, for the squares of either colour: what was rounded there, and 0 elsewhere.
            prior: the modules of `PRIOR`.
        """
        hyper, fusion, spatial = (prior.get_submodule(name) for name in PRIOR[:3])
        told = fusion(hyper(coarse)[..., : size[0], : size[1]])
        step, scale, mean = told.chunk(3, 1)
        step = at_least(step, SMALLEST_STEP)
        first = chessboard(mean.shape[1], size).to(mean)
        latent = values(scale, step, mean, first) + mean * first
        scale, mean = spatial(torch.cat((latent, told), 1)).chunk(2, 1)
        second = 1 - first
        latent = latent + values(scale, step, mean, second) + mean * second
        rebuilt: Tensor = latent * step
        return rebuilt

    def taught(self, image: Tensor, quality: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
        """Images as files would show them, and the bits of those files, (B,); both with gradients.

        Args:
            image: the degraded images (B, 3, H, W).
            quality: from 0 to 63, (B,).
            uniform: numbers from -1/2 to 1/2, (B, any): noise in the place of rounding, where bits are counted.
        """
        latent = self.latent(image, quality)
        hyper = self.hyper_latent(latent)
        bits = -(self.bit_estimator_z.chance(hyper + _spread(uniform, hyper, 0)) + CHANCE).log2().clamp_max(0)
        bits = bits.flatten(1).sum(1)

        def straight(scale: Tensor, step: Tensor, mean: Tensor, squares: Tensor) -> Tensor:
            nonlocal bits
            apart = latent / step - mean
            chance = gaussian(apart + _spread(uniform, apart, hyper[0].numel()), at_least(scale, NARROWEST))
            bits = bits - ((chance + CHANCE).log2().clamp_max(0) * squares).flatten(1).sum(1)
            return _rounded(apart) * squares

        coded = self.rebuilt(_rounded(hyper), (latent.shape[-2], latent.shape[-1]), straight, self)
        return self.shown(coded, quality, (image.shape[-2], image.shape[-1])), bits

    def wide(self) -> nn.ModuleDict:
        """The modules of `PRIOR` in float64 on the CPU, where their results hardly depend on the machine."""
        if self._wide is None:
            parts = {name: copy.deepcopy(self.get_submodule(name)) for name in PRIOR}
            self.__dict__["_wide"] = nn.ModuleDict(parts).to("cpu", torch.float64).requires_grad_(False).eval()
        assert self._wide is not None
        return self._wide

    def freeze(self) -> None:
        """See `Network.freeze`; nothing changes, as sums in another order may round a latent otherwise."""

    def train(self, mode: bool = True) -> Self:
        """Training ends what `wide` began."""
        self.__dict__["_wide"] = None
        return super().train(mode)


class Encoder(nn.Module):
    """An image to features of a sixteenth of its size."""

    def __init__(self, width: int, blocks: Sequence[int], heads: int) -> None:
        super().__init__()
        self.patch_embed = Patches(width)
        for level, count in enumerate(blocks):
            channels = width * 2**level
            layers = (StripBlock(channels, heads) for _ in range(count))
            self.add_module(f"encoder_x{2 * 2**level}", Blocks(*layers, Down(channels)))

    def forward(self, image: Tensor, gain: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, 16 * width, H / 16, W / 16); `gain` is for a quarter of the size."""
        features = self.get_submodule("encoder_x4")(self.get_submodule("encoder_x2")(self.patch_embed(image)))
        features = self.get_submodule("encoder_x8")(features * gain)
        deepest: Tensor = self.get_submodule("encoder_x16")(features)
        return deepest


class Decoder(nn.Module):
    """The way back."""

    def __init__(self, width: int, blocks: Sequence[int], heads: int) -> None:
        super().__init__()
        for level in reversed(range(4)):
            channels = width * 2**level
            layers = (StripBlock(channels, heads) for _ in range(blocks[level]))
            self.add_module(f"decoder_x{2**level}", Blocks(Up(2 * channels), *layers))

    def forward(self, features: Tensor, gain: Tensor) -> Tensor:
        """(B, 16 * width, h, w) to (B, width, 16 h, 16 w); `gain` is for a quarter of the size."""
        features = self.get_submodule("decoder_x4")(self.get_submodule("decoder_x8")(features)) * gain
        finest: Tensor = self.get_submodule("decoder_x1")(self.get_submodule("decoder_x2")(features))
        return finest


class Blocks(nn.Module):
    """Layers, as the published code calls them."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Through all of them."""
        features: Tensor = self.blocks(x)
        return features


class StripBlock(nn.Module):
    """Attention between channels, then along strips, then a gated feed-forward layer, each beside the identity."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.norm1 = Norm(channels, biased=False)
        self.attn = Attention(channels, heads)
        self.norm3 = Norm(channels, biased=False)
        self.attn_s = Strips(channels)
        self.norm2 = Norm(channels, biased=False)
        self.ffn = FeedForward(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        x = x + self.attn(self.norm1(x))
        x = x + self.attn_s(self.norm3(x))
        x = x + self.ffn(self.norm2(x))
        return x


class Strips(nn.Module):
    """Each pixel weighed by what lies beside, above and below it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.a = nn.Sequential(
            nn.Conv2d(channels, channels, 1),
            nn.GELU(),
            nn.Conv2d(channels, channels, (1, 5), padding=(0, 2), groups=channels, bias=False),
            nn.GELU(),
            nn.Conv2d(channels, channels, (5, 1), padding=(2, 0), groups=channels, bias=False),
        )
        self.v = nn.Conv2d(channels, channels, 1)
        self.proj = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        weighed: Tensor = self.proj(self.a(x) * self.v(x))
        return weighed


class DepthBlock(nn.Module):
    """A depth-wise convolution between two of single pixels, then a gated feed-forward layer (DCVC)."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.block = nn.Sequential(DepthConvolution(channels, out), Gated(out))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) to (B, C', h, w)."""
        features: Tensor = self.block(x)
        return features


class DepthConvolution(nn.Module):
    """The first half of a `DepthBlock`."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.conv1 = nn.Sequential(nn.Conv2d(channels, channels, 1), nn.LeakyReLU(SLOPE))
        self.depth_conv = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.conv2 = nn.Conv2d(channels, out, 1)
        self.adaptor = nn.Conv2d(channels, out, 1) if channels != out else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) to (B, C', h, w)."""
        features: Tensor = self.conv2(self.depth_conv(self.conv1(x))) + self.adaptor(x)
        return features


class Gated(nn.Module):
    """The second half of a `DepthBlock`."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, 4 * channels, 1)
        self.conv_out = nn.Conv2d(2 * channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) to the same."""
        one, other = self.conv(x).chunk(2, 1)
        features: Tensor = x + self.conv_out(one * other)
        return features


class Doubling(nn.Module):
    """A residual block that doubles the size."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.subpel_conv = nn.Sequential(nn.Conv2d(channels, 4 * channels, 1), nn.PixelShuffle(2))
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.upsample = nn.Sequential(nn.Conv2d(channels, 4 * channels, 1), nn.PixelShuffle(2))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) to (B, C, 2h, 2w)."""
        inner = F.leaky_relu(self.subpel_conv(x), SLOPE)
        larger: Tensor = F.leaky_relu(self.conv(inner), SLOPE) + self.upsample(x)
        return larger


class Cumulative(nn.Module):
    """A cumulative distribution for each channel, learnt without a form (Balle et al., ICLR 2018)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        for number in range(1, 5):
            names = "hba" if number < 4 else "hb"
            part = nn.ParameterDict({name: 0.01 * torch.randn(1, channels, 1, 1) for name in names})
            self.add_module(f"f{number}", part)

    def forward(self, x: Tensor) -> Tensor:
        """How likely values (B, Z, h, w) and smaller ones are."""
        for number in range(1, 5):
            part = self.get_submodule(f"f{number}")
            assert isinstance(part, nn.ParameterDict)
            x = x * F.softplus(part["h"]) + part["b"]
            if "a" in part:
                x = x + x.tanh() * part["a"].tanh()
        return x.sigmoid()

    def chance(self, x: Tensor) -> Tensor:
        """How likely the interval of length 1 around each value is."""
        chance: Tensor = (self(x + 0.5) - self(x - 0.5)).clamp_min(0)
        return chance


class _AtLeast(torch.autograd.Function):
    """A lower bound whose gradient still leads back above it (as in compressai)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, bound: float) -> Tensor:
        """The larger of the two."""
        ctx.save_for_backward(x)
        ctx.bound = bound
        return x.clamp_min(bound)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        """Where `x` is below the bound, only what would raise it."""
        (x,) = ctx.saved_tensors
        (grad,) = grads
        return grad * ((x >= ctx.bound) | (grad < 0)), None


def at_least(x: Tensor, bound: float) -> Tensor:
    """`x`, or the bound where that is larger."""
    larger: Tensor = _AtLeast.apply(x, bound)  # type: ignore[no-untyped-call]
    return larger


def chessboard(channels: int, size: tuple[int, int]) -> Tensor:
    """(1, channels, *size) of zeros and ones: squares of one colour in half of the channels, the others in the rest."""
    height, width = size
    white = (torch.arange(height)[:, None] + torch.arange(width)) % 2 == 0
    half = channels // 2
    return torch.cat((white.expand(half, -1, -1), (~white).expand(half, -1, -1)))[None].float()


def gaussian(apart: Tensor, scale: Tensor) -> Tensor:
    """How likely the interval of length 1 around values is, of normal distributions around 0; even far from it."""
    far = apart.abs()
    upper, lower = ((far + side) / scale for side in (-0.5, 0.5))
    return 0.5 * (torch.erfc(upper / math.sqrt(2)) - torch.erfc(lower / math.sqrt(2)))


def levels_of(scale: Tensor) -> Tensor:
    """The number of the nearest of 256 standard deviations, evenly spread by their logarithms from 0.11 to 64."""
    spacing = math.log(WIDEST / NARROWEST) / (LEVELS - 1)
    return ((scale.clamp(NARROWEST, WIDEST) / NARROWEST).log() / spacing).round().long()


def scales_of(levels: Tensor) -> Tensor:
    """The standard deviations of levels, in float64."""
    spacing = math.log(WIDEST / NARROWEST) / (LEVELS - 1)
    return NARROWEST * (levels.double() * spacing).exp()


def _memory(width: int, blocks: Sequence[int]) -> int:
    """`Facts.working_bytes`: of the level whose features are the most, for each pixel of the picture."""
    levels = [int(1.5 * working_bytes(width * 2**level) / 4**level) for level, count in enumerate(blocks) if count]
    return max([4 * (4 * width + 16), *levels])


def _rounded(x: Tensor) -> Tensor:
    """Whole numbers, with the gradient of the identity."""
    return x + (x.round() - x).detach()


def _spread(uniform: Tensor, like: Tensor, since: int) -> Tensor:
    """Numbers of `uniform` (B, any) from the place `since` on, shaped like `like`; from the start again at the end."""
    places = (since + torch.arange(like[0].numel(), device=uniform.device)) % uniform.shape[1]
    return uniform[:, places].view_as(like)
